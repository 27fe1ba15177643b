//! The shadow of one slot.
//!
//! Source: lseek(2), `SEEK_DATA`; Documentation/admin-guide/mm/pagemap.rst.
//!
//! Rule: looking for what was written costs what was written, not what the guest has: reading a zero shadow takes no memory.

use super::pagemap::Pagemap;
use super::slots::{Backing, Memslot, ShadowRegion};
use super::{ShadowError, ShadowKind, ShadowStep, mapping};
use crate::memory::{MemoryError, host};
use crate::{Errno, GuestRange};
use core::ops::Range;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use vm_memory::{Bytes, GuestMemoryRegion, MemoryRegionAddress, MmapRegion, VolatileSlice};

#[derive(Debug)]
pub(super) struct Shadow {
    region: ShadowRegion,
    pages: Pages,
}

/// What the memory is, and how one sees what was written.
#[derive(Debug)]
enum Pages {
    /// Zeros, anonymous: the cheapest. A page that is only read takes no memory.
    Anonymous(Arc<Pagemap>),
    /// Zeros, where nothing can be seen of anonymous memory, or where it cannot be had.
    File(Zeros),
    /// The guest's file.
    Copied(Result<Arc<Pagemap>, Errno>),
}

#[derive(Debug)]
struct Zeros {
    file: Arc<File>,
    /// Offsets that are no hole, as found last: memory that is there stays.
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
}

impl Shadow {
    /// Maps shadow memory for a slot, up to `end`, which is not before the slot's own end.
    pub(super) fn map(
        slot: &Memslot,
        kind: ShadowKind,
        end: u64,
        pagemap: &Result<Arc<Pagemap>, Errno>,
    ) -> Result<Self, ShadowError> {
        let failed = |errno| ShadowError::Step { step: ShadowStep::Map, slot: slot.slot, errno };
        let size = |end: u64| usize::try_from(end.saturating_sub(slot.range.start)).map_err(|_| failed(Errno::ENOMEM));
        let length = size(end)?;
        let (mapping, pages) = match kind {
            ShadowKind::Zero => match anonymous(length, pagemap.as_ref().ok()) {
                Some(mapped) => mapped,
                None => sparse_file(length).map_err(failed)?,
            },
            ShadowKind::CopyOnWrite => {
                let Backing::SharedFile { file, offset } = &slot.backing else {
                    return Err(ShadowError::NotShared { slot: slot.slot });
                };
                let copied = size(slot.range.end)?;
                check_file(slot.slot, file, *offset, copied as u64)?;
                let mapped = mapping::map_private(Arc::clone(file), *offset, copied, length).map_err(failed)?;
                (mapped, Pages::Copied(pagemap.clone()))
            }
        };
        let region = ShadowRegion::new(mapping, slot.range.start).ok_or_else(|| failed(Errno::EINVAL))?;
        Ok(Shadow { region, pages })
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

    pub(super) fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let offset = address.saturating_sub(self.range().start);
        match &self.pages {
            // Through the mapping, a page would be allocated for each page that is not there.
            Pages::File(zeros) if !zeros.has(offset..offset.saturating_add(bytes.len() as u64)) => {
                zeros.file.read_exact_at(bytes, offset).map_err(|error| match error.kind() {
                    ErrorKind::UnexpectedEof => MemoryError::NotMemory,
                    _ => MemoryError::Failed(mapping::errno(&error)),
                })
            }
            // A page of the file may be gone, if the file is shorter by now: no signal.
            Pages::Copied(_) => host::read(&self.mapped(offset, bytes.len())?, bytes),
            // Memory of this process alone, which is always accessible: no system call.
            _ => self.region.region().read_slice(bytes, MemoryRegionAddress(offset)).map_err(|_| MemoryError::NotMemory),
        }
    }

    /// Through the mapping, so that no huge page is allocated.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let offset = address.saturating_sub(self.range().start);
        match &self.pages {
            Pages::Copied(_) => host::write(&self.mapped(offset, bytes.len())?, bytes),
            _ => self.region.region().write_slice(bytes, MemoryRegionAddress(offset)).map_err(|_| MemoryError::NotMemory),
        }
    }

    fn mapped(&self, offset: u64, length: usize) -> Result<VolatileSlice<'_, ()>, MemoryError> {
        self.region.region().get_slice(MemoryRegionAddress(offset), length).map_err(|_| MemoryError::NotMemory)
    }

    /// Makes a range of this slot read as zeros. Copy on write: allocates all of it.
    pub(super) fn clear(&self, range: GuestRange) -> Result<(), MemoryError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut left = range;
        // Mostly nobody has written there.
        while let Some(part) = self.data(left) {
            let mut address = part.start;
            while address < part.end {
                let length = usize::try_from(part.end - address).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
                self.write(address, ZEROS.get(..length).unwrap_or(&ZEROS))?;
                address = address.saturating_add(length as u64);
            }
            left.start = part.end;
        }
        Ok(())
    }

    /// The first part of a range of this slot that may hold something else than zeros.
    pub(super) fn data(&self, within: GuestRange) -> Option<GuestRange> {
        match &self.pages {
            Pages::Copied(_) => Some(within).filter(|within| within.start < within.end),
            Pages::Anonymous(_) | Pages::File(_) => self.first_written(within).unwrap_or(Some(within)),
        }
    }

    /// The pages that may hold something else than before.
    pub(super) fn written(&self) -> Result<Vec<GuestRange>, Errno> {
        let (mut found, mut left) = (Vec::new(), self.range());
        while let Some(pages) = self.first_written(left)? {
            left.start = pages.end;
            found.push(pages);
        }
        Ok(found)
    }

    /// The first part of a range of this slot that has pages of its own.
    fn first_written(&self, within: GuestRange) -> Result<Option<GuestRange>, Errno> {
        if within.start >= within.end {
            return Ok(None);
        }
        let offsets = self.offsets(within);
        let found = match &self.pages {
            Pages::File(zeros) => mapping::first_data(&zeros.file, offsets)?,
            Pages::Anonymous(pagemap) | Pages::Copied(Ok(pagemap)) => {
                let host = self.region.host_address();
                let found = pagemap.first(host.saturating_add(offsets.start)..host.saturating_add(offsets.end))?;
                found.map(|found| found.start.saturating_sub(host)..found.end.saturating_sub(host))
            }
            Pages::Copied(Err(errno)) => return Err(*errno),
        };
        Ok(found.map(|offsets| self.address(offsets)))
    }
}

/// Anonymous memory, if what is written there can be seen.
fn anonymous(length: usize, pagemap: Option<&Arc<Pagemap>>) -> Option<(MmapRegion<()>, Pages)> {
    let pagemap = Arc::clone(pagemap?);
    let region = mapping::map_anonymous(length).ok()?;
    let first = region.as_ptr() as u64;
    pagemap.is_for(first..first.saturating_add(mapping::page_size())).then_some((region, Pages::Anonymous(pagemap)))
}

fn sparse_file(length: usize) -> Result<(MmapRegion<()>, Pages), Errno> {
    let file = Arc::new(mapping::zeros(length as u64)?);
    Ok((mapping::map_shared(Arc::clone(&file), length)?, Pages::File(Zeros { file, found: Mutex::new(0..0) })))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    const START: u64 = 0x4000_0000;

    fn range(start: u64, end: u64) -> GuestRange {
        GuestRange { start: START + start, end: START + end }
    }

    /// With `/proc` and without: 64 GiB of zeros.
    #[test]
    fn both_kinds_of_zeros() {
        let page = mapping::page_size();
        for (pagemap, sparse) in [(Pagemap::open().map(Arc::new), false), (Err(Errno::ENOENT), true)] {
            let slot = Memslot::new(3, 0, range(0, 64 << 30), Backing::Anonymous);
            let end = slot.range.end + page;
            let shadow = Shadow::map(&slot, ShadowKind::Zero, end, &pagemap).unwrap();
            let overcommits = pagemap.as_ref().is_ok_and(|pagemap| pagemap.overcommits);
            assert_eq!(matches!(shadow.pages, Pages::File(_)), sparse || !overcommits);
            assert_eq!((shadow.range(), shadow.written()), (GuestRange { start: START, end }, Ok(vec![])));
            let [one, other, last] = [page, 32 << 30, 64 << 30];
            for (at, byte) in [(one + 8, 1), (other, 2), (last + page - 1, 3)] {
                assert_eq!(shadow.write(START + at, &[byte]), Ok(()));
            }
            let written = [range(one, one + page), range(other, other + page), range(last, last + page)];
            assert_eq!(shadow.written(), Ok(written.to_vec()));
            assert_eq!(shadow.data(range(0, one + 9)), Some(range(one, one + 9)));
            assert_eq!((shadow.data(range(other + page, last)), shadow.data(range(one, one))), (None, None));
            for (at, expected) in
                [(one + 7, [0, 1, 0]), (other - 1, [0, 2, 0]), (last + page - 3, [0, 0, 3]), (5 * page - 1, [0; 3])]
            {
                let mut bytes = [9; 3];
                assert_eq!(shadow.read(START + at, &mut bytes), Ok(()));
                assert_eq!(bytes, expected, "{at:#x}");
            }
            if let Pages::File(zeros) = &shadow.pages {
                // Reading has taken no memory.
                assert_eq!(zeros.file.metadata().unwrap().blocks() * 512, 3 * page);
            }
            assert_eq!((shadow.clear(range(0, one + 9)), shadow.clear(range(other, other + 1))), (Ok(()), Ok(())));
            let bytes = [one + 8, other, last + page - 1].map(|at| {
                let mut byte = [9];
                assert_eq!(shadow.read(START + at, &mut byte), Ok(()));
                byte[0]
            });
            assert_eq!(bytes, [0, 0, 3]);
            assert_eq!(shadow.read(end - 2, &mut [0; 3]), Err(MemoryError::NotMemory));
            assert_eq!(shadow.write(end - 2, &[0; 3]), Err(MemoryError::NotMemory));
        }
    }

    /// What was written cannot be found, and nobody is told that nothing was.
    #[test]
    fn copied_pages_without_proc() {
        let page = mapping::page_size();
        let file = Arc::new(mapping::zeros(4 * page).unwrap());
        let slot = Memslot::new(3, 0, range(0, 4 * page), Backing::SharedFile { file, offset: 0 });
        let shadow = Shadow::map(&slot, ShadowKind::CopyOnWrite, slot.range.end, &Err(Errno::ENOENT)).unwrap();
        assert_eq!(shadow.written(), Err(Errno::ENOENT));
        assert_eq!((shadow.data(slot.range), shadow.data(range(8, 8))), (Some(slot.range), None));
    }

    /// Its pages are gone, and whoever touches one gets `SIGBUS`.
    #[test]
    fn a_copied_file_that_has_become_shorter() {
        let page = mapping::page_size();
        let file = Arc::new(mapping::zeros(4 * page).unwrap());
        let slot = Memslot::new(3, 0, range(0, 4 * page), Backing::SharedFile { file: Arc::clone(&file), offset: 0 });
        let shadow = Shadow::map(&slot, ShadowKind::CopyOnWrite, slot.range.end, &Pagemap::open().map(Arc::new)).unwrap();
        assert_eq!(shadow.write(START + page, &[7]), Ok(()));
        file.set_len(page).unwrap();
        assert_eq!(shadow.read(START + page - 8, &mut [0; 8]), Ok(()));
        let gone = Err(MemoryError::NotMemory);
        assert_eq!(shadow.read(START + 2 * page, &mut [0; 8]), gone);
        assert_eq!((shadow.write(START + 2 * page, &[1]), shadow.clear(slot.range)), (gone, gone));
    }
}
