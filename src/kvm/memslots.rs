//! The memory slots of a plain VM of KVM.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_SET_USER_MEMORY_REGION`, `KVM_GET_DIRTY_LOG`.
//!
//! Rule: memory that a slot is over stays mapped until the kernel has said that the slot is gone: by this module's own reference to
//! it, or by the promise of whoever named its address.

#![expect(unsafe_code, reason = "the kernel gets addresses of memory that it reads and writes as long as a slot exists")]

use crate::shadow::{Backing, Memslot, Memslots, ShadowRegion};
use crate::uapi::memory::KVM_MEM_LOG_DIRTY_PAGES;
use crate::{Errno, GuestRange};
use core::any::Any;
use core::fmt;
use core::ops::Deref;
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use std::rc::Rc;
use std::sync::Arc;
use vm_memory::bitmap::Bitmap;
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap};

/// A way to have a `VmFd`: always the same one, on which [`VmMemslots`] relies.
pub trait VmHandle: Deref<Target = VmFd> + sealed::Sealed {}

impl<V: Deref<Target = VmFd> + sealed::Sealed> VmHandle for V {}

mod sealed {
    use super::{Arc, Rc, VmFd};

    pub trait Sealed {}

    impl Sealed for &VmFd {}
    impl Sealed for Arc<VmFd> {}
    impl Sealed for Rc<VmFd> {}
    impl Sealed for Box<VmFd> {}
}

/// A slot over memory of this process.
#[derive(Clone, Debug)]
pub struct VmMemslot {
    /// What a shadow wants to know.
    pub memslot: Memslot,
    /// `kvm_userspace_memory_region.userspace_addr`.
    pub userspace_addr: u64,
}

/// The memory slots of a VM, for a VMM that has no bookkeeping of its own.
///
/// ```no_run
/// use kvm_ioctls::Kvm;
/// use vgic_state::kvm::VmMemslots;
/// use vgic_state::shadow::{ShadowKind, Shadowed};
/// use vm_memory::{GuestAddress, GuestMemoryMmap};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let vm = Kvm::new()?.create_vm()?;
///     let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0x4000_0000), 2 << 20)])?;
///     let slots = VmMemslots::from_memory(&vm, &memory, 0, 0)?;
///     // For a backend, in place of `memory`.
///     let _memory = Shadowed::new(memory, slots, ShadowKind::Zero);
///     Ok(())
/// }
/// ```
pub struct VmMemslots<V: VmHandle> {
    vm: V,
    slots: Vec<Slot>,
}

struct Slot {
    of_guest: VmMemslot,
    /// The guest's own memory, if nobody has promised that it stays.
    memory: Option<Box<dyn Any + Send + Sync>>,
    over: Over,
    /// What KVM has forgotten, until the VMM asks.
    log: Vec<u64>,
}

/// What the kernel's slot is over.
enum Over {
    Guest,
    Nothing,
    /// Mapped as long as this exists.
    Shadow(Arc<GuestRegionMmap<()>>),
}

impl<V: VmHandle> VmMemslots<V> {
    /// Slots that a VM has.
    ///
    /// # Safety
    ///
    /// The VM has these slots, and each is over as much memory as its range is long, at its address. The memory stays mapped as long
    /// as the VM has the slot; so it does when the slot has been deleted and created again.
    #[must_use]
    pub unsafe fn new(vm: V, slots: impl IntoIterator<Item = VmMemslot>) -> Self {
        let slot = |of_guest| Slot { of_guest, memory: None, over: Over::Guest, log: Vec::new() };
        VmMemslots { vm, slots: slots.into_iter().map(slot).collect() }
    }

    /// A slot for each region of guest memory, in the order of their addresses, numbered from `first_slot`. Those that the VMM has
    /// created itself with the same number, addresses and memory are taken over, with these flags; the others are created.
    ///
    /// The memory stays mapped for ever, unless the slots are deleted before this is dropped: the VM may live longer.
    /// [`VmMemslots::new`] is for a process that outlives its VMs.
    ///
    /// # Errors
    ///
    /// `EINVAL`: a slot of this number has other memory or another size; flags that the host does not have. `EEXIST`: another slot is
    /// at these addresses. `EFAULT`: beyond the guest's address space. Slots up to that one exist.
    pub fn from_memory<B>(vm: V, memory: &GuestMemoryMmap<B>, first_slot: u32, flags: u32) -> Result<Self, Errno>
    where
        B: Bitmap + Send + Sync + 'static,
    {
        let mut slots = VmMemslots { vm, slots: Vec::new() };
        for (region, number) in memory.iter().zip(first_slot..=u32::MAX) {
            let mapping = region.get_mmap();
            let range = GuestRange::new(region.start_addr().0, region.len());
            let memslot = Memslot::new(number, flags, range, Backing::of(&*mapping));
            let of_guest = VmMemslot { memslot, userspace_addr: mapping.as_ptr() as u64 };
            let mut slot = Slot { of_guest, memory: Some(Box::new(mapping)), over: Over::Nothing, log: Vec::new() };
            // SAFETY: `slot` has the mapping of this address and length, and gives it up only when the slot is deleted.
            unsafe { slot.set(&slots.vm, flags) }?;
            slot.over = Over::Guest;
            slots.slots.push(slot);
        }
        Ok(slots)
    }

    /// Changes the flags of a slot, to begin or end dirty logging; also to say that the VMM has done so itself.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no such slot, or flags that the host does not have or that cannot be changed.
    pub fn set_flags(&mut self, slot: u32, flags: u32) -> Result<(), Errno> {
        let (vm, slot) = self.find(slot)?;
        if !matches!(slot.over, Over::Guest) {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the slot is over this memory already.
        unsafe { slot.set(vm, flags) }?;
        slot.of_guest.memslot.flags = flags;
        if flags & KVM_MEM_LOG_DIRTY_PAGES == 0 {
            slot.log.clear();
        }
        Ok(())
    }

    /// `KVM_GET_DIRTY_LOG`, and what it had to give before the slot was diverted: one bit per page of the host.
    ///
    /// With `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`, `KVM_CLEAR_DIRTY_LOG` takes bits from the kernel's log alone, and so does what a
    /// diversion fetched: it is given out here once.
    ///
    /// # Errors
    ///
    /// `ENOENT`: the slot does not log. `EINVAL`: no such slot. `ENXIO`: the VM has a dirty ring, and no bitmaps.
    pub fn take_dirty_log(&mut self, slot: u32) -> Result<Vec<u64>, Errno> {
        let mut log = self.fetch(slot)?;
        let (_, slot) = self.find(slot)?;
        merge(&mut log, core::mem::take(&mut slot.log));
        Ok(log)
    }

    fn find(&mut self, slot: u32) -> Result<(&VmFd, &mut Slot), Errno> {
        let found = self.slots.iter_mut().find(|found| found.of_guest.memslot.slot == slot);
        found.map(|found| (&*self.vm, found)).ok_or(Errno::EINVAL)
    }

    /// The kernel writes a bit for every page that its slot has: never asked for one that is longer than the guest's.
    fn fetch(&mut self, slot: u32) -> Result<Vec<u64>, Errno> {
        let (vm, slot) = self.find(slot)?;
        let GuestRange { start, end } = slot.of_guest.memslot.range;
        let (Over::Guest, Ok(size)) = (&slot.over, usize::try_from(end.saturating_sub(start))) else { return Err(Errno::ENOENT) };
        vm.get_dirty_log(slot.of_guest.memslot.slot, size).map_err(errno)
    }
}

impl Slot {
    /// Over the guest's memory.
    ///
    /// # Safety
    ///
    /// The guest's memory stays mapped as long as the VM has the slot.
    unsafe fn set(&self, vm: &VmFd, flags: u32) -> Result<(), Errno> {
        let Memslot { slot, range, .. } = self.of_guest.memslot;
        let region = kvm_userspace_memory_region {
            slot,
            flags,
            guest_phys_addr: range.start,
            memory_size: range.end.saturating_sub(range.start),
            userspace_addr: self.of_guest.userspace_addr,
        };
        // SAFETY: promised by the caller; the kernel refuses slots that overlap.
        unsafe { vm.set_user_memory_region(region) }.map_err(errno)
    }
}

fn errno(error: kvm_ioctls::Error) -> Errno {
    Errno::from_raw(error.errno())
}

fn merge(log: &mut Vec<u64>, more: Vec<u64>) {
    log.resize(log.len().max(more.len()), 0);
    log.iter_mut().zip(more).for_each(|(log, more)| *log |= more);
}

impl<V: VmHandle> Memslots for VmMemslots<V> {
    fn list(&self) -> Vec<Memslot> {
        self.slots.iter().map(|slot| slot.of_guest.memslot.clone()).collect()
    }

    fn delete(&mut self, slot: u32) -> Result<(), Errno> {
        let (vm, slot) = self.find(slot)?;
        let region = kvm_userspace_memory_region {
            slot: slot.of_guest.memslot.slot,
            guest_phys_addr: slot.of_guest.memslot.range.start,
            ..kvm_userspace_memory_region::default()
        };
        // SAFETY: a size of 0 gives the kernel no memory.
        unsafe { vm.set_user_memory_region(region) }.map_err(errno)?;
        slot.over = Over::Nothing;
        Ok(())
    }

    fn create_over_shadow(&mut self, slot: u32, shadow: &ShadowRegion) -> Result<(), Errno> {
        let (vm, slot) = self.find(slot)?;
        if !matches!(slot.over, Over::Nothing) {
            return Err(Errno::EEXIST);
        }
        let region = kvm_userspace_memory_region {
            slot: slot.of_guest.memslot.slot,
            flags: 0,
            guest_phys_addr: shadow.range().start,
            memory_size: shadow.len(),
            userspace_addr: shadow.host_address(),
        };
        // SAFETY: all of it is mapped as long as `region()` has a clone, which `Over::Shadow` keeps until the kernel has deleted the
        // slot; dropped before, it is leaked. The kernel refuses slots that overlap.
        unsafe { vm.set_user_memory_region(region) }.map_err(errno)?;
        slot.over = Over::Shadow(Arc::clone(shadow.region()));
        Ok(())
    }

    fn create_over_guest(&mut self, slot: u32) -> Result<(), Errno> {
        let (vm, slot) = self.find(slot)?;
        if !matches!(slot.over, Over::Nothing) {
            return Err(Errno::EEXIST);
        }
        // SAFETY: either `memory` has the guest's memory, and gives it up only when the slot is deleted, or the caller of `new` has
        // promised that it stays mapped.
        unsafe { slot.set(vm, slot.of_guest.memslot.flags) }?;
        slot.over = Over::Guest;
        Ok(())
    }

    fn dirty_log(&mut self, slot: u32) -> Result<Option<Vec<u64>>, Errno> {
        match self.fetch(slot) {
            // The VM has a dirty ring, and no bitmaps.
            Err(Errno::ENXIO) => Ok(None),
            log => log.map(Some),
        }
    }

    fn merge_dirty_log(&mut self, slot: u32, bitmap: Vec<u64>) {
        if let Ok((_, slot)) = self.find(slot) {
            merge(&mut slot.log, bitmap);
        }
    }
}

impl Drop for Slot {
    /// The VM may have the slot yet, and use its memory.
    fn drop(&mut self) {
        match core::mem::replace(&mut self.over, Over::Nothing) {
            Over::Guest => core::mem::forget(self.memory.take()),
            Over::Shadow(region) => core::mem::forget(region),
            Over::Nothing => {}
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = match self.over {
            Over::Guest => "guest",
            Over::Nothing => "nothing",
            Over::Shadow(_) => "shadow",
        };
        f.debug_struct("Slot").field("of_guest", &self.of_guest).field("over", &over).finish_non_exhaustive()
    }
}

impl<V: VmHandle> fmt::Debug for VmMemslots<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmMemslots").field("slots", &self.slots).finish_non_exhaustive()
    }
}
