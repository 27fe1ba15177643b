//! LPIs as a part of the state: the kernel writes its tables into shadow memory, and reads them from there.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst; `arch/arm64/kvm/vgic/vgic-its.c`, `vgic-v3.c`. How and why, for the author
//! of a VMM: `docs/its-in-image.md`.
//!
//! Rule: guest memory is read, for the configuration of LPIs, and never written.

use crate::error::AccessError;
use crate::its::build;
use crate::its::geometry::{LPI_LIMIT, check_overlap, configuration_table, pending_bits};
use crate::its::read::{InShadow, Level2, Reader};
use crate::its::scan::InGuest;
use crate::its::{FIRST_LPI, ItsMappings, Lost, LpiConfiguration, LpiState, PendingLpis, Table, TableError};
use crate::memory::{Divert, GuestMemoryRead, MemoryError, ShadowError, ShadowMemory};
use crate::options::ConfigurationPolicy;
use crate::state::gicv3::Gicv3State;
use crate::state::gicv3::layout::Layout;
use crate::{AttrDevice, Command, Error, Operation};
use alloc::vec::Vec;

/// Has the kernel save its tables into shadow memory, and reads what it has mapped.
pub(super) fn save<D: AttrDevice>(
    gic: &mut D,
    its: &mut [D],
    divert: &mut dyn Divert,
    registers: &Layout,
) -> Result<LpiState, Error> {
    let mut saved = Err(ShadowError::Unavailable.into());
    divert.divert(registers.level2_bytes(), &mut |shadow| saved = save_diverted(gic, its, shadow, registers))?;
    saved
}

fn save_diverted<D: AttrDevice>(
    gic: &mut D,
    its: &mut [D],
    shadow: &mut dyn ShadowMemory,
    registers: &Layout,
) -> Result<LpiState, Error> {
    let mut lpis = LpiState::default();
    prepare(shadow, registers)?;
    save_tables(gic, its, registers)?;
    if !shadow.is_zeroed() {
        clear_itts(shadow, registers)?;
        save_tables(gic, its, registers)?;
    }
    read(shadow, registers, &mut lpis).map_err(|error| unreadable(error, shadow, registers))?;
    // The pending table of a vCPU that no LPI is for holds nothing that could be destroyed.
    let pending = registers.pending_bytes(&lpis);
    check_overlap(&mut registers.used_tables(&lpis, &pending))?;
    Ok(lpis)
}

/// What the guest has between the entries of ITTs goes, now that the kernel has said where they are.
fn clear_itts(shadow: &mut dyn ShadowMemory, registers: &Layout) -> Result<(), TableError> {
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
fn level1(shadow: &mut dyn ShadowMemory, registers: &Layout) -> Result<(), TableError> {
    let mut two_levels = registers.with_level2(shadow.extra().start);
    two_levels.try_for_each(|(geometry, level2)| build::level1_memory(shadow, geometry, level2))
}

fn prepare(shadow: &mut dyn ShadowMemory, registers: &Layout) -> Result<(), TableError> {
    for (geometry, level2) in registers.with_level2(shadow.extra().start) {
        if geometry.has_devices() {
            // As far as it is memory: the kernel has no device where its entry is not.
            let table = geometry.devices();
            build::clear_memory(shadow, table.table, table.range)?;
            geometry.level2(level2).try_for_each(|table| build::clear(shadow, table.table, table.range))?;
        }
        if geometry.has_collections() {
            let table = geometry.collections(geometry.collection_entries() as usize);
            build::clear_memory(shadow, table.table, table.range)?;
        }
    }
    clear_pending(shadow, registers)?;
    level1(shadow, registers)
}

/// Pending tables of all vCPUs: where LPIs are disabled, the kernel reads them just the same.
fn clear_pending(shadow: &mut dyn ShadowMemory, registers: &Layout) -> Result<(), TableError> {
    registers.redists.iter().try_for_each(|(vcpu, redist)| {
        build::clear_memory(shadow, Table::LpiPending { vcpu: vcpu.id }, pending_bits(redist.pendbaser))
    })
}

/// The commands of a save, on whatever memory there is.
pub(super) fn save_tables<D: AttrDevice>(gic: &mut D, its: &mut [D], registers: &Layout) -> Result<(), Error> {
    let command = |device: &mut D, command: Command, its| {
        let failed = |errno| AccessError { its, ..AccessError::new(Operation::Set, command.id(), errno) };
        device.command(command).map_err(|errno| Error::from(failed(errno)))
    };
    command(gic, Command::SavePendingTables, None)?;
    its.iter_mut()
        .zip(&registers.its)
        .try_for_each(|(device, geometry)| command(device, Command::ItsSaveTables, Some(geometry.its)))
}

fn read(shadow: &dyn ShadowMemory, registers: &Layout, lpis: &mut LpiState) -> Result<(), TableError> {
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

/// Why tables that the kernel has just written cannot be read.
fn unreadable(error: TableError, shadow: &dyn ShadowMemory, registers: &Layout) -> TableError {
    // What nobody can read says nothing of the tables.
    if matches!(error, TableError::Unreadable { .. }) {
        return error;
    }
    // One table over the other reads as anything.
    if let Err(overlap) = check_overlap(&mut registers.declared_tables()) {
        return overlap;
    }
    let extra = shadow.extra();
    match error {
        // Who knows slots and memory says what it is.
        TableError::Outside { table, address } if !(extra.start..extra.end).contains(&address) => {
            TableError::NotDiverted { table, address, in_memory: false }
        }
        error => error,
    }
}

/// Adds the configuration of every LPI that an event is mapped to, from the guest's table. What is not memory reads as zero; what nobody
/// can read is an error.
pub(super) fn read_configuration(lpis: &mut LpiState, memory: &impl GuestMemoryRead, registers: &Layout) -> Result<(), TableError> {
    const CHUNK: u32 = 512;
    let table = configuration_table(registers.propbaser());
    lpis.configuration = lpis.mapped(|intid| LpiConfiguration { intid, byte: 0 });
    let mut bytes = [0; CHUNK as usize];
    let mut read = 0..0;
    for lpi in &mut lpis.configuration {
        // One read for neighbours.
        if !read.contains(&lpi.intid) {
            read = lpi.intid..lpi.intid.saturating_add(CHUNK).min(LPI_LIMIT).max(lpi.intid.saturating_add(1));
            let address = table + u64::from(lpi.intid.saturating_sub(FIRST_LPI));
            let Some(bytes) = bytes.get_mut(..read.len()) else { return Ok(()) };
            if memory.read(address, bytes).is_err() {
                // Perhaps some of it is memory.
                for (at, byte) in (address..).zip(bytes) {
                    let mut one = [0];
                    *byte = match memory.read(at, &mut one) {
                        Ok(()) => one[0],
                        Err(MemoryError::NotMemory) => 0,
                        Err(error) => return Err(TableError::memory(error, Table::LpiConfiguration, at)),
                    };
                }
            }
        }
        lpi.byte = bytes.get((lpi.intid - read.start) as usize).copied().unwrap_or_default();
    }
    Ok(())
}

/// Does some work, the restore of the kernel's tables, while it sees the tables of a state in shadow memory.
pub(super) fn restore(
    divert: Option<&mut dyn Divert>,
    state: &Gicv3State,
    lpis: &LpiState,
    policy: ConfigurationPolicy,
    work: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    let registers = Layout::of(state);
    let divert = divert.ok_or(ShadowError::Unavailable)?;
    let mut restored = Err(ShadowError::Unavailable.into());
    divert.divert(registers.level2_bytes(), &mut |shadow| {
        restored = build_tables(shadow, &registers, lpis, policy).map_err(Error::from).and_then(|()| work());
    })?;
    restored
}

/// Writes the tables of a state into shadow memory.
fn build_tables(
    shadow: &mut dyn ShadowMemory,
    registers: &Layout,
    lpis: &LpiState,
    policy: ConfigurationPolicy,
) -> Result<(), TableError> {
    // First, since what a vCPU without LPIs has as its table may be anything.
    clear_pending(shadow, registers)?;
    for (geometry, level2) in registers.with_level2(shadow.extra().start) {
        if let Some(mappings) = lpis.its.iter().find(|mappings| mappings.base == geometry.its) {
            build::tables(shadow, geometry, mappings, level2)?;
        }
    }
    build::configuration(shadow, registers.propbaser(), policy.bytes(lpis))?;
    let mut all: Vec<u32> = lpis.pending.iter().flat_map(|pending| pending.intids.iter().copied()).collect();
    all.sort_unstable();
    let mut moved: Vec<(u32, u32)> = lpis.targets().filter(|(intid, _)| all.binary_search(intid).is_ok()).collect();
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
    Ok(())
}

/// Compares what is mapped with the tables in guest memory.
pub(super) fn verify(lpis: &LpiState, memory: &impl GuestMemoryRead, registers: &Layout) -> Result<(), TableError> {
    let tables = InGuest(memory);
    for geometry in &registers.its {
        let Some(mapped) = lpis.its.iter().find(|mapped| mapped.base == geometry.its) else { continue };
        let found = match Reader::new(&tables).mappings(geometry, Level2::Guest) {
            // What lies there is nobody's table: a restore would find nothing.
            Err(TableError::Entry { .. }) => ItsMappings::default(),
            found => found?,
        };
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
