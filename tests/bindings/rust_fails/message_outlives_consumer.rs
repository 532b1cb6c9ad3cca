// SPDX-License-Identifier: MIT
//! E0597: A message does not outlive its consumer.

use krepis::*;

pub fn f(channel: &Channel) -> Result<()> {
    let mut _kept = Vec::new();
    let mut c = Consumer::new(channel)?;
    let message = c.recv(Deadline::NOW)?;
    #[cfg(twin)]
    let message = message.into_shared()?;
    _kept.push(message);
    Ok(())
}
