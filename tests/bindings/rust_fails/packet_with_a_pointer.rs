// SPDX-License-Identifier: MIT
//! E0277: What is no packet is not sent as one.

use krepis::*;

pub fn f(p: &Producer, text: &str) -> Result<()> {
    #[cfg(not(twin))]
    p.send_packet(&text, Deadline::NOW)?;
    #[cfg(twin)]
    p.send(1, text.as_bytes(), Deadline::NOW)?;
    Ok(())
}
