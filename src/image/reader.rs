//! From bytes to sections.
//!
//! Specification: `docs/image-format.md`, "Header", "Section table", "Reading".
//!
//! Rule: a cursor never leaves its slice; what a section does not say is an error, and so is what it says too much.

use super::checksum::checksum;
use super::error::ImageError;
use super::format::{HEADER_BYTES, Kind, MAGIC, MAX_SECTIONS, SECTION_ALIGN, SECTION_CRITICAL, SECTION_ENTRY_BYTES, VERSION};
use alloc::vec::Vec;

/// Bytes that are taken off from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    /// Bytes from the beginning.
    length: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes, length: bytes.len() }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*taken))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*taken))
    }

    /// The next bytes of a section, which has them.
    pub(crate) fn take_of(&mut self, section: u32, count: usize) -> Result<&'a [u8], ImageError> {
        self.take(count).ok_or_else(|| self.wrong_length(section, count))
    }

    /// The next number of a section.
    pub(crate) fn u32_of(&mut self, section: u32) -> Result<u32, ImageError> {
        self.u32().ok_or_else(|| self.wrong_length(section, size_of::<u32>()))
    }

    /// Nothing of a section is left.
    pub(crate) fn end_of(&self, section: u32) -> Result<(), ImageError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong_length(section, 0)) }
    }

    /// A section whose contents take so many bytes from here on, and that has not as many.
    pub(crate) fn wrong_length(&self, section: u32, needed: usize) -> ImageError {
        let expected = (self.length - self.rest.len()).saturating_add(needed) as u64;
        ImageError::SectionLength { id: section, found: self.length as u64, expected }
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }
}

/// A header whose magic and version are right.
pub(super) struct Header<'a> {
    kind: u32,
    length: u64,
    sections: u32,
    checksum: u32,
    /// What follows.
    rest: Cursor<'a>,
}

/// Reads the header at the start of some bytes.
pub(super) fn read_header(bytes: &[u8]) -> Result<Header<'_>, ImageError> {
    let mut header = Cursor::new(bytes);
    let magic = header.take(MAGIC.len().min(bytes.len())).unwrap_or_default();
    if !MAGIC.starts_with(magic) {
        return Err(ImageError::NotAnImage);
    }
    let truncated = ImageError::Truncated { expected: HEADER_BYTES as u64, found: bytes.len() as u64 };
    let version = header.u32().ok_or(truncated)?;
    if version != VERSION {
        return Err(ImageError::UnknownVersion { found: version });
    }
    Ok(Header {
        kind: header.u32().ok_or(truncated)?,
        length: header.u64().ok_or(truncated)?,
        sections: header.u32().ok_or(truncated)?,
        checksum: header.u32().ok_or(truncated)?,
        rest: header,
    })
}

impl Header<'_> {
    /// The length of the image, if it is one of an image and the bytes hold all of it.
    pub(super) fn fits(&self, bytes: &[u8]) -> Result<usize, ImageError> {
        if self.length < HEADER_BYTES as u64 {
            return Err(ImageError::HeaderLength { found: self.length });
        }
        usize::try_from(self.length)
            .ok()
            .filter(|length| *length <= bytes.len())
            .ok_or(ImageError::Truncated { expected: self.length, found: bytes.len() as u64 })
    }
}

#[derive(Clone, Copy, Debug)]
struct Section<'a> {
    id: u32,
    critical: bool,
    taken: bool,
    start: usize,
    bytes: &'a [u8],
}

/// The sections of an image whose header, checksum and section table are in order.
#[derive(Clone, Debug)]
pub(crate) struct Sections<'a> {
    kind: Kind,
    sections: Vec<Section<'a>>,
}

impl<'a> Sections<'a> {
    /// Reads the header and the section table.
    pub(crate) fn open(image: &'a [u8]) -> Result<Self, ImageError> {
        let header = read_header(image)?;
        let length = header.fits(image)?;
        if length != image.len() {
            return Err(ImageError::TrailingBytes { expected: length as u64, found: image.len() as u64 });
        }
        let computed = checksum(image);
        if computed != header.checksum {
            return Err(ImageError::Checksum { expected: header.checksum, found: computed });
        }
        let kind = Kind::from_number(header.kind).ok_or(ImageError::UnknownKind { found: header.kind })?;
        let sections = read_table(image, header.rest, header.sections)?;
        Ok(Sections { kind, sections })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Id, first byte and length of each section.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u32, usize, usize)> + '_ {
        self.sections.iter().map(|section| (section.id, section.start, section.bytes.len()))
    }

    /// Refuses an image of another kind.
    pub(crate) fn expect_kind(&self, expected: Kind) -> Result<(), ImageError> {
        if self.kind == expected { Ok(()) } else { Err(ImageError::WrongKind { expected, found: self.kind }) }
    }

    /// The contents of a section, if the image has it.
    pub(crate) fn take(&mut self, id: u32) -> Result<Option<&'a [u8]>, ImageError> {
        let Some(section) = self.sections.iter_mut().find(|section| section.id == id) else { return Ok(None) };
        if !section.critical {
            // Every section of version 1 is.
            return Err(ImageError::SectionFlags { id, flags: 0 });
        }
        section.taken = true;
        Ok(Some(section.bytes))
    }

    /// The contents of a section that must be there.
    pub(crate) fn require(&mut self, id: u32) -> Result<&'a [u8], ImageError> {
        self.take(id)?.ok_or(ImageError::MissingSection { id })
    }

    /// Refuses an image with a critical section that nobody has taken.
    pub(crate) fn finish(&self) -> Result<(), ImageError> {
        match self.sections.iter().find(|section| section.critical && !section.taken) {
            Some(section) => Err(ImageError::UnknownCriticalSection { id: section.id }),
            None => Ok(()),
        }
    }
}

fn read_table<'a>(image: &'a [u8], mut table: Cursor<'a>, count: u32) -> Result<Vec<Section<'a>>, ImageError> {
    let max = u64::from(MAX_SECTIONS).min((table.remaining() / SECTION_ENTRY_BYTES) as u64);
    if u64::from(count) > max {
        return Err(ImageError::Count { id: 0, what: "sections", found: count.into(), max });
    }
    let mut sections: Vec<Section<'a>> = Vec::with_capacity(count as usize);
    let mut end = HEADER_BYTES + count as usize * SECTION_ENTRY_BYTES;
    for _ in 0..count {
        let short = ImageError::Truncated { expected: end as u64, found: image.len() as u64 };
        let id = table.u32().ok_or(short)?;
        let flags = table.u32().ok_or(short)?;
        let offset = table.u64().ok_or(short)?;
        let length = table.u64().ok_or(short)?;
        if flags & !SECTION_CRITICAL != 0 {
            return Err(ImageError::SectionFlags { id, flags });
        }
        match sections.last() {
            Some(last) if last.id == id => return Err(ImageError::DuplicateSection { id }),
            Some(last) if last.id > id => return Err(ImageError::SectionOrder { id }),
            _ => {}
        }
        let start = end.next_multiple_of(SECTION_ALIGN);
        check_padding(image, end, start)?;
        let bytes = usize::try_from(length)
            .ok()
            .filter(|_| offset == start as u64)
            .and_then(|length| image.get(start..start.checked_add(length)?))
            .ok_or(ImageError::SectionPlace { id })?;
        end = start + bytes.len();
        sections.push(Section { id, critical: flags & SECTION_CRITICAL != 0, taken: false, start, bytes });
    }
    let last = end.next_multiple_of(SECTION_ALIGN);
    check_padding(image, end, last)?;
    if last != image.len() {
        return Err(ImageError::BytesOfNoSection { end: last as u64, length: image.len() as u64 });
    }
    Ok(sections)
}

fn check_padding(image: &[u8], from: usize, to: usize) -> Result<(), ImageError> {
    match image.get(from..to) {
        Some(padding) if padding.iter().all(|byte| *byte == 0) => Ok(()),
        Some(_) => Err(ImageError::Padding { offset: to as u64 }),
        None => Err(ImageError::Truncated { expected: to as u64, found: image.len() as u64 }),
    }
}
