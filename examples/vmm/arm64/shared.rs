//! Memory that stays when one VMM ends and the next one begins: files without a name, whose descriptors are inherited.
//!
//! Source: memfd_create(2), fcntl(2), mmap(2), sysconf(3), proc(5) `/proc/PID/fd`.
//!
//! Rule: a VMM touches what is in there only while it owns the guest; that it does so any more it says over the socket.

#![expect(unsafe_code, reason = "system calls that std has no function for")]

use super::Result;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use vm_memory::{FileOffset, MmapRegion};

/// A file without a name that a child process inherits under the same number.
pub(super) fn create(bytes: usize) -> Result<File> {
    // SAFETY: the name is a C string. Without MFD_CLOEXEC, the descriptor is inherited.
    let fd = unsafe { libc::memfd_create(c"vmm".as_ptr(), 0) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.set_len(bytes as u64)?;
    Ok(file)
}

/// Bytes of a page of this host, in which the dirty log counts.
pub(super) fn page_bytes() -> Result<u64> {
    // SAFETY: tells a number, and touches nothing.
    Ok(u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) })?)
}

/// The file behind an inherited descriptor.
pub(super) fn open(fd: RawFd) -> Result<File> {
    Ok(File::options().read(true).write(true).open(format!("/proc/self/fd/{fd}"))?)
}

/// Memory for an image.
pub(super) struct SharedArea(MmapRegion<()>);

impl SharedArea {
    pub(super) fn map(fd: RawFd) -> Result<Self> {
        let file = open(fd)?;
        let length = usize::try_from(file.metadata()?.len())?;
        Ok(SharedArea(MmapRegion::from_file(FileOffset::new(file, 0), length)?))
    }

    /// The memory, as a buffer.
    ///
    /// # Safety
    ///
    /// While the slice exists, no other process that has the file touches what is in it, or makes the file shorter.
    pub(super) unsafe fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped, readable and writable, as long as `self` is borrowed; any byte is a `u8`. In this process nothing else
        // has the address, since `self` is borrowed mutably and gives it to nobody; for other processes, the caller has promised.
        unsafe { core::slice::from_raw_parts_mut(self.0.as_ptr(), self.0.size()) }
    }
}

/// The number under which a child process finds a file.
pub(super) fn number(file: &File) -> RawFd {
    file.as_raw_fd()
}
