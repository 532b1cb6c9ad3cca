// SPDX-License-Identifier: MIT
//! E0277: Room in the ring is the endpoint's thread's; a buffer is any thread's.

use krepis::*;

pub fn f(p: &Producer) -> Result<()> {
    #[cfg(not(twin))]
    let mut room = p.begin(8, Deadline::NOW)?;
    #[cfg(twin)]
    let mut room = p.acquire(Deadline::NOW)?;
    std::thread::scope(|scope| {
        scope.spawn(move || room[0] = 1);
    });
    Ok(())
}
