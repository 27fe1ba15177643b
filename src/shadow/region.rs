//! The shadow of one slot.
//!
//! Source: Documentation/admin-guide/mm/pagemap.rst; lseek(2), `SEEK_DATA`.
//!
//! Rule: looking for what was written costs what was written, not what the guest has: reading a zero shadow allocates nothing.

use super::slots::{Backing, Memslot, ShadowRegion};
use super::{ShadowError, ShadowKind, ShadowStep, mapping};
use crate::{Errno, GuestRange};
use core::ops::Range;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use vm_memory::{Bytes, MemoryRegionAddress};

#[derive(Debug)]
pub(super) struct Shadow {
    region: ShadowRegion,
    /// Of a zero shadow: its memory.
    zeros: Option<Zeros>,
}

#[derive(Debug)]
struct Zeros {
    file: Arc<File>,
    /// Offsets that are no hole, as found last: memory that is there stays until it is cleared.
    found: Mutex<Range<u64>>,
}

impl Zeros {
    /// Whether all of it is there, so that reading it through the mapping allocates nothing.
    fn has(&self, offsets: Range<u64>) -> bool {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let is_in = |found: &Range<u64>| found.start <= offsets.start && offsets.end <= found.end;
        if is_in(&found) {
            return true;
        }
        if let Ok(Some(data)) = mapping::first_data(&self.file, offsets.start..u64::MAX) {
            *found = data;
        }
        is_in(&found)
    }

    fn forget(&self) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = 0..0;
    }
}

impl Shadow {
    /// Maps shadow memory for a slot, up to `end`, which is not before the slot's own end.
    pub(super) fn map(slot: &Memslot, kind: ShadowKind, end: u64) -> Result<Self, ShadowError> {
        let failed = |errno| ShadowError::Step { step: ShadowStep::Map, slot: slot.slot, errno };
        let size = |end: u64| usize::try_from(end.saturating_sub(slot.range.start)).map_err(|_| failed(Errno::ENOMEM));
        let length = size(end)?;
        let (mapping, zeros) = match kind {
            ShadowKind::Zero => {
                let file = Arc::new(mapping::zeros(length as u64).map_err(failed)?);
                let mapped = mapping::map_shared(Arc::clone(&file), length).map_err(failed)?;
                (mapped, Some(Zeros { file, found: Mutex::new(0..0) }))
            }
            ShadowKind::CopyOnWrite => {
                let Backing::SharedFile { file, offset } = &slot.backing else {
                    return Err(ShadowError::NotShared { slot: slot.slot });
                };
                let copied = size(slot.range.end)?;
                check_file(slot.slot, file, *offset, copied as u64)?;
                (mapping::map_private(Arc::clone(file), *offset, copied, length).map_err(failed)?, None)
            }
        };
        let region = ShadowRegion::new(mapping, slot.range.start).ok_or_else(|| failed(Errno::EINVAL))?;
        Ok(Shadow { region, zeros })
    }

    pub(super) fn region(&self) -> &ShadowRegion {
        &self.region
    }

    pub(super) fn range(&self) -> GuestRange {
        self.region.range()
    }

    /// Keeps the memory mapped for ever.
    pub(super) fn leak(&self) {
        core::mem::forget(Arc::clone(self.region.region()));
    }

    /// Offsets from the beginning of the slot.
    fn offsets(&self, range: GuestRange) -> Range<u64> {
        let start = self.range().start;
        range.start.saturating_sub(start)..range.end.saturating_sub(start)
    }

    fn address(&self, offsets: Range<u64>) -> GuestRange {
        let start = self.range().start;
        GuestRange { start: start.saturating_add(offsets.start), end: start.saturating_add(offsets.end) }
    }

    pub(super) fn read(&self, address: u64, bytes: &mut [u8]) -> bool {
        let offset = address.saturating_sub(self.range().start);
        match &self.zeros {
            // Through the mapping, a page would be allocated for each page that is not there.
            Some(zeros) if !zeros.has(offset..offset.saturating_add(bytes.len() as u64)) => {
                zeros.file.read_exact_at(bytes, offset).is_ok()
            }
            // No system call.
            _ => self.region.region().read_slice(bytes, MemoryRegionAddress(offset)).is_ok(),
        }
    }

    /// Through the mapping, so that no huge page is allocated.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> bool {
        let offset = address.saturating_sub(self.range().start);
        self.region.region().write_slice(bytes, MemoryRegionAddress(offset)).is_ok()
    }

    /// Makes a range of this slot read as zeros. Copy on write: allocates all of it.
    pub(super) fn clear(&self, range: GuestRange) -> bool {
        match &self.zeros {
            Some(zeros) => {
                // Mostly nobody has written there, and to see that is cheaper.
                if self.data(range).is_none() {
                    return true;
                }
                zeros.forget();
                mapping::punch(&zeros.file, self.offsets(range)).is_ok()
            }
            None => {
                const ZEROS: [u8; 4096] = [0; 4096];
                let mut address = range.start;
                while address < range.end {
                    let length = usize::try_from(range.end - address).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
                    if !ZEROS.get(..length).is_some_and(|zeros| self.write(address, zeros)) {
                        return false;
                    }
                    address = address.saturating_add(length as u64);
                }
                true
            }
        }
    }

    /// The first part of a range of this slot that may hold something else than zeros.
    pub(super) fn data(&self, within: GuestRange) -> Option<GuestRange> {
        let Some(zeros) = &self.zeros else { return Some(within) };
        match mapping::first_data(&zeros.file, self.offsets(within)) {
            Ok(data) => data.map(|data| self.address(data)),
            Err(_) => Some(within),
        }
    }

    /// The pages that may hold something else than before, in guest physical addresses.
    pub(super) fn written(&self) -> Result<Vec<GuestRange>, Errno> {
        let mut found = Vec::new();
        if let Some(zeros) = &self.zeros {
            let mut left = 0..self.region.len();
            while let Some(data) = mapping::first_data(&zeros.file, left.clone())? {
                left.start = data.end;
                found.push(self.address(data));
            }
            return Ok(found);
        }
        let host = self.region.host_address();
        let end = host.saturating_add(self.region.len());
        let pagemap = File::open("/proc/self/pagemap").map_err(|error| mapping::errno(&error))?;
        match mapping::scan_private(&pagemap, host..end, &mut found) {
            Err(Errno::ENOTTY) => read_pagemap(&pagemap, host..end, &mut found)?,
            scanned => scanned?,
        }
        let guest = |range: GuestRange| self.address(range.start.saturating_sub(host)..range.end.saturating_sub(host));
        Ok(found.into_iter().map(guest).collect())
    }
}

/// Whether a private mapping of the file is what the guest sees.
fn check_file(slot: u32, file: &File, offset: u64, length: u64) -> Result<(), ShadowError> {
    let failed = |errno| ShadowError::Step { step: ShadowStep::Map, slot, errno };
    if mapping::is_hugetlbfs(file).map_err(failed)? {
        return Err(ShadowError::HugePages { slot });
    }
    let metadata = file.metadata().map_err(|error| failed(mapping::errno(&error)))?;
    if !metadata.is_file() {
        return Err(ShadowError::NotShared { slot });
    }
    // Whoever touches a page behind the end of the file gets SIGBUS.
    match offset.checked_add(length) {
        Some(end) if end <= metadata.len() => Ok(()),
        _ => Err(failed(Errno::EINVAL)),
    }
}

/// Reads `/proc/self/pagemap` page by page: 8 bytes for each, present or swapped, and not of a file. A page of zeros that was only
/// read may be among them.
fn read_pagemap(pagemap: &File, within: Range<u64>, found: &mut Vec<GuestRange>) -> Result<(), Errno> {
    const PRESENT_OR_SWAPPED: u64 = 1 << 63 | 1 << 62;
    const FILE: u64 = 1 << 61;
    let page = mapping::page_size();
    let mut entries = [0; 32 << 10];
    let mut address = within.start;
    while address < within.end {
        let pages = ((within.end - address) / page).min(entries.len() as u64 / 8);
        let Some(bytes) = usize::try_from(pages * 8).ok().and_then(|length| entries.get_mut(..length)) else {
            return Err(Errno::EIO);
        };
        pagemap.read_exact_at(bytes, address / page * 8).map_err(|error| mapping::errno(&error))?;
        if bytes.is_empty() {
            return Ok(());
        }
        for entry in bytes.as_chunks::<8>().0 {
            let entry = u64::from_ne_bytes(*entry);
            let next = address.saturating_add(page);
            if entry & PRESENT_OR_SWAPPED != 0 && entry & FILE == 0 {
                match found.last_mut() {
                    Some(last) if last.end == address => last.end = next,
                    _ => found.push(GuestRange { start: address, end: next }),
                }
            }
            address = next;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::{FileOffset, MmapRegion};

    /// A kernel from before Linux 6.7 has no `PAGEMAP_SCAN`.
    #[test]
    fn both_ways_to_find_private_pages_find_the_same() {
        let page = mapping::page_size();
        let file = Arc::new(mapping::zeros(1000 * page).unwrap());
        let guest = MmapRegion::<()>::from_file(FileOffset::from_arc(Arc::clone(&file), 0), 1000 * page as usize).unwrap();
        let range = GuestRange::new(0x10_0000, 1000 * page);
        let slot = Memslot::new(0, 0, range, Backing::of(&guest));
        let shadow = Shadow::map(&slot, ShadowKind::CopyOnWrite, range.end + 16 * page).unwrap();
        let mut byte = [0];
        assert!(shadow.read(range.start + 7 * page, &mut byte));
        for index in [1, 2, 5, 999, 1003] {
            assert!(shadow.write(range.start + index * page + 5, &[1]));
        }
        let expected = [(1, 3), (5, 6), (999, 1000), (1003, 1004)]
            .map(|(start, end)| GuestRange { start: range.start + start * page, end: range.start + end * page });
        let host = shadow.region().host_address();
        let mut read = Vec::new();
        read_pagemap(&File::open("/proc/self/pagemap").unwrap(), host..host + shadow.region().len(), &mut read).unwrap();
        let read = read.into_iter().map(|pages| shadow.address(pages.start - host..pages.end - host));
        assert_eq!(read.collect::<Vec<_>>(), expected);
        assert_eq!(shadow.written().unwrap(), expected);
    }
}
