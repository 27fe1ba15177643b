//! What KVM's ITS makes of a command.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_handle_command`; Arm IHI 0069, "ITS command errors".
//!
//! Rule: what is known of the mappings decides; where they are not all known, only what is certain is said.

use std::collections::BTreeMap;
use std::fmt;
use vgic_state::gicv3::{Gicv3State, ItsUnit};
use vgic_state::its::command::{ErrorWord, ItsCommand, RdBase};
use vgic_state::its::{ENTRY_BYTES, FIRST_LPI, ItsMappings, PAGE_ENTRIES, baser_bytes};
use vgic_state::judge::gicv3::walk::{MAX_ID_BITS, device_ids};
use vgic_state::uapi::vgic_v3::its::{GITS_BASER_INDIRECT, GITS_BASER_VALID};

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Error(ErrorWord),
    /// KVM's ITS has no such command.
    Unknown,
    /// What is known does not say.
    Unclear,
    /// It ran before the mappings were as they are known.
    Past,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Done => f.write_str("ok"),
            Answer::Error(word) => word.fmt(f),
            Answer::Unknown => f.write_str("no such command"),
            Answer::Unclear => f.write_str("?"),
            Answer::Past => f.write_str("-"),
        }
    }
}

#[derive(Debug, Default)]
struct Device {
    event_bits: u32,
    /// EventIDs that are mapped, or, if false, known not to be.
    events: BTreeMap<u32, bool>,
}

/// What is known of an ITS.
#[derive(Debug)]
pub(super) struct Its {
    /// The mappings are all known, as they are when the first command that waits runs.
    complete: bool,
    /// `None`: known not to be mapped.
    devices: BTreeMap<u32, Option<Device>>,
    /// Whether it is mapped to a vCPU.
    collections: BTreeMap<u16, bool>,
    /// `None`: not known.
    vcpus: Option<Vec<u64>>,
    device_ids: u64,
    collection_ids: u64,
    lpi_end: u32,
}

/// A step of a judgement: the reason why it ends, if it does.
type Step<T> = Result<T, Answer>;

fn unless(holds: bool, error: ErrorWord) -> Step<()> {
    if holds { Ok(()) } else { Err(Answer::Error(error)) }
}

impl Its {
    pub(super) fn new(state: &Gicv3State, unit: &ItsUnit, mapped: Option<&ItsMappings>, knows_vcpus: bool) -> Self {
        let entries = |baser: u64| (baser & GITS_BASER_VALID != 0).then(|| baser_bytes(baser) / ENTRY_BYTES);
        let registers = &unit.registers;
        let in_table = entries(registers.baser0)
            .map_or(u64::MAX, |entries| if registers.baser0 & GITS_BASER_INDIRECT != 0 { entries * PAGE_ENTRIES } else { entries });
        let mut its = Its {
            complete: mapped.is_some(),
            devices: BTreeMap::new(),
            collections: BTreeMap::new(),
            vcpus: knows_vcpus.then(|| state.vcpus.iter().map(|vcpu| vcpu.vcpu.id.get().into()).collect()),
            device_ids: device_ids(unit.identity.typer).min(in_table),
            collection_ids: entries(registers.baser1).unwrap_or(u64::MAX),
            lpi_end: if state.vcpus.iter().all(|vcpu| vcpu.redist.propbaser == 0) {
                1 << MAX_ID_BITS
            } else {
                crate::walked::lpi_end(state)
            },
        };
        for device in mapped.iter().flat_map(|mapped| &mapped.devices) {
            let events = device.events.iter().map(|event| (event.id, true)).collect();
            its.devices.insert(device.id, Some(Device { event_bits: device.event_bits, events }));
        }
        for collection in mapped.iter().flat_map(|mapped| &mapped.collections) {
            its.collections.insert(collection.icid, collection.target.is_some());
        }
        its
    }

    /// What becomes of a command, and of the mappings.
    pub(super) fn answer(&mut self, waits: bool, command: Option<ItsCommand>) -> Answer {
        if !waits && self.complete {
            return Answer::Past;
        }
        match command {
            None => Answer::Unknown,
            Some(command) => match self.judge(command) {
                Ok(()) => Answer::Done,
                Err(answer) => answer,
            },
        }
    }

    fn judge(&mut self, command: ItsCommand) -> Step<()> {
        use ErrorWord as E;
        match command {
            ItsCommand::Sync { .. } => Ok(()),
            ItsCommand::Movi { device, event, icid } => {
                self.event(device, event, E::MOVI_UNMAPPED_INTERRUPT)?;
                self.collection(icid, E::MOVI_UNMAPPED_COLLECTION)
            }
            ItsCommand::Int { device, event } => self.event(device, event, E::INT_UNMAPPED_INTERRUPT),
            ItsCommand::Clear { device, event } => self.event(device, event, E::CLEAR_UNMAPPED_INTERRUPT),
            ItsCommand::Inv { device, event } => self.event(device, event, E::INV_UNMAPPED_INTERRUPT),
            ItsCommand::Discard { device, event } => {
                self.event(device, event, E::DISCARD_UNMAPPED_INTERRUPT)?;
                if let Some(Some(device)) = self.devices.get_mut(&device) {
                    device.events.insert(event, false);
                }
                Ok(())
            }
            ItsCommand::Invall { icid } => self.collection(icid, E::INVALL_UNMAPPED_COLLECTION),
            ItsCommand::Movall { rdbase1, rdbase2 } => {
                self.target(rdbase1, E::MOVALL_PROCNUM_OOR)?;
                self.target(rdbase2, E::MOVALL_PROCNUM_OOR)
            }
            ItsCommand::Mapd { device, size, valid, .. } => {
                unless(u64::from(device) < self.device_ids, E::MAPD_DEVICE_OOR)?;
                let event_bits = u32::from(size) + 1;
                unless(!valid || event_bits <= MAX_ID_BITS, E::MAPD_ITTSIZE_OOR)?;
                // A device that is mapped again loses its events.
                self.devices.insert(device, valid.then(|| Device { event_bits, ..Device::default() }));
                Ok(())
            }
            ItsCommand::Mapc { icid, rdbase, valid } => {
                if valid {
                    self.target(rdbase, E::MAPC_PROCNUM_OOR)?;
                    unless(u64::from(icid) < self.collection_ids, E::MAPC_COLLECTION_OOR)?;
                }
                self.collections.insert(icid, valid);
                Ok(())
            }
            ItsCommand::Mapti { device, event, intid, icid } => self.map_event(device, event, intid, icid),
            ItsCommand::Mapi { device, event, icid } => self.map_event(device, event, event, icid),
            _ => Err(Answer::Unknown),
        }
    }

    fn map_event(&mut self, id: u32, event: u32, intid: u32, icid: u16) -> Step<()> {
        use ErrorWord as E;
        let lpi = (FIRST_LPI..self.lpi_end).contains(&intid);
        let device = match self.devices.get_mut(&id) {
            Some(Some(device)) => device,
            Some(None) => return Err(Answer::Error(E::MAPTI_UNMAPPED_DEVICE)),
            None if self.complete => return Err(Answer::Error(E::MAPTI_UNMAPPED_DEVICE)),
            None => return Err(Answer::Unclear),
        };
        unless(u64::from(event) >> device.event_bits == 0, E::MAPTI_ID_OOR)?;
        unless(lpi, E::MAPTI_PHYSICALID_OOR)?;
        // An event that is mapped stays as it is.
        if device.events.insert(event, true) != Some(true) && !self.collections.contains_key(&icid) {
            unless(u64::from(icid) < self.collection_ids, E::MAPC_COLLECTION_OOR)?;
            if self.complete {
                self.collections.insert(icid, false);
            }
        }
        Ok(())
    }

    /// The event is mapped.
    fn event(&self, device: u32, event: u32, error: ErrorWord) -> Step<()> {
        match self.devices.get(&device) {
            Some(Some(device)) => match device.events.get(&event) {
                Some(true) => Ok(()),
                // A device that was mapped in the queue began without events.
                _ => Err(Answer::Error(error)),
            },
            Some(None) => Err(Answer::Error(error)),
            None if self.complete => Err(Answer::Error(error)),
            None => Err(Answer::Unclear),
        }
    }

    /// The collection is mapped to a vCPU.
    fn collection(&self, icid: u16, error: ErrorWord) -> Step<()> {
        match self.collections.get(&icid) {
            Some(true) => Ok(()),
            Some(false) => Err(Answer::Error(error)),
            None if self.complete => Err(Answer::Error(error)),
            None => Err(Answer::Unclear),
        }
    }

    fn target(&self, rdbase: RdBase, error: ErrorWord) -> Step<()> {
        unless(self.vcpus.as_ref().is_none_or(|vcpus| vcpus.contains(&rdbase.get())), error)
    }
}
