// SPDX-License-Identifier: MIT
//! What `krepis/batch.h` does in inline functions, which no library exports.
use crate::error::check;
use crate::native::*;
use crate::{Consumer, Deadline, Producer, Result};
use std::cell::Cell;
use std::mem::size_of;
use std::slice;

/// What stands before each message: its length, type and flags in one word, as `struct krepis_record`.
const HEADER: usize = size_of::<u64>();

const fn record_bytes(len: usize) -> usize {
    (len.saturating_add(7) & !7).saturating_add(HEADER)
}

/// What `count` messages of `len` bytes take in the ring: for [`Producer::batch`].
pub const fn batch_bytes(count: usize, len: usize) -> usize {
    count.saturating_mul(record_bytes(len))
}

/// Many small messages, published at once. Dropped, none of them is.
#[derive(Debug)]
pub struct Batch<'p> {
    producer: &'p Producer,
    batch: KrepisBatch,
    begin: *mut u8,
}

impl Producer {
    /// Room for several messages: at least `bytes`, of [`batch_bytes`]. There may be more.
    ///
    /// Until it is committed or dropped, nothing else is sent: `EBUSY`.
    #[inline]
    pub fn batch(&self, bytes: usize, deadline: impl Into<Deadline>) -> Result<Batch<'_>> {
        let mut batch = KrepisBatch::default();
        // SAFETY: our endpoint, in its thread, and where the result goes.
        check(unsafe { krepis_batch_begin(self.as_ptr(), &mut batch, bytes, deadline.into().0) })?;
        Ok(Batch { producer: self, batch, begin: batch.at })
    }
}

impl Batch<'_> {
    /// Room for one message. `None`: no more fits, or `len` is more than the channel's `inline_max`.
    #[inline]
    pub fn put(&mut self, kind: u16, len: usize) -> Option<&mut [u8]> {
        let record = self.batch.at;
        // Nothing overflows: what is more than inline_max ends here.
        if len > self.batch.inline_max as usize || record_bytes(len) > self.batch.end as usize - record as usize {
            return None;
        }
        // SAFETY: so many bytes are left. They are this producer's until commit.
        unsafe {
            record.cast::<u64>().write_volatile(u64::from(kind) << 32 | len as u64);
            self.batch.at = record.add(record_bytes(len));
            self.batch.count += 1;
            self.batch.bytes += len as u64;
            Some(slice::from_raw_parts_mut(record.add(HEADER), len))
        }
    }

    /// Publishes what was put in.
    #[inline]
    pub fn commit(mut self) -> Result<()> {
        self.end()
    }

    #[inline]
    fn end(&mut self) -> Result<()> {
        // SAFETY: what was begun, of our endpoint, in its thread. It is empty afterwards.
        let result = unsafe { krepis_batch_commit(self.producer.as_ptr(), &mut self.batch) };
        self.begin = std::ptr::null_mut();
        check(result).map(drop)
    }
}

impl Drop for Batch<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.begin.is_null() {
            return;
        }
        // Nothing in it: nothing is sent.
        self.batch.at = self.begin;
        self.batch.count = 0;
        self.batch.bytes = 0;
        let _ = self.end();
    }
}

/// All inline messages that were there. Dropped, those that were taken out are done with; the others come again.
#[derive(Debug)]
pub struct ReceivedBatch<'c> {
    consumer: &'c mut Consumer,
    batch: Cell<KrepisBatch>,
}

impl Consumer {
    /// All messages in the ring that are there. `ENOMSG`: the next one is in a buffer, for [`Consumer::recv`].
    #[inline]
    pub fn recv_batch(&mut self, deadline: impl Into<Deadline>) -> Result<ReceivedBatch<'_>> {
        let mut batch = KrepisBatch::default();
        // SAFETY: our endpoint, in its thread. The views that end now borrowed it, and are gone.
        check(unsafe { krepis_batch_recv(self.as_ptr(), &mut batch, deadline.into().0) })?;
        Ok(ReceivedBatch { consumer: self, batch: Cell::new(batch) })
    }
}

const FLAG_BUFFER: u64 = (KREPIS_MSG_BUFFER as u64) << 48;
const FLAGS_KNOWN: u64 = ((KREPIS_MSG_BUFFER | KREPIS_MSG_CRC32C | KREPIS_MSG_HERE) as u64) << 48;

impl ReceivedBatch<'_> {
    /// The next message: the sender's number, and its payload, a view until the batch ends.
    #[inline]
    #[allow(clippy::should_implement_trait)] // an Iterator's items would outlive the batch
    pub fn next(&self) -> Option<(u16, &[u8])> {
        let mut batch = self.batch.get();
        let at = batch.at;
        let left = batch.end as usize - at as usize;
        if left == 0 {
            return None;
        }
        // SAFETY: records stand at multiples of 8, and no less than one header is left. It is read once.
        let word = unsafe { at.cast::<u64>().read_volatile() };
        let len = word as u32;
        let fits = len <= batch.inline_max && record_bytes(len as usize) <= left;
        let flags = word & 0xffff << 48;
        let in_buffer = flags & FLAG_BUFFER != 0;
        let broken = !fits || flags & !FLAGS_KNOWN != 0 || (in_buffer && len as usize != size_of::<KrepisHandle>());
        if broken || in_buffer {
            batch.broken = u8::from(broken);
            batch.end = at;
            self.batch.set(batch);
            return None;
        }
        batch.count += 1;
        batch.bytes += u64::from(len);
        // SAFETY: it fits, and stays until krepis_batch_done(), which needs this object.
        let payload = unsafe {
            batch.at = at.add(record_bytes(len as usize));
            slice::from_raw_parts(at.add(HEADER), len as usize)
        };
        self.batch.set(batch);
        Some(((word >> 32) as u16, payload))
    }

    /// Ends it. [`crate::Error::is_broken`]: what is behind the last message cannot be one.
    #[inline]
    pub fn done(mut self) -> Result<()> {
        self.end()
    }

    #[inline]
    fn end(&mut self) -> Result<()> {
        let batch = self.batch.get_mut();
        if batch.at.is_null() {
            return Ok(());
        }
        // SAFETY: what was received, of our endpoint, in its thread.
        let result = check(unsafe { krepis_batch_done(self.consumer.as_ptr(), batch) });
        batch.at = std::ptr::null_mut();
        result.map(drop)
    }
}

impl Drop for ReceivedBatch<'_> {
    #[inline]
    fn drop(&mut self) {
        // What it would say, the next call says, too.
        let _ = self.end();
    }
}
