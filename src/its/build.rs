//! From mappings to tables: what `SAVE_TABLES` and `SAVE_PENDING_TABLES` would write, into shadow memory.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0"; `arch/arm64/kvm/vgic/vgic-its.c`.
//!
//! Rule: what is between the entries reads as zero.

use super::geometry::{Geometry, configuration_table, pending_bits};
use super::{Cte, Device, Dte, ENTRY_BYTES, FIRST_LPI, Ite, ItsMappings, Level1, PAGE_ENTRIES, Table, TableError};
use crate::memory::{GuestRange, MemoryError, ShadowMemory};
use crate::topology::VcpuId;

/// Writes bytes of a table.
fn write(shadow: &mut dyn ShadowMemory, table: Table, address: u64, bytes: &[u8]) -> Result<(), TableError> {
    shadow.write(address, bytes).map_err(|error| TableError::memory(error, table, address))
}

fn write_entry(shadow: &mut dyn ShadowMemory, table: Table, address: u64, entry: u64) -> Result<(), TableError> {
    write(shadow, table, address, &entry.to_le_bytes())
}

/// The parts of a range in pages, the smallest that a slot is made of.
fn pages(range: GuestRange) -> impl Iterator<Item = GuestRange> {
    const PAGE: u64 = 4096;
    let first = range.start - range.start % PAGE;
    let part = move |page: u64| GuestRange { start: page.max(range.start), end: (page + PAGE).min(range.end) };
    (first..range.end).step_by(PAGE as usize).map(part)
}

/// Makes a table all zeros.
pub(crate) fn clear(shadow: &mut dyn ShadowMemory, table: Table, range: GuestRange) -> Result<(), TableError> {
    if clear_all(shadow, table, range)? {
        return Ok(());
    }
    for page in pages(range) {
        shadow.read(page.start, &mut [0]).map_err(|error| TableError::memory(error, table, page.start))?;
    }
    Err(TableError::Unclear { table })
}

/// False if not all of it is memory, or if it is too much.
fn clear_all(shadow: &mut dyn ShadowMemory, table: Table, range: GuestRange) -> Result<bool, TableError> {
    shadow.clear(range).map_err(|errno| TableError::Unreadable { table, address: range.start, errno })
}

/// Makes all zeros of a table what is memory. The kernel says so if it needs the rest.
pub(crate) fn clear_memory(shadow: &mut dyn ShadowMemory, table: Table, range: GuestRange) -> Result<(), TableError> {
    if clear_all(shadow, table, range)? {
        return Ok(());
    }
    for page in pages(range) {
        match shadow.read(page.start, &mut [0]) {
            Ok(()) if clear_all(shadow, table, page)? => {}
            Ok(()) => return Err(TableError::Unclear { table }),
            Err(MemoryError::NotMemory) => {}
            Err(error) => return Err(TableError::memory(error, table, page.start)),
        }
    }
    Ok(())
}

/// The first level of a device table that has two, as far as it is memory: all level-2 tables are there, whatever the guest's own are.
pub(crate) fn level1_memory(shadow: &mut dyn ShadowMemory, geometry: &Geometry, level2: u64) -> Result<(), TableError> {
    match level1(shadow, geometry, level2, geometry.level2_tables()) {
        // A device there cannot be: its entry is nowhere.
        Err(TableError::Outside { address, .. }) if address > geometry.device_table() => Ok(()),
        written => written,
    }
}

/// So many entries of the first level.
fn level1(shadow: &mut dyn ShadowMemory, geometry: &Geometry, level2: u64, count: u64) -> Result<(), TableError> {
    let table = geometry.devices();
    let addresses = (table.range.start..).step_by(ENTRY_BYTES as usize).take(count as usize);
    for (level2, address) in geometry.level2(level2).zip(addresses) {
        let entry = Level1::new().with_valid(true).with_address(level2.range.start);
        write_entry(shadow, table.table, address, entry.into_bits())?;
    }
    Ok(())
}

/// All tables of an ITS. `level2`: where its level-2 device tables go.
pub(crate) fn tables(
    shadow: &mut dyn ShadowMemory,
    geometry: &Geometry,
    mappings: &ItsMappings,
    level2: u64,
) -> Result<(), TableError> {
    if geometry.has_devices() {
        let table = geometry.devices_read(&mappings.devices);
        clear(shadow, table.table, table.range)?;
        geometry.level2(level2).try_for_each(|table| clear(shadow, table.table, table.range))?;
        level1(shadow, geometry, level2, (table.range.end - table.range.start) / ENTRY_BYTES)?;
    }
    let mut following = mappings.devices.iter().skip(1);
    for device in &mappings.devices {
        itt(shadow, geometry, device)?;
        let distance = following.next().map_or(0, |next| (next.id - device.id).min(Dte::MAX_NEXT));
        let dte =
            Dte::new().with_valid(true).with_size((device.event_bits - 1) as u8).with_itt(device.itt).with_next(distance as u16);
        let id = u64::from(device.id);
        let (table, address) = if geometry.is_indirect() {
            (Table::Level2 { its: geometry.its, index: (id / PAGE_ENTRIES) as u32 }, level2 + id * ENTRY_BYTES)
        } else {
            (Table::Devices { its: geometry.its }, geometry.device_table() + id * ENTRY_BYTES)
        };
        write_entry(shadow, table, address, dte.into_bits())?;
    }
    if geometry.has_collections() {
        collections(shadow, geometry, mappings)?;
    }
    Ok(())
}

fn itt(shadow: &mut dyn ShadowMemory, geometry: &Geometry, device: &Device) -> Result<(), TableError> {
    let table = geometry.itt(device);
    clear(shadow, table.table, table.range)?;
    let mut following = device.events.iter().skip(1);
    for event in &device.events {
        let distance = following.next().map_or(0, |next| (next.id - event.id).min(Ite::MAX_NEXT));
        let ite = Ite::new().with_icid(event.icid).with_pintid(event.intid).with_next(distance as u16);
        write_entry(shadow, table.table, device.itt + u64::from(event.id) * ENTRY_BYTES, ite.into_bits())?;
    }
    Ok(())
}

fn collections(shadow: &mut dyn ShadowMemory, geometry: &Geometry, mappings: &ItsMappings) -> Result<(), TableError> {
    let table = geometry.collections(mappings.collections.len());
    clear(shadow, table.table, table.range)?;
    for (collection, address) in mappings.collections.iter().zip((table.range.start..).step_by(ENTRY_BYTES as usize)) {
        let target = collection.target.unwrap_or(Cte::NOT_MAPPED);
        let cte = Cte::new().with_valid(true).with_icid(collection.icid).with_rdbase(target.into());
        write_entry(shadow, table.table, address, cte.into_bits())?;
    }
    Ok(())
}

/// The configuration of LPIs.
pub(crate) fn configuration(
    shadow: &mut dyn ShadowMemory,
    propbaser: u64,
    bytes: impl Iterator<Item = (u32, u8)>,
) -> Result<(), TableError> {
    let table = configuration_table(propbaser);
    for (intid, byte) in bytes {
        write(shadow, Table::LpiConfiguration, table + u64::from(intid.saturating_sub(FIRST_LPI)), &[byte])?;
    }
    Ok(())
}

/// The pending bits of a vCPU's LPIs, in a table that is all zeros.
pub(crate) fn pending(shadow: &mut dyn ShadowMemory, vcpu: VcpuId, pendbaser: u64, intids: &[u32]) -> Result<(), TableError> {
    let bits = pending_bits(pendbaser);
    let name = Table::LpiPending { vcpu };
    for same in intids.chunk_by(|one, other| one / 8 == other / 8) {
        let Some(first) = same.first() else { continue };
        let byte = same.iter().fold(0, |byte, intid| byte | 1 << (intid % 8));
        write(shadow, name, bits.start + u64::from(first.saturating_sub(FIRST_LPI) / 8), &[byte])?;
    }
    Ok(())
}
