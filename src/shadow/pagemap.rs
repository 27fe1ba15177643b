//! Which pages of private memory this process has written: what `/proc/thread-self/pagemap` says.
//!
//! Source: Documentation/admin-guide/mm/pagemap.rst; `include/uapi/linux/fs.h`, `PAGEMAP_SCAN`;
//! Documentation/mm/overcommit-accounting.rst.
//!
//! Rule: a page that may have been written is never left out; one of zeros that was only read may be among them before Linux 6.7.

#![expect(unsafe_code, reason = "an ioctl that std has no function for")]

use super::mapping;
use crate::Errno;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// The page tables of this process.
#[derive(Debug)]
pub(super) struct Pagemap {
    file: File,
    /// Whether the kernel has `PAGEMAP_SCAN` for this process, as far as is known.
    scans: AtomicBool,
    pub(super) overcommits: bool,
}

impl Pagemap {
    /// Fails where `/proc` is not mounted, or not this process's.
    pub(super) fn open() -> Result<Self, Errno> {
        // Of this thread, since the first one may have ended.
        let file = File::open("/proc/thread-self/pagemap").map_err(|error| mapping::errno(&error))?;
        Ok(Pagemap { file, scans: AtomicBool::new(true), overcommits: overcommits() })
    }

    /// Whether anonymous memory that nobody has written, at these host addresses, costs nothing and is seen as what it is.
    pub(super) fn is_for(&self, fresh: Range<u64>) -> bool {
        self.overcommits && self.first(fresh) == Ok(None)
    }

    /// The first part of a range of host addresses that is in pages that this process alone has, and has written.
    pub(super) fn first(&self, within: Range<u64>) -> Result<Option<Range<u64>>, Errno> {
        let page = mapping::page_size();
        let pages = within.start / page * page..within.end.div_ceil(page).saturating_mul(page);
        let found = self.first_pages(pages)?;
        Ok(found.map(|found| found.start.max(within.start)..found.end.min(within.end)))
    }

    /// As [`Pagemap::first`], of whole pages.
    fn first_pages(&self, within: Range<u64>) -> Result<Option<Range<u64>>, Errno> {
        if self.scans.load(Ordering::Relaxed) {
            // Before Linux 6.7, or where a filter of system calls knows another ioctl only.
            match scan(&self.file, within.clone()) {
                Err(_) => self.scans.store(false, Ordering::Relaxed),
                scanned => return scanned,
            }
        }
        read(&self.file, within)
    }
}

/// Whether memory that is mapped and not used costs nothing. Otherwise (mode 2) another allocation of the VMM would fail for a shadow of
/// all its guest's memory. Read once: the path to it is long.
fn overcommits() -> bool {
    static OVERCOMMITS: OnceLock<bool> = OnceLock::new();
    *OVERCOMMITS.get_or_init(|| {
        let mut mode = [0];
        let read = File::open("/proc/sys/vm/overcommit_memory").and_then(|file| file.read_exact_at(&mut mode, 0));
        read.is_ok() && mode != *b"2"
    })
}

/// `struct page_region`.
#[repr(C)]
#[derive(Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

const _: () = assert!(size_of::<ScanArg>() == 96 && size_of::<PageRegion>() == 24);

/// `PAGEMAP_SCAN` (Linux 6.7).
fn scan(pagemap: &File, within: Range<u64>) -> Result<Option<Range<u64>>, Errno> {
    const PAGEMAP_SCAN: u32 = 0xc060_6610;
    const FILE: u64 = 1 << 2;
    const PRESENT: u64 = 1 << 3;
    const SWAPPED: u64 = 1 << 4;
    const PFNZERO: u64 = 1 << 5;
    let mut region = PageRegion::default();
    let mut arg = ScanArg {
        size: size_of::<ScanArg>() as u64,
        start: within.start,
        end: within.end,
        vec: &raw mut region as u64,
        vec_len: 1,
        category_inverted: FILE | PFNZERO,
        category_mask: FILE | PFNZERO,
        category_anyof_mask: PRESENT | SWAPPED,
        return_mask: PRESENT | SWAPPED,
        ..ScanArg::default()
    };
    // SAFETY: the kernel writes `walk_end` of the struct, and at most the one region to `vec`; any bytes are valid there. Without flags
    // for write protection, it changes no page.
    let count = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN as _, &raw mut arg) };
    match count {
        0 => Ok(None),
        1 if region.start >= within.start && region.start < region.end && region.end <= within.end => {
            Ok(Some(region.start..region.end))
        }
        // A kernel that says something else would be believed about what it has written.
        1.. => Err(Errno::EIO),
        _ => Err(mapping::last_errno()),
    }
}

/// Page by page: 8 bytes for each, present or swapped, and not of a file.
fn read(pagemap: &File, within: Range<u64>) -> Result<Option<Range<u64>>, Errno> {
    const PRESENT_OR_SWAPPED: u64 = 1 << 63 | 1 << 62;
    const FILE: u64 = 1 << 61;
    let page = mapping::page_size();
    let mut entries = [0; 4096];
    let mut address = within.start;
    let mut found: Option<Range<u64>> = None;
    while address < within.end {
        let pages = ((within.end - address) / page).min(entries.len() as u64 / 8);
        let Some(bytes) = usize::try_from(pages * 8).ok().and_then(|length| entries.get_mut(..length)) else {
            return Err(Errno::EIO);
        };
        pagemap.read_exact_at(bytes, address / page * 8).map_err(|error| mapping::errno(&error))?;
        for entry in bytes.as_chunks::<8>().0 {
            let entry = u64::from_ne_bytes(*entry);
            let next = address.saturating_add(page);
            let written = entry & PRESENT_OR_SWAPPED != 0 && entry & FILE == 0;
            match &mut found {
                Some(found) if written => found.end = next,
                Some(_) => return Ok(found),
                None if written => found = Some(address..next),
                None => {}
            }
            address = next;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use vm_memory::{Bytes, VolatileMemory};

    fn all(within: &Range<u64>, first: impl Fn(Range<u64>) -> Result<Option<Range<u64>>, Errno>) -> Vec<Range<u64>> {
        let mut left = within.clone();
        core::iter::from_fn(|| {
            let found = first(left.clone()).unwrap()?;
            left.start = found.end;
            Some(found)
        })
        .collect()
    }

    /// A kernel from before Linux 6.7 has no `PAGEMAP_SCAN`.
    #[test]
    fn both_ways_to_find_written_pages_find_the_same() {
        let page = mapping::page_size();
        let file = Arc::new(mapping::zeros(1000 * page).unwrap());
        let copied = mapping::map_private(file, 0, 1000 * page as usize, 1016 * page as usize).unwrap();
        for (region, is_file) in [(copied, true), (mapping::map_anonymous(1016 * page as usize).unwrap(), false)] {
            for index in [1, 2, 5, 999, 1003] {
                region.as_volatile_slice().write_slice(&[1], (index * page) as usize + 5).unwrap();
            }
            let start = region.as_ptr() as u64;
            let pages = |first: u64, end: u64| start + first * page..start + end * page;
            let mut expected = vec![pages(1, 3), pages(5, 6), pages(999, 1000), pages(1003, 1004)];
            let map = Pagemap::open().unwrap();
            assert_eq!(all(&pages(0, 1016), |left| read(&map.file, left)), expected);
            assert_eq!(all(&pages(0, 1016), |left| map.first(left)), expected);
            assert_eq!((read(&map.file, pages(6, 999)), map.first(pages(6, 999))), (Ok(None), Ok(None)));
            assert_eq!((read(&map.file, pages(2, 9)), map.first(pages(2, 9))), (Ok(Some(pages(2, 3))), Ok(Some(pages(2, 3)))));
            let part = pages(2, 3).start + 8..pages(2, 3).end - 8;
            assert_eq!(map.first(part.clone()), Ok(Some(part)));

            // A page that was only read: the file's, or one of zeros, which the old way does not tell from one that was written.
            region.as_volatile_slice().read_slice(&mut [9], 11 * page as usize).unwrap();
            if scan(&map.file, pages(0, 1)).is_ok() {
                assert_eq!(all(&pages(0, 1016), |left| scan(&map.file, left)), expected);
            }
            if !is_file {
                expected.insert(2, pages(11, 12));
            }
            map.scans.store(false, Ordering::Relaxed);
            assert_eq!(all(&pages(0, 1016), |left| map.first(left)), expected);
        }
    }

    /// A file that is no page map: nobody takes its silence for an answer.
    #[test]
    fn what_tells_nothing_is_not_used() {
        let page = mapping::page_size();
        let region = mapping::map_anonymous(page as usize).unwrap();
        let fresh = || region.as_ptr() as u64..region.as_ptr() as u64 + page;
        let silent = Pagemap { file: File::open("/dev/null").unwrap(), scans: AtomicBool::new(true), overcommits: true };
        assert_eq!((silent.first(fresh()), silent.is_for(fresh())), (Err(Errno::EIO), false));
        let map = Pagemap::open().unwrap();
        assert_eq!(map.is_for(fresh()), map.overcommits);
        assert!(!Pagemap { overcommits: false, ..map }.is_for(fresh()));
    }
}
