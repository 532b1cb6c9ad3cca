// SPDX-License-Identifier: MIT
//! E0200: That a struct is a packet is a promise.

use krepis::*;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Number(u64);

#[cfg(not(twin))]
impl Packet for Number {
    const ID: u16 = 1;
    const LAYOUT: u32 = 1;
}

#[cfg(twin)]
// SAFETY: a number.
unsafe impl Packet for Number {
    const ID: u16 = 1;
    const LAYOUT: u32 = 1;
}
