// SPDX-License-Identifier: MIT
use crate::endpoint::Endpoint;
use crate::error::check;
use crate::native::*;
use crate::packet::{bytes_of, copy, first, first_mut, read};
use crate::{Channel, Deadline, Error, Kind, Packet, Result};
use std::mem::size_of;
use std::ops::{Deref, DerefMut};
use std::ptr::null_mut;
use std::slice;

/// The producer of a triple: the latest value only, and nobody waits.
#[derive(Debug)]
pub struct TripleProducer {
    endpoint: Endpoint,
    buffer_size: usize,
}

impl TripleProducer {
    /// Becomes the producer: `EBUSY` if there is one, `EINVAL` if the channel is a ring.
    pub fn new(channel: &Channel) -> Result<TripleProducer> {
        TripleProducer::with_flags(channel, 0)
    }

    /// With flags of [`crate::attach`].
    pub fn with_flags(channel: &Channel, flags: u32) -> Result<TripleProducer> {
        let endpoint = Endpoint::new(channel, Kind::Triple, KREPIS_PRODUCER, flags)?;
        let buffer_size = endpoint.query()?.geometry.buffer_size as usize;
        Ok(TripleProducer { endpoint, buffer_size })
    }

    /// The buffer for the next value. It holds an older one.
    #[inline]
    pub fn begin(&mut self) -> Result<ValueRoom<'_>> {
        let mut data = null_mut();
        // SAFETY: our endpoint, in its thread, and where the result goes.
        check(unsafe { krepis_triple_begin(self.handle(), &mut data) })?;
        Ok(ValueRoom { data: data.cast(), producer: self })
    }

    /// Makes a packet the latest value.
    pub fn write<T: Packet>(&mut self, value: &T) -> Result<()> {
        let mut room = self.begin()?;
        let bytes = bytes_of(value);
        room.get_mut(..bytes.len()).ok_or(Error::Errno(EMSGSIZE))?.copy_from_slice(bytes);
        room.commit(T::ID, bytes.len())
    }
}

impl Deref for TripleProducer {
    type Target = Endpoint;
    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// The next value. Dropped, it is not published.
#[derive(Debug)]
pub struct ValueRoom<'p> {
    producer: &'p mut TripleProducer,
    data: *mut u8,
}

impl ValueRoom<'_> {
    /// The first `len` bytes are the latest value. Works without a consumer, too.
    #[inline]
    pub fn commit(self, kind: u16, len: usize) -> Result<()> {
        // SAFETY: our endpoint, in its thread.
        check(unsafe { krepis_triple_commit(self.producer.handle(), kind, len) }).map(drop)
    }

    /// The packet at the beginning. `None`: the buffer is too small.
    #[inline]
    pub fn as_packet_mut<T: Packet>(&mut self) -> Option<&mut T> {
        first_mut(self)
    }
}

impl Deref for ValueRoom<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes, which are the producer's until commit.
        unsafe { slice::from_raw_parts(self.data, self.producer.buffer_size) }
    }
}

impl DerefMut for ValueRoom<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.data, self.producer.buffer_size) }
    }
}

/// The consumer of a triple.
#[derive(Debug)]
pub struct TripleConsumer {
    endpoint: Endpoint,
    /// What was read last: see [`crate::Consumer`].
    msg: KrepisMsg,
}

// SAFETY: an endpoint may go to another thread, and the pointers are the endpoint's.
unsafe impl Send for TripleConsumer {}

impl TripleConsumer {
    /// Becomes the consumer: `EUSERS` if there is one, `EINVAL` if the channel is a ring.
    pub fn new(channel: &Channel) -> Result<TripleConsumer> {
        TripleConsumer::with_flags(channel, 0)
    }

    /// With flags of [`crate::attach`].
    pub fn with_flags(channel: &Channel, flags: u32) -> Result<TripleConsumer> {
        let endpoint = Endpoint::new(channel, Kind::Triple, KREPIS_CONSUMER, flags)?;
        Ok(TripleConsumer { endpoint, msg: KrepisMsg::default() })
    }

    /// The latest value, a view until the next one is read. `None`: nothing was published yet.
    #[inline]
    pub fn read(&mut self) -> Result<Option<Value<'_>>> {
        // SAFETY: our endpoint, in its thread. The view that ends now borrowed it, and is gone.
        match check(unsafe { krepis_triple_read(self.endpoint.handle(), &mut self.msg) }) {
            Ok(_) => Ok(Some(Value { msg: &self.msg })),
            Err(Error::Errno(ENODATA)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until there is a fresh value.
    pub fn wait(&mut self, deadline: impl Into<Deadline>) -> Result<()> {
        self.endpoint.wait(deadline.into())
    }
}

impl Deref for TripleConsumer {
    type Target = Endpoint;
    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// The latest value: a view, of which nothing is to be released.
#[derive(Debug)]
pub struct Value<'c> {
    msg: &'c KrepisMsg,
}

impl Value<'_> {
    /// The sender's number.
    pub fn kind(&self) -> u16 {
        self.msg.r#type
    }

    /// Not seen before.
    pub fn fresh(&self) -> bool {
        u32::from(self.msg.flags) & KREPIS_MSG_FRESH != 0
    }

    /// Grows from value to value.
    pub fn sequence(&self) -> u64 {
        self.msg.sequence
    }

    /// The packet that the value is. `None`: it has another number, or another size.
    pub fn as_packet<T: Packet>(&self) -> Option<&T> {
        let is = self.kind() == T::ID && self.len() == size_of::<T>();
        if is {
            first(self)
        } else {
            None
        }
    }

    /// The packet that it begins with, and what is behind it.
    pub fn as_prefix<T: Packet>(&self) -> Option<(&T, &[u8])> {
        let packet = if self.kind() == T::ID { first(self)? } else { return None };
        Some((packet, &self[size_of::<T>()..]))
    }

    /// A copy of the packet, which nobody can change any more.
    pub fn read_packet<T: Packet>(&self) -> Option<T> {
        let is = self.kind() == T::ID && self.len() == size_of::<T>();
        // SAFETY: so many bytes are there.
        is.then(|| unsafe { read(self.msg.data.cast()) })
    }

    /// Copies as much as there is and fits, each byte read once. How much that was.
    pub fn copy_to(&self, to: &mut [u8]) -> usize {
        let len = to.len().min(self.msg.len as usize);
        // SAFETY: no more than either has; what we may write is in no value.
        unsafe { copy(self.msg.data.cast(), to.as_mut_ptr(), len) };
        len
    }
}

impl Deref for Value<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes of the channel, which are the consumer's until the next read.
        unsafe { slice::from_raw_parts(self.msg.data.cast(), self.msg.len as usize) }
    }
}
