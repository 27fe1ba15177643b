//! The image: a state as bytes, for a snapshot file, a migration stream or a live-update area.
//!
//! Specification: `docs/image-format.md`, version 1. Everything is little-endian.
//!
//! Rule: the only module that slices untrusted bytes. A length is compared with the input before memory is reserved for it, and every
//! byte of an accepted image has a meaning: there are no holes and no spare bits.

mod error;
mod reader;
pub(crate) mod records;
mod sparse;
mod writer;

pub use error::ImageError;
pub(crate) use reader::{Cursor, Sections};
pub(crate) use sparse::{compact, encode, expand, overhead};
pub(crate) use writer::{Put, Writer};

/// First bytes of every image.
pub const MAGIC: [u8; 8] = *b"VGICSTAT";
/// The version this crate writes, and reads.
pub const VERSION: u32 = 1;
/// Bytes of the header: magic, version, kind, length, number of sections, checksum.
#[doc(hidden)]
pub const HEADER_BYTES: usize = 32;
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
            Kind::Gicv3 => 3,
            Kind::Gicv5 => 5,
        }
    }

    pub(crate) const fn from_number(number: u32) -> Result<Self, ImageError> {
        match number {
            3 => Ok(Kind::Gicv3),
            5 => Ok(Kind::Gicv5),
            found => Err(ImageError::UnknownKind { found }),
        }
    }
}

impl core::fmt::Display for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
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

/// The length of the image at the start of a buffer, which may be longer: an area of a fixed size, say. Only the header is looked at.
///
/// # Errors
///
/// [`ImageError`]: not an image, of another version, shorter than a header, or longer than the buffer.
pub fn length(buffer: &[u8]) -> Result<usize, ImageError> {
    reader::read_header(buffer).and_then(|header| header.fits(buffer))
}

/// The kind of an image, from its checked header: which backend to hand it to.
///
/// # Errors
///
/// [`ImageError`]: not an image, of another version, of an unknown kind, cut short, too long, or damaged.
pub fn kind(image: &[u8]) -> Result<Kind, ImageError> {
    Sections::open(image).map(|sections| sections.kind())
}

/// A section of an image: where it is, whatever is in it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionPlace {
    /// What the section is, as `docs/image-format.md` numbers them.
    pub id: u32,
    /// Bytes from the start of the image.
    pub offset: usize,
    /// Bytes of its contents, without padding.
    pub length: usize,
}

/// The sections of an image whose header, checksum and section table are in order. What is in them is not looked at.
///
/// # Errors
///
/// [`ImageError`]: as [`kind`], or a section table that is not in order.
#[doc(hidden)]
pub fn sections(image: &[u8]) -> Result<alloc::vec::Vec<SectionPlace>, ImageError> {
    let sections = Sections::open(image)?;
    Ok(sections.places().map(|(id, offset, length)| SectionPlace { id, offset, length }).collect())
}
