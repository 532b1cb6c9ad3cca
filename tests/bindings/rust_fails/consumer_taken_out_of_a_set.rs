// SPDX-License-Identifier: MIT
//! E0596: Nobody takes an endpoint out of a set but by remove().

use krepis::*;

pub fn f(set: &mut WaitSet<Consumer>, key: Key, other: Consumer) -> Option<Consumer> {
    #[cfg(not(twin))]
    {
        let mut member = set.get_mut(key)?;
        Some(std::mem::replace(&mut *member, other))
    }
    #[cfg(twin)]
    {
        let _ = set.add(other);
        set.remove(key)
    }
}
