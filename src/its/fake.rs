//! Shadow memory for tests: pages in a map.
//!
//! Rule: what nobody wrote reads as one word, zero or not, wherever there is memory.

use crate::Errno;
use crate::its::scan::Tables;
use crate::memory::{GuestMemoryRead, GuestRange, MemoryError, ShadowMemory};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::cell::Cell;

/// Where the guest has memory, and the extra memory behind it.
pub(crate) const MEMORY: GuestRange = GuestRange { start: 0x4000_0000, end: 0x8000_0000 };
pub(crate) const EXTRA: GuestRange = GuestRange { start: 0x8000_0000, end: 0x8020_0000 };

const PAGE: u64 = 4096;
const PAGE_WORDS: usize = 512;

/// What a fake says where data is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Data {
    /// All of what was asked for.
    All,
    /// The first page of it that was written.
    Written,
    /// A range that has nothing to do with the question.
    Odd(GuestRange),
}

#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) pages: BTreeMap<u64, Box<[u64; PAGE_WORDS]>>,
    /// What nobody wrote.
    pub(crate) unwritten: u64,
    pub(crate) data: Data,
    /// Bytes that can be cleared yet.
    pub(crate) clearable: u64,
    pub(crate) bytes_read: Cell<u64>,
}

impl Fake {
    pub(crate) fn new(unwritten: u64) -> Self {
        Fake { pages: BTreeMap::new(), unwritten, data: Data::All, clearable: u64::MAX, bytes_read: Cell::new(0) }
    }

    pub(crate) fn zeros() -> Self {
        Fake { data: Data::Written, ..Fake::new(0) }
    }

    pub(crate) fn put(&mut self, address: u64, word: u64) {
        assert_eq!(self.write(address, &word.to_le_bytes()), Ok(()));
    }

    pub(crate) fn word(&self, address: u64) -> u64 {
        self.pages.get(&(address / PAGE)).map_or(self.unwritten, |page| page[(address % PAGE / 8) as usize])
    }

    fn page(&mut self, address: u64) -> &mut [u64; PAGE_WORDS] {
        let unwritten = self.unwritten;
        self.pages.entry(address / PAGE).or_insert_with(|| Box::new([unwritten; PAGE_WORDS]))
    }

    fn is_memory(range: GuestRange) -> bool {
        MEMORY.start <= range.start && range.start <= range.end && range.end <= EXTRA.end
    }
}

impl GuestMemoryRead for Fake {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.bytes_read.set(self.bytes_read.get() + bytes.len() as u64);
        let unwritten = [self.unwritten; PAGE_WORDS];
        let mut at = address;
        let mut left = bytes;
        while !left.is_empty() {
            let words = self.pages.get(&(at / PAGE)).map_or(&unwritten, |page| page);
            let length = left.len().min((PAGE - at % PAGE) as usize);
            let (part, rest) = left.split_at_mut(length);
            for (offset, byte) in (at % PAGE..).zip(part) {
                *byte = (words[(offset / 8) as usize] >> (offset % 8 * 8)) as u8;
            }
            at += length as u64;
            left = rest;
        }
        if Fake::is_memory(GuestRange { start: address, end: at }) { Ok(()) } else { Err(MemoryError::NotMemory) }
    }
}

impl ShadowMemory for Fake {
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        if !Fake::is_memory(GuestRange::new(address, bytes.len() as u64)) {
            return Err(MemoryError::NotMemory);
        }
        for (at, byte) in (address..).zip(bytes) {
            let word = &mut self.page(at)[(at % PAGE / 8) as usize];
            let shift = at % 8 * 8;
            *word = *word & !(0xff << shift) | u64::from(*byte) << shift;
        }
        Ok(())
    }

    fn clear(&mut self, range: GuestRange) -> Result<bool, Errno> {
        let Some(left) = self.clearable.checked_sub(range.end - range.start).filter(|_| Fake::is_memory(range)) else {
            return Ok(false);
        };
        self.clearable = left;
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min((at / PAGE + 1) * PAGE);
            let words = (at % PAGE / 8) as usize..((end - 1) % PAGE / 8 + 1) as usize;
            self.page(at)[words].fill(0);
            at = end;
        }
        Ok(true)
    }

    fn data(&self, within: GuestRange) -> Option<GuestRange> {
        match self.data {
            Data::All => Some(within),
            Data::Odd(range) => Some(range),
            Data::Written => {
                let mut pages = self.pages.range(within.start / PAGE..within.end.div_ceil(PAGE));
                let page = pages.find(|(_, words)| words.iter().any(|word| *word != 0))?.0 * PAGE;
                Some(GuestRange { start: page.max(within.start), end: (page + PAGE).min(within.end) })
            }
        }
    }

    fn is_zeroed(&self) -> bool {
        self.unwritten == 0
    }

    fn extra(&self) -> GuestRange {
        EXTRA
    }
}

impl Tables for Fake {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        GuestMemoryRead::read(self, address, bytes)
    }

    fn data(&self, within: GuestRange) -> Option<GuestRange> {
        ShadowMemory::data(self, within)
    }
}
