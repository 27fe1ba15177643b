//! Guest memory, as far as this crate looks into it: to find where KVM keeps a guest's interrupt tables; and the contract of shadow
//! memory, which stands in for it while KVM runs a table command.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_SET_USER_MEMORY_REGION`.
//!
//! Rule: reads only, and never believes an address: what is not there is an error of the reader, not a panic. What writes goes to
//! shadow memory.

mod error;
#[cfg(all(feature = "vm-memory", target_os = "linux"))]
pub(crate) mod host;
#[cfg(feature = "vm-memory")]
mod regions;
mod shadow;

pub use error::{MemoryError, ShadowError, ShadowStep};
pub use shadow::{Divert, ShadowMemory};

use alloc::vec::Vec;
use core::fmt;

/// Bytes of guest physical address space, `start` included and `end` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestRange {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
}

impl GuestRange {
    /// `length` bytes from `start`, as far as the address space goes.
    #[must_use]
    pub const fn new(start: u64, length: u64) -> Self {
        GuestRange { start, end: start.saturating_add(length) }
    }
}

impl fmt::Display for GuestRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} to {:#x}", self.start, self.end)
    }
}

/// Sorts ranges and joins those that touch.
pub(crate) fn join(mut ranges: Vec<GuestRange>) -> Vec<GuestRange> {
    ranges.retain(|range| range.start < range.end);
    ranges.sort_unstable();
    ranges.dedup_by(|next, joined| {
        let touches = next.start <= joined.end;
        if touches {
            joined.end = joined.end.max(next.end);
        }
        touches
    });
    ranges
}

/// The first byte of a range that is in none of some ranges that were [joined](join).
pub(crate) fn first_outside(range: GuestRange, joined: &[GuestRange]) -> Option<u64> {
    let before = joined.partition_point(|one| one.start <= range.start);
    let end = before.checked_sub(1).and_then(|at| joined.get(at)).map_or(range.start, |one| one.end.max(range.start));
    (end < range.end).then_some(end)
}

/// Reads guest memory. Implemented for vm-memory's guest memory with the feature `vm-memory`.
///
/// # Contract
///
/// **Addresses are hostile**: they come out of registers and tables that a guest, or whoever made an image, has written. Any address and
/// length may be asked for: where no memory is, behind the last address, across the end of a region.
///
/// **Memory that is mapped may be inaccessible**: unplugged or ballooned memory that is mapped `PROT_NONE`, a file that has become shorter.
/// A plain load there ends the process with `SIGSEGV` or `SIGBUS`. Copy in a way that reports it, and answer
/// [`NotMemory`](MemoryError::NotMemory): for vm-memory's guest memory, this crate has the kernel copy (`process_vm_readv` of the thread
/// itself, which answers `EFAULT`; a pipe where that is refused).
///
/// **Memory of a device that is mapped in a slot** (`VM_PFNMAP`: a BAR that is passed through) is no memory to this crate either: a read
/// there may have an effect, and `process_vm_readv` answers `EFAULT`. A guest that puts a table there can be neither saved nor restored
/// with it. (Through the pipe it is read, as KVM reads it.)
///
/// **Three answers**: it is memory, it is not, or nobody can tell. Where the means of reading are missing (no descriptors for the pipe:
/// `docs/seccomp.md`), that is [`Failed`](MemoryError::Failed), and never taken for memory that is not there: a flush says that it cannot
/// read before the kernel is given a command, and counts all memory as written if it finds out later; a judgement has a finding
/// (`table-not-read`); a forwarder of commands stops, or refuses the command; everything else is an error.
///
/// Reads are many and small, some of 8 bytes, most of up to 4 KiB.
pub trait GuestMemoryRead {
    /// Fills `bytes` from guest physical address `address`.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NotMemory`]: not all of it is memory that can be accessed. [`MemoryError::Failed`]: nobody can tell. What `bytes`
    /// holds then means nothing.
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError>;

    /// All memory there is, in any order; `None` if that is not known.
    fn ranges(&self) -> Option<Vec<GuestRange>> {
        None
    }

    /// Whether the kernel's accesses to this memory can be diverted to shadow memory.
    fn diverts(&self) -> bool {
        false
    }

    /// Where they can be diverted: the memory of the writable slots, in any order; `None` if that is not known. What is elsewhere, the
    /// kernel writes in guest memory. Asked before memory is diverted.
    fn diverted(&self) -> Option<Vec<GuestRange>> {
        None
    }

    /// How they are diverted; `None` if they cannot be.
    fn divert(&mut self) -> Option<&mut dyn Divert> {
        None
    }
}

impl<M: GuestMemoryRead + ?Sized> GuestMemoryRead for &M {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        (**self).read(address, bytes)
    }

    fn ranges(&self) -> Option<Vec<GuestRange>> {
        (**self).ranges()
    }
}

impl<M: GuestMemoryRead + ?Sized> GuestMemoryRead for &mut M {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        (**self).read(address, bytes)
    }

    fn ranges(&self) -> Option<Vec<GuestRange>> {
        (**self).ranges()
    }

    fn diverts(&self) -> bool {
        (**self).diverts()
    }

    fn diverted(&self) -> Option<Vec<GuestRange>> {
        (**self).diverted()
    }

    fn divert(&mut self) -> Option<&mut dyn Divert> {
        (**self).divert()
    }
}

impl<M: GuestMemoryRead + ?Sized> GuestMemoryRead for alloc::sync::Arc<M> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        (**self).read(address, bytes)
    }

    fn ranges(&self) -> Option<Vec<GuestRange>> {
        (**self).ranges()
    }
}

/// No guest memory: for a VM whose controller keeps nothing there (a GICv3 without ITS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoGuestMemory;

impl GuestMemoryRead for NoGuestMemory {
    fn read(&self, _: u64, _: &mut [u8]) -> Result<(), MemoryError> {
        Err(MemoryError::NotMemory)
    }

    fn ranges(&self) -> Option<Vec<GuestRange>> {
        Some(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one() {
        let range = |start, end| GuestRange { start, end };
        let ranges = [range(8, 9), range(0, 2), range(2, 4), range(3, 5), range(7, 7), range(6, 8), range(20, 30), range(21, 22)];
        assert_eq!(join(ranges.into()), [range(0, 5), range(6, 9), range(20, 30)]);
        assert_eq!(GuestRange::new(u64::MAX - 1, 9).end, u64::MAX);
        for (start, end, outside) in
            [(0, 5, None), (0, 6, Some(5)), (5, 6, Some(5)), (4, 9, Some(5)), (9, 9, None), (25, 31, Some(30))]
        {
            assert_eq!(first_outside(range(start, end), &[range(0, 5), range(6, 9), range(20, 30)]), outside, "{start} to {end}");
        }
    }
}
