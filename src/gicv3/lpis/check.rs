//! Whether mappings and LPIs can be restored, judged without touching the device.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`: what `MAPD`, `MAPC` and `MAPTI` accept; Documentation/virt/kvm/devices/arm-vgic-its.rst.
//!
//! Rule: what no guest could have mapped is refused, and what cannot be written as tables.

use super::{Registers, mapped, targets};
use crate::check::{Finding, Oddity, Place};
use crate::gicv3::Gicv3State;
use crate::guest_memory::GuestMemoryRead;
use crate::its::geometry::{Geometry, LPI_LIMIT, check_overlap, configuration_table, lpi_end, pending_bits};
use crate::its::{ENTRY_BYTES, FIRST_LPI, ItsMappings, LpiState, Mapping, Table, TableError, TableRange};
use crate::topology::IntId;
use alloc::vec::Vec;
use core::convert::identity;

fn refuse<T>(mapping: Mapping, rule: &'static str) -> Result<T, TableError> {
    Err(TableError::Mapping { mapping, rule })
}

/// Whether keys ascend, each once.
fn ascends<K: Ord>(keys: impl Iterator<Item = K>) -> bool {
    keys.is_sorted_by(|one, other| one < other)
}

/// Judges the LPIs of a state.
pub(in crate::gicv3) fn check(state: &Gicv3State, lpis: &LpiState) -> Result<(), TableError> {
    let registers = Registers::of(state);
    let mut bases: Vec<u64> = state.its.iter().map(|its| its.base).collect();
    bases.sort_unstable();
    if !lpis.its.iter().map(|its| its.base).eq(bases.iter().copied()) {
        let own = || lpis.its.iter().map(|its| its.base);
        let other = own().find(|base| !bases.contains(base));
        let its = other.or_else(|| bases.iter().copied().find(|base| !own().any(|own| own == *base))).or(bases.first().copied());
        return refuse(Mapping::Its { its: its.unwrap_or_default() }, "not the ITSes of the state, each once and in order");
    }
    let mut ids: Vec<u32> = state.vcpus.iter().map(|vcpu| vcpu.vcpu.id.get()).collect();
    ids.sort_unstable();
    let vcpus = Targets { ids };
    for mappings in &lpis.its {
        if let Some(geometry) = registers.its.iter().find(|geometry| geometry.its == mappings.base) {
            check_its(mappings, geometry, &vcpus)?;
        }
    }
    check_lpis(lpis, &registers)?;
    check_overlap(&mut used_tables(state, lpis))
}

/// Whether the memory of this VM has every byte that a restore needs as a table.
pub(in crate::gicv3) fn check_in(state: &Gicv3State, lpis: &LpiState, memory: &dyn GuestMemoryRead) -> Result<(), TableError> {
    let registers = Registers::of(state);
    check_memory(lpis, &registers, memory)?;
    let configuration = configuration_table(registers.propbaser());
    let mut page = None;
    for lpi in &lpis.configuration {
        let address = configuration + u64::from(lpi.intid.saturating_sub(FIRST_LPI));
        if page.replace(address / 4096) != Some(address / 4096) && !memory.read(address, &mut [0]) {
            return Err(TableError::Outside { table: Table::LpiConfiguration, address });
        }
    }
    Ok(())
}

/// The bytes of every table that the kernel reads or writes for a state. The pending table of a vCPU that no LPI is for is none.
pub(crate) fn used_tables(state: &Gicv3State, lpis: &LpiState) -> Vec<TableRange> {
    let registers = Registers::of(state);
    let mut targeted: Vec<u32> = targets(lpis).map(|(_, target)| target).collect();
    targeted.extend(lpis.pending.iter().map(|pending| pending.vcpu.id.get()));
    targeted.sort_unstable();
    let mut tables = registers.tables(lpis);
    tables.retain(|table| match table.table {
        Table::LpiPending { vcpu } => targeted.binary_search(&vcpu.get()).is_ok(),
        _ => true,
    });
    tables.extend(configuration(lpis, &registers));
    tables
}

/// The configuration of the mapped LPIs.
fn configuration(lpis: &LpiState, registers: &Registers) -> Option<TableRange> {
    let (first, last) = (lpis.configuration.first()?.intid, lpis.configuration.last()?.intid);
    let start = configuration_table(registers.propbaser()) + u64::from(first.saturating_sub(FIRST_LPI));
    let length = u64::from(last.saturating_sub(first)) + 1;
    Some(TableRange { range: crate::GuestRange::new(start, length), table: Table::LpiConfiguration })
}

/// What a collection can have as its target.
struct Targets {
    ids: Vec<u32>,
}

impl Targets {
    /// A `vcpu_id`; before Linux 6.7 the place of a vCPU in the order of creation.
    fn has(&self, target: u32) -> bool {
        self.ids.binary_search(&target).is_ok() || (target as usize) < self.ids.len()
    }
}

fn check_its(mappings: &ItsMappings, geometry: &Geometry, vcpus: &Targets) -> Result<(), TableError> {
    let its = mappings.base;
    let all = Mapping::Its { its };
    if !geometry.has_collections() && !mappings.collections.is_empty() {
        return refuse(all, "has collections, and no collection table");
    }
    if !geometry.has_devices() && !mappings.devices.is_empty() {
        return refuse(all, "has devices, and no device table");
    }
    if !ascends(mappings.collections.iter().map(|collection| collection.icid)) {
        return refuse(all, "collections are not in order, each once");
    }
    for collection in &mappings.collections {
        let mapping = Mapping::Collection { its, icid: collection.icid };
        if u64::from(collection.icid) >= geometry.collection_entries() {
            return refuse(mapping, "beyond the collection table");
        }
        if collection.target.is_some_and(|target| !vcpus.has(target)) {
            return refuse(mapping, "its target is no vCPU");
        }
    }
    if !ascends(mappings.devices.iter().map(|device| device.id)) {
        return refuse(all, "devices are not in order, each once");
    }
    let icids: Vec<u16> = mappings.collections.iter().map(|collection| collection.icid).collect();
    for device in &mappings.devices {
        let mapping = Mapping::Device { its, device: device.id };
        if u64::from(device.id) >= geometry.device_ids() {
            return refuse(mapping, "beyond the device table, or the DeviceIDs of the ITS");
        }
        if !(1..=geometry.event_bits).contains(&device.event_bits) {
            return refuse(mapping, "not a number of EventID bits that the ITS has");
        }
        if device.itt & !0x000f_ffff_ffff_ff00 != 0 {
            return refuse(mapping, "the address of its ITT is not one");
        }
        if !ascends(device.events.iter().map(|event| event.id)) {
            return refuse(mapping, "events are not in order, each once");
        }
        for event in &device.events {
            let mapping = Mapping::Event { its, device: device.id, event: event.id };
            if u64::from(event.id) >> device.event_bits != 0 {
                return refuse(mapping, "beyond the ITT");
            }
            if !(FIRST_LPI..LPI_LIMIT).contains(&event.intid) {
                return refuse(mapping, "its INTID is not that of an LPI");
            }
            if icids.binary_search(&event.icid).is_err() {
                return refuse(mapping, "its collection is not there");
            }
        }
    }
    Ok(())
}

fn check_lpis(lpis: &LpiState, registers: &Registers) -> Result<(), TableError> {
    let intids = mapped(lpis, identity);
    let mut configured = lpis.configuration.iter().map(|lpi| lpi.intid);
    if let Some(intid) = intids.iter().find(|intid| configured.next() != Some(**intid)).copied().or(configured.next()) {
        return refuse(Mapping::Lpi { intid }, "configurations are not those of the mapped LPIs, each once and in order");
    }
    let ids = lpis.pending.iter().map(|pending| pending.vcpu.id);
    for (pending, sorted) in lpis.pending.iter().zip(core::iter::repeat(ascends(ids))) {
        let mapping = Mapping::Pending { vcpu: pending.vcpu.id.get() };
        if !sorted {
            return refuse(mapping, "vCPUs are not in order, each once");
        }
        if !registers.pending().any(|(vcpu, _)| vcpu == pending.vcpu) {
            return refuse(mapping, "no vCPU of the state whose LPIs are enabled");
        }
        if pending.intids.is_empty() || !ascends(pending.intids.iter()) {
            return refuse(mapping, "INTIDs are not in order, each once and at least one");
        }
        // The table has bits up to there, whatever GICR_PROPBASER says.
        if pending.intids.iter().any(|intid| !(FIRST_LPI..LPI_LIMIT).contains(intid)) {
            return refuse(mapping, "an INTID is no LPI");
        }
    }
    Ok(())
}

/// Whether every table is guest memory: the shadow has some more.
pub(in crate::gicv3) fn check_memory(
    lpis: &LpiState,
    registers: &Registers,
    memory: &dyn GuestMemoryRead,
) -> Result<(), TableError> {
    let probe = |table: Table, address: u64, length: usize| {
        let mut bytes = [0; ENTRY_BYTES as usize];
        let is_memory = bytes.get_mut(..length).is_none_or(|bytes| memory.read(address, bytes));
        if is_memory { Ok(()) } else { Err(TableError::Outside { table, address }) }
    };
    let entry = |table, address| probe(table, address, ENTRY_BYTES as usize);
    for table in registers.tables(lpis) {
        // Of pending tables, single bytes: below.
        if !matches!(table.table, Table::LpiPending { .. }) {
            for address in (table.range.start..table.range.end).step_by(4096) {
                entry(table.table, address)?;
            }
            entry(table.table, table.range.end.saturating_sub(ENTRY_BYTES))?;
        }
    }
    check_targets(lpis, registers, &|vcpu, byte| probe(Table::LpiPending { vcpu }, byte, 1))?;
    Ok(())
}

/// The kernel looks for the pending bit of every LPI that has a target, whether anything is pending there or not; and each LPI that is
/// pending needs its bit.
fn check_targets(
    lpis: &LpiState,
    registers: &Registers,
    probe: &dyn Fn(crate::topology::VcpuId, u64) -> Result<(), TableError>,
) -> Result<(), TableError> {
    // Memory comes in pages: one look for each page of each vCPU.
    let mut vcpus: Vec<_> =
        registers.redists.iter().map(|(vcpu, redist)| (vcpu.id, pending_bits(redist.pendbaser), 0_u64)).collect();
    vcpus.sort_unstable_by_key(|(id, ..)| *id);
    let mut look = |intid: u32, target: u32| {
        let vcpu = vcpus.binary_search_by_key(&target, |(id, ..)| id.get()).ok();
        let Some((id, bits, seen)) = vcpu.and_then(|n| vcpus.get_mut(n)) else { return Ok(()) };
        let byte = bits.start + u64::from(intid.saturating_sub(FIRST_LPI) / 8);
        let page = 1 << (byte / 4096 % 64);
        if *seen & page != 0 {
            return Ok(());
        }
        *seen |= page;
        probe(*id, byte)
    };
    targets(lpis).try_for_each(|(intid, target)| look(intid, target))?;
    for pending in &lpis.pending {
        // In order: the first of a page stands for those of that page.
        let mut intids = pending.intids.as_slice();
        while let [first, ..] = *intids {
            look(first, pending.vcpu.id.get())?;
            // Bits of a page.
            let page = |intid: u32| intid / (8 * 4096);
            let rest = intids.partition_point(|intid| page(*intid) == page(first)).max(1);
            intids = intids.get(rest..).unwrap_or_default();
        }
    }
    Ok(())
}

/// What is odd about LPIs that can be restored.
pub(in crate::gicv3) fn findings(state: &Gicv3State, lpis: &LpiState, mut add: impl FnMut(Finding)) {
    let mut odd = |oddity, intids: &mut dyn Iterator<Item = u32>| {
        if let Some(first) = intids.next() {
            let count = 1 + intids.count() as u32;
            add(Finding { oddity, first: Place::Interrupt(IntId::Lpi(first)), count });
        }
    };
    odd(Oddity::LpiConfiguration, &mut lpis.doubtful_configuration().map(|lpi| lpi.intid));
    let end = lpi_end(Registers::of(state).propbaser());
    odd(Oddity::LpiBeyondTables, &mut lpis.configuration.iter().map(|lpi| lpi.intid).filter(|intid| *intid >= end));
    let configured = |intid: &u32| lpis.configuration.binary_search_by_key(intid, |lpi| lpi.intid).is_ok();
    let pending = lpis.pending.iter().flat_map(|pending| pending.intids.iter().copied());
    odd(Oddity::PendingUnmapped, &mut pending.filter(|intid| !configured(intid)));
    let events = lpis.its.iter().flat_map(|its| its.devices.iter().flat_map(|device| &device.events));
    let mut intids: Vec<u32> = events.map(|event| event.intid).collect();
    intids.sort_unstable();
    let shared = intids.chunk_by(|one, other| one == other).filter(|same| same.len() > 1);
    odd(Oddity::LpiShared, &mut shared.filter_map(|same| same.first().copied()));
}
