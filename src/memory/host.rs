//! Copies out of and into memory that this process has mapped, and that may be inaccessible: the kernel does it, and says so.
//!
//! Source: process_vm_readv(2), process_vm_writev(2); pipe(7), `PIPE_BUF`.
//!
//! Rule: memory that is mapped and cannot be accessed (`PROT_NONE`, a file that has become shorter) is an answer, and no signal. Where the
//! system call for it cannot be had (a kernel without it, a filter of this thread that answers with an error), a pipe does, which is slower.
//! Nothing is remembered: another thread may have another filter. Where there is neither way, nobody can tell what is there, and that is said.

#![expect(unsafe_code, reason = "system calls that std has no function for")]

use super::MemoryError;
use crate::Errno;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd;
use vm_memory::VolatileSlice;
use vm_memory::bitmap::BitmapSlice;

/// Bytes that a pipe takes at once, whatever its size: `PIPE_BUF`.
const PIPE_BYTES: usize = 4096;

/// Fills `bytes` from `memory`, which is as long. Memory of a device (`VM_PFNMAP`) is accessible through a pipe alone.
pub(crate) fn read<B: BitmapSlice>(memory: &VolatileSlice<'_, B>, bytes: &mut [u8]) -> Result<(), MemoryError> {
    if memory.len() != bytes.len() {
        return Err(MemoryError::NotMemory);
    }
    let guard = memory.ptr_guard();
    let own = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let other = libc::iovec { iov_base: guard.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // Of this thread, not of the process: its first thread may have ended.
    // SAFETY: takes no memory and gives a number.
    let thread = unsafe { libc::gettid() };
    // SAFETY: the kernel writes at most `bytes.len()` bytes to `bytes`, which is borrowed mutably; it reads `other`, and answers
    // `EFAULT` where that is not accessible. What the guest changes meanwhile is no business of the compiler's.
    let copied = unsafe { libc::process_vm_readv(thread, &raw const own, 1, &raw const other, 1, 0) };
    match outcome(copied, bytes.len()) {
        Err(MemoryError::Failed(_)) => through_pipe(memory, bytes),
        done => done,
    }
}

/// Fills `memory` from `bytes`, which are as many. If that fails, some of it may be written.
#[cfg(any(test, feature = "shadow"))]
pub(crate) fn write<B: BitmapSlice>(memory: &VolatileSlice<'_, B>, bytes: &[u8]) -> Result<(), MemoryError> {
    if memory.len() != bytes.len() {
        return Err(MemoryError::NotMemory);
    }
    let guard = memory.ptr_guard_mut();
    let own = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let other = libc::iovec { iov_base: guard.as_ptr().cast(), iov_len: bytes.len() };
    // Of this thread, not of the process: its first thread may have ended.
    // SAFETY: takes no memory and gives a number.
    let thread = unsafe { libc::gettid() };
    // SAFETY: the kernel reads at most `bytes.len()` bytes of `bytes`; it writes to `other`, which is memory that anybody may change at
    // any time, and no object of Rust's, and answers `EFAULT` where that is not accessible.
    let copied = unsafe { libc::process_vm_writev(thread, &raw const own, 1, &raw const other, 1, 0) };
    match outcome(copied, bytes.len()) {
        Err(MemoryError::Failed(_)) => into_through_pipe(memory, bytes),
        done => done,
    }
}

/// What came of a copy of so many bytes, just after the system call.
fn outcome(copied: libc::ssize_t, length: usize) -> Result<(), MemoryError> {
    match usize::try_from(copied) {
        Ok(copied) if copied == length => Ok(()),
        // Up to what is not accessible.
        Ok(_) => Err(MemoryError::NotMemory),
        Err(_) => Err(failure(&io::Error::last_os_error())),
    }
}

fn failure(error: &io::Error) -> MemoryError {
    match error.raw_os_error() {
        Some(libc::EFAULT) => MemoryError::NotMemory,
        number => MemoryError::Failed(number.map_or(Errno::EIO, Errno::from_raw)),
    }
}

/// As [`read`]: write(2) answers `EFAULT`, too.
fn through_pipe<B: BitmapSlice>(memory: &VolatileSlice<'_, B>, bytes: &mut [u8]) -> Result<(), MemoryError> {
    // One for each call: two threads, or a process and its child, must not share one.
    let (mut from, to) = io::pipe().map_err(|error| failure(&error))?;
    let guard = memory.ptr_guard();
    let mut address = guard.as_ptr();
    for part in bytes.chunks_mut(PIPE_BYTES) {
        // SAFETY: the kernel reads `part.len()` bytes of `memory`, of which `part` is a part by length and place, and answers `EFAULT` where
        // that is not accessible. The pipe is empty, so that this does not wait.
        let written = unsafe { libc::write(to.as_raw_fd(), address.cast(), part.len()) };
        outcome(written, part.len())?;
        from.read_exact(part).map_err(|error| failure(&error))?;
        address = address.wrapping_add(part.len());
    }
    Ok(())
}

/// As [`write`]: read(2) answers `EFAULT`, too.
#[cfg(any(test, feature = "shadow"))]
fn into_through_pipe<B: BitmapSlice>(memory: &VolatileSlice<'_, B>, bytes: &[u8]) -> Result<(), MemoryError> {
    use std::io::Write as _;
    let (from, mut to) = io::pipe().map_err(|error| failure(&error))?;
    let guard = memory.ptr_guard_mut();
    let mut address = guard.as_ptr();
    for part in bytes.chunks(PIPE_BYTES) {
        to.write_all(part).map_err(|error| failure(&error))?;
        // SAFETY: the kernel writes at most `part.len()` bytes to `memory`, of which they are a part by length and place: memory that anybody
        // may change at any time, and no object of Rust's. It answers `EFAULT` where that is not accessible.
        let read = unsafe { libc::read(from.as_raw_fd(), address.cast(), part.len()) };
        outcome(read, part.len())?;
        address = address.wrapping_add(part.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::{MmapRegion, VolatileMemory};

    const PAGE: usize = 4096;
    const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

    type Region = MmapRegion<()>;

    fn accessible() -> Region {
        let region = Region::build(None, 4 * PAGE, libc::PROT_READ | libc::PROT_WRITE, PRIVATE).unwrap();
        let bytes: Vec<u8> = (0..4 * PAGE).map(|n| (n * 7 + n / 251) as u8).collect();
        assert_eq!(write(&region.as_volatile_slice(), &bytes), Ok(()));
        region
    }

    /// A file of one page, of which four are mapped.
    fn short() -> Region {
        let path = std::env::temp_dir().join(format!("vgic-state-short-{}-{:p}", std::process::id(), &PAGE));
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.set_len(4 * PAGE as u64).unwrap();
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let region =
            Region::build(Some(vm_memory::FileOffset::new(file.try_clone().unwrap(), 0)), 4 * PAGE, prot, libc::MAP_SHARED);
        file.set_len(PAGE as u64).unwrap();
        region.unwrap()
    }

    fn part(region: &Region, offset: usize, length: usize) -> VolatileSlice<'_, ()> {
        region.as_volatile_slice().subslice(offset, length).unwrap()
    }

    /// By the system call for it, and without.
    #[test]
    fn what_is_not_accessible_is_no_signal() {
        let none = Region::build(None, 4 * PAGE, libc::PROT_NONE, PRIVATE).unwrap();
        let (whole, short) = (accessible(), short());
        let mut bytes = vec![0; 3 * PAGE];
        type Read = fn(&VolatileSlice<'_, ()>, &mut [u8]) -> Result<(), MemoryError>;
        type Write = fn(&VolatileSlice<'_, ()>, &[u8]) -> Result<(), MemoryError>;
        const NOT_MEMORY: Result<(), MemoryError> = Err(MemoryError::NotMemory);
        let ways: [(Read, Write); 2] = [(read, write), (through_pipe, into_through_pipe)];
        for (read, write) in ways {
            for (offset, length) in [(0, 1), (5, 8), (PAGE - 3, 7), (PAGE, 3 * PAGE), (17, PAGE), (4 * PAGE, 0)] {
                assert_eq!(read(&part(&whole, offset, length), &mut bytes[..length]), Ok(()));
                assert!((offset..).zip(&bytes[..length]).all(|(n, byte)| *byte == (n * 7 + n / 251) as u8));
                let expected = if length == 0 { Ok(()) } else { NOT_MEMORY };
                assert_eq!(read(&part(&none, offset, length), &mut bytes[..length]), expected);
                assert_eq!(write(&part(&none, offset, length), &bytes[..length]), expected);
            }
            assert_eq!(read(&part(&short, 8, 16), &mut bytes[..16]), Ok(()));
            assert_eq!(write(&part(&short, 8, 16), &bytes[..16]), Ok(()));
            assert_eq!(read(&part(&short, PAGE - 8, 16), &mut bytes[..16]), NOT_MEMORY, "some of it");
            assert_eq!(read(&part(&short, 2 * PAGE, 16), &mut bytes[..16]), NOT_MEMORY);
            assert_eq!(write(&part(&short, 2 * PAGE, 16), &bytes[..16]), NOT_MEMORY);
        }
    }

    /// Memory of a device is no memory of a guest: of such, every process has some of the kernel's.
    #[test]
    fn memory_that_has_no_pages_is_not_accessible() {
        let mappings = std::fs::read_to_string("/proc/self/maps").unwrap();
        // An emulator of a kernel may have none.
        let Some(mapping) = mappings.lines().find(|line| line.ends_with("[vvar]")) else { return };
        let start = usize::from_str_radix(mapping.split('-').next().unwrap(), 16).unwrap();
        // SAFETY: mapped as long as the process lives, and a page long at least; the kernel writes there whenever it likes, and nobody here.
        let memory = unsafe { VolatileSlice::new(start as *mut u8, 8) };
        assert_eq!(read(&memory, &mut [0; 8]), Err(MemoryError::NotMemory));
    }

    #[test]
    fn lengths_that_differ_are_not_copied() {
        let region = accessible();
        assert_eq!(read(&part(&region, 0, 8), &mut [0; 9]), Err(MemoryError::NotMemory));
        assert_eq!(write(&part(&region, 0, 8), &[0; 7]), Err(MemoryError::NotMemory));
    }
}
