// SPDX-License-Identifier: MIT
use crate::native::{KREPIS_FOREVER, KREPIS_NOWAIT};
use std::time::Duration;

/// Until when a call may wait. A `Duration` becomes one, from now on, where one is wanted.
///
/// It is a point of time: the same one given to several calls is for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub(crate) i64);

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

extern "C" {
    fn clock_gettime(clock: i32, now: *mut Timespec) -> i32;
}

const CLOCK_MONOTONIC: i32 = 1;

fn now_ns() -> i64 {
    let mut now = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: room for one; struct timespec of 64-bit machines. This clock is always there.
    unsafe { clock_gettime(CLOCK_MONOTONIC, &mut now) };
    now.seconds * 1_000_000_000 + now.nanoseconds
}

impl Deadline {
    /// As long as it takes.
    pub const FOREVER: Deadline = Deadline(KREPIS_FOREVER);
    /// Not at all: what would have to wait fails, and [`crate::Error::would_block`] tells.
    pub const NOW: Deadline = Deadline(KREPIS_NOWAIT);

    /// `timeout` from now.
    pub fn after(timeout: Duration) -> Deadline {
        let timeout = i64::try_from(timeout.as_nanos()).unwrap_or(KREPIS_FOREVER);
        Deadline(now_ns().saturating_add(timeout))
    }

    /// At `ns` of CLOCK_MONOTONIC, as C has it.
    pub const fn at(ns: i64) -> Deadline {
        Deadline(ns)
    }

    /// As C has it.
    pub const fn ns(self) -> i64 {
        self.0
    }

    /// Whether it is over.
    pub fn passed(self) -> bool {
        self != Deadline::FOREVER && now_ns() >= self.0
    }
}

impl From<Duration> for Deadline {
    fn from(timeout: Duration) -> Deadline {
        Deadline::after(timeout)
    }
}
