//! The memory slots of the model, one for each region of its guest memory.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_SET_USER_MEMORY_REGION`; `virt/kvm/kvm_main.c`, `kvm_set_memory_region`.
//!
//! Rule: the model reads and writes the memory that the slots map at that moment.

use super::vm::Vm;
use crate::shadow::{Backing, Memslot, Memslots, ShadowRegion};
use crate::{Errno, GuestRange};
use std::sync::Arc;
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap};

type Region = Arc<GuestRegionMmap<()>>;

/// The memory slots of a [`Vm`], numbered from 0 in the order of their guest physical addresses. They have no dirty log.
#[derive(Debug)]
pub struct Slots {
    vm: Vm,
    /// Each slot's own memory, and what it is over now.
    slots: Vec<(Region, Option<Region>)>,
}

impl Slots {
    /// One slot for each region of the guest memory that the VM has now.
    #[must_use]
    pub fn new(vm: &Vm) -> Self {
        let memory = vm.memory();
        let region = |region: &GuestRegionMmap<()>| {
            let (_, region) = memory.remove_region(region.start_addr(), region.len()).ok()?;
            Some((Arc::clone(&region), Some(region)))
        };
        let slots = memory.iter().filter_map(region).collect();
        Slots { vm: vm.clone(), slots }
    }

    fn create(&mut self, slot: u32, region: Option<Region>) -> Result<(), Errno> {
        let (own, over) = self.slots.get_mut(slot as usize).ok_or(Errno::EINVAL)?;
        // KVM does not move a slot to other memory.
        if over.is_some() {
            return Err(Errno::EINVAL);
        }
        let region = region.unwrap_or_else(|| Arc::clone(own));
        let memory = insert(&self.vm.memory(), &region)?;
        *over = Some(region);
        self.vm.set_memory(memory);
        Ok(())
    }
}

fn insert(memory: &GuestMemoryMmap<()>, region: &Region) -> Result<GuestMemoryMmap<()>, Errno> {
    memory.insert_region(Arc::clone(region)).map_err(|_| Errno::EEXIST)
}

impl Memslots for Slots {
    fn list(&self) -> Vec<Memslot> {
        let slots = self.slots.iter().zip(0..);
        let slot = |((region, _), slot): (&(Region, _), u32)| {
            let range = GuestRange::new(region.start_addr().0, region.len());
            Memslot::new(slot, 0, range, Backing::of(region))
        };
        slots.map(slot).collect()
    }

    fn delete(&mut self, slot: u32) -> Result<(), Errno> {
        let (_, over) = self.slots.get_mut(slot as usize).ok_or(Errno::EINVAL)?;
        let region = over.as_ref().ok_or(Errno::EINVAL)?;
        let (memory, _) = self.vm.memory().remove_region(region.start_addr(), region.len()).map_err(|_| Errno::EINVAL)?;
        *over = None;
        self.vm.set_memory(memory);
        Ok(())
    }

    fn create_over_shadow(&mut self, slot: u32, shadow: &ShadowRegion) -> Result<(), Errno> {
        self.create(slot, Some(Arc::clone(shadow.region())))
    }

    fn create_over_guest(&mut self, slot: u32) -> Result<(), Errno> {
        self.create(slot, None)
    }

    fn dirty_log(&mut self, _: u32) -> Result<Option<Vec<u64>>, Errno> {
        Ok(None)
    }

    fn merge_dirty_log(&mut self, _: u32, _: Vec<u64>) {}
}
