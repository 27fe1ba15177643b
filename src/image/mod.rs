//! The image: a state as bytes, for a snapshot file, a migration stream or a live-update area.
//!
//! Specification: `docs/image-format.md`, version 1. Everything is little-endian.
//!
//! Rule: the only module that slices untrusted bytes. A length is compared with the input before memory is reserved for it, and every
//! byte of an accepted image has a meaning: there are no holes and no spare bits.

mod checksum;
mod error;
mod format;
mod reader;
pub(crate) mod records;
mod sparse;
mod writer;

pub use error::ImageError;
pub use format::{
    HEADER_BYTES, IstCoding, Kind, MAGIC, MAX_SECTIONS, SECTION_ALIGN, SECTION_CRITICAL, SECTION_ENTRY_BYTES, VERSION,
};
pub(crate) use reader::{Cursor, Sections};
pub(crate) use sparse::{compact, encode, expand, overhead};
pub(crate) use writer::{Put, Writer};

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
