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
