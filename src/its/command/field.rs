//! A field of a command: a range of bits of one of its four words.
//!
//! Rule: a value that is wider than its field loses the bits that do not fit; its neighbours keep theirs.

use super::RdBase;
use core::fmt;

/// A mask of bits `[high:low]`.
pub(super) const fn bits(high: u32, low: u32) -> u64 {
    (u64::MAX >> (63 - high)) & (u64::MAX << low)
}

/// The four doublewords, by their names in the specification.
#[derive(Clone, Copy, Default)]
pub(super) struct Words {
    pub(super) dw0: u64,
    pub(super) dw1: u64,
    pub(super) dw2: u64,
    pub(super) dw3: u64,
}

impl From<[u64; 4]> for Words {
    fn from([dw0, dw1, dw2, dw3]: [u64; 4]) -> Self {
        Words { dw0, dw1, dw2, dw3 }
    }
}

impl From<Words> for [u64; 4] {
    fn from(words: Words) -> Self {
        [words.dw0, words.dw1, words.dw2, words.dw3]
    }
}

/// A type that a field has.
pub(super) trait Field: Copy {
    fn get(word: u64, high: u32, low: u32) -> Self;
    fn put(self, high: u32, low: u32) -> u64;
    fn show(self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// An address: its bits are at their own places in the word.
impl Field for u64 {
    fn get(word: u64, high: u32, low: u32) -> Self {
        word & bits(high, low)
    }

    fn put(self, high: u32, low: u32) -> u64 {
        self & bits(high, low)
    }

    fn show(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#x}")
    }
}

macro_rules! numbers {
    ($($type:ident $format:literal)*) => {$(
        impl Field for $type {
            fn get(word: u64, high: u32, low: u32) -> Self {
                ((word & bits(high, low)) >> low) as $type
            }

            fn put(self, high: u32, low: u32) -> u64 {
                (u64::from(self) << low) & bits(high, low)
            }

            fn show(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self)
            }
        }
    )*};
}

// IDs are shown as in a device tree, sizes and priorities as numbers.
numbers! { u8 "{}" u16 "{:#x}" u32 "{:#x}" }

impl Field for bool {
    fn get(word: u64, _: u32, low: u32) -> Self {
        word >> low & 1 != 0
    }

    fn put(self, _: u32, low: u32) -> u64 {
        u64::from(self) << low
    }

    fn show(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", u8::from(self))
    }
}

impl Field for RdBase {
    fn get(word: u64, high: u32, low: u32) -> Self {
        RdBase((word & bits(high, low)) >> low)
    }

    fn put(self, high: u32, low: u32) -> u64 {
        (self.0 << low) & bits(high, low)
    }

    fn show(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_takes_its_bits_and_no_others() {
        assert_eq!((bits(63, 0), bits(63, 63), bits(0, 0), bits(51, 16)), (u64::MAX, 1 << 63, 1, 0x000f_ffff_ffff_0000));
        assert_eq!((u8::get(u64::MAX, 23, 20), 0xff_u8.put(23, 20)), (0xf, 0xf0_0000));
        assert_eq!((u64::get(u64::MAX, 51, 8), u64::MAX.put(51, 8)), (0x000f_ffff_ffff_ff00, 0x000f_ffff_ffff_ff00));
        assert_eq!((bool::get(1 << 9, 9, 9), bool::get(!(1 << 9), 9, 9), true.put(9, 9)), (true, false, 1 << 9));
        assert_eq!(RdBase(u64::MAX).put(51, 16), 0x000f_ffff_ffff_0000);
    }
}
