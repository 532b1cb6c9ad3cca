// SPDX-License-Identifier: MIT
//! E0277: A consumer, too.

use krepis::*;

pub fn f(c: &Consumer) {
    std::thread::scope(|scope| {
        #[cfg(not(twin))]
        scope.spawn(|| c.query().map(drop));
        #[cfg(twin)]
        {
            let stopper = c.stopper();
            scope.spawn(move || stopper.shutdown());
        }
    });
}
