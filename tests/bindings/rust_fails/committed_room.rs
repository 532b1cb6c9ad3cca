// SPDX-License-Identifier: MIT
//! E0382: Room is committed once.

use krepis::*;

pub fn f(p: &Producer) -> Result<()> {
    let mut room = p.begin(8, Deadline::NOW)?;
    room[0] = 1;
    room.commit(1, 8)?;
    #[cfg(not(twin))]
    room.fill(0);
    p.flush()
}
