//! The system calls of shadow memory.
//!
//! Source: memfd_create(2), mmap(2), madvise(2), lseek(2), fstatfs(2), getrlimit(2).
//!
//! Rule: memory is mapped where the kernel chooses, or inside of what this module has just mapped; the owner is always a
//! [`MmapRegion`].

#![expect(unsafe_code, reason = "system calls that std has no function for")]

use crate::Errno;
use core::mem::MaybeUninit;
use core::ops::Range;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use vm_memory::mmap::MmapRegionError;
use vm_memory::{FileOffset, MmapRegion};

const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

pub(super) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

pub(super) fn last_errno() -> Errno {
    errno(&io::Error::last_os_error())
}

/// In bytes.
pub(super) fn page_size() -> u64 {
    // SAFETY: takes a number and gives one.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

/// A sparse file without a name, of `length` zeros.
pub(super) fn zeros(length: u64) -> Result<File, Errno> {
    // Beyond the limit, ftruncate would end the process by SIGXFSZ.
    if length > file_size_limit()? {
        return Err(Errno::from_raw(libc::EFBIG));
    }
    let file = memfd(libc::MFD_CLOEXEC | libc::MFD_NOEXEC_SEAL).or_else(|errno| match errno {
        // before Linux 6.3
        Errno::EINVAL => memfd(libc::MFD_CLOEXEC),
        errno => Err(errno),
    })?;
    file.set_len(length).map_err(|error| errno(&error))?;
    Ok(file)
}

fn memfd(flags: libc::c_uint) -> Result<File, Errno> {
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"vgic-shadow".as_ptr(), flags) };
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

fn file_size_limit() -> Result<u64, Errno> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the kernel writes one `struct rlimit`.
    if unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, limit.as_mut_ptr()) } != 0 {
        return Err(last_errno());
    }
    // SAFETY: written, since the call succeeded.
    Ok(unsafe { limit.assume_init() }.rlim_cur)
}

/// Zeros that are nobody else's, in pages of the smallest size; a page that is only read takes no memory.
pub(super) fn map_anonymous(length: usize) -> Result<MmapRegion<()>, Errno> {
    map(None, length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS)
}

/// A file's first `length` bytes, in pages of the smallest size.
pub(super) fn map_shared(file: Arc<File>, length: usize) -> Result<MmapRegion<()>, Errno> {
    map(Some(FileOffset::from_arc(file, 0)), length, libc::MAP_SHARED)
}

/// Copy-on-write memory: `copied` bytes of a file from `offset`, and zeros behind, `length` bytes in all.
pub(super) fn map_private(file: Arc<File>, offset: u64, copied: usize, length: usize) -> Result<MmapRegion<()>, Errno> {
    if copied == length {
        return map(Some(FileOffset::from_arc(file, offset)), length, libc::MAP_PRIVATE);
    }
    let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let region = map_anonymous(length)?;
    if copied > region.size() {
        return Err(Errno::EINVAL);
    }
    let flags = libc::MAP_PRIVATE | libc::MAP_NORESERVE | libc::MAP_FIXED;
    // SAFETY: replaces the beginning of `region`, which this function owns and nobody else knows; it unmaps the whole of it later,
    // this part included.
    let address = unsafe { libc::mmap(region.as_ptr().cast(), copied, READ_WRITE, flags, file.as_raw_fd(), offset) };
    if address == libc::MAP_FAILED {
        let errno = last_errno();
        // The kernel may have unmapped the part already, and another thread may have memory there by now.
        core::mem::forget(region);
        return Err(errno);
    }
    small_pages(&region);
    Ok(region)
}

fn map(file: Option<FileOffset>, length: usize, flags: i32) -> Result<MmapRegion<()>, Errno> {
    let region = MmapRegion::build(file, length, READ_WRITE, flags | libc::MAP_NORESERVE).map_err(|error| match error {
        MmapRegionError::Mmap(error) => errno(&error),
        _ => Errno::EINVAL,
    })?;
    small_pages(&region);
    Ok(region)
}

/// A few bytes of KVM shall not cost 2 MiB. A kernel without huge pages answers `EINVAL`, and needs no advice.
fn small_pages(region: &MmapRegion<()>) {
    // SAFETY: changes how memory that `region` has mapped is backed, and nothing about what is in it.
    unsafe { libc::madvise(region.as_ptr().cast(), region.size(), libc::MADV_NOHUGEPAGE) };
}

/// Whether a file is of huge pages.
pub(super) fn is_hugetlbfs(file: &File) -> Result<bool, Errno> {
    const HUGETLBFS_MAGIC: u32 = 0x9584_58f6;
    let mut status = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the kernel writes one `struct statfs`.
    if unsafe { libc::fstatfs(file.as_raw_fd(), status.as_mut_ptr()) } != 0 {
        return Err(last_errno());
    }
    // SAFETY: written, since the call succeeded.
    Ok(unsafe { status.assume_init() }.f_type as u32 == HUGETLBFS_MAGIC)
}

/// The first part of a file within a range that is not a hole. Moves the file's position: for files of this module.
pub(super) fn first_data(file: &File, within: Range<u64>) -> Result<Option<Range<u64>>, Errno> {
    let start = match seek(file, within.start, libc::SEEK_DATA) {
        // only a hole up to the end of the file
        Err(Errno::ENXIO) => return Ok(None),
        start => start?,
    };
    if start >= within.end {
        return Ok(None);
    }
    let end = seek(file, start, libc::SEEK_HOLE)?.min(within.end);
    Ok(Some(start..end))
}

fn seek(file: &File, offset: u64, whence: i32) -> Result<u64, Errno> {
    let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EINVAL)?;
    // SAFETY: takes numbers and gives one.
    let position = unsafe { libc::lseek(file.as_raw_fd(), offset, whence) };
    u64::try_from(position).map_err(|_| last_errno())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `VmFlags` of the mapping that an address is in.
    fn flags(address: u64) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_in = false;
        for line in maps.lines() {
            let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
            if let Some((Ok(start), Ok(end))) =
                range.map(|(start, end)| (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16)))
            {
                is_in = (start..end).contains(&address);
            }
            if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_in) {
                return flags.to_owned();
            }
        }
        String::new()
    }

    #[test]
    fn no_huge_page_for_a_few_bytes() {
        if !std::fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() {
            return eprintln!("skipped: this kernel has no huge pages");
        }
        const LENGTH: usize = 8 << 20;
        let file = Arc::new(zeros(LENGTH as u64).unwrap());
        for region in [
            map_anonymous(LENGTH).unwrap(),
            map_shared(Arc::clone(&file), LENGTH).unwrap(),
            map_private(Arc::clone(&file), 0, LENGTH, LENGTH).unwrap(),
            map_private(file, 0, LENGTH / 2, LENGTH).unwrap(),
        ] {
            for offset in [0, LENGTH as u64 - 1] {
                let flags = flags(region.as_ptr() as u64 + offset);
                assert!(flags.split_whitespace().any(|flag| flag == "nh"), "{flags}");
            }
        }
    }
}
