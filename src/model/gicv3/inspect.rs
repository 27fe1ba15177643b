//! What only a model shows: KVM's own view of LPIs and mappings.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-debug.c` and `vgic-its-debug.c`, whose files in debugfs (`vgic-state`, `vgic-its-state`) show
//! the same of a real VM.
//!
//! Rule: looking changes nothing and counts as no access.

use super::irq::{FIRST_LPI, Irq};
use super::its::{Its, NOT_MAPPED};
use super::state::State;
use super::vm::Vm;
use crate::{Errno, VcpuId};

/// An LPI as KVM keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lpi {
    /// Its ID, from 8192.
    pub intid: u32,
    /// Enabled, as read from the configuration table last.
    pub enabled: bool,
    /// Pending.
    pub pending: bool,
    /// Priority, as read from the configuration table last.
    pub priority: u8,
    /// The vCPU that it is for; `None` while its collection has no target.
    pub target: Option<VcpuId>,
    /// Translations to it. 0 for one that is unmapped but still has to be delivered.
    pub references: u32,
}

/// What an ITS has mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mappings {
    /// Devices, by ID. A second restore can make one twice; commands find the first.
    pub devices: Vec<MappedDevice>,
    /// Collections, in the order in which they were made.
    pub collections: Vec<MappedCollection>,
}

/// A mapped device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedDevice {
    /// DeviceID.
    pub id: u32,
    /// Address of its interrupt translation table.
    pub itt: u64,
    /// Bits of EventID.
    pub event_bits: u32,
    /// Events, by ID.
    pub events: Vec<MappedEvent>,
}

/// A mapped event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedEvent {
    /// EventID.
    pub id: u32,
    /// The LPI.
    pub intid: u32,
    /// The collection; `None` after it was unmapped.
    pub collection: Option<u16>,
}

/// A collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedCollection {
    /// ICID.
    pub id: u16,
    /// `vcpu_id` of the target; `None` before `MAPC`.
    pub target: Option<u32>,
}

impl Vm {
    /// Every LPI that KVM keeps, by ID.
    #[must_use]
    pub fn lpis(&self) -> Vec<Lpi> {
        let state = self.lock();
        state.irqs.lpis.iter().map(|(intid, irq)| state.lpi(*intid, irq)).collect()
    }

    /// An LPI; `None` if nothing refers to it.
    #[must_use]
    pub fn lpi(&self, intid: u32) -> Option<Lpi> {
        let state = self.lock();
        state.irqs.lpis.get(&intid).map(|irq| state.lpi(intid, irq))
    }

    /// What an ITS has mapped; `None` if there is no such ITS. ITSes count from 0 in the order of creation.
    #[must_use]
    pub fn mappings(&self, its: usize) -> Option<Mappings> {
        self.lock().its.get(its).map(Mappings::of)
    }

    /// Forwards an LPI to a physical GICv4, or ends that, as KVM does for a passed-through device: without GICv4.1 its pending
    /// state cannot be read, and `SAVE_TABLES` gives `EACCES`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: not an LPI, or nothing is mapped to it.
    pub fn forward_lpi(&self, intid: u32, forward: bool) -> Result<(), Errno> {
        let mut state = self.lock();
        let irq = state.irqs.lpis.get_mut(&intid).filter(|_| intid >= FIRST_LPI).ok_or(Errno::EINVAL)?;
        irq.forwarded = forward;
        Ok(())
    }
}

impl State {
    fn lpi(&self, intid: u32, irq: &Irq) -> Lpi {
        let target = irq.target.and_then(|index| self.cpus.get(index)).map(|cpu| cpu.vcpu.id);
        Lpi { intid, enabled: irq.enabled, pending: irq.latch, priority: irq.priority, target, references: irq.references }
    }
}

impl Mappings {
    fn of(its: &Its) -> Self {
        let devices = its.devices.iter().flat_map(|(id, devices)| devices.iter().map(move |device| (id, device)));
        let devices = devices.map(|(id, device)| MappedDevice {
            id: *id,
            itt: device.itt,
            event_bits: device.event_bits,
            events: device
                .events
                .iter()
                .map(|(id, ite)| MappedEvent { id: *id, intid: ite.intid, collection: ite.collection })
                .collect(),
        });
        let mut collections: Vec<_> = its.collections.iter().collect();
        collections.sort_unstable_by_key(|(_, collection)| collection.made);
        let collections = collections.into_iter().map(|(id, collection)| MappedCollection {
            id: *id,
            target: (collection.target != NOT_MAPPED).then_some(collection.target),
        });
        Mappings { devices: devices.collect(), collections: collections.collect() }
    }
}
