// SPDX-License-Identifier: MIT
use crate::error::check;
use crate::native::*;
use crate::{version, Error, Result, Status};
use std::ffi::{CString, OsString};
use std::mem::size_of;
use std::os::raw::c_char;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::io::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut, NonNull};

/// What a channel does with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every message, in order, to every consumer.
    Ring,
    /// The latest value only.
    Triple,
}

/// What happens when a ring is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backpressure {
    /// The producer waits for the slowest consumer.
    Block,
    /// The producer is told: [`Error::would_block`].
    Fail,
    /// The oldest message goes; a lapped consumer is told: [`Error::Lapped`].
    Overwrite,
}

/// Who keeps the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// Each side by its own will.
    Cooperative,
    /// The kernel.
    Enforced,
}

/// The shape of a new channel. What is not said is C's default.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Options(KrepisChannelOptions);

impl Options {
    /// A ring: 256 KiB, 16 buffers of 1 MiB, 8 consumers, and the producer waits.
    pub fn new() -> Options {
        let size = size_of::<KrepisChannelOptions>() as u32;
        Options(KrepisChannelOptions { size, ..KrepisChannelOptions::default() })
    }

    fn with(mut self, change: impl FnOnce(&mut KrepisChannelOptions)) -> Options {
        change(&mut self.0);
        self
    }

    /// The latest value only, for one consumer.
    pub fn triple(self) -> Options {
        self.with(|o| o.kind = KREPIS_TRIPLE)
    }

    /// What happens when the ring is full.
    pub fn backpressure(self, what: Backpressure) -> Options {
        self.with(|o| {
            o.backpressure = match what {
                Backpressure::Block => KREPIS_BLOCK,
                Backpressure::Fail => KREPIS_FAIL,
                Backpressure::Overwrite => KREPIS_OVERWRITE,
            }
        })
    }

    /// 1 to 32.
    pub fn max_consumers(self, count: u32) -> Options {
        self.with(|o| o.max_consumers = count)
    }

    /// The largest payload that is copied into the ring.
    pub fn inline_max(self, bytes: u32) -> Options {
        self.with(|o| o.inline_max = bytes)
    }

    /// A power of two, 4 KiB to 1 GiB.
    pub fn ring_size(self, bytes: u64) -> Options {
        self.with(|o| o.ring_size = bytes)
    }

    /// Usable bytes of each buffer.
    pub fn buffer_size(self, bytes: u64) -> Options {
        self.with(|o| o.buffer_size = bytes)
    }

    /// 1 to 65536. A triple has always 3.
    pub fn buffer_count(self, count: u32) -> Options {
        self.with(|o| o.buffer_count = count)
    }

    /// The number of the message layout: [`crate::Packet::LAYOUT`].
    pub fn layout(self, id: u32) -> Options {
        self.with(|o| o.layout_id = id)
    }

    /// Permission bits of the file, less the umask.
    pub fn mode(self, mode: u32) -> Options {
        self.with(|o| o.mode = mode)
    }

    /// Inline messages only.
    pub fn no_buffers(self) -> Options {
        self.with(|o| o.flags |= KREPIS_F_NO_BUFFERS)
    }

    /// The kernel keeps the owners. On a krepis mount only.
    pub fn enforced(self) -> Options {
        self.with(|o| o.flags |= KREPIS_F_ENFORCED)
    }

    /// Enforced, for one consumer, who may write: [`crate::Message::edit`].
    pub fn exclusive(self) -> Options {
        self.with(|o| o.flags |= KREPIS_F_EXCLUSIVE | KREPIS_F_ENFORCED)
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

/// A channel. Its endpoints live on without it.
#[derive(Debug)]
pub struct Channel(NonNull<KrepisChannel>);

// SAFETY: channels are thread-safe.
unsafe impl Send for Channel {}
// SAFETY: as above.
unsafe impl Sync for Channel {}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::Errno(EINVAL))
}

impl Channel {
    fn made(make: impl FnOnce(*mut *mut KrepisChannel) -> i32) -> Result<Channel> {
        let mut handle = null_mut();
        version::same()?;
        check(make(&mut handle))?;
        NonNull::new(handle).map(Channel).ok_or(Error::Errno(ENOMEM))
    }

    /// A new channel under a name: a path on tmpfs or on a krepis mount; what has no '/' stands in [`directory`].
    pub fn create(path: impl AsRef<Path>, options: &Options) -> Result<Channel> {
        let path = c_path(path.as_ref())?;
        // SAFETY: a text, options of their size, and where the result goes.
        Channel::made(|out| unsafe { krepis_channel_create(path.as_ptr(), &options.0, out) })
    }

    /// A new channel without a name: it travels by [`Channel::pass`], or by inheritance of its descriptor.
    pub fn anonymous(options: &Options) -> Result<Channel> {
        // SAFETY: as in create().
        Channel::made(|out| unsafe { krepis_channel_create(null(), &options.0, out) })
    }

    /// Opens a channel by its name. `layout`: the message layout, or 0: unchecked.
    ///
    /// Another layout is [`Error::LayoutMismatch`].
    pub fn open(path: impl AsRef<Path>, layout: u32) -> Result<Channel> {
        let path = c_path(path.as_ref())?;
        // SAFETY: a text, and where the result goes.
        Channel::made(|out| unsafe { krepis_channel_open(path.as_ptr(), 0, out) })?.of_layout(layout)
    }

    /// Opens a channel by a descriptor, which stays the caller's.
    pub fn open_fd(fd: &impl AsRawFd, layout: u32) -> Result<Channel> {
        let fd = fd.as_raw_fd();
        // SAFETY: where the result goes.
        Channel::made(|out| unsafe { krepis_channel_open_fd(fd, 0, out) })?.of_layout(layout)
    }

    /// Receives what [`Channel::pass`] sent.
    pub fn receive(socket: &impl AsRawFd, layout: u32) -> Result<Channel> {
        let socket = socket.as_raw_fd();
        // SAFETY: where the result goes.
        Channel::made(|out| unsafe { krepis_channel_receive(socket, 0, out) })?.of_layout(layout)
    }

    /// The library compares as well; but who it refuses has no channel to ask for its layout.
    fn of_layout(self, ours: u32) -> Result<Channel> {
        let theirs = if ours == 0 { 0 } else { self.query()?.geometry.layout_id };
        if theirs == 0 || theirs == ours {
            return Ok(self);
        }
        Err(Error::LayoutMismatch { theirs, ours })
    }

    /// Sends the channel over a connected UNIX socket.
    pub fn pass(&self, socket: &impl AsRawFd) -> Result<()> {
        // SAFETY: a channel that is open.
        check(unsafe { krepis_channel_pass(self.handle(), socket.as_raw_fd()) }).map(drop)
    }

    /// Looks at the channel without attaching.
    pub fn query(&self) -> Result<Status> {
        let mut status = Status { size: size_of::<Status>() as u32, ..Status::default() };
        // SAFETY: a channel that is open, and room of the size that it says.
        check(unsafe { krepis_query(self.handle(), &mut status) })?;
        Ok(status)
    }

    /// Ring or triple.
    pub fn kind(&self) -> Result<Kind> {
        let kind = self.query()?.geometry.kind;
        Ok(if kind == KREPIS_TRIPLE { Kind::Triple } else { Kind::Ring })
    }

    /// Who keeps the rules: see the top of this crate.
    pub fn guarantee(&self) -> Result<Guarantee> {
        let enforced = self.query()?.guarantee == KREPIS_ENFORCED;
        Ok(if enforced { Guarantee::Enforced } else { Guarantee::Cooperative })
    }

    pub(crate) fn handle(&self) -> *mut KrepisChannel {
        self.0.as_ptr()
    }
}

impl AsRawFd for Channel {
    /// For inheritance. It is close-on-exec: clear that in the child.
    fn as_raw_fd(&self) -> RawFd {
        // SAFETY: a channel that is open.
        unsafe { krepis_channel_fd(self.handle()) }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: nobody has it any more.
        unsafe { krepis_channel_close(self.handle()) }
    }
}

/// Removes a channel's name. Who uses the channel goes on.
pub fn unlink(path: impl AsRef<Path>) -> Result<()> {
    let path = c_path(path.as_ref())?;
    // SAFETY: a text.
    check(unsafe { krepis_unlink(path.as_ptr()) }).map(drop)
}

/// Where names without '/' stand.
pub fn directory() -> Result<PathBuf> {
    let mut text = vec![0u8; 4096];
    // SAFETY: room for so many bytes. What comes back ends with a 0.
    check(unsafe { krepis_directory(text.as_mut_ptr().cast::<c_char>().cast(), text.len()) })?;
    let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
    text.truncate(end);
    Ok(PathBuf::from(OsString::from_vec(text)))
}
