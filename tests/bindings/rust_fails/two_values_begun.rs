// SPDX-License-Identifier: MIT
//! E0499: A triple has one value in the making.

use krepis::*;

pub fn f(p: &mut TripleProducer) -> Result<()> {
    let first = p.begin()?;
    #[cfg(not(twin))]
    let _second = p.begin()?;
    first.commit(1, 8)
}
