//! Inspection of KVM's internal state, which only a model offers: LPIs, and the mappings of an ITS.
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

/// KVM's internal state of an LPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lpi {
    /// Its INTID, 8192 or above.
    pub intid: u32,
    /// Whether it is enabled, as KVM last read it from the configuration table.
    pub enabled: bool,
    /// Whether it is pending.
    pub pending: bool,
    /// Its priority, as KVM last read it from the configuration table; a lower number is a higher priority.
    pub priority: u8,
    /// The vCPU that it targets; `None` while its collection has no target.
    pub target: Option<VcpuId>,
    /// How many events translate to it. 0 for an LPI that is unmapped but still to be delivered.
    pub references: u32,
}

/// What an ITS has mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mappings {
    /// Devices, ordered by DeviceID. A second restore can map a device twice; commands then act on the first.
    pub devices: Vec<MappedDevice>,
    /// Collections, in the order in which KVM created them.
    pub collections: Vec<MappedCollection>,
}

/// A mapped device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedDevice {
    /// DeviceID.
    pub id: u32,
    /// Guest physical address of its interrupt translation table.
    pub itt: u64,
    /// Width of its EventIDs, in bits.
    pub event_bits: u32,
    /// Events, ordered by EventID.
    pub events: Vec<MappedEvent>,
}

/// An event of a device that is mapped to an LPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedEvent {
    /// EventID.
    pub id: u32,
    /// INTID of the LPI that it translates to.
    pub intid: u32,
    /// ICID of its collection; `None` after the collection was unmapped.
    pub collection: Option<u16>,
}

/// A collection of an ITS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedCollection {
    /// Its ICID.
    pub id: u16,
    /// `vcpu_id` of the target; `None` before `MAPC`.
    pub target: Option<u32>,
}

impl Vm {
    /// Every LPI that KVM keeps state of, ordered by INTID.
    #[must_use]
    pub fn lpis(&self) -> Vec<Lpi> {
        let state = self.lock();
        state.irqs.lpis.iter().map(|(intid, irq)| state.lpi(*intid, irq)).collect()
    }

    /// The LPI with INTID `intid`; `None` if KVM keeps no state of it.
    #[must_use]
    pub fn lpi(&self, intid: u32) -> Option<Lpi> {
        let state = self.lock();
        state.irqs.lpis.get(&intid).map(|irq| state.lpi(intid, irq))
    }

    /// What an ITS has mapped; `None` if there is no such ITS. `its` is the index of the ITS in the order of creation, from 0.
    #[must_use]
    pub fn mappings(&self, its: usize) -> Option<Mappings> {
        self.lock().its.get(its).map(Mappings::of)
    }

    /// Forwards an LPI to a physical GICv4 (`forward`), as KVM does for a device that is assigned to the VM, or ends that. On a host
    /// without GICv4.1 the pending state of such an LPI cannot be read, and `SAVE_TABLES` fails with `EACCES`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: `intid` is not that of an LPI, or KVM keeps no state of it.
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
