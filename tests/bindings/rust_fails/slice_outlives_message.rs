// SPDX-License-Identifier: MIT
//! E0505: Nor do its bytes.

use krepis::*;

pub fn f(c: &mut Consumer) -> Result<u8> {
    let message = c.recv(Deadline::NOW)?;
    let bytes = &message[..];
    #[cfg(not(twin))]
    drop(message);
    Ok(bytes[0])
}
