// SPDX-License-Identifier: MIT
//! E0499: A triple's value ends with the next read.

use krepis::*;

pub fn f(c: &mut TripleConsumer) -> Result<bool> {
    let value = c.read()?;
    #[cfg(twin)]
    let value = value.map(|v| v.to_vec());
    c.read()?;
    Ok(value.is_some())
}
