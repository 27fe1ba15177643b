//! Copies out of and into memory that this process has mapped, and that may be inaccessible: the kernel does it, and says so.
//!
//! Source: process_vm_readv(2), process_vm_writev(2); pipe(7), `PIPE_BUF`.
//!
//! Rule: memory that is mapped and cannot be accessed (`PROT_NONE`, a file that has become shorter) is an answer, and no signal. Where the
//! system call for it cannot be had (a kernel without it, a filter of this thread that answers with an error), a pipe does, which is slower.
//! Nothing is remembered: another thread may have another filter.

#![expect(unsafe_code, reason = "system calls that std has no function for")]

use std::io::Read as _;
use std::os::fd::AsRawFd;
use vm_memory::VolatileSlice;
use vm_memory::bitmap::BitmapSlice;

/// Bytes that a pipe takes at once, whatever its size: `PIPE_BUF`.
const PIPE_BYTES: usize = 4096;

/// Fills `bytes` from `memory`, which is as long; false if that is not accessible.
pub(crate) fn read<B: BitmapSlice>(memory: &VolatileSlice<'_, B>, bytes: &mut [u8]) -> bool {
    if memory.len() != bytes.len() {
        return false;
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
    if let Some(done) = outcome(copied, bytes.len()) {
        return done;
    }
    through_pipe(memory, bytes)
}

/// Fills `memory` from `bytes`, which are as many; false if that is not accessible: some of it may be written.
#[cfg(any(test, feature = "shadow"))]
pub(crate) fn write<B: BitmapSlice>(memory: &VolatileSlice<'_, B>, bytes: &[u8]) -> bool {
    if memory.len() != bytes.len() {
        return false;
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
    if let Some(done) = outcome(copied, bytes.len()) {
        return done;
    }
    into_through_pipe(memory, bytes)
}

/// Whether all was copied; `None` if the system call cannot be had.
fn outcome(copied: libc::ssize_t, length: usize) -> Option<bool> {
    if copied < 0 && std::io::Error::last_os_error().raw_os_error() != Some(libc::EFAULT) {
        return None;
    }
    Some(usize::try_from(copied) == Ok(length))
}

/// As [`read`]: write(2) answers `EFAULT`, too.
fn through_pipe<B: BitmapSlice>(memory: &VolatileSlice<'_, B>, bytes: &mut [u8]) -> bool {
    // One for each call: two threads, or a process and its child, must not share one.
    let Ok((mut from, to)) = std::io::pipe() else { return bytes.is_empty() };
    let guard = memory.ptr_guard();
    let mut address = guard.as_ptr();
    for part in bytes.chunks_mut(PIPE_BYTES) {
        // SAFETY: the kernel reads `part.len()` bytes of `memory`, of which `part` is a part by length and place, and answers `EFAULT` where
        // that is not accessible. The pipe is empty, so that this does not wait.
        let written = unsafe { libc::write(to.as_raw_fd(), address.cast(), part.len()) };
        if usize::try_from(written) != Ok(part.len()) || from.read_exact(part).is_err() {
            return false;
        }
        address = address.wrapping_add(part.len());
    }
    true
}

/// As [`write`]: read(2) answers `EFAULT`, too.
#[cfg(any(test, feature = "shadow"))]
fn into_through_pipe<B: BitmapSlice>(memory: &VolatileSlice<'_, B>, bytes: &[u8]) -> bool {
    use std::io::Write as _;
    let Ok((from, mut to)) = std::io::pipe() else { return bytes.is_empty() };
    let guard = memory.ptr_guard_mut();
    let mut address = guard.as_ptr();
    for part in bytes.chunks(PIPE_BYTES) {
        if to.write_all(part).is_err() {
            return false;
        }
        // SAFETY: the kernel writes at most `part.len()` bytes to `memory`, of which they are a part by length and place: memory that anybody
        // may change at any time, and no object of Rust's. It answers `EFAULT` where that is not accessible.
        let read = unsafe { libc::read(from.as_raw_fd(), address.cast(), part.len()) };
        if usize::try_from(read) != Ok(part.len()) {
            return false;
        }
        address = address.wrapping_add(part.len());
    }
    true
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
        assert!(write(&region.as_volatile_slice(), &bytes));
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
        type Read = fn(&VolatileSlice<'_, ()>, &mut [u8]) -> bool;
        type Write = fn(&VolatileSlice<'_, ()>, &[u8]) -> bool;
        let ways: [(Read, Write); 2] = [(read, write), (through_pipe, into_through_pipe)];
        for (read, write) in ways {
            for (offset, length) in [(0, 1), (5, 8), (PAGE - 3, 7), (PAGE, 3 * PAGE), (17, PAGE), (4 * PAGE, 0)] {
                assert!(read(&part(&whole, offset, length), &mut bytes[..length]));
                assert!((offset..).zip(&bytes[..length]).all(|(n, byte)| *byte == (n * 7 + n / 251) as u8));
                assert!(length == 0 || !read(&part(&none, offset, length), &mut bytes[..length]));
                assert!(length == 0 || !write(&part(&none, offset, length), &bytes[..length]));
            }
            assert!(read(&part(&short, 8, 16), &mut bytes[..16]) && write(&part(&short, 8, 16), &bytes[..16]));
            assert!(!read(&part(&short, PAGE - 8, 16), &mut bytes[..16]), "some of it");
            assert!(!read(&part(&short, 2 * PAGE, 16), &mut bytes[..16]) && !write(&part(&short, 2 * PAGE, 16), &bytes[..16]));
        }
    }

    #[test]
    fn lengths_that_differ_are_not_copied() {
        let region = accessible();
        assert!(!read(&part(&region, 0, 8), &mut [0; 9]) && !write(&part(&region, 0, 8), &[0; 7]));
    }
}
