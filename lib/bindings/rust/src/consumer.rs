// SPDX-License-Identifier: MIT
use crate::endpoint::{Attached, Endpoint};
use crate::error::check;
use crate::native::*;
use crate::packet::{copy, first, read};
use crate::producer::not_now;
use crate::{Channel, Deadline, Error, Kind, Packet, Refused, Result};
use std::mem::{forget, size_of};
use std::ops::Deref;
use std::ptr::null_mut;
use std::slice;
use std::sync::Arc;

/// A consumer of a ring.
#[derive(Debug)]
pub struct Consumer {
    endpoint: Endpoint,
    /// What was received last. C fills it in here, where it stays: to copy what was just written
    /// in smaller pieces would cost more than all the rest of a receive.
    msg: KrepisMsg,
}

// SAFETY: an endpoint may go to another thread, and the pointers are the endpoint's.
unsafe impl Send for Consumer {}

impl Consumer {
    /// Becomes a consumer, which receives what is sent from now on: `EUSERS` if there are too many,
    /// `EINVAL` if the channel is a triple.
    pub fn new(channel: &Channel) -> Result<Consumer> {
        Consumer::with_flags(channel, 0)
    }

    /// With flags of [`crate::attach`].
    pub fn with_flags(channel: &Channel, flags: u32) -> Result<Consumer> {
        let endpoint = Endpoint::new(channel, Kind::Ring, KREPIS_CONSUMER, flags)?;
        Ok(Consumer { endpoint, msg: KrepisMsg::default() })
    }

    #[inline]
    fn receive(&mut self, deadline: Deadline) -> Result<Message<'_>> {
        // SAFETY: our endpoint, in its thread. The views that end now borrowed it, and are gone.
        let result = unsafe { krepis_recv(self.endpoint.handle(), &mut self.msg, deadline.0) };
        match result {
            0 => Ok(Message { consumer: self }),
            _ => Err(self.failed(result)),
        }
    }

    #[cold]
    fn failed(&self, result: i32) -> Error {
        match check(result) {
            Err(Error::Errno(KREPIS_ELAPPED)) => Error::Lapped { lost: self.msg.lost },
            Err(error) => error,
            Ok(_) => Error::Errno(EINVAL), // it has no such result
        }
    }

    /// The next message. It borrows the consumer: the next one is received when it has been dropped,
    /// or has become a [`SharedMessage`].
    #[inline]
    pub fn recv(&mut self, deadline: impl Into<Deadline>) -> Result<Message<'_>> {
        self.receive(deadline.into())
    }

    /// `None`: there is no message now.
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<Message<'_>>> {
        not_now(self.receive(Deadline::NOW))
    }

    /// `None`: the producer has gone and all is read, or somebody called [`crate::Stopper::shutdown`].
    ///
    /// `while let Some(message) = consumer.next(deadline)? { ... }`
    #[inline]
    pub fn next(&mut self, deadline: impl Into<Deadline>) -> Result<Option<Message<'_>>> {
        match self.receive(deadline.into()) {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.is_peer_gone() || error.is_shutdown() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All messages until [`Consumer::next`] would say `None`. How many they were.
    pub fn for_each(&mut self, deadline: impl Into<Deadline>, mut f: impl FnMut(Message<'_>)) -> Result<u64> {
        let deadline = deadline.into();
        let mut count = 0;
        while let Some(message) = self.next(deadline)? {
            f(message);
            count += 1;
        }
        Ok(count)
    }

    /// Waits until there is a message.
    pub fn wait(&mut self, deadline: impl Into<Deadline>) -> Result<()> {
        self.endpoint.wait(deadline.into())
    }
}

impl Deref for Consumer {
    type Target = Endpoint;
    #[inline]
    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

#[inline]
fn bytes(msg: &KrepisMsg) -> &[u8] {
    // SAFETY: what was received has an address, and so many bytes of the channel, which is mapped,
    // until the message is released. Who may write there, and does not: see the top of the crate.
    unsafe { slice::from_raw_parts(msg.data.cast(), msg.len as usize) }
}

/// `false`: the payload is not what was checksummed.
fn verify(msg: &KrepisMsg) -> Result<bool> {
    // SAFETY: a message that is not released.
    match check(unsafe { krepis_msg_verify(msg) }) {
        Ok(_) => Ok(true),
        Err(Error::Errno(EBADMSG)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn copy_to(msg: &KrepisMsg, to: &mut [u8]) -> usize {
    let len = to.len().min(msg.len as usize);
    // SAFETY: no more than either has; what we may write is in no message.
    unsafe { copy(msg.data.cast(), to.as_mut_ptr(), len) };
    len
}

fn to_vec(msg: &KrepisMsg) -> Vec<u8> {
    let mut copied = vec![0; msg.len as usize];
    copy_to(msg, &mut copied);
    copied
}

fn is<T: Packet>(msg: &KrepisMsg) -> bool {
    msg.r#type == T::ID && msg.len as usize == size_of::<T>()
}

fn read_packet<T: Packet>(msg: &KrepisMsg) -> Option<T> {
    // SAFETY: so many bytes are there.
    is::<T>(msg).then(|| unsafe { read(msg.data.cast()) })
}

fn as_prefix<T: Packet>(msg: &KrepisMsg) -> Option<(&T, &[u8])> {
    let bytes = bytes(msg);
    let packet = if msg.r#type == T::ID { first(bytes)? } else { return None };
    Some((packet, &bytes[size_of::<T>()..]))
}

/// What both kinds of messages can do.
macro_rules! message {
    ($name:ty) => {
        impl $name {
            /// The sender's number.
            #[inline]
            pub fn kind(&self) -> u16 {
                self.msg().r#type
            }

            /// Grows from message to message.
            pub fn sequence(&self) -> u64 {
                self.msg().sequence
            }

            /// The packet that the message is. `None`: it has another number, or another size.
            #[inline]
            pub fn as_packet<T: Packet>(&self) -> Option<&T> {
                if is::<T>(self.msg()) {
                    first(self)
                } else {
                    None
                }
            }

            /// The packet that it begins with, and what is behind it.
            pub fn as_prefix<T: Packet>(&self) -> Option<(&T, &[u8])> {
                as_prefix(self.msg())
            }

            /// A copy of the packet, which nobody can change any more.
            pub fn read_packet<T: Packet>(&self) -> Option<T> {
                read_packet(self.msg())
            }

            /// Copies as much as there is and fits, each byte read once. How much that was.
            pub fn copy_to(&self, to: &mut [u8]) -> usize {
                copy_to(self.msg(), to)
            }

            /// A copy of all of it, each byte read once.
            pub fn to_vec(&self) -> Vec<u8> {
                to_vec(self.msg())
            }

            /// `false`: the payload is not what was checksummed. `ENODATA`: it was not.
            pub fn verify(&self) -> Result<bool> {
                verify(self.msg())
            }
        }

        impl Deref for $name {
            type Target = [u8];
            /// The payload. What a slice of it means: see the top of the crate.
            #[inline]
            fn deref(&self) -> &[u8] {
                bytes(self.msg())
            }
        }
    };
}

/// A received message: a view, not a copy. Dropped, it is released.
#[derive(Debug)]
pub struct Message<'c> {
    consumer: &'c mut Consumer,
}

message!(Message<'_>);

impl<'c> Message<'c> {
    #[inline]
    fn msg(&self) -> &KrepisMsg {
        &self.consumer.msg
    }

    /// Whether it came in a buffer, and not in the ring.
    pub fn in_buffer(&self) -> bool {
        !self.msg().buffer.is_null()
    }

    /// Lets the consumer go on while the message lives, for any thread. Only of one in a
    /// buffer: another comes back, with `EINVAL`; copy it.
    pub fn into_shared(self) -> std::result::Result<SharedMessage, Refused<Message<'c>>> {
        if !self.in_buffer() {
            return Err(Refused { error: Error::Errno(EINVAL), value: self });
        }
        let shared = SharedMessage { attached: Arc::clone(&self.consumer.endpoint.attached), msg: *self.msg() };
        forget(self);
        Ok(shared)
    }

    /// The whole buffer, to be changed in place: of an exclusive channel ([`crate::Options::exclusive`]).
    pub fn edit(&mut self) -> Result<&mut [u8]> {
        let mut data = null_mut();
        // SAFETY: a message that is held, and where the result goes.
        check(unsafe { krepis_msg_edit(self.msg(), &mut data) })?;
        // SAFETY: it is in a buffer; so many bytes, of which nobody else has a view: it was not shared.
        Ok(unsafe { slice::from_raw_parts_mut(data.cast(), krepis_buffer_size(self.msg().buffer)) })
    }
}

impl Drop for Message<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: a message of this endpoint, in its thread. What it may say changes nothing.
        let _ = unsafe { krepis_release(self.consumer.handle(), self.msg()) };
    }
}

/// A message in a buffer, for several who read it, in any thread. The last one releases it.
///
/// It keeps the endpoint: a consumer that is dropped before its messages leaves with the last of them, and
/// until then a producer that waits for room waits for it, too.
#[derive(Debug)]
pub struct SharedMessage {
    attached: Arc<Attached>,
    msg: KrepisMsg,
}

// SAFETY: get and put are thread-safe, and the payload is only read.
unsafe impl Send for SharedMessage {}
// SAFETY: as above.
unsafe impl Sync for SharedMessage {}

message!(SharedMessage);

impl SharedMessage {
    fn msg(&self) -> &KrepisMsg {
        &self.msg
    }
}

impl Clone for SharedMessage {
    fn clone(&self) -> SharedMessage {
        // SAFETY: a message that is held. It fails only in a forked child, where put does, too.
        let _ = unsafe { krepis_msg_get(&self.msg) };
        SharedMessage { attached: Arc::clone(&self.attached), msg: self.msg }
    }
}

impl Drop for SharedMessage {
    fn drop(&mut self) {
        // SAFETY: from recv or get, and so of an endpoint that is still attached.
        let _ = unsafe { krepis_msg_put(&self.msg) };
    }
}
