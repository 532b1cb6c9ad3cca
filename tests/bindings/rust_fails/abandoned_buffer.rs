// SPDX-License-Identifier: MIT
//! E0382: Nor published after it was abandoned.

use krepis::*;

pub fn f(p: &Producer) -> Result<()> {
    let buffer = p.acquire(Deadline::NOW)?;
    #[cfg(not(twin))]
    buffer.abandon();
    p.publish(buffer, 1, 1, 0, Deadline::NOW)?;
    Ok(())
}
