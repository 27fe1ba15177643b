//! Shadow memory for tests: pages in a map.
//!
//! Rule: what nobody wrote reads as one word, zero or not, wherever there is memory.

use crate::guest_memory::{GuestMemoryRead, GuestRange};
use crate::its::read::Tables;
use crate::shadow::ShadowMemory;
use alloc::collections::BTreeMap;
use core::cell::Cell;

/// Where the guest has memory, and the extra memory behind it.
pub(crate) const MEMORY: GuestRange = GuestRange { start: 0x4000_0000, end: 0x8000_0000 };
pub(crate) const EXTRA: GuestRange = GuestRange { start: 0x8000_0000, end: 0x8020_0000 };

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
    pub(crate) words: BTreeMap<u64, u64>,
    /// What nobody wrote.
    pub(crate) unwritten: u64,
    pub(crate) data: Data,
    /// Bytes that can be cleared yet.
    pub(crate) clearable: u64,
    pub(crate) bytes_read: Cell<u64>,
}

impl Fake {
    pub(crate) fn new(unwritten: u64) -> Self {
        Fake { words: BTreeMap::new(), unwritten, data: Data::All, clearable: u64::MAX, bytes_read: Cell::new(0) }
    }

    pub(crate) fn zeros() -> Self {
        Fake { data: Data::Written, ..Fake::new(0) }
    }

    pub(crate) fn put(&mut self, address: u64, word: u64) {
        assert!(self.write(address, &word.to_le_bytes()));
    }

    fn is_memory(range: GuestRange) -> bool {
        MEMORY.start <= range.start && range.start <= range.end && range.end <= EXTRA.end
    }
}

impl GuestMemoryRead for Fake {
    fn read(&self, address: u64, bytes: &mut [u8]) -> bool {
        self.bytes_read.set(self.bytes_read.get() + bytes.len() as u64);
        let range = GuestRange::new(address, bytes.len() as u64);
        if !Fake::is_memory(range) {
            return false;
        }
        let unwritten = self.unwritten.to_le_bytes();
        if bytes.len().is_multiple_of(8) && address.is_multiple_of(8) {
            bytes.as_chunks_mut::<8>().0.fill(unwritten);
        } else {
            (address..).zip(bytes.iter_mut()).for_each(|(at, byte)| *byte = unwritten[(at % 8) as usize]);
        }
        for (first, word) in self.words.range(address & !7..range.end) {
            let bytes_of = (*first..).zip(word.to_le_bytes());
            bytes_of
                .filter(|(at, _)| (address..range.end).contains(at))
                .for_each(|(at, byte)| bytes[(at - address) as usize] = byte);
        }
        true
    }
}

impl ShadowMemory for Fake {
    fn write(&mut self, address: u64, bytes: &[u8]) -> bool {
        let is_memory = Fake::is_memory(GuestRange::new(address, bytes.len() as u64));
        for (at, byte) in (address..).zip(bytes).filter(|_| is_memory) {
            let word = self.words.entry(at & !7).or_insert(self.unwritten);
            let mut changed = word.to_le_bytes();
            changed[(at % 8) as usize] = *byte;
            *word = u64::from_le_bytes(changed);
        }
        is_memory
    }

    fn clear(&mut self, range: GuestRange) -> bool {
        let Some(left) = self.clearable.checked_sub(range.end - range.start).filter(|_| Fake::is_memory(range)) else {
            return false;
        };
        self.clearable = left;
        if self.unwritten != 0 {
            self.words.extend((range.start..range.end).step_by(8).map(|at| (at, 0)));
        } else {
            let mut behind = self.words.split_off(&range.start);
            self.words.append(&mut behind.split_off(&range.end));
        }
        true
    }

    fn data(&self, within: GuestRange) -> Option<GuestRange> {
        match self.data {
            Data::All => Some(within),
            Data::Odd(range) => Some(range),
            Data::Written => {
                let (at, _) = self.words.range(within.start & !0xfff..within.end).find(|(_, word)| **word != 0)?;
                let page = at & !0xfff;
                let part = GuestRange { start: page.max(within.start), end: (page + 0x1000).min(within.end) };
                if part.start < part.end { Some(part) } else { Some(within) }
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
    fn read(&self, address: u64, bytes: &mut [u8]) -> bool {
        GuestMemoryRead::read(self, address, bytes)
    }

    fn data(&self, within: GuestRange) -> Option<GuestRange> {
        ShadowMemory::data(self, within)
    }
}
