//! Reads entries of 8 bytes, one after the other: of ITS tables, and of the tables of LPIs, eight bytes at a time.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `scan_its_table`: KVM reads one entry at a time, and only those that it needs.
//!
//! Rule: each entry is paid for before it is read. Entries are read in chunks; where a chunk is not all memory, one by one, so that what is
//! not memory behind the last entry that somebody needs is nobody's error.

use super::ENTRY_BYTES;
use crate::memory::{GuestMemoryRead, GuestRange, MemoryError};

/// Bytes that are read at a time.
pub(crate) const CHUNK: u64 = 4096;

/// Memory with tables in it.
pub(crate) trait Tables {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError>;

    /// As [`ShadowMemory::data`](crate::memory::ShadowMemory::data).
    fn data(&self, within: GuestRange) -> Option<GuestRange> {
        Some(within)
    }

    /// Memory that is not the guest's, where an ITT would lie on level-2 device tables of ours.
    fn extra(&self) -> GuestRange {
        GuestRange::new(0, 0)
    }
}

/// The guest's own tables.
pub(crate) struct InGuest<'a, M: ?Sized>(pub(crate) &'a M);

impl<M: GuestMemoryRead + ?Sized> Tables for InGuest<'_, M> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.0.read(address, bytes)
    }
}

/// How many entries of 8 bytes may still be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    left: u64,
}

impl Budget {
    /// So many entries.
    #[must_use]
    pub const fn new(entries: u64) -> Self {
        Budget { left: entries }
    }

    /// Takes up to `entries` of what is left.
    pub(crate) fn take(&mut self, entries: u64) -> u64 {
        let taken = entries.min(self.left);
        self.left -= taken;
        taken
    }

    pub(crate) const fn is_spent(&self) -> bool {
        self.left == 0
    }
}

/// The budget is spent: the entry at this address was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(crate) address: u64,
}

/// An entry of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    pub(crate) index: u64,
    pub(crate) address: u64,
    pub(crate) word: Result<u64, MemoryError>,
}

/// Where the reading of a table is.
pub(crate) struct Scan {
    table: u64,
    count: u64,
    /// The entry that comes next.
    next: u64,
    /// Entries in `bytes`: the first, and behind the last.
    first: u64,
    end: u64,
    /// Entries before this one are read one by one: they were paid for, and not all of them is memory.
    single: u64,
    bytes: [u8; CHUNK as usize],
}

impl Scan {
    /// `count` entries from an address on.
    pub(crate) const fn new(table: u64, count: u64) -> Self {
        Scan { table, count, next: 0, first: 0, end: 0, single: 0, bytes: [0; CHUNK as usize] }
    }

    fn address(&self, index: u64) -> u64 {
        self.table.saturating_add(index.saturating_mul(ENTRY_BYTES))
    }

    /// The entries that were read together with the one that comes next, from it on.
    pub(crate) fn ahead(&self) -> &[[u8; ENTRY_BYTES as usize]] {
        let words = self.bytes.as_chunks().0;
        let range = self.next.checked_sub(self.first).map(|from| from as usize..(self.end - self.first) as usize);
        range.and_then(|range| words.get(range)).unwrap_or_default()
    }

    /// Goes on at an entry, if that is not behind.
    pub(crate) fn go_to(&mut self, index: u64) {
        self.next = self.next.max(index);
    }

    /// Goes on at the next entry that is not zero, of those that were read.
    pub(crate) fn skip_zeros(&mut self) {
        let ahead = self.ahead();
        let zeros = ahead.iter().position(|word| *word != [0; ENTRY_BYTES as usize]).unwrap_or(ahead.len());
        self.next += zeros as u64;
    }

    /// The next entry; `None` at the end of the table, or where nothing but zeros follows.
    pub(crate) fn next(&mut self, tables: &(impl Tables + ?Sized), budget: &mut Budget) -> Result<Option<Scanned>, Exhausted> {
        while self.next < self.count {
            let (index, address) = (self.next, self.address(self.next));
            let word = match self.ahead().first() {
                Some(word) => Ok(u64::from_le_bytes(*word)),
                None if index < self.single => {
                    let mut word = [0; ENTRY_BYTES as usize];
                    tables.read(address, &mut word).map(|()| u64::from_le_bytes(word))
                }
                None => {
                    self.read(tables, budget)?;
                    continue;
                }
            };
            self.next += 1;
            return Ok(Some(Scanned { index, address, word }));
        }
        Ok(None)
    }

    /// Reads a chunk.
    fn read(&mut self, tables: &(impl Tables + ?Sized), budget: &mut Budget) -> Result<(), Exhausted> {
        let end = self.address(self.count);
        let Some(data) = tables.data(GuestRange { start: self.address(self.next), end }) else {
            self.next = self.count;
            return Ok(());
        };
        self.go_to(data.start.saturating_sub(self.table) / ENTRY_BYTES);
        if self.next >= self.count {
            return Ok(());
        }
        let address = self.address(self.next);
        let entries = data.end.min(end).saturating_sub(address).div_ceil(ENTRY_BYTES).clamp(1, CHUNK / ENTRY_BYTES);
        let taken = budget.take(entries);
        if taken == 0 {
            return Err(Exhausted { address });
        }
        let read = self.bytes.get_mut(..(taken * ENTRY_BYTES) as usize).is_some_and(|bytes| tables.read(address, bytes).is_ok());
        (self.first, self.end) = (self.next, if read { self.next + taken } else { self.next });
        self.single = if read { self.single } else { self.next + taken };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::cell::RefCell;

    /// Memory in which each entry is its own number, up to an address; with the lengths of the reads.
    struct Short(u64, RefCell<Vec<usize>>);

    impl Tables for Short {
        fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
            self.1.borrow_mut().push(bytes.len());
            for (at, word) in (address / 8..).zip(bytes.as_chunks_mut::<8>().0) {
                *word = at.to_le_bytes();
            }
            if address + bytes.len() as u64 <= self.0 { Ok(()) } else { Err(MemoryError::NotMemory) }
        }
    }

    fn all(scan: &mut Scan, short: &Short, budget: &mut Budget) -> (Vec<Result<u64, MemoryError>>, Option<Exhausted>) {
        let mut words = Vec::new();
        loop {
            match scan.next(short, budget) {
                Ok(Some(entry)) => {
                    assert_eq!(entry.address, 0x1000 + entry.index * 8);
                    words.push(entry.word);
                }
                Ok(None) => return (words, None),
                Err(exhausted) => return (words, Some(exhausted)),
            }
        }
    }

    #[test]
    fn entry_by_entry_at_the_edge_of_memory() {
        let short = Short(0x1000 + 600 * 8, RefCell::default());
        let (words, exhausted) = all(&mut Scan::new(0x1000, 603), &short, &mut Budget::new(603));
        let expected: Vec<_> = (0x200..0x200 + 600).map(Ok).chain([Err(MemoryError::NotMemory); 3]).collect();
        assert_eq!((words, exhausted), (expected, None));
        assert_eq!(short.1.borrow()[..3], [4096, 91 * 8, 8]);
        assert_eq!(short.1.borrow().len(), 2 + 91);
    }

    #[test]
    fn the_budget_ends_in_the_middle_of_a_chunk_or_at_its_edge() {
        for left in [0, 1, 511, 512, 513, 599, 600, 601] {
            let short = Short(u64::MAX, RefCell::default());
            let mut budget = Budget::new(left);
            let (words, exhausted) = all(&mut Scan::new(0x1000, 600), &short, &mut budget);
            assert_eq!(words.len() as u64, left.min(600));
            assert_eq!(exhausted, (left < 600).then_some(Exhausted { address: 0x1000 + left * 8 }));
            assert_eq!(budget.is_spent(), left <= 600);
        }
    }

    #[test]
    fn what_is_passed_over_is_not_read() {
        let short = Short(0x1000 + 5000 * 8, RefCell::default());
        let (mut scan, mut budget) = (Scan::new(0x1000, 10_000), Budget::new(2000));
        let none = Err(MemoryError::NotMemory);
        for (to, word) in [(3, Ok(0x203)), (4990, Ok(0x200 + 4990)), (4998, Ok(0x200 + 4998)), (5001, none), (9999, none)] {
            scan.go_to(to);
            assert_eq!(scan.next(&short, &mut budget).unwrap().unwrap().word, word);
        }
        assert_eq!(scan.next(&short, &mut budget), Ok(None));
        scan.go_to(5);
        assert_eq!(scan.next(&short, &mut budget), Ok(None), "never back");
    }
}
