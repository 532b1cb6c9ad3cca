// SPDX-License-Identifier: MIT
use crate::native::*;
use std::cmp::Ordering;
use std::ffi::CStr;
use std::fmt;
use std::io;

/// What all functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed. It changed nothing.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// What the library said: a positive errno.
    Errno(i32),
    /// The consumer of an overwrite channel was lapped. The next call goes on with the
    /// oldest message left.
    Lapped {
        /// How many messages were lost.
        lost: u64,
    },
    /// The channel was made with another message layout (`EPROTO`).
    LayoutMismatch {
        /// The channel's.
        theirs: u32,
        /// What was asked for.
        ours: u32,
    },
    /// libkrepis is of another version than this crate: older, or newer.
    VersionMismatch {
        /// The library's, beside the crate's.
        library: Ordering,
    },
}

impl Error {
    /// The errno that C has for it.
    pub fn errno(&self) -> i32 {
        match *self {
            Error::Errno(errno) => errno,
            Error::Lapped { .. } => KREPIS_ELAPPED,
            Error::LayoutMismatch { .. } => EPROTO,
            Error::VersionMismatch { .. } => EPROTONOSUPPORT,
        }
    }

    /// The other side has left or died, and nothing that it sent is left to read.
    pub fn is_peer_gone(&self) -> bool {
        *self == Error::Errno(KREPIS_PEER_GONE)
    }

    /// Not now: under [`crate::Deadline::NOW`], or on a channel that does not wait.
    pub fn would_block(&self) -> bool {
        *self == Error::Errno(EAGAIN)
    }

    /// The deadline has passed.
    pub fn is_timed_out(&self) -> bool {
        *self == Error::Errno(ETIMEDOUT)
    }

    /// Somebody called [`crate::Stopper::shutdown`].
    pub fn is_shutdown(&self) -> bool {
        *self == Error::Errno(ESHUTDOWN)
    }

    /// A producer, and no consumer ever attached.
    pub fn is_not_connected(&self) -> bool {
        *self == Error::Errno(ENOTCONN)
    }

    /// The other side wrote into the channel what cannot be.
    pub fn is_broken(&self) -> bool {
        *self == Error::Errno(EPROTO)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Lapped { lost } => write!(f, "{} messages were overwritten before they were read", lost),
            Error::LayoutMismatch { theirs, ours } => {
                write!(f, "the channel has layout 0x{:08x}, and we have 0x{:08x}", theirs, ours)
            }
            Error::VersionMismatch { library } => {
                let older = if library == Ordering::Less { "the library" } else { "the crate" };
                write!(
                    f,
                    "libkrepis is {}, and the crate krepis is {}: {} is older",
                    crate::version(),
                    crate::version::CRATE,
                    older
                )
            }
            Error::Errno(errno) => {
                // SAFETY: a static string, never NULL.
                let text = unsafe { CStr::from_ptr(krepis_strerror(errno)) };
                f.write_str(&text.to_string_lossy())
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    /// Of the kind that the errno has. The `Error` is in it.
    fn from(error: Error) -> io::Error {
        io::Error::new(io::Error::from_raw_os_error(error.errno()).kind(), error)
    }
}

/// What was to be given away, and is still yours. `?` makes an [`Error`] of it, and drops that.
#[derive(Debug)]
pub struct Refused<T> {
    /// Why.
    pub error: Error,
    /// It.
    pub value: T,
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T: fmt::Debug> std::error::Error for Refused<T> {}

impl<T> From<Refused<T>> for Error {
    fn from(refused: Refused<T>) -> Error {
        refused.error
    }
}

/// A result of C: what is not negative, or the error.
#[inline]
pub(crate) fn check(result: i32) -> Result<i32> {
    if result < 0 {
        return Err(Error::Errno(result.wrapping_neg()));
    }
    Ok(result)
}
