// SPDX-License-Identifier: MIT
//! E0382: A buffer is given away once.

use krepis::*;

pub fn f(p: &Producer) -> Result<()> {
    let mut buffer = p.acquire(Deadline::NOW)?;
    buffer[0] = 1;
    p.publish(buffer, 1, 1, 0, Deadline::NOW)?;
    #[cfg(not(twin))]
    println!("{}", buffer[0]);
    Ok(())
}
