// SPDX-License-Identifier: MIT
//! E0502: A set waits when nobody looks at a message.

use krepis::*;

pub fn f(set: &mut WaitSet<Consumer>, key: Key) -> Result<usize> {
    let ready = set.wait(Deadline::NOW)?;
    let c = set.get(key);
    #[cfg(not(twin))]
    set.wait(Deadline::NOW)?;
    Ok(ready.len() + usize::from(c.is_some()))
}
