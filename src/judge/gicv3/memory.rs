//! Whether a VM has memory for the tables that a state with mappings needs.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`: what a restore reads; Documentation/virt/kvm/devices/arm-vgic-its.rst.
//!
//! Rule: only what is used of a table must be memory.

use crate::its::geometry::{configuration_table, pending_bits};
use crate::its::{ENTRY_BYTES, FIRST_LPI, LpiState, Table, TableError};
use crate::memory::{GuestMemoryRead, GuestRange, MemoryError, first_outside, join};
use crate::state::gicv3::Gicv3State;
use crate::state::gicv3::layout::Layout;
use crate::topology::VcpuId;
use alloc::vec::Vec;

/// Whether the memory of this VM has every byte that a restore needs as a table, and the slots that can be diverted have it.
pub(crate) fn fits_memory(state: &Gicv3State, lpis: &LpiState, memory: &dyn GuestMemoryRead) -> Result<(), TableError> {
    let registers = Layout::of(state);
    let slots = memory.diverted().map(join);
    let no_slot = |table, address| TableError::NoSlot { table, address };
    check_memory(lpis, &registers, memory, slots.as_deref(), &no_slot)?;
    let configuration = configuration_table(registers.propbaser());
    let mut page = None;
    for lpi in &lpis.configuration {
        let address = configuration + u64::from(lpi.intid.saturating_sub(FIRST_LPI));
        if page.replace(address / 4096) != Some(address / 4096) {
            probe(memory, slots.as_deref(), Table::LpiConfiguration, GuestRange::new(address, 1), &no_slot)?;
        }
    }
    Ok(())
}

/// Whether slots can be diverted for a save: those of every table that registers name. Where ITTs are, only the kernel knows.
pub(crate) fn check_slots(registers: &Layout, memory: &dyn GuestMemoryRead) -> Result<(), TableError> {
    let Some(slots) = memory.diverted().map(join) else { return Ok(()) };
    let ranges = memory.ranges().map(join);
    for table in registers.declared_tables() {
        let covered = |part: GuestRange| match first_outside(part, &slots) {
            Some(address) => Err(TableError::NoSlot { table: table.table, address }),
            None => Ok(()),
        };
        if !matches!(table.table, Table::LpiPending { .. }) {
            // A restore reads the first entry, whatever is mapped.
            covered(GuestRange::new(table.range.start, ENTRY_BYTES))?;
        }
        // What is declared larger than memory has no slot there.
        let Some(ranges) = &ranges else {
            // Nobody knows where memory is: a look at each page.
            for start in (table.range.start..table.range.end).step_by(4096) {
                match memory.read(start, &mut [0; ENTRY_BYTES as usize]) {
                    Ok(()) => covered(GuestRange::new(start, ENTRY_BYTES))?,
                    Err(MemoryError::NotMemory) => {}
                    Err(error) => return Err(TableError::memory(error, table.table, start)),
                }
            }
            continue;
        };
        for memory in ranges {
            let part = GuestRange { start: table.range.start.max(memory.start), end: table.range.end.min(memory.end) };
            if part.start < part.end {
                covered(part)?;
            }
        }
    }
    Ok(())
}

/// Whether this is memory, and in a slot.
fn probe(
    memory: &dyn GuestMemoryRead,
    slots: Option<&[GuestRange]>,
    table: Table,
    part: GuestRange,
    no_slot: &dyn Fn(Table, u64) -> TableError,
) -> Result<(), TableError> {
    let mut bytes = [0; ENTRY_BYTES as usize];
    let length = (part.end - part.start).min(ENTRY_BYTES) as usize;
    if let Some(bytes) = bytes.get_mut(..length) {
        memory.read(part.start, bytes).map_err(|error| TableError::memory(error, table, part.start))?;
    }
    match slots.and_then(|slots| first_outside(part, slots)) {
        Some(address) => Err(no_slot(table, address)),
        None => Ok(()),
    }
}

/// Whether every table is guest memory, since the shadow has some more; and in one of the slots, if they are known.
pub(crate) fn check_memory(
    lpis: &LpiState,
    registers: &Layout,
    memory: &dyn GuestMemoryRead,
    slots: Option<&[GuestRange]>,
    no_slot: &dyn Fn(Table, u64) -> TableError,
) -> Result<(), TableError> {
    let entry = |table, address| probe(memory, slots, table, GuestRange::new(address, ENTRY_BYTES), no_slot);
    for table in registers.mapped_tables(lpis) {
        for address in (table.range.start..table.range.end).step_by(4096) {
            entry(table.table, address)?;
        }
        entry(table.table, table.range.end.saturating_sub(ENTRY_BYTES))?;
    }
    // Of pending tables, single bytes.
    check_targets(lpis, registers, &|vcpu, byte| {
        probe(memory, slots, Table::LpiPending { vcpu }, GuestRange::new(byte, 1), no_slot)
    })?;
    Ok(())
}

/// The kernel looks for the pending bit of every LPI that has a target, whether anything is pending there or not; and each LPI that is
/// pending needs its bit.
fn check_targets(
    lpis: &LpiState,
    registers: &Layout,
    probe: &dyn Fn(VcpuId, u64) -> Result<(), TableError>,
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
    lpis.targets().try_for_each(|(intid, target)| look(intid, target))?;
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
