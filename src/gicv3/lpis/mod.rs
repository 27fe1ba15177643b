//! LPIs as a part of the state: the kernel writes its tables into shadow memory, and reads them from there.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst; `arch/arm64/kvm/vgic/vgic-its.c`, `vgic-v3.c`. How and why, for the author
//! of a VMM: `docs/its-in-image.md`.
//!
//! Rule: guest memory is read, for the configuration of LPIs, and never written.

mod check;
mod options;

pub(crate) use check::used_tables;
pub(super) use check::{check, check_in, check_memory, findings};
pub use options::{ConfigurationPolicy, TableStrategy};

use super::{Gicv3State, ItsIdentity, ItsState, RedistState, Target};
use crate::error::{AccessError, Operation};
use crate::guest_memory::GuestMemoryRead;
use crate::its::build;
use crate::its::geometry::{Geometry, LPI_LIMIT, check_overlap, configuration_table, pending_bits};
use crate::its::read::{InGuest, InShadow, Level2, Reader};
use crate::its::{
    FIRST_LPI, ItsMappings, Lost, LpiConfiguration, LpiState, PAGE_BYTES, PendingLpis, Table, TableError, TableRange,
};
use crate::shadow::{Divert, ShadowError, ShadowMemory};
use crate::topology::Vcpu;
use crate::{AttrDevice, Command, Error};
use alloc::vec::Vec;

/// What the tables follow from.
#[derive(Clone, Debug)]
pub(super) struct Registers {
    /// In the order of the vCPUs.
    pub(super) redists: Vec<(Vcpu, RedistState)>,
    /// In the order of the ITSes.
    pub(super) its: Vec<Geometry>,
}

impl Registers {
    pub(super) fn new(redists: Vec<(Vcpu, RedistState)>, its: &[ItsState], target: &Target) -> Self {
        let its = its.iter().zip(&target.its).map(|(registers, (base, identity))| geometry(*base, identity, registers));
        Registers { redists, its: its.collect() }
    }

    fn of(state: &Gicv3State) -> Self {
        Registers {
            redists: state.vcpus.iter().map(|vcpu| (vcpu.vcpu, vcpu.redist)).collect(),
            its: state.its.iter().map(|its| geometry(its.base, &its.identity, &its.registers)).collect(),
        }
    }

    /// KVM has one value for all vCPUs.
    fn propbaser(&self) -> u64 {
        self.redists.first().map_or(0, |(_, redist)| redist.propbaser)
    }

    /// vCPUs that can have pending LPIs, and their table.
    fn pending(&self) -> impl Iterator<Item = (Vcpu, u64)> {
        self.redists.iter().filter(|(_, redist)| redist.lpis_enabled()).map(|(vcpu, redist)| (*vcpu, redist.pendbaser))
    }

    /// Bytes for the level-2 device tables of all ITSes.
    fn level2_bytes(&self) -> u64 {
        self.its.iter().map(Geometry::level2_tables).sum::<u64>() * PAGE_BYTES
    }

    /// Each ITS, and where its level-2 device tables go.
    fn with_level2(&self, start: u64) -> impl Iterator<Item = (&Geometry, u64)> {
        self.its.iter().scan(start, |next, geometry| {
            let start = *next;
            *next += geometry.level2_tables() * PAGE_BYTES;
            Some((geometry, start))
        })
    }

    /// Every table that the kernel writes or reads for these mappings, but for level-2 device tables, which are nobody else's.
    fn tables(&self, lpis: &LpiState) -> Vec<TableRange> {
        let mut tables: Vec<TableRange> = Vec::new();
        for (vcpu, pendbaser) in self.pending() {
            tables.push(TableRange { range: pending_bits(pendbaser), table: Table::LpiPending { vcpu: vcpu.id } });
        }
        for mappings in &lpis.its {
            let Some(geometry) = self.its.iter().find(|geometry| geometry.its == mappings.base) else { continue };
            if geometry.has_devices() {
                tables.push(geometry.devices_read(&mappings.devices));
            }
            if geometry.has_collections() {
                tables.push(geometry.collections(mappings.collections.len()));
            }
            tables.extend(mappings.devices.iter().map(|device| geometry.itt(device)));
        }
        tables
    }
}

fn geometry(base: u64, identity: &ItsIdentity, registers: &ItsState) -> Geometry {
    Geometry::new(base, identity.typer, registers.baser0, registers.baser1)
}

/// Has the kernel save its tables into shadow memory, and reads what it has mapped.
pub(super) fn save<D: AttrDevice>(
    gic: &mut D,
    its: &mut [D],
    divert: &mut dyn Divert,
    registers: &Registers,
) -> Result<LpiState, Error> {
    let mut lpis = LpiState::default();
    divert.divert(registers.level2_bytes(), &mut |shadow| {
        prepare(shadow, registers)?;
        save_tables(gic, its, registers)?;
        if !shadow.is_zeroed() {
            clear_itts(shadow, registers)?;
            save_tables(gic, its, registers)?;
        }
        read(shadow, registers, &mut lpis)?;
        Ok(check_overlap(&mut registers.tables(&lpis))?)
    })?;
    Ok(lpis)
}

/// What the guest has between the entries of ITTs goes, now that the kernel has said where they are.
fn clear_itts(shadow: &mut dyn ShadowMemory, registers: &Registers) -> Result<(), TableError> {
    for (geometry, level2) in registers.with_level2(shadow.extra().start) {
        // Events are not looked for: what lies there is not theirs yet.
        let devices = Reader::new(&InShadow(shadow)).devices(geometry, Level2::At(level2))?;
        for device in &devices {
            // All of it, even if that is more than there is memory for.
            let empty = crate::its::Device { events: Vec::new(), ..*device };
            let table = geometry.itt(&empty);
            build::clear_memory(shadow, table.table, table.range)?;
        }
    }
    level1(shadow, registers)
}

/// First levels of device tables, behind everything that may have cleared them: the kernel does not write them again.
fn level1(shadow: &mut dyn ShadowMemory, registers: &Registers) -> Result<(), TableError> {
    let mut two_levels = registers.with_level2(shadow.extra().start);
    two_levels.try_for_each(|(geometry, level2)| build::level1(shadow, geometry, level2))
}

fn prepare(shadow: &mut dyn ShadowMemory, registers: &Registers) -> Result<(), TableError> {
    for (geometry, level2) in registers.with_level2(shadow.extra().start) {
        if geometry.has_devices() {
            build::device_table(shadow, geometry, geometry.devices(), level2)?;
        }
        if geometry.has_collections() {
            let table = geometry.collections(geometry.collection_entries() as usize);
            build::clear(shadow, table.table, table.range)?;
        }
    }
    clear_pending(shadow, registers)?;
    level1(shadow, registers)
}

/// Pending tables of all vCPUs: where LPIs are disabled, the kernel reads them just the same.
fn clear_pending(shadow: &mut dyn ShadowMemory, registers: &Registers) -> Result<(), TableError> {
    registers.redists.iter().try_for_each(|(vcpu, redist)| {
        build::clear_memory(shadow, Table::LpiPending { vcpu: vcpu.id }, pending_bits(redist.pendbaser))
    })
}

/// The commands of a save, on whatever memory there is.
pub(super) fn save_tables<D: AttrDevice>(gic: &mut D, its: &mut [D], registers: &Registers) -> Result<(), AccessError> {
    let command = |device: &mut D, command: Command, its| {
        device.command(command).map_err(|errno| AccessError { its, ..AccessError::new(Operation::Set, command.id(), errno) })
    };
    command(gic, Command::SavePendingTables, None)?;
    its.iter_mut()
        .zip(&registers.its)
        .try_for_each(|(device, geometry)| command(device, Command::ItsSaveTables, Some(geometry.its)))
}

fn read(shadow: &dyn ShadowMemory, registers: &Registers, lpis: &mut LpiState) -> Result<(), TableError> {
    let tables = InShadow(shadow);
    for (geometry, level2) in registers.with_level2(shadow.extra().start) {
        // The limit is one for each ITS.
        lpis.its.push(Reader::new(&tables).mappings(geometry, Level2::At(level2))?);
    }
    lpis.its.sort_unstable_by_key(|its| its.base);
    for (vcpu, pendbaser) in registers.pending() {
        let intids = Reader::new(&tables).pending(Table::LpiPending { vcpu: vcpu.id }, pending_bits(pendbaser))?;
        if !intids.is_empty() {
            lpis.pending.push(PendingLpis { vcpu, intids });
        }
    }
    lpis.pending.sort_unstable_by_key(|pending| pending.vcpu.id);
    Ok(())
}

/// Adds the configuration of every LPI that an event is mapped to, from the guest's table. What is not memory reads as zero.
pub(super) fn read_configuration(lpis: &mut LpiState, memory: &impl GuestMemoryRead, registers: &Registers) {
    const CHUNK: u32 = 512;
    let table = configuration_table(registers.propbaser());
    lpis.configuration = mapped(lpis, |intid| LpiConfiguration { intid, byte: 0 });
    let mut bytes = [0; CHUNK as usize];
    let mut read = 0..0;
    for lpi in &mut lpis.configuration {
        // One read for neighbours.
        if !read.contains(&lpi.intid) {
            read = lpi.intid..lpi.intid.saturating_add(CHUNK).min(LPI_LIMIT).max(lpi.intid.saturating_add(1));
            let address = table + u64::from(lpi.intid.saturating_sub(FIRST_LPI));
            let Some(bytes) = bytes.get_mut(..read.len()) else { return };
            if !memory.read(address, bytes) {
                // Perhaps some of it is memory.
                for (at, byte) in (address..).zip(bytes) {
                    let mut one = [0];
                    [*byte] = if memory.read(at, &mut one) { one } else { [0] };
                }
            }
        }
        lpi.byte = bytes.get((lpi.intid - read.start) as usize).copied().unwrap_or_default();
    }
}

/// Every LPI that an event is mapped to, once, by INTID.
pub(super) fn mapped<T: Ord>(lpis: &LpiState, make: impl Fn(u32) -> T) -> Vec<T> {
    let devices = || lpis.its.iter().flat_map(|its| &its.devices);
    // Reserved at once: growing costs page faults.
    let mut mapped = Vec::with_capacity(devices().map(|device| device.events.len()).sum());
    devices().for_each(|device| mapped.extend(device.events.iter().map(|event| make(event.intid))));
    mapped.sort_unstable();
    mapped.dedup();
    mapped.shrink_to_fit();
    mapped
}

/// Each event's LPI, and what its collection has as target.
fn targets(lpis: &LpiState) -> impl Iterator<Item = (u32, u32)> {
    lpis.its.iter().flat_map(|mappings| {
        let events = mappings.devices.iter().flat_map(|device| &device.events);
        events.filter_map(|event| {
            let place = mappings.collections.binary_search_by_key(&event.icid, |collection| collection.icid).ok()?;
            Some((event.intid, mappings.collections.get(place)?.target?))
        })
    })
}

/// Does some work, the restore of the kernel's tables, while it sees the tables of a state in shadow memory.
pub(super) fn restore(
    divert: Option<&mut dyn Divert>,
    state: &Gicv3State,
    lpis: &LpiState,
    policy: ConfigurationPolicy,
    work: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    let registers = Registers::of(state);
    let divert = divert.ok_or(ShadowError::Unavailable)?;
    divert.divert(registers.level2_bytes(), &mut |shadow| {
        // First, since what a vCPU without LPIs has as its table may be anything.
        clear_pending(shadow, &registers)?;
        for (geometry, level2) in registers.with_level2(shadow.extra().start) {
            if let Some(mappings) = lpis.its.iter().find(|mappings| mappings.base == geometry.its) {
                build::tables(shadow, geometry, mappings, level2)?;
            }
        }
        build::configuration(shadow, registers.propbaser(), policy.bytes(lpis))?;
        let mut all: Vec<u32> = lpis.pending.iter().flat_map(|pending| pending.intids.iter().copied()).collect();
        all.sort_unstable();
        let mut moved: Vec<(u32, u32)> = targets(lpis).filter(|(intid, _)| all.binary_search(intid).is_ok()).collect();
        moved.sort_unstable_by_key(|(_, target)| *target);
        for (vcpu, pendbaser) in registers.pending() {
            let own = lpis.pending.iter().find(|pending| pending.vcpu == vcpu);
            let mut intids: Vec<u32> = own.map(|pending| pending.intids.clone()).unwrap_or_default();
            // The kernel looks for a bit in the table of the collection's target. After a `MOVALL`, it was not saved there.
            let id = vcpu.id.get();
            let first = moved.partition_point(|(_, target)| *target < id);
            intids.extend(moved.iter().skip(first).take_while(|(_, target)| *target == id).map(|(intid, _)| *intid));
            intids.sort_unstable();
            intids.dedup();
            build::pending(shadow, vcpu.id, pendbaser, &intids)?;
        }
        work()
    })
}

/// Compares what is mapped with the tables in guest memory.
pub(super) fn verify(lpis: &LpiState, memory: &impl GuestMemoryRead, registers: &Registers) -> Result<(), TableError> {
    let tables = InGuest(memory);
    for geometry in &registers.its {
        let Some(mapped) = lpis.its.iter().find(|mapped| mapped.base == geometry.its) else { continue };
        // Tables that cannot be read have nothing that a restore would find.
        let found = Reader::new(&tables).mappings(geometry, Level2::Guest).unwrap_or_default();
        let lost = lost(mapped, &found);
        if lost != (Lost { its: geometry.its, ..Lost::default() }) {
            return Err(TableError::Lost(lost));
        }
    }
    Ok(())
}

fn lost(mapped: &ItsMappings, found: &ItsMappings) -> Lost {
    let same = |id: u32| found.devices.binary_search_by_key(&id, |device| device.id).ok().and_then(|n| found.devices.get(n));
    let is_mapped = |id: &u32| mapped.devices.binary_search_by_key(id, |device| device.id).is_ok();
    Lost {
        its: mapped.base,
        devices: mapped.devices.iter().filter(|device| same(device.id) != Some(device)).map(|device| device.id).collect(),
        collections: mapped.collections.iter().filter(|one| !found.collections.contains(one)).map(|one| one.icid).collect(),
        stale: found.devices.iter().map(|device| device.id).filter(|id| !is_mapped(id)).collect(),
    }
}
