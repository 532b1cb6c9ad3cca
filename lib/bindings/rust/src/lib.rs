// SPDX-License-Identifier: MIT
//! Zero-copy messages between processes on one machine, with one owner a buffer: libkrepis.
//!
//! ```
//! use krepis::{Channel, Consumer, Deadline, Options, Producer};
//! use std::time::Duration;
//!
//! # fn main() -> krepis::Result<()> {
//! let channel = Channel::anonymous(&Options::new())?;
//! let producer = Producer::new(&channel)?;
//! let mut consumer = Consumer::new(&channel)?;
//!
//! let mut buffer = producer.acquire(Deadline::FOREVER)?; // abandoned if it is not published
//! buffer[..5].copy_from_slice(b"hello");
//! producer.publish(buffer, 7, 5, 0, Deadline::FOREVER)?; // and gone: a use of it does not compile
//! drop(producer);
//!
//! while let Some(message) = consumer.next(Duration::from_secs(1))? {
//!     assert_eq!((message.kind(), &message[..]), (7, &b"hello"[..]));
//! } // each is released at the end of its scope
//! # Ok(())
//! # }
//! ```
//!
//! # What a slice of shared memory means
//!
//! `&[u8]` promises that nobody writes there. In an enforced channel
//! ([`Options::enforced`]) the kernel keeps that promise: who writes where he may not gets a
//! signal. In a cooperative channel all sides keep it by their own will, as all libraries for
//! mapped files have it: the owner of a buffer alone writes, and this crate does so. A peer that
//! breaks the rule can change the bytes while you look at them, and can truncate the file of a
//! channel that has a name, which is a SIGBUS. So open cooperative channels with those
//! you trust as much as your own process. Where you do not, take a copy first, and check that:
//! [`Message::copy_to`], [`Message::to_vec`] and [`Message::read_packet`] read each byte once, and need no promise.
//!
//! # Threads
//!
//! An endpoint belongs to one thread at a time: it is `Send` and not `Sync`. What C allows from
//! any thread has types of its own: [`Acquirer`], [`Buffer`], [`SharedMessage`], [`Stopper`].
//!
//! # fork()
//!
//! In a forked child endpoints do not work: calls return `EBADF`, and their memory is not to be
//! looked at. Open the channel there anew. `std::process::Command` is no such fork.
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]
#![warn(clippy::undocumented_unsafe_blocks)]

mod batch;
mod channel;
mod consumer;
mod deadline;
mod endpoint;
mod error;
/// The functions of C as they are: what this crate is made of.
#[allow(missing_docs, clippy::all, rustdoc::invalid_html_tags)]
pub mod native;
mod packet;
mod producer;
mod triple;
mod version;
mod waitset;

pub use batch::{batch_bytes, Batch, ReceivedBatch};
pub use channel::{directory, unlink, Backpressure, Channel, Guarantee, Kind, Options};
pub use consumer::{Consumer, Message, SharedMessage};
pub use deadline::Deadline;
pub use endpoint::{attach, Endpoint, Stopper};
pub use error::{Error, Refused, Result};
pub use native::{KrepisCounters as Counters, KrepisGeometry as Geometry, KrepisStatus as Status};
pub use packet::Packet;
pub use producer::{Acquirer, Buffer, Producer, Room};
pub use triple::{TripleConsumer, TripleProducer, Value, ValueRoom};
pub use version::version;
pub use waitset::{AnyEndpoint, Interrupter, Key, Member, Ready, WaitSet, Waitable};

/// A flag of [`Producer::publish`]: the payload gets a checksum, for [`Message::verify`].
pub const CRC32C: u32 = native::KREPIS_MSG_CRC32C;

/// CRC-32C (Castagnoli) of `data`, after `crc`, which is 0 at the beginning.
pub fn crc32c(crc: u32, data: &[u8]) -> u32 {
    // SAFETY: so many bytes.
    unsafe { native::krepis_crc32c(crc, data.as_ptr().cast(), data.len()) }
}
