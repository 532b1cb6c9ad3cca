// SPDX-License-Identifier: MIT
//! E0499: An inline message ends with the next receive.

use krepis::*;

pub fn f(c: &mut Consumer) -> Result<u8> {
    #[cfg(not(twin))]
    let first = c.recv(Deadline::NOW)?;
    #[cfg(twin)]
    let first = c.recv(Deadline::NOW)?.to_vec();
    let second = c.recv(Deadline::NOW)?;
    Ok(first[0] + second[0])
}
