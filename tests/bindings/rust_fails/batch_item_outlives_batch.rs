// SPDX-License-Identifier: MIT
//! E0505: The messages of a batch end with it.

use krepis::*;

pub fn f(c: &mut Consumer) -> Result<u16> {
    let batch = c.recv_batch(Deadline::NOW)?;
    let first = batch.next();
    #[cfg(not(twin))]
    batch.done()?;
    Ok(first.map_or(0, |(kind, bytes)| kind + u16::from(bytes[0])))
}
