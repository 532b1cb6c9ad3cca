// SPDX-License-Identifier: MIT
//! E0277: An endpoint belongs to one thread at a time.

use krepis::*;

pub fn f(p: &Producer) {
    std::thread::scope(|scope| {
        #[cfg(not(twin))]
        scope.spawn(|| p.send(1, b"x", Deadline::NOW));
        #[cfg(twin)]
        {
            let acquirer = p.acquirer();
            scope.spawn(move || acquirer.try_acquire().map(drop));
        }
    });
}
