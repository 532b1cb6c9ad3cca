// SPDX-License-Identifier: MIT
//! E0594: Who receives does not write.

use krepis::*;

pub fn f(c: &mut Consumer) -> Result<()> {
    let mut message = c.recv(Deadline::NOW)?;
    #[cfg(not(twin))]
    {
        message[0] = 1;
    }
    #[cfg(twin)]
    {
        message.edit()?[0] = 1;
    }
    Ok(())
}
