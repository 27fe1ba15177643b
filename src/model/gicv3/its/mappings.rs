//! State of one ITS: its registers, and what the guest has mapped.
//!
//! Source: `include/kvm/arm_vgic.h`, `struct vgic_its`; `arch/arm64/kvm/vgic/vgic-its.c`, `struct its_device`, `its_collection`,
//! `its_ite`, and what frees them.
//!
//! Rule: below commands, registers, save and restore; reads and writes no guest memory.

use super::baser::{INITIAL_COLLECTION_BASER, INITIAL_DEVICE_BASER, VALID};
use crate::model::gicv3::ctx::Ctx;
use std::collections::BTreeMap;

/// A collection that is known and has no target yet.
pub(in crate::model::gicv3) const NOT_MAPPED: u32 = u32::MAX;

#[derive(Debug)]
pub(in crate::model::gicv3) struct Its {
    pub(in crate::model::gicv3) address: Option<u64>,
    pub(in crate::model::gicv3) enabled: bool,
    pub(in crate::model::gicv3) cbaser: u64,
    pub(in crate::model::gicv3) creadr: u64,
    pub(in crate::model::gicv3) cwriter: u64,
    pub(super) device_baser: u64,
    pub(super) collection_baser: u64,
    /// By ID; no list is empty.
    pub(in crate::model::gicv3) devices: BTreeMap<u32, Vec<Device>>,
    pub(in crate::model::gicv3) collections: BTreeMap<u16, Collection>,
    /// Collections made so far: they are saved in the order in which they were made.
    made: u64,
}

/// A mapped device.
#[derive(Debug)]
pub(in crate::model::gicv3) struct Device {
    pub(in crate::model::gicv3) itt: u64,
    pub(in crate::model::gicv3) event_bits: u32,
    pub(in crate::model::gicv3) events: BTreeMap<u32, Ite>,
}

/// A mapped event.
#[derive(Clone, Copy, Debug)]
pub(in crate::model::gicv3) struct Ite {
    pub(in crate::model::gicv3) intid: u32,
    /// `None` after the collection was unmapped.
    pub(in crate::model::gicv3) collection: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::model::gicv3) struct Collection {
    pub(in crate::model::gicv3) made: u64,
    /// `vcpu_id` of the target.
    pub(in crate::model::gicv3) target: u32,
}

impl Its {
    pub(in crate::model::gicv3) fn new() -> Self {
        Its {
            address: None,
            enabled: false,
            cbaser: 0,
            creadr: 0,
            cwriter: 0,
            device_baser: INITIAL_DEVICE_BASER,
            collection_baser: INITIAL_COLLECTION_BASER,
            devices: BTreeMap::new(),
            collections: BTreeMap::new(),
            made: 0,
        }
    }

    /// `RESET`: back to the state after creation, but for the address. LPIs and redistributors stay.
    pub(in crate::model::gicv3) fn reset(&mut self, ctx: &mut Ctx<'_>) {
        self.device_baser &= !VALID;
        self.collection_baser &= !VALID;
        (self.cbaser, self.creadr, self.cwriter, self.enabled) = (0, 0, 0, false);
        self.free_devices(ctx);
        self.free_collections();
    }

    /// The device with an ID: the first of several, which a second restore can make.
    pub(super) fn device(&self, id: u32) -> Option<&Device> {
        self.devices.get(&id)?.first()
    }

    pub(super) fn device_mut(&mut self, id: u32) -> Option<&mut Device> {
        self.devices.get_mut(&id)?.first_mut()
    }

    pub(super) fn ite(&self, device: u32, event: u32) -> Option<&Ite> {
        self.device(device)?.events.get(&event)
    }

    pub(super) fn ite_mut(&mut self, device: u32, event: u32) -> Option<&mut Ite> {
        self.device_mut(device)?.events.get_mut(&event)
    }

    pub(super) fn add_device(&mut self, id: u32, itt: u64, event_bits: u32) {
        self.devices.entry(id).or_default().push(Device { itt, event_bits, events: BTreeMap::new() });
    }

    /// Every event of every device.
    pub(super) fn ites(&self) -> impl Iterator<Item = &Ite> {
        self.devices.values().flatten().flat_map(|device| device.events.values())
    }

    pub(super) fn ites_mut(&mut self) -> impl Iterator<Item = &mut Ite> {
        self.devices.values_mut().flatten().flat_map(|device| device.events.values_mut())
    }

    /// The `vcpu_id` that a collection is mapped to.
    pub(super) fn mapped(&self, collection: Option<u16>) -> Option<u32> {
        let target = self.collections.get(&collection?)?.target;
        (target != NOT_MAPPED).then_some(target)
    }

    /// Index of the vCPU that a collection is mapped to.
    pub(in crate::model::gicv3) fn target(&self, collection: Option<u16>, ctx: &Ctx<'_>) -> Option<usize> {
        ctx.vcpu_named(self.mapped(collection)?)
    }

    pub(super) fn add_collection(&mut self, id: u16, target: u32) {
        self.made += 1;
        self.collections.insert(id, Collection { made: self.made, target });
    }

    pub(super) fn free_collection(&mut self, id: u16) {
        if self.collections.remove(&id).is_none() {
            return;
        }
        for ite in self.ites_mut() {
            if ite.collection == Some(id) {
                ite.collection = None;
            }
        }
    }

    pub(super) fn free_collections(&mut self) {
        self.collections.clear();
        for ite in self.ites_mut() {
            ite.collection = None;
        }
    }

    /// Frees one device of an ID: the first, as a command does, or the last, which was just made.
    pub(super) fn free_device(&mut self, id: u32, last: bool, ctx: &mut Ctx<'_>) {
        let Some(devices) = self.devices.get_mut(&id) else { return };
        let freed = if last { devices.pop() } else { devices.drain(..devices.len().min(1)).next() };
        if devices.is_empty() {
            self.devices.remove(&id);
        }
        for ite in freed.iter().flat_map(|device| device.events.values()) {
            ctx.irqs.put(ite.intid);
        }
    }

    pub(super) fn free_devices(&mut self, ctx: &mut Ctx<'_>) {
        for ite in self.ites() {
            ctx.irqs.put(ite.intid);
        }
        self.devices.clear();
    }
}
