//! The values that attributes have.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst, arm-vgic-its.rst and arm-vgic-v5.rst: widths by group.
//!
//! Rule: sealed, so that no width but the kernel's can be made.

use core::fmt;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
    impl Sealed for [u64; 2] {}
}

/// What a device attribute can point to. Sealed: the widths of the kernel and no others.
pub trait Word: sealed::Sealed + Copy + fmt::Debug + Eq {
    /// Bytes that the kernel copies.
    const BYTES: usize;

    /// The value in native byte order, at the start of a buffer that any attribute fits in.
    fn to_ne_bytes(self) -> [u8; 16];

    /// The value at the start of such a buffer.
    fn from_ne_bytes(bytes: [u8; 16]) -> Self;
}

impl Word for u32 {
    const BYTES: usize = 4;

    fn to_ne_bytes(self) -> [u8; 16] {
        let [a, b, c, d] = u32::to_ne_bytes(self);
        [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    fn from_ne_bytes([a, b, c, d, ..]: [u8; 16]) -> Self {
        u32::from_ne_bytes([a, b, c, d])
    }
}

impl Word for u64 {
    const BYTES: usize = 8;

    fn to_ne_bytes(self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h] = u64::to_ne_bytes(self);
        [a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    fn from_ne_bytes([a, b, c, d, e, f, g, h, ..]: [u8; 16]) -> Self {
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Word for [u64; 2] {
    const BYTES: usize = 16;

    fn to_ne_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self) {
            *to = word.to_ne_bytes();
        }
        bytes
    }

    fn from_ne_bytes(bytes: [u8; 16]) -> Self {
        let mut words = [0; 2];
        for (word, from) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*from);
        }
        words
    }
}
