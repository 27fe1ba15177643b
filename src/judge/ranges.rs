//! What a guest owns, and how much a judgement may read.
//!
//! Rule: a range is the guest's if all of it is.

use crate::memory::{GuestMemoryRead, GuestRange, MemoryError, join};
use alloc::vec::Vec;

/// What a guest owns, and what in it must not be touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    memory: Vec<GuestRange>,
    protected: Vec<GuestRange>,
}

impl Ranges {
    /// The guest's memory, and what is protected: firmware, pages that the host cannot access, memory shared with a device. In any order.
    #[must_use]
    pub fn new(memory: Vec<GuestRange>, protected: Vec<GuestRange>) -> Self {
        Ranges { memory: join(memory), protected: join(protected) }
    }

    /// Whether all of a range is the guest's memory.
    #[must_use]
    pub fn owns(&self, range: GuestRange) -> bool {
        // Ranges do not touch: one of them has all of it, or none.
        let before = self.memory.partition_point(|memory| memory.start <= range.start);
        before.checked_sub(1).and_then(|at| self.memory.get(at)).is_some_and(|memory| range.end <= memory.end)
    }

    /// Whether some of a range is protected.
    #[must_use]
    pub fn protects(&self, range: GuestRange) -> bool {
        let before = self.protected.partition_point(|protected| protected.start < range.end);
        before.checked_sub(1).and_then(|at| self.protected.get(at)).is_some_and(|protected| range.start < protected.end)
    }
}

/// Memory as far as it is the guest's.
pub(super) struct Owned<'a, M> {
    pub(super) memory: &'a M,
    pub(super) ranges: &'a Ranges,
}

impl<M: GuestMemoryRead> GuestMemoryRead for Owned<'_, M> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        if !self.ranges.owns(GuestRange::new(address, bytes.len() as u64)) {
            return Err(MemoryError::NotMemory);
        }
        self.memory.read(address, bytes)
    }
}

/// How much a judgement may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Entries of 8 bytes that may be read. More is [`WorkExceeded`](crate::report::Problem::WorkExceeded). Default: 16,777,216, which is
    /// 128 MiB.
    ///
    /// A guest with 1024 devices of 2048 events each needs 2.1 million.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { entries: 1 << 24 }
    }
}

impl Limits {
    /// So many entries.
    #[must_use]
    pub const fn entries(entries: u64) -> Self {
        Limits { entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one_and_protection_needs_one_byte() {
        let range = |start, end| GuestRange { start, end };
        let ranges = Ranges::new([range(0x20, 0x30), range(0x10, 0x20), range(0x40, 0x50)].into(), [range(0x44, 0x46)].into());
        for (start, end, owns, protects) in [
            (0x10, 0x30, true, false),
            (0x0f, 0x11, false, false),
            (0x2f, 0x31, false, false),
            (0x28, 0x48, false, true),
            (0x40, 0x44, true, false),
            (0x46, 0x50, true, false),
            (0x45, 0x46, true, true),
            (0x40, 0x50, true, true),
        ] {
            assert_eq!((ranges.owns(range(start, end)), ranges.protects(range(start, end))), (owns, protects), "{start:#x}");
        }
        assert!(!Ranges::default().owns(range(0, 8)));
    }
}
