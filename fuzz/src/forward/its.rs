//! An ITS that has been told what the trusted queue has, and the policy, read a second time.
//!
//! Rule: shares nothing with the forwarder but the types of its setup.

use super::{ENTRY, PAGE};
use std::collections::{BTreeMap, VecDeque};
use vgic_state::GuestRange;
use vgic_state::forward::{Policy, TableLevels, Targets};
use vgic_state::its::command::{ItsCommand, RdBase, Version};

/// What an ITS has been told.
#[derive(Default)]
pub(super) struct Its {
    pub(super) read: usize,
    pub(super) creadr: usize,
    pub(super) queue: VecDeque<ItsCommand>,
    devices: BTreeMap<u32, (GuestRange, u32)>,
    pub(super) vpes: BTreeMap<u16, Vec<GuestRange>>,
    /// vPEs that were unmapped and not synchronised (GICv4.0).
    lingering: Vec<(u16, GuestRange)>,
}

fn ranges(command: ItsCommand, entry: u64) -> Vec<GuestRange> {
    let vpt = |vpt, size: u8| GuestRange::new(vpt, (1 << (size + 1)) / 8);
    match command {
        ItsCommand::Mapd { size, itt, valid: true, .. } => vec![GuestRange::new(itt, entry << (size + 1))],
        ItsCommand::Vmapp { vpt: at, vpt_size, valid: true, .. } => vec![vpt(at, vpt_size)],
        ItsCommand::Vmapp41 { vpt: at, vpt_size, vconf, valid: true, .. } => {
            vec![vpt(at, vpt_size), GuestRange::new(vconf, (1 << (vpt_size + 1)) - 8192)]
        }
        _ => vec![],
    }
}

impl Its {
    pub(super) fn execute(&mut self, entry: u64, length: usize) {
        let Some(command) = self.queue.pop_front() else { return };
        self.creadr = (self.creadr + 1) % length;
        let mut ranges = ranges(command, entry);
        match command {
            ItsCommand::Mapd { device, size, valid: true, .. } => {
                self.devices.insert(device, (ranges.remove(0), u32::from(size) + 1));
            }
            ItsCommand::Mapd { device, .. } => drop(self.devices.remove(&device)),
            ItsCommand::Vmapp { vpe, valid: true, .. } | ItsCommand::Vmapp41 { vpe, valid: true, .. } => {
                self.lingering.retain(|(id, range)| *id != vpe || !ranges.contains(range));
                assert!(self.vpes.insert(vpe, ranges).is_none(), "mapped twice");
            }
            ItsCommand::Vmapp41 { vpe, alloc: true, .. } => drop(self.vpes.remove(&vpe).expect("a vPE")),
            ItsCommand::Vmapp { vpe, .. } | ItsCommand::Vmapp41 { vpe, .. } => {
                let ranges = self.vpes.remove(&vpe).expect("a vPE");
                self.lingering.extend(ranges.into_iter().map(|range| (vpe, range)));
            }
            ItsCommand::Vsync { vpe } => self.lingering.retain(|(id, _)| *id != vpe),
            _ => {}
        }
    }

    pub(super) fn in_use(&self, version: Version, entry: u64) -> impl Iterator<Item = GuestRange> {
        let lingering = self.lingering.iter().filter(move |_| version == Version::V40).map(|(_, range)| *range);
        let mapped = self.devices.values().map(|(range, _)| *range).chain(self.vpes.values().flatten().copied());
        mapped.chain(self.queue.iter().flat_map(move |command| ranges(*command, entry))).chain(lingering)
    }

    /// Bits of EventID of a device, after all commands that the ITS has been told of.
    fn event_bits(&self, id: u32) -> Option<u32> {
        let told = self.queue.iter().rev().find_map(|command| match *command {
            ItsCommand::Mapd { device, size, valid, .. } if device == id => Some(valid.then_some(u32::from(size) + 1)),
            _ => None,
        });
        told.unwrap_or_else(|| self.devices.get(&id).map(|(_, bits)| *bits))
    }
}

fn target(policy: &Policy<'_>, rdbase: RdBase) -> bool {
    match policy.targets {
        Targets::Processors(bound) => rdbase.get() < bound.into(),
        Targets::Addresses(addresses) => addresses.contains(&rdbase.to_address()),
    }
}

/// The policy, read a second time.
pub(super) fn allows(policy: &Policy<'_>, its: &Its, command: ItsCommand) -> bool {
    let limits = &policy.limits;
    let fits = |value: u32, bits: u32| u64::from(value) < 1 << bits;
    let event =
        |device: u32, event: u32| fits(device, limits.device_bits) && its.event_bits(device).is_some_and(|bits| fits(event, bits));
    let collection = |icid: u16| u32::from(icid) < limits.collections;
    let lpi = |intid: u32| intid >= 8192 && fits(intid, limits.intid_bits);
    let doorbell = |intid: u32| intid == 1023 || lpi(intid);
    let known = |id: u16| u32::from(id) < limits.vpes;
    match command {
        ItsCommand::Movi { device, event: id, icid } => event(device, id) && collection(icid),
        ItsCommand::Int { device, event: id }
        | ItsCommand::Clear { device, event: id }
        | ItsCommand::Inv { device, event: id }
        | ItsCommand::Discard { device, event: id } => event(device, id),
        ItsCommand::Sync { rdbase } => target(policy, rdbase),
        ItsCommand::Mapd { device, size, valid: true, .. } => {
            fits(device, limits.device_bits) && u32::from(size) < limits.event_bits
        }
        ItsCommand::Mapd { device, size, itt, .. } => fits(device, limits.device_bits) && (size, itt) == (0, 0),
        ItsCommand::Mapc { icid, rdbase, valid } => {
            collection(icid) && if valid { target(policy, rdbase) } else { rdbase == RdBase::default() }
        }
        ItsCommand::Mapti { device, event: id, intid, icid } => event(device, id) && collection(icid) && lpi(intid),
        ItsCommand::Mapi { device, event: id, icid } => event(device, id) && collection(icid) && lpi(id),
        ItsCommand::Invall { icid } => collection(icid),
        ItsCommand::Movall { rdbase1, rdbase2 } => target(policy, rdbase1) && target(policy, rdbase2),
        ItsCommand::Vmovi { device, event: id, vpe, has_doorbell, doorbell: to } => {
            event(device, id) && known(vpe) && if has_doorbell { doorbell(to) } else { to == 0 }
        }
        ItsCommand::Vmovp { vpe, rdbase, .. } => known(vpe) && target(policy, rdbase),
        ItsCommand::Vmovp41 { vpe, rdbase, has_doorbell, doorbell: to, .. } => {
            known(vpe) && target(policy, rdbase) && if has_doorbell { doorbell(to) } else { to == 0 }
        }
        ItsCommand::Vmapp { vpe, rdbase, valid, vpt_size, .. } => {
            known(vpe) && (!valid || target(policy, rdbase) && u32::from(vpt_size) < limits.intid_bits)
        }
        ItsCommand::Vmapp41 { vpe, rdbase, valid, vpt_size, doorbell: to, alloc, ptz, .. } => {
            known(vpe)
                && (!ptz || alloc)
                && (!valid || target(policy, rdbase) && doorbell(to) && u32::from(vpt_size) < limits.intid_bits)
        }
        ItsCommand::Vmapti { device, event: id, vpe, intid, doorbell: to } => {
            event(device, id) && known(vpe) && lpi(intid) && doorbell(to)
        }
        ItsCommand::Vmapi { device, event: id, vpe, doorbell: to } => event(device, id) && known(vpe) && lpi(id) && doorbell(to),
        ItsCommand::Vsgi { vpe, .. } | ItsCommand::Vsync { vpe } | ItsCommand::Vinvall { vpe } | ItsCommand::Invdb { vpe } => {
            known(vpe)
        }
        _ => false,
    }
}

/// The ITS finds the entry of this ID in its table.
pub(super) fn reaches(table: &TableLevels<'_>, id: u32) -> bool {
    match table {
        TableLevels::Flat(entries) => u64::from(id) < *entries,
        TableLevels::TwoLevel(level1) => {
            level1.entries().get(id as usize / (PAGE / ENTRY) as usize).is_some_and(|entry| *entry != 0)
        }
    }
}
