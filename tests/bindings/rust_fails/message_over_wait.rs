// SPDX-License-Identifier: MIT
//! E0499: And with a wait.

use krepis::*;

pub fn f(c: &mut Consumer) -> Result<u8> {
    let message = c.recv(Deadline::NOW)?;
    #[cfg(not(twin))]
    c.wait(Deadline::NOW)?;
    Ok(message[0])
}
