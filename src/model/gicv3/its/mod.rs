//! One ITS: registers, and what the guest has mapped.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`; Documentation/virt/kvm/devices/arm-vgic-its.rst; Arm Generic Interrupt Controller
//! Architecture Specification, GICv3, chapter on the ITS.
//!
//! Rule: mappings live here; guest memory is read and written by the commands and by SAVE and RESTORE, and by nothing else.

mod commands;
mod msi;
mod registers;
mod restore;
mod save;
mod table;

pub use commands::{CommandError, Executed};
pub(super) use registers::{Register, Run};

use super::ctx::Ctx;
use std::collections::BTreeMap;

/// A collection that is known and has no target yet.
pub(super) const NOT_MAPPED: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Its {
    pub(super) address: Option<u64>,
    pub(super) enabled: bool,
    pub(super) cbaser: u64,
    pub(super) creadr: u64,
    pub(super) cwriter: u64,
    device_baser: u64,
    collection_baser: u64,
    /// By ID; no list is empty.
    pub(super) devices: BTreeMap<u32, Vec<Device>>,
    pub(super) collections: BTreeMap<u16, Collection>,
    /// Collections made so far: they are saved in the order in which they were made.
    made: u64,
}

/// A mapped device.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) itt: u64,
    pub(super) event_bits: u32,
    pub(super) events: BTreeMap<u32, Ite>,
}

/// A mapped event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ite {
    pub(super) intid: u32,
    /// `None` after the collection was unmapped.
    pub(super) collection: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Collection {
    pub(super) made: u64,
    /// `vcpu_id` of the target.
    pub(super) target: u32,
}

impl Its {
    pub(super) fn new() -> Self {
        Its {
            address: None,
            enabled: false,
            cbaser: 0,
            creadr: 0,
            cwriter: 0,
            device_baser: registers::INITIAL_DEVICE_BASER,
            collection_baser: registers::INITIAL_COLLECTION_BASER,
            devices: BTreeMap::new(),
            collections: BTreeMap::new(),
            made: 0,
        }
    }

    /// `RESET`: back to the state after creation, but for the address. LPIs and redistributors stay.
    pub(super) fn reset(&mut self, ctx: &mut Ctx<'_>) {
        self.device_baser &= !registers::VALID;
        self.collection_baser &= !registers::VALID;
        (self.cbaser, self.creadr, self.cwriter, self.enabled) = (0, 0, 0, false);
        self.free_devices(ctx);
        self.free_collections();
    }

    /// The device with an ID: the first of several, which a second restore can make.
    fn device(&self, id: u32) -> Option<&Device> {
        self.devices.get(&id)?.first()
    }

    fn device_mut(&mut self, id: u32) -> Option<&mut Device> {
        self.devices.get_mut(&id)?.first_mut()
    }

    fn ite(&self, device: u32, event: u32) -> Option<&Ite> {
        self.device(device)?.events.get(&event)
    }

    fn ite_mut(&mut self, device: u32, event: u32) -> Option<&mut Ite> {
        self.device_mut(device)?.events.get_mut(&event)
    }

    fn add_device(&mut self, id: u32, itt: u64, event_bits: u32) {
        self.devices.entry(id).or_default().push(Device { itt, event_bits, events: BTreeMap::new() });
    }

    /// Every event of every device.
    fn ites(&self) -> impl Iterator<Item = &Ite> {
        self.devices.values().flatten().flat_map(|device| device.events.values())
    }

    fn ites_mut(&mut self) -> impl Iterator<Item = &mut Ite> {
        self.devices.values_mut().flatten().flat_map(|device| device.events.values_mut())
    }

    /// The `vcpu_id` that a collection is mapped to.
    fn mapped(&self, collection: Option<u16>) -> Option<u32> {
        let target = self.collections.get(&collection?)?.target;
        (target != NOT_MAPPED).then_some(target)
    }

    /// Index of the vCPU that a collection is mapped to.
    pub(super) fn target(&self, collection: Option<u16>, ctx: &Ctx<'_>) -> Option<usize> {
        ctx.vcpu_named(self.mapped(collection)?)
    }

    fn add_collection(&mut self, id: u16, target: u32) {
        self.made += 1;
        self.collections.insert(id, Collection { made: self.made, target });
    }

    fn free_collection(&mut self, id: u16) {
        if self.collections.remove(&id).is_none() {
            return;
        }
        for ite in self.ites_mut() {
            if ite.collection == Some(id) {
                ite.collection = None;
            }
        }
    }

    fn free_collections(&mut self) {
        self.collections.clear();
        for ite in self.ites_mut() {
            ite.collection = None;
        }
    }

    /// Frees one device of an ID: the first, as a command does, or the last, which was just made.
    fn free_device(&mut self, id: u32, last: bool, ctx: &mut Ctx<'_>) {
        let Some(devices) = self.devices.get_mut(&id) else { return };
        let freed = if last { devices.pop() } else { devices.drain(..devices.len().min(1)).next() };
        if devices.is_empty() {
            self.devices.remove(&id);
        }
        for ite in freed.iter().flat_map(|device| device.events.values()) {
            ctx.irqs.put(ite.intid);
        }
    }

    fn free_devices(&mut self, ctx: &mut Ctx<'_>) {
        for ite in self.ites() {
            ctx.irqs.put(ite.intid);
        }
        self.devices.clear();
    }
}
