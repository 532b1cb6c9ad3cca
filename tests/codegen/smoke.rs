// SPDX-License-Identifier: MIT
//! What krepis-codegen makes for Rust: a message goes through.

mod native;

use native::*;
use std::ffi::CStr;
use std::ptr::{null, null_mut};

fn main() {
    let mut channel: *mut KrepisChannel = null_mut();
    let mut producer: *mut KrepisEndpoint = null_mut();
    let mut consumer: *mut KrepisEndpoint = null_mut();
    let mut buffer: *mut KrepisBuffer = null_mut();
    let mut found: *mut KrepisBuffer = null_mut();
    let mut msg = KrepisMsg::default();

    // SAFETY: each pointer is what its function says.
    unsafe {
        assert_eq!(krepis_channel_create(null(), null(), &mut channel), 0);
        assert_eq!(krepis_attach(channel, KREPIS_PRODUCER, 0, &mut producer), 0);
        assert_eq!(krepis_attach(channel, KREPIS_CONSUMER, 0, &mut consumer), 0);

        assert_eq!(krepis_send(producer, 7, b"hello".as_ptr().cast(), 5, KREPIS_NOWAIT), 0);
        assert_eq!(krepis_recv(consumer, &mut msg, KREPIS_FOREVER), 0);
        assert_eq!(msg.r#type, 7);
        assert_eq!(std::slice::from_raw_parts(msg.data.cast::<u8>(), msg.len as usize), b"hello");

        assert_eq!(krepis_acquire(producer, &mut buffer, KREPIS_NOWAIT), 0);
        assert_eq!(krepis_buffer_lookup(producer, krepis_buffer_handle(buffer), &mut found), 0);
        assert_eq!(found, buffer);
        krepis_buffer_data(buffer).cast::<u8>().write(65);
        assert_eq!(krepis_publish(producer, buffer, 8, 1, KREPIS_MSG_CRC32C, KREPIS_NOWAIT), 0);
        assert_eq!(krepis_recv(consumer, &mut msg, KREPIS_NOWAIT), 0);
        assert_eq!(krepis_msg_verify(&msg), 0);
        assert_eq!(krepis_release(consumer, &msg), 0);
        assert_eq!(krepis_release(consumer, &msg), -EPERM);

        krepis_detach(producer);
        assert_eq!(krepis_recv(consumer, &mut msg, KREPIS_FOREVER), -KREPIS_PEER_GONE);
        assert!(!CStr::from_ptr(krepis_version()).to_bytes().is_empty());
        krepis_detach(consumer);
        krepis_channel_close(channel);
    }
}
