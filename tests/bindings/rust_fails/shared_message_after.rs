// SPDX-License-Identifier: MIT
//! E0382: A message that is shared is no longer the consumer's.

use krepis::*;

pub fn f(c: &mut Consumer) -> Result<u8> {
    let message = c.recv(Deadline::NOW)?;
    let shared = message.into_shared()?;
    #[cfg(not(twin))]
    drop(message);
    Ok(shared[0])
}
