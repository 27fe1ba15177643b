//! From sections to bytes, in a buffer of the caller.
//!
//! Specification: `docs/image-format.md`, "Header", "Section table".
//!
//! Rule: sections are written where they stay; nothing is allocated and nothing is written twice.

use super::checksum::checksum;
use super::format::{CHECKSUM_OFFSET, HEADER_BYTES, Kind, MAGIC, SECTION_ALIGN, SECTION_CRITICAL, SECTION_ENTRY_BYTES, VERSION};

/// An image under construction. `None` from any method: the buffer is too small.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    image: &'a mut [u8],
    kind: Kind,
    sections: u32,
    written: u32,
    /// Where the last section ends.
    end: usize,
}

impl<'a> Writer<'a> {
    /// Bytes in front of the first section.
    pub(crate) const fn preamble(sections: u32) -> usize {
        HEADER_BYTES + sections as usize * SECTION_ENTRY_BYTES
    }

    /// Begins an image with the given number of sections.
    pub(crate) fn new(image: &'a mut [u8], kind: Kind, sections: u32) -> Option<Self> {
        let end = Self::preamble(sections);
        image.get_mut(..end)?.fill(0);
        Some(Writer { image, kind, sections, written: 0, end })
    }

    /// All bytes behind the last section: room for the next one.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.image.get_mut(self.end..).unwrap_or_default()
    }

    /// The first `length` bytes of [`Writer::room`] are the next section. Every section of version 1 is critical.
    pub(crate) fn commit(&mut self, id: u32, length: usize) -> Option<()> {
        let offset = self.end;
        let end = offset.checked_add(length)?;
        let next = end.next_multiple_of(SECTION_ALIGN);
        self.image.get_mut(end..next)?.fill(0);
        let entry = HEADER_BYTES + self.written as usize * SECTION_ENTRY_BYTES;
        let mut put = Put::new(self.image.get_mut(entry..entry + SECTION_ENTRY_BYTES)?);
        put.u32(id)?;
        put.u32(SECTION_CRITICAL)?;
        put.u64(offset as u64)?;
        put.u64(length as u64)?;
        self.written += 1;
        self.end = next;
        Some(())
    }

    /// Makes the next section of what `write` puts there.
    pub(crate) fn section(&mut self, id: u32, write: impl FnOnce(&mut Put<'_>) -> Option<()>) -> Option<()> {
        let room = self.room();
        let before = room.len();
        let mut put = Put::new(room);
        write(&mut put)?;
        let length = before - put.remaining();
        self.commit(id, length)
    }

    /// Writes the header. Returns the length of the image in bytes.
    pub(crate) fn finish(self) -> Option<usize> {
        debug_assert_eq!(self.written, self.sections);
        let image = self.image.get_mut(..self.end)?;
        let mut put = Put::new(image);
        put.bytes(&MAGIC)?;
        put.u32(VERSION)?;
        put.u32(self.kind.number())?;
        put.u64(self.end as u64)?;
        put.u32(self.sections)?;
        let checksum = checksum(image);
        image.get_mut(CHECKSUM_OFFSET..HEADER_BYTES)?.copy_from_slice(&checksum.to_le_bytes());
        Some(self.end)
    }
}

/// A buffer that is filled from the front.
#[derive(Debug)]
pub(crate) struct Put<'a> {
    rest: &'a mut [u8],
}

impl<'a> Put<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Put { rest: buffer }
    }

    /// Bytes that are still free.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next bytes, to be filled: of many short records at once.
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a mut [u8]> {
        let (taken, rest) = core::mem::take(&mut self.rest).split_at_mut_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.take(bytes.len())?.copy_from_slice(bytes);
        Some(())
    }

    pub(crate) fn u32(&mut self, value: u32) -> Option<()> {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> Option<()> {
        self.bytes(&value.to_le_bytes())
    }
}
