// SPDX-License-Identifier: MIT
use crate::error::check;
use crate::native::*;
use crate::{Channel, Deadline, Error, Kind, Result, Status};
use std::mem::size_of;
use std::os::unix::io::RawFd;
use std::ptr::{null_mut, NonNull};
use std::sync::{Arc, Weak};

/// How to attach: flags of `with_flags()` of the endpoints.
pub mod attach {
    use crate::native::*;
    /// A signal ends a wait, with `EINTR`.
    pub const EINTR: u32 = KREPIS_ATTACH_EINTR;
    /// Sleep at once instead of spinning first.
    pub const NO_SPIN: u32 = KREPIS_ATTACH_NO_SPIN;
    /// No caches of threads before the buffer pool.
    pub const NO_CACHE: u32 = KREPIS_ATTACH_NO_CACHE;
}

/// The endpoint of C. Messages that several threads have keep it.
#[derive(Debug)]
pub(crate) struct Attached(NonNull<KrepisEndpoint>);

// SAFETY: by itself it gives only what C allows from any thread: shutdown, acquire without
// waiting, abandon, get and put. The rest goes through Endpoint, which is one thread's.
unsafe impl Send for Attached {}
// SAFETY: as above.
unsafe impl Sync for Attached {}

impl Attached {
    #[inline]
    pub(crate) fn handle(&self) -> *mut KrepisEndpoint {
        self.0.as_ptr()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: the last who had it; a wait set that had it has let it go.
        unsafe { krepis_detach(self.handle()) }
    }
}

/// What all sides of a channel can do.
#[derive(Debug)]
pub struct Endpoint {
    /// What is in there, one step nearer.
    handle: NonNull<KrepisEndpoint>,
    pub(crate) attached: Arc<Attached>,
}

// SAFETY: one thread at a time; the pointer makes it !Sync.
unsafe impl Send for Endpoint {}

impl Endpoint {
    pub(crate) fn new(channel: &Channel, kind: Kind, role: u32, flags: u32) -> Result<Endpoint> {
        let mut handle = null_mut();
        if channel.kind()? != kind {
            return Err(Error::Errno(EINVAL));
        }
        // SAFETY: a channel that is open, and where the result goes.
        check(unsafe { krepis_attach(channel.handle(), role, flags, &mut handle) })?;
        let handle = NonNull::new(handle).ok_or(Error::Errno(ENOMEM))?;
        Ok(Endpoint { handle, attached: Arc::new(Attached(handle)) })
    }

    #[inline]
    pub(crate) fn handle(&self) -> *mut KrepisEndpoint {
        self.handle.as_ptr()
    }

    /// Waits until somebody is at the other side: so many consumers, or the producer, which is 1.
    pub fn wait_peer(&self, count: u32, deadline: impl Into<Deadline>) -> Result<()> {
        // SAFETY: our endpoint, in its thread. No view ends by this.
        check(unsafe { krepis_wait_peer(self.handle(), count, deadline.into().0) }).map(drop)
    }

    /// Looks at the channel, and at this endpoint's counters.
    pub fn query(&self) -> Result<Status> {
        let mut status = Status { size: size_of::<Status>() as u32, ..Status::default() };
        // SAFETY: our endpoint, and room of the size that it says.
        check(unsafe { krepis_endpoint_query(self.handle(), &mut status) })?;
        Ok(status)
    }

    /// What ends this endpoint's work from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::downgrade(&self.attached))
    }

    /// A descriptor for poll(2) and epoll(7). What was seen stays seen until a call finds nothing:
    /// so call with [`Deadline::NOW`] until [`Error::would_block`].
    ///
    /// It is the endpoint's, and always the same: only wait for it.
    pub fn fd(&self) -> Result<RawFd> {
        // SAFETY: our endpoint, in its thread.
        check(unsafe { krepis_fd(self.handle()) })
    }

    /// For who calls C himself.
    pub fn as_ptr(&self) -> *mut KrepisEndpoint {
        self.handle()
    }

    /// What ends views of inline messages: so it is for who has the endpoint alone.
    pub(crate) fn wait(&self, deadline: Deadline) -> Result<()> {
        // SAFETY: our endpoint, in its thread.
        check(unsafe { krepis_wait(self.handle(), deadline.0) }).map(drop)
    }
}

/// Ends the work of an endpoint, from any thread. It does not keep the endpoint.
#[derive(Clone, Debug)]
pub struct Stopper(Weak<Attached>);

impl Stopper {
    /// A wait of the endpoint's thread ends. Sends fail at once, receives after the messages
    /// that are there: [`Error::is_shutdown`].
    pub fn shutdown(&self) {
        if let Some(attached) = self.0.upgrade() {
            // SAFETY: not yet detached.
            unsafe { krepis_shutdown(attached.handle()) }
        }
    }
}
