// SPDX-License-Identifier: MIT
//! E0505: A buffer does not outlive its producer.

use krepis::*;

pub fn f(p: Producer) -> Result<()> {
    let buffer = p.acquire(Deadline::NOW)?;
    #[cfg(not(twin))]
    drop(p);
    drop(buffer);
    Ok(())
}
