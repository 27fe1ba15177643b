//! The memory slots of a VM, which the VMM owns, as a shadow needs them.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_SET_USER_MEMORY_REGION`, `KVM_GET_DIRTY_LOG`.
//!
//! Rule: a slot is named by its number; what its own memory is, only the VMM knows.

use crate::{Errno, GuestRange};
use std::fs::File;
use std::sync::Arc;
use vm_memory::bitmap::Bitmap;
use vm_memory::{GuestAddress, GuestRegionMmap, MmapRegion};

/// A memory slot that a VM has.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Memslot {
    /// `kvm_userspace_memory_region.slot`.
    pub slot: u32,
    /// `kvm_userspace_memory_region.flags`, as they are now.
    pub flags: u32,
    /// Guest physical addresses.
    pub range: GuestRange,
    /// What its memory is.
    pub backing: Backing,
}

impl Memslot {
    /// A slot.
    #[must_use]
    pub const fn new(slot: u32, flags: u32, range: GuestRange, backing: Backing) -> Self {
        Memslot { slot, flags, range, backing }
    }
}

/// What the memory of a slot is. Only a copy-on-write shadow asks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Backing {
    /// Anonymous memory, or a mapping of which nothing is known.
    Anonymous,
    /// A shared mapping of a file: what the guest sees is what is in the file.
    SharedFile {
        /// The file.
        file: Arc<File>,
        /// Where in the file the slot begins, in bytes.
        offset: u64,
    },
    /// A private mapping of a file: what the guest wrote is not in the file.
    PrivateFile,
}

impl Backing {
    /// What a mapping of vm-memory is, by its flags and its file.
    #[must_use]
    pub fn of<B: Bitmap>(mapping: &MmapRegion<B>) -> Self {
        match (mapping.file_offset(), mapping.flags() & libc::MAP_TYPE) {
            (None, _) => Backing::Anonymous,
            (Some(at), libc::MAP_SHARED | libc::MAP_SHARED_VALIDATE) => {
                Backing::SharedFile { file: Arc::clone(at.arc()), offset: at.start() }
            }
            (Some(_), _) => Backing::PrivateFile,
        }
    }
}

/// The memory slots of a VM.
///
/// A VMM implements it over its own bookkeeping; `VmMemslots` (feature `kvm`) is one over a plain VM.
///
/// # Contract
///
/// - The list has every slot through which KVM could write a table. Read-only slots may be left out: they stay as they are, and a table
///   there fails as it does in a plain save.
/// - A method that returns `Ok` has done what it says; one that returns an error has changed nothing.
/// - Nothing else changes slots while a [`ShadowWindow`](super::ShadowWindow) exists, and no vCPU runs.
///
/// # Memory safety
///
/// The window keeps shadow memory mapped until the slot has its own memory back, and never unmaps it if that fails. A SAFETY comment of an
/// implementation should rely on the following instead, since it depends on no caller: only a window makes a [`ShadowRegion`], and its
/// memory is mapped as long as a clone of [`ShadowRegion::region`] exists. An implementation that gives [`ShadowRegion::host_address`] to
/// the kernel keeps such a clone until the slot has been deleted. If the slot cannot be deleted, it leaks the clone.
pub trait Memslots {
    /// The slots, in any order.
    fn list(&self) -> Vec<Memslot>;

    /// Deletes a slot: `KVM_SET_USER_MEMORY_REGION` with a size of 0.
    ///
    /// # Errors
    ///
    /// What the kernel says; the slot is as it was.
    fn delete(&mut self, slot: u32) -> Result<(), Errno>;

    /// Creates a slot that has been deleted again, over shadow memory, without flags: at [`ShadowRegion::range`], which begins where
    /// the slot began and may be longer than it was.
    ///
    /// # Errors
    ///
    /// What the kernel says; the slot does not exist. `EEXIST`, `EINVAL`, `EFAULT` for a longer one: there is no room for it.
    fn create_over_shadow(&mut self, slot: u32, shadow: &ShadowRegion) -> Result<(), Errno>;

    /// Creates a slot that has been deleted again, as it was listed: over the guest's own memory, with its flags.
    ///
    /// # Errors
    ///
    /// What the kernel says; the slot does not exist.
    fn create_over_guest(&mut self, slot: u32) -> Result<(), Errno>;

    /// Fetches the dirty log of a slot with `KVM_MEM_LOG_DIRTY_PAGES`, one bit per page of the host: the kernel forgets it with the
    /// slot. `None` if the VMM does not use bitmaps (a dirty ring is not lost).
    ///
    /// # Errors
    ///
    /// What the kernel says.
    fn dirty_log(&mut self, slot: u32) -> Result<Option<Vec<u64>>, Errno>;

    /// Takes back what [`Memslots::dirty_log`] fetched, to be part of the next log that the VMM looks at. Called once the slot has its
    /// own memory back, or could not get it.
    fn merge_dirty_log(&mut self, slot: u32, bitmap: Vec<u64>);
}

impl<S: Memslots + ?Sized> Memslots for &mut S {
    fn list(&self) -> Vec<Memslot> {
        (**self).list()
    }

    fn delete(&mut self, slot: u32) -> Result<(), Errno> {
        (**self).delete(slot)
    }

    fn create_over_shadow(&mut self, slot: u32, shadow: &ShadowRegion) -> Result<(), Errno> {
        (**self).create_over_shadow(slot, shadow)
    }

    fn create_over_guest(&mut self, slot: u32) -> Result<(), Errno> {
        (**self).create_over_guest(slot)
    }

    fn dirty_log(&mut self, slot: u32) -> Result<Option<Vec<u64>>, Errno> {
        (**self).dirty_log(slot)
    }

    fn merge_dirty_log(&mut self, slot: u32, bitmap: Vec<u64>) {
        (**self).merge_dirty_log(slot, bitmap);
    }
}

/// Shadow memory of one slot. Only a window makes one.
#[derive(Debug)]
pub struct ShadowRegion {
    region: Arc<GuestRegionMmap<()>>,
}

impl ShadowRegion {
    /// `None` if it would leave the address space.
    pub(super) fn new(mapping: MmapRegion<()>, start: u64) -> Option<Self> {
        let region = Arc::new(GuestRegionMmap::new(mapping, GuestAddress(start))?);
        Some(ShadowRegion { region })
    }

    /// `kvm_userspace_memory_region.userspace_addr`.
    #[must_use]
    pub fn host_address(&self) -> u64 {
        self.region.as_ptr() as u64
    }

    /// `kvm_userspace_memory_region.memory_size`, in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> u64 {
        self.region.size() as u64
    }

    /// The guest physical addresses.
    #[must_use]
    pub fn range(&self) -> GuestRange {
        use vm_memory::GuestMemoryRegion;
        GuestRange::new(self.region.start_addr().0, self.len())
    }

    /// The memory: mapped as long as there is a clone of this.
    #[must_use]
    pub fn region(&self) -> &Arc<GuestRegionMmap<()>> {
        &self.region
    }
}
