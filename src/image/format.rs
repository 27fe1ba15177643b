//! The numbers of the format: header, section table, kinds, codings.
//!
//! Specification: `docs/image-format.md`, "Header", "Section table".
//!
//! Rule: what writes and what reads have each number from here.

use core::fmt;

/// First bytes of every image.
pub const MAGIC: [u8; 8] = *b"VGICSTAT";
/// The version this crate writes, and reads.
pub const VERSION: u32 = 1;
/// Bytes of the header: magic, version, kind, length, number of sections, checksum.
#[doc(hidden)]
pub const HEADER_BYTES: usize = 32;
/// Offset of the checksum in the header.
pub(super) const CHECKSUM_OFFSET: usize = 28;
/// Bytes of one entry of the section table: id, flags, offset, length.
#[doc(hidden)]
pub const SECTION_ENTRY_BYTES: usize = 24;
/// A reader that does not know this section must refuse the image.
#[doc(hidden)]
pub const SECTION_CRITICAL: u32 = 1;
/// Sections begin at multiples of this many bytes.
#[doc(hidden)]
pub const SECTION_ALIGN: usize = 8;
/// More sections than any version has; a bound for a reader, not for a format.
#[doc(hidden)]
pub const MAX_SECTIONS: u32 = 64;

/// Which interrupt controller an image is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A virtual GICv2.
    Gicv2,
    /// A virtual GICv3, with or without ITSes.
    Gicv3,
    /// A virtual GICv5.
    Gicv5,
}

impl Kind {
    /// The number in the header.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Kind::Gicv2 => 2,
            Kind::Gicv3 => 3,
            Kind::Gicv5 => 5,
        }
    }

    pub(super) const fn from_number(number: u32) -> Option<Self> {
        match number {
            2 => Some(Kind::Gicv2),
            3 => Some(Kind::Gicv3),
            5 => Some(Kind::Gicv5),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Gicv2 => "GICv2",
            Kind::Gicv3 => "GICv3",
            Kind::Gicv5 => "GICv5",
        })
    }
}

/// How interrupt state tables are written into an image. A reader takes either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IstCoding {
    /// The kernel's bytes: the kernel writes them in place and reads them in place. 4 bytes per interrupt.
    #[default]
    Raw,
    /// The entries that are not zero: 65,536 LPIs of which 64 are in use take less than 2 KiB. At most 4 % and
    /// 16 bytes longer than raw.
    Sparse,
}

impl IstCoding {
    pub(crate) const fn number(self) -> u32 {
        match self {
            IstCoding::Raw => 0,
            IstCoding::Sparse => 1,
        }
    }
}
