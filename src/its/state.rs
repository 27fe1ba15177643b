//! What ITSes have mapped, and their LPIs, by name: the same whatever the shape of the guest's tables, and whatever lies there now.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0"; Arm IHI 0069, "LPI Configuration tables", "LPI Pending
//! tables".
//!
//! Rule: there is one form of each state. Everything is sorted by its ID, and nothing is listed twice.

use crate::topology::Vcpu;
use alloc::vec::Vec;

/// The mappings of all ITSes of a VM, and its LPIs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LpiState {
    /// What each ITS has mapped, in the order of the ITSes' addresses.
    pub its: Vec<ItsMappings>,
    /// Priority and enable of each LPI that an event is mapped to, by INTID: from the guest's configuration table.
    pub configuration: Vec<LpiConfiguration>,
    /// Pending LPIs of each vCPU that has some and whose LPIs are enabled (`GICR_CTLR`), in the order of `vcpu_id`s.
    pub pending: Vec<PendingLpis>,
}

/// What one ITS has mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItsMappings {
    /// Guest physical address of the registers of the ITS.
    pub base: u64,
    /// Collections, by ICID.
    pub collections: Vec<Collection>,
    /// Devices, by DeviceID.
    pub devices: Vec<Device>,
}

/// A collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collection {
    /// ICID.
    pub icid: u16,
    /// The `vcpu_id` of its target; before Linux 6.7 the place of the vCPU in the order of creation. `None` for a collection that events
    /// name and no `MAPC` has mapped.
    pub target: Option<u32>,
}

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// DeviceID.
    pub id: u32,
    /// Guest physical address of its interrupt translation table, a multiple of 256.
    pub itt: u64,
    /// Bits of EventID: 1 to 16. The table has 8 bytes for each EventID.
    pub event_bits: u32,
    /// Its events, by EventID.
    pub events: Vec<Event>,
}

/// An event of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// EventID.
    pub id: u32,
    /// The LPI.
    pub intid: u32,
    /// The collection.
    pub icid: u16,
}

/// The byte of an LPI in the guest's configuration table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LpiConfiguration {
    /// INTID.
    pub intid: u32,
    /// Priority `[7:2]`; bit 1 is RES1; enable `[0]`.
    pub byte: u8,
}

/// Pending LPIs of a vCPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingLpis {
    /// The vCPU.
    pub vcpu: Vcpu,
    /// INTIDs, ascending.
    pub intids: Vec<u32>,
}

/// Bit 1 of a configuration byte, which is RES1.
const RES1: u8 = 1 << 1;

impl LpiState {
    /// LPIs whose byte of the configuration table has bit 1, which is RES1, clear: the guest may have put other data there.
    pub(crate) fn doubtful_configuration(&self) -> impl Iterator<Item = &LpiConfiguration> {
        self.configuration.iter().filter(|lpi| lpi.byte & RES1 == 0)
    }

    /// What `make` makes of every LPI that an event is mapped to, each once, in order.
    pub(crate) fn mapped<T: Ord>(&self, make: impl Fn(u32) -> T) -> Vec<T> {
        let devices = || self.its.iter().flat_map(|its| &its.devices);
        // Reserved at once: growing costs page faults.
        let mut mapped = Vec::with_capacity(devices().map(|device| device.events.len()).sum());
        devices().for_each(|device| mapped.extend(device.events.iter().map(|event| make(event.intid))));
        mapped.sort_unstable();
        mapped.dedup();
        mapped.shrink_to_fit();
        mapped
    }

    /// Each event's LPI, and what its collection has as target.
    pub(crate) fn targets(&self) -> impl Iterator<Item = (u32, u32)> {
        self.its.iter().flat_map(|mappings| {
            let events = mappings.devices.iter().flat_map(|device| &device.events);
            events.filter_map(|event| {
                let place = mappings.collections.binary_search_by_key(&event.icid, |collection| collection.icid).ok()?;
                Some((event.intid, mappings.collections.get(place)?.target?))
            })
        })
    }
}
