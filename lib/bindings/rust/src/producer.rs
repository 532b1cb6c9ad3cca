// SPDX-License-Identifier: MIT
use crate::endpoint::{Attached, Endpoint};
use crate::error::check;
use crate::native::*;
use crate::packet::{bytes_of, first_mut};
use crate::{Channel, Deadline, Error, Kind, Packet, Refused, Result};
use std::mem::forget;
use std::ops::{Deref, DerefMut};
use std::ptr::{null_mut, NonNull};
use std::slice;

/// The producer of a ring.
#[derive(Debug)]
pub struct Producer {
    endpoint: Endpoint,
    buffer_size: usize,
}

impl Producer {
    /// Becomes the producer: `EBUSY` if there is one, `EINVAL` if the channel is a triple.
    pub fn new(channel: &Channel) -> Result<Producer> {
        Producer::with_flags(channel, 0)
    }

    /// With flags of [`crate::attach`].
    pub fn with_flags(channel: &Channel, flags: u32) -> Result<Producer> {
        let endpoint = Endpoint::new(channel, Kind::Ring, KREPIS_PRODUCER, flags)?;
        let buffer_size = endpoint.query()?.geometry.buffer_size as usize;
        Ok(Producer { endpoint, buffer_size })
    }

    /// Sends one message, which is copied: into the ring, or if it is large into a buffer.
    #[inline]
    pub fn send(&self, kind: u16, data: &[u8], deadline: impl Into<Deadline>) -> Result<()> {
        // SAFETY: our endpoint, in its thread; so many bytes.
        check(unsafe { krepis_send(self.handle(), kind, data.as_ptr().cast(), data.len(), deadline.into().0) })
            .map(drop)
    }

    /// The same, of a message that has a type.
    #[inline]
    pub fn send_packet<T: Packet>(&self, packet: &T, deadline: impl Into<Deadline>) -> Result<()> {
        self.send(T::ID, bytes_of(packet), deadline)
    }

    /// `false`: there is no room now.
    #[inline]
    pub fn try_send(&self, kind: u16, data: &[u8]) -> Result<bool> {
        not_now(self.send(kind, data, Deadline::NOW)).map(|sent| sent.is_some())
    }

    /// Room in the ring for one message of at most `len` bytes, to be filled in place.
    ///
    /// Until it is committed or dropped, nothing else is sent: `EBUSY`.
    #[inline]
    pub fn begin(&self, len: usize, deadline: impl Into<Deadline>) -> Result<Room<'_>> {
        let mut data = null_mut();
        // SAFETY: our endpoint, in its thread, and where the result goes.
        check(unsafe { krepis_send_begin(self.handle(), len, &mut data, deadline.into().0) })?;
        Ok(Room { producer: self, data: data.cast(), len })
    }

    /// Publishes all committed messages at once. Each send and wait does so, too.
    #[inline]
    pub fn flush(&self) -> Result<()> {
        // SAFETY: our endpoint, in its thread.
        check(unsafe { krepis_flush(self.handle()) }).map(drop)
    }

    /// A buffer, to be filled in place. As long as it takes: until consumers release one.
    #[inline]
    pub fn acquire(&self, deadline: impl Into<Deadline>) -> Result<Buffer<'_>> {
        acquire(&self.endpoint.attached, self.buffer_size, deadline.into())
    }

    /// `None`: no buffer is free now.
    #[inline]
    pub fn try_acquire(&self) -> Result<Option<Buffer<'_>>> {
        not_now(self.acquire(Deadline::NOW))
    }

    /// What acquires from other threads.
    pub fn acquirer(&self) -> Acquirer<'_> {
        Acquirer { attached: &self.endpoint.attached, buffer_size: self.buffer_size }
    }

    /// Hands a buffer over to all consumers: the first `len` bytes. `flags`: 0 or [`crate::CRC32C`].
    ///
    /// What could not be published comes back in the error.
    #[inline]
    pub fn publish<'p>(
        &self,
        buffer: Buffer<'p>,
        kind: u16,
        len: usize,
        flags: u32,
        deadline: impl Into<Deadline>,
    ) -> std::result::Result<(), Refused<Buffer<'p>>> {
        // What is lent has no type here: nobody could take it back.
        if flags & KREPIS_PUBLISH_RETURN != 0 {
            return Err(Refused { error: Error::Errno(EINVAL), value: buffer });
        }
        // SAFETY: our endpoint, in its thread; a buffer that is owned, of this endpoint or refused.
        let result =
            unsafe { krepis_publish(self.handle(), buffer.handle.as_ptr(), kind, len, flags, deadline.into().0) };
        match check(result) {
            Ok(_) => {
                forget(buffer);
                Ok(())
            }
            Err(error) => Err(Refused { error, value: buffer }),
        }
    }

    /// Waits until there is room for a message of `inline_max` bytes.
    pub fn wait(&self, deadline: impl Into<Deadline>) -> Result<()> {
        self.endpoint.wait(deadline.into())
    }

    /// Waits until every consumer has read and released all.
    pub fn drain(&self, deadline: impl Into<Deadline>) -> Result<()> {
        // SAFETY: our endpoint, in its thread.
        check(unsafe { krepis_drain(self.handle(), deadline.into().0) }).map(drop)
    }
}

impl Deref for Producer {
    type Target = Endpoint;
    #[inline]
    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// `None` in place of "not now".
#[inline]
pub(crate) fn not_now<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.would_block() => Ok(None),
        Err(error) => Err(error),
    }
}

/// From any thread with [`Deadline::NOW`], else from the endpoint's.
#[inline]
fn acquire(attached: &Attached, len: usize, deadline: Deadline) -> Result<Buffer<'_>> {
    let mut out = null_mut();
    // SAFETY: not detached while it is borrowed; where the result goes.
    check(unsafe { krepis_acquire(attached.handle(), &mut out, deadline.0) })?;
    let handle = NonNull::new(out).ok_or(Error::Errno(ENOMEM))?;
    // SAFETY: a buffer that is owned.
    let data = unsafe { krepis_buffer_data(handle.as_ptr()) };
    Ok(Buffer { attached, handle, data: data.cast(), len })
}

/// Acquires buffers of a producer in other threads, which fill them.
#[derive(Clone, Copy, Debug)]
pub struct Acquirer<'p> {
    attached: &'p Attached,
    buffer_size: usize,
}

impl<'p> Acquirer<'p> {
    /// `None`: no buffer is free now. Only the producer's thread can wait for one.
    pub fn try_acquire(&self) -> Result<Option<Buffer<'p>>> {
        not_now(acquire(self.attached, self.buffer_size, Deadline::NOW))
    }
}

/// A buffer that the producer owns, to be written in place. Dropped, it goes back to the pool.
/// It may be filled in any thread; [`Producer::publish`] is the producer's thread's.
#[derive(Debug)]
pub struct Buffer<'p> {
    attached: &'p Attached,
    handle: NonNull<KrepisBuffer>,
    data: *mut u8,
    len: usize,
}

// SAFETY: its memory is nobody else's, and abandoning is thread-safe.
unsafe impl Send for Buffer<'_> {}
// SAFETY: shared it can only be read.
unsafe impl Sync for Buffer<'_> {}

impl<'p> Buffer<'p> {
    /// The packet at the beginning. `None`: the buffer is too small.
    #[inline]
    pub fn as_packet_mut<T: Packet>(&mut self) -> Option<&mut T> {
        first_mut(self)
    }

    /// Puts it back unused, as its drop does.
    pub fn abandon(self) {}
}

impl Deref for Buffer<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: memory of the channel, which is mapped and owned as long as this is there.
        unsafe { slice::from_raw_parts(self.data, self.len) }
    }
}

impl DerefMut for Buffer<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; an owned buffer is written by its owner alone.
        unsafe { slice::from_raw_parts_mut(self.data, self.len) }
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        // SAFETY: a buffer of this endpoint. What it may say, that we do not own it, changes nothing.
        let _ = unsafe { krepis_abandon(self.attached.handle(), self.handle.as_ptr()) };
    }
}

/// Room in the ring for one message. Dropped, it is given back unused.
#[derive(Debug)]
pub struct Room<'p> {
    producer: &'p Producer,
    data: *mut u8,
    len: usize,
}

impl Room<'_> {
    /// The message is complete: its first `len` bytes. It goes out with the next [`Producer::flush`].
    #[inline]
    pub fn commit(self, kind: u16, len: usize) -> Result<()> {
        // SAFETY: our endpoint, in its thread.
        let result = check(unsafe { krepis_send_commit(self.producer.handle(), kind, len) });
        if result.is_ok() {
            forget(self);
        }
        result.map(drop)
    }

    /// The packet at the beginning. `None`: the room is too small.
    #[inline]
    pub fn as_packet_mut<T: Packet>(&mut self) -> Option<&mut T> {
        first_mut(self)
    }
}

impl Deref for Room<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: room of so many bytes, until commit or cancel.
        unsafe { slice::from_raw_parts(self.data, self.len) }
    }
}

impl DerefMut for Room<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody reads it before it is published.
        unsafe { slice::from_raw_parts_mut(self.data, self.len) }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        // SAFETY: our endpoint, in its thread.
        unsafe { krepis_send_cancel(self.producer.handle()) }
    }
}
