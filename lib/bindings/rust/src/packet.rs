// SPDX-License-Identifier: MIT
use std::mem::{align_of, size_of, MaybeUninit};

/// A message of one type: a struct of C, and its number. `krepis-codegen -l rust --crate` makes it.
///
/// # Safety
///
/// `Self` is `repr(C)`, any bits are a value of it, and it has no padding that nobody sees.
pub unsafe trait Packet: Copy + 'static {
    /// What [`crate::Message::kind`] is.
    const ID: u16;
    /// The number of the whole layout, for [`crate::Options::layout`] and [`crate::Channel::open`].
    const LAYOUT: u32;
}

/// The packet that `bytes` begin with, if they are enough and stand where it may.
#[inline]
pub(crate) fn first<T: Packet>(bytes: &[u8]) -> Option<&T> {
    let at = bytes.as_ptr();
    if bytes.len() < size_of::<T>() || at as usize % align_of::<T>() != 0 {
        return None;
    }
    // SAFETY: enough bytes, aligned, and any bits are a T.
    Some(unsafe { &*at.cast::<T>() })
}

#[inline]
pub(crate) fn first_mut<T: Packet>(bytes: &mut [u8]) -> Option<&mut T> {
    let at = bytes.as_mut_ptr();
    if bytes.len() < size_of::<T>() || at as usize % align_of::<T>() != 0 {
        return None;
    }
    // SAFETY: as in first(); what is borrowed is borrowed for writing.
    Some(unsafe { &mut *at.cast::<T>() })
}

/// The bytes of a packet.
#[inline]
pub(crate) fn bytes_of<T: Packet>(packet: &T) -> &[u8] {
    // SAFETY: no padding, so all of them have a value.
    unsafe { std::slice::from_raw_parts((packet as *const T).cast(), size_of::<T>()) }
}

/// Copies what somebody else may be changing. Each byte is read once.
///
/// # Safety
///
/// `len` bytes at `from` can be read, and at `to` written; they do not overlap.
pub(crate) unsafe fn copy(mut from: *const u8, mut to: *mut u8, len: usize) {
    const WORD: usize = size_of::<u64>();
    // SAFETY: all stays below `len`. Reads are aligned: where `from` is not, by bytes.
    unsafe {
        let end = from.add(len);
        if from as usize % WORD == 0 {
            for _ in 0..len / WORD {
                to.cast::<u64>().write_unaligned(from.cast::<u64>().read_volatile());
                from = from.add(WORD);
                to = to.add(WORD);
            }
        }
        while from != end {
            to.write(from.read_volatile());
            from = from.add(1);
            to = to.add(1);
        }
    }
}

/// A copy of the packet at `from`.
///
/// # Safety
///
/// So many bytes are there.
pub(crate) unsafe fn read<T: Packet>(from: *const u8) -> T {
    let mut packet = MaybeUninit::<T>::uninit();
    // SAFETY: as promised; then all bytes have a value, and any bits are a T.
    unsafe {
        copy(from, packet.as_mut_ptr().cast(), size_of::<T>());
        packet.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_begin_and_end_anywhere() {
        let from: Vec<u8> = (0..64).collect();
        for begin in 0..16 {
            for len in 0..40 {
                let mut to = vec![0xff; len + 1];
                // SAFETY: below 64.
                unsafe { copy(from.as_ptr().add(begin), to.as_mut_ptr(), len) };
                assert_eq!(to[..len], from[begin..begin + len]);
                assert_eq!(to[len], 0xff);
            }
        }
    }
}
