//! The memory slots of a plain VM of KVM.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_SET_USER_MEMORY_REGION`, `KVM_GET_DIRTY_LOG`.
//!
//! Rule: memory that a slot is over stays mapped until the kernel has said that the slot is gone: by this module's own reference to
//! it, or by the promise of whoever named its address.

#![expect(unsafe_code, reason = "the kernel gets addresses of memory that it reads and writes as long as a slot exists")]

use super::{Descriptor, last_errno};
use crate::shadow::{Backing, Memslot, Memslots, ShadowRegion};
use crate::uapi::memory::{KVM_GET_DIRTY_LOG, KVM_MEM_LOG_DIRTY_PAGES, KVM_SET_USER_MEMORY_REGION};
use crate::uapi::memory::{kvm_dirty_log, kvm_userspace_memory_region};
use crate::{Errno, GuestRange};
use core::any::Any;
use core::fmt;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use vm_memory::bitmap::Bitmap;
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionCollection, GuestRegionMmap};

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
/// Whatever else creates and deletes slots of the VM leaves those alone that are listed here.
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
pub struct VmMemslots<V> {
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

impl<V: Descriptor> VmMemslots<V> {
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
        Self::from_regions(vm, memory, first_slot, flags, |region| Backing::of(&*region.get_mmap()))
    }

    /// [`VmMemslots::from_memory`] for regions of any type; `backing` says what the memory of one is, [`Backing::Anonymous`] where
    /// that is not known.
    ///
    /// # Errors
    ///
    /// As [`VmMemslots::from_memory`], and as [`VmMemslots::add_region`] for a region that has no memory in this process.
    pub fn from_regions<R>(
        vm: V,
        memory: &GuestRegionCollection<R>,
        first_slot: u32,
        flags: u32,
        backing: impl Fn(&R) -> Backing,
    ) -> Result<Self, Errno>
    where
        R: GuestMemoryRegion + Send + Sync + 'static,
    {
        let mut slots = VmMemslots { vm, slots: Vec::new() };
        for (region, slot) in memory.iter().zip(first_slot..=u32::MAX) {
            // The collection shares its regions; this is how it gives one away.
            let (_, region) = memory.remove_region(region.start_addr(), region.len()).map_err(|_| Errno::EFAULT)?;
            let backing = backing(&region);
            slots.add_region(slot, flags, region, backing)?;
        }
        Ok(slots)
    }

    /// Creates a slot over a region of guest memory, or takes over one that the VMM has created itself with the same number, addresses
    /// and memory. For memory that is plugged while the VM exists; the region stays mapped as in [`VmMemslots::from_memory`].
    ///
    /// # Errors
    ///
    /// As [`VmMemslots::from_memory`]; the slots are as they were. `EEXIST` also where a slot of this number is listed already.
    /// `EFAULT` also for a region that has no address in this process (`GuestMemoryRegion::as_volatile_slice`).
    pub fn add_region<R>(&mut self, slot: u32, flags: u32, region: Arc<R>, backing: Backing) -> Result<(), Errno>
    where
        R: GuestMemoryRegion + Send + Sync + 'static,
    {
        let range = GuestRange::new(region.start_addr().0, region.len());
        let (userspace_addr, length) = match region.as_volatile_slice() {
            Ok(memory) => (memory.ptr_guard().as_ptr() as u64, memory.len() as u64),
            Err(_) => return Err(Errno::EFAULT),
        };
        if length != range.end.saturating_sub(range.start) {
            return Err(Errno::EFAULT);
        }
        let of_guest = VmMemslot { memslot: Memslot::new(slot, flags, range, backing), userspace_addr };
        // SAFETY: the slice is of this address and length, and is memory as long as the region is borrowed. The slot keeps a clone of
        // the region, so that nobody gets it otherwise than borrowed, until the slot is deleted.
        unsafe { self.add_slot(Slot { of_guest, memory: Some(Box::new(region)), over: Over::Nothing, log: Vec::new() }) }
    }

    /// Creates a slot over memory of this process, or takes over one that the VMM has created itself with the same number, addresses
    /// and memory.
    ///
    /// # Safety
    ///
    /// As much memory as the range is long is mapped at the address, and stays so as long as the VM has the slot; so it does when the
    /// slot has been deleted and created again.
    ///
    /// # Errors
    ///
    /// As [`VmMemslots::add_region`].
    pub unsafe fn add(&mut self, slot: VmMemslot) -> Result<(), Errno> {
        // SAFETY: promised by the caller.
        unsafe { self.add_slot(Slot { of_guest: slot, memory: None, over: Over::Nothing, log: Vec::new() }) }
    }

    /// # Safety
    ///
    /// As [`Slot::set`].
    unsafe fn add_slot(&mut self, mut slot: Slot) -> Result<(), Errno> {
        let Memslot { slot: number, flags, .. } = slot.of_guest.memslot;
        if self.slots.iter().any(|listed| listed.of_guest.memslot.slot == number) {
            return Err(Errno::EEXIST);
        }
        // SAFETY: promised by the caller.
        unsafe { slot.set(&self.vm, flags) }?;
        slot.over = Over::Guest;
        self.slots.push(slot);
        Ok(())
    }

    /// Deletes a slot in the VM, forgets it, and gives its memory up. What its dirty log holds is lost: take it before.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no such slot. What else the kernel says; the slot is as it was.
    pub fn remove(&mut self, slot: u32) -> Result<(), Errno> {
        let (_, found) = self.find(slot)?;
        if !matches!(found.over, Over::Nothing) {
            self.delete(slot)?;
        }
        self.slots.retain(|listed| listed.of_guest.memslot.slot != slot);
        Ok(())
    }

    /// The VM.
    #[must_use]
    pub fn vm(&self) -> &V {
        &self.vm
    }

    /// Gives the VM back; it keeps its slots, and their memory stays mapped.
    #[must_use]
    pub fn into_vm(self) -> V {
        self.vm
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

    fn find(&mut self, slot: u32) -> Result<(&V, &mut Slot), Errno> {
        let found = self.slots.iter_mut().find(|found| found.of_guest.memslot.slot == slot);
        found.map(|found| (&self.vm, found)).ok_or(Errno::EINVAL)
    }

    /// The kernel writes a bit for every page that its slot has: never asked for one that is longer than the guest's.
    fn fetch(&mut self, slot: u32) -> Result<Vec<u64>, Errno> {
        let (vm, slot) = self.find(slot)?;
        let GuestRange { start, end } = slot.of_guest.memslot.range;
        let pages = end.saturating_sub(start).div_ceil(page_size());
        let (Over::Guest, Ok(words)) = (&slot.over, usize::try_from(pages.div_ceil(64))) else { return Err(Errno::ENOENT) };
        let mut bitmap = vec![0_u64; words];
        let log = kvm_dirty_log { slot: slot.of_guest.memslot.slot, padding1: 0, dirty_bitmap: bitmap.as_mut_ptr() as u64 };
        // SAFETY: the kernel reads the struct and writes one bit for each page of the slot, rounded up to 64: as many words as the
        // vector has, for the slot is over the guest's memory, with the length that is listed. The vector is borrowed mutably across
        // the call, and any bits are a valid `u64`.
        let result = unsafe { libc::ioctl(vm.descriptor().as_raw_fd(), KVM_GET_DIRTY_LOG as _, &raw const log) };
        if result == 0 { Ok(bitmap) } else { Err(last_errno()) }
    }
}

/// In bytes. Not known, it is the smallest that there is: a bitmap is too long then, and never too short.
fn page_size() -> u64 {
    // SAFETY: takes a number and gives one.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(4096)
}

impl Slot {
    /// Over the guest's memory.
    ///
    /// # Safety
    ///
    /// The guest's memory stays mapped as long as the VM has the slot.
    unsafe fn set(&self, vm: &impl Descriptor, flags: u32) -> Result<(), Errno> {
        let Memslot { slot, range, .. } = self.of_guest.memslot;
        let memory_size = range.end.saturating_sub(range.start);
        // A size of 0 would delete what another has created with this number.
        if memory_size == 0 {
            return Err(Errno::EINVAL);
        }
        let region = kvm_userspace_memory_region {
            slot,
            flags,
            guest_phys_addr: range.start,
            memory_size,
            userspace_addr: self.of_guest.userspace_addr,
        };
        // SAFETY: promised by the caller; the kernel refuses slots that overlap.
        unsafe { set_region(vm, &region) }
    }
}

/// `KVM_SET_USER_MEMORY_REGION`.
///
/// # Safety
///
/// The memory that the region names stays mapped as long as the VM has the slot, and the kernel may write it.
unsafe fn set_region(vm: &impl Descriptor, region: &kvm_userspace_memory_region) -> Result<(), Errno> {
    // SAFETY: the kernel reads one `struct kvm_userspace_memory_region`, whose layout is asserted in `uapi`, during the call; what
    // becomes of the memory that it names is promised by the caller.
    let result = unsafe { libc::ioctl(vm.descriptor().as_raw_fd(), KVM_SET_USER_MEMORY_REGION as _, &raw const *region) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn merge(log: &mut Vec<u64>, more: Vec<u64>) {
    log.resize(log.len().max(more.len()), 0);
    log.iter_mut().zip(more).for_each(|(log, more)| *log |= more);
}

impl<V: Descriptor> Memslots for VmMemslots<V> {
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
        unsafe { set_region(vm, &region) }?;
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
        unsafe { set_region(vm, &region) }?;
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

impl<V> fmt::Debug for VmMemslots<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmMemslots").field("slots", &self.slots).finish_non_exhaustive()
    }
}
