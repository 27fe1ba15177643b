//! Whether a VM has memory for the tables that a state with mappings needs.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`: what a restore reads; Documentation/virt/kvm/devices/arm-vgic-its.rst.
//!
//! Rule: only what is used of a table must be memory.

use crate::its::geometry::{configuration_table, pending_bits};
use crate::its::{ENTRY_BYTES, FIRST_LPI, LpiState, Table, TableError};
use crate::memory::GuestMemoryRead;
use crate::state::gicv3::Gicv3State;
use crate::state::gicv3::layout::Layout;
use crate::topology::VcpuId;
use alloc::vec::Vec;

/// Whether the memory of this VM has every byte that a restore needs as a table.
pub(crate) fn fits_memory(state: &Gicv3State, lpis: &LpiState, memory: &dyn GuestMemoryRead) -> Result<(), TableError> {
    let registers = Layout::of(state);
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

/// Whether every table is guest memory: the shadow has some more.
pub(crate) fn check_memory(lpis: &LpiState, registers: &Layout, memory: &dyn GuestMemoryRead) -> Result<(), TableError> {
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
