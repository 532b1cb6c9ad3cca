// SPDX-License-Identifier: MIT
use crate::error::check;
use crate::native::*;
use crate::{Consumer, Deadline, Endpoint, Error, Message, Producer, ReceivedBatch, Refused, Result};
use crate::{TripleConsumer, TripleProducer, Value};
use std::collections::HashMap;
use std::ops::Deref;
use std::os::unix::io::{AsRawFd, RawFd};
use std::ptr::{null_mut, NonNull};
use std::sync::Arc;

mod sealed {
    pub trait Sealed {}
}

/// What a wait set can hold: the endpoints of this crate, and [`AnyEndpoint`].
pub trait Waitable: sealed::Sealed {
    /// What it is made of.
    fn endpoint(&self) -> &Endpoint;
}

/// An endpoint of any kind, for a set of several kinds.
#[derive(Debug)]
pub enum AnyEndpoint {
    /// See [`Producer`].
    Producer(Producer),
    /// See [`Consumer`].
    Consumer(Consumer),
    /// See [`TripleProducer`].
    TripleProducer(TripleProducer),
    /// See [`TripleConsumer`].
    TripleConsumer(TripleConsumer),
}

macro_rules! waitable {
    ($($name:ident)*) => { $(
        impl sealed::Sealed for $name {}
        impl Waitable for $name {
            fn endpoint(&self) -> &Endpoint {
                self
            }
        }
        impl From<$name> for AnyEndpoint {
            fn from(endpoint: $name) -> AnyEndpoint {
                AnyEndpoint::$name(endpoint)
            }
        }
    )* };
}

waitable!(Producer Consumer TripleProducer TripleConsumer);

impl sealed::Sealed for AnyEndpoint {}
impl Waitable for AnyEndpoint {
    fn endpoint(&self) -> &Endpoint {
        match self {
            AnyEndpoint::Producer(e) => e,
            AnyEndpoint::Consumer(e) => e,
            AnyEndpoint::TripleProducer(e) => e,
            AnyEndpoint::TripleConsumer(e) => e,
        }
    }
}

/// Names an endpoint in its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(usize);

/// An endpoint that has something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Which.
    pub key: Key,
    /// What its next call would say: nothing, or that the peer has gone, or broke the channel.
    pub error: Option<Error>,
}

#[derive(Debug)]
struct Set(NonNull<KrepisWaitset>);

// SAFETY: by itself it gives only krepis_waitset_interrupt(), which is for any thread; the rest is WaitSet's.
unsafe impl Send for Set {}
// SAFETY: as above.
unsafe impl Sync for Set {}

impl Drop for Set {
    fn drop(&mut self) {
        // SAFETY: the last who had it. Its endpoints went with the WaitSet.
        unsafe { krepis_waitset_destroy(self.0.as_ptr()) }
    }
}

/// Ends a wait of a [`WaitSet`], from any thread.
#[derive(Clone, Debug)]
pub struct Interrupter(Arc<Set>);

impl Interrupter {
    /// The wait, or else the next one, fails with `ECANCELED`.
    pub fn interrupt(&self) {
        // SAFETY: not yet destroyed.
        unsafe { krepis_waitset_interrupt(self.0 .0.as_ptr()) }
    }
}

/// Many endpoints, one wait. It owns them: so their views end before it waits, and all are one thread's.
#[derive(Debug)]
pub struct WaitSet<T: Waitable = AnyEndpoint> {
    set: Arc<Set>,
    members: HashMap<usize, T>,
    next: usize,
}

impl<T: Waitable> WaitSet<T> {
    /// An empty set.
    pub fn new() -> Result<WaitSet<T>> {
        let mut set = null_mut();
        crate::version::same()?;
        // SAFETY: where the result goes.
        check(unsafe { krepis_waitset_create(&mut set) })?;
        let set = NonNull::new(set).map(Set).ok_or(Error::Errno(ENOMEM))?;
        Ok(WaitSet { set: Arc::new(set), members: HashMap::new(), next: 0 })
    }

    fn handle(&self) -> *mut KrepisWaitset {
        self.set.0.as_ptr()
    }

    /// Waits for one more. If that fails, the endpoint comes back.
    pub fn add(&mut self, endpoint: impl Into<T>) -> std::result::Result<Key, Refused<T>> {
        let value: T = endpoint.into();
        let key = self.next;
        // SAFETY: both are ours, in one thread. The key is no address, and nobody looks there.
        let result = unsafe { krepis_waitset_add(self.handle(), value.endpoint().as_ptr(), key as *mut _) };
        if let Err(error) = check(result) {
            return Err(Refused { error, value });
        }
        self.next += 1;
        self.members.insert(key, value);
        Ok(Key(key))
    }

    /// Waits for one less, and gives it back.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let value = self.members.remove(&key.0)?;
        self.forget(&value);
        Some(value)
    }

    fn forget(&self, value: &T) {
        // SAFETY: both are ours, in one thread. It is in the set; in a forked child nothing is.
        let _ = unsafe { krepis_waitset_remove(self.handle(), value.endpoint().as_ptr()) };
    }

    /// An endpoint, for what can be done with it by many.
    pub fn get(&self, key: Key) -> Option<&T> {
        self.members.get(&key.0)
    }

    /// An endpoint, to receive with.
    pub fn get_mut(&mut self, key: Key) -> Option<Member<'_, T>> {
        self.members.get_mut(&key.0).map(Member)
    }

    /// How many endpoints are in it.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Waits until one endpoint or more are ready, and tells 64 of them at most. Who is ready and left alone
    /// is told again.
    pub fn wait(&mut self, deadline: impl Into<Deadline>) -> Result<Vec<Ready>> {
        let mut ready = [KrepisReady::default(); 64];
        // SAFETY: our set, in its thread, and room for so many. The views that end now borrowed it.
        let count = check(unsafe {
            krepis_waitset_wait(self.handle(), ready.as_mut_ptr(), ready.len() as u32, deadline.into().0)
        })?;
        Ok(ready
            .iter()
            .take(count as usize)
            .map(|r| Ready { key: Key(r.data as usize), error: check(r.err).err() })
            .collect())
    }

    /// What ends a wait from another thread.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(Arc::clone(&self.set))
    }
}

impl<T: Waitable> AsRawFd for WaitSet<T> {
    /// Readable while a wait might find somebody ready.
    fn as_raw_fd(&self) -> RawFd {
        // SAFETY: our set.
        unsafe { krepis_waitset_fd(self.handle()) }
    }
}

impl<T: Waitable> Drop for WaitSet<T> {
    fn drop(&mut self) {
        // Before they are detached, which may be later and in another thread: a SharedMessage.
        for value in self.members.values() {
            self.forget(value);
        }
    }
}

/// An endpoint in a set. It cannot be taken out by `mem::replace()`: its views would outlive a wait.
#[derive(Debug)]
pub struct Member<'s, T>(&'s mut T);

impl<T> Deref for Member<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0
    }
}

impl Member<'_, Consumer> {
    /// See [`Consumer::recv`].
    pub fn recv(&mut self, deadline: impl Into<Deadline>) -> Result<Message<'_>> {
        self.0.recv(deadline)
    }

    /// See [`Consumer::try_recv`].
    pub fn try_recv(&mut self) -> Result<Option<Message<'_>>> {
        self.0.try_recv()
    }

    /// See [`Consumer::next`].
    pub fn next(&mut self, deadline: impl Into<Deadline>) -> Result<Option<Message<'_>>> {
        self.0.next(deadline)
    }

    /// See [`Consumer::recv_batch`].
    pub fn recv_batch(&mut self, deadline: impl Into<Deadline>) -> Result<ReceivedBatch<'_>> {
        self.0.recv_batch(deadline)
    }
}

impl Member<'_, TripleConsumer> {
    /// See [`TripleConsumer::read`].
    pub fn read(&mut self) -> Result<Option<Value<'_>>> {
        self.0.read()
    }
}

impl<'s> Member<'s, AnyEndpoint> {
    /// If it is one.
    pub fn consumer(self) -> Option<Member<'s, Consumer>> {
        match self.0 {
            AnyEndpoint::Consumer(e) => Some(Member(e)),
            _ => None,
        }
    }

    /// If it is one.
    pub fn triple_consumer(self) -> Option<Member<'s, TripleConsumer>> {
        match self.0 {
            AnyEndpoint::TripleConsumer(e) => Some(Member(e)),
            _ => None,
        }
    }
}
