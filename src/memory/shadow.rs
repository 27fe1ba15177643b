//! Shadow memory as a contract: what a backend asks of memory whose slots can be diverted.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_SET_USER_MEMORY_REGION`, `KVM_GET_DIRTY_LOG`.
//!
//! Rule: the guest's memory is back in its slots when the work is done, whatever happened to the work.

use super::{GuestMemoryRead, GuestRange, MemoryError, ShadowError};
use crate::Errno;

/// Guest memory whose slots can be diverted to shadow memory and back.
pub trait Divert {
    /// Does some work while the kernel sees shadow memory in place of guest memory.
    ///
    /// The shadow has memory wherever the guest has memory that can be written, and `extra` bytes (rounded up to 64 KiB) at addresses
    /// where the guest has none. No vCPU may run. The guest's memory is back when this returns, and when the work panics. What comes of
    /// the work, the work keeps for itself.
    ///
    /// # Errors
    ///
    /// [`ShadowError`]: memory could not be diverted, and the work was not done; or it was done, and memory could not be put back. The
    /// error says which.
    fn divert(&mut self, extra: u64, work: &mut dyn FnMut(&mut dyn ShadowMemory)) -> Result<(), ShadowError>;
}

/// Shadow memory, by guest physical address.
pub trait ShadowMemory: GuestMemoryRead {
    /// Writes bytes.
    ///
    /// # Errors
    ///
    /// [`MemoryError`], as of a read; some of it may be written.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), MemoryError>;

    /// Makes a range read as zeros; false if not all of it is memory, or if it is more than the shadow can hold.
    ///
    /// # Errors
    ///
    /// [`Errno`]: as [`MemoryError::Failed`].
    fn clear(&mut self, range: GuestRange) -> Result<bool, Errno>;

    /// The first part of a range that may hold something else than zeros; `None` if there is nothing but zeros, or no memory. Unless
    /// the shadow [is zeroed](ShadowMemory::is_zeroed), that is all memory.
    fn data(&self, within: GuestRange) -> Option<GuestRange>;

    /// Whether everything that nobody wrote reads as zero. Otherwise it reads as the guest's memory.
    fn is_zeroed(&self) -> bool;

    /// The extra memory: 64 KiB aligned, zeros; empty if none was asked for. Bytes between a slot and extra memory behind it may be
    /// memory, too.
    fn extra(&self) -> GuestRange;
}
