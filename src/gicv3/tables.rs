//! Where in guest memory KVM keeps the tables of an ITS and the pending bits of LPIs.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0"; `arch/arm64/kvm/vgic/vgic-its.c` (save of tables),
//! `vgic-v3.c` (save of pending tables).
//!
//! Rule: the work is bounded by the size of the tables in the registers, whatever is in them: an index only grows.

use super::{ItsState, RedistState};
use crate::guest_memory::{GuestMemoryRead, GuestRange, Unreadable};
use crate::uapi::vgic_v3::its::*;
use alloc::vec::Vec;

const ENTRY: u64 = 8;
/// Bytes of a page of an ITS table: KVM has no other size.
const PAGE: u64 = 0x1_0000;
const ENTRIES: u64 = PAGE / ENTRY;

/// Address of the table in a `GITS_BASER` with 64 KiB pages.
pub(super) const fn baser_address(baser: u64) -> u64 {
    (baser & 0x0000_ffff_ffff_0000) | ((baser >> 12) & 0xf) << 48
}

fn read_entry(memory: &impl GuestMemoryRead, address: u64) -> Result<u64, Unreadable> {
    let mut bytes = [0; ENTRY as usize];
    if memory.read(address, &mut bytes) { Ok(u64::from_le_bytes(bytes)) } else { Err(Unreadable { address }) }
}

/// What `SAVE_TABLES` writes: device table entries, interrupt translation tables, collection table entries. Call it afterwards.
pub(super) fn written_by_save(
    its: &ItsState,
    memory: &impl GuestMemoryRead,
    ranges: &mut Vec<GuestRange>,
) -> Result<(), Unreadable> {
    if its.baser0 & GITS_BASER_VALID != 0 {
        devices(its.baser0, memory, ranges)?;
    }
    if its.baser1 & GITS_BASER_VALID != 0 {
        collections(its.baser1, memory, ranges)?;
    }
    Ok(())
}

fn devices(baser: u64, memory: &impl GuestMemoryRead, ranges: &mut Vec<GuestRange>) -> Result<(), Unreadable> {
    let table = baser_address(baser);
    let pages = (baser & GITS_BASER_SIZE) + 1;
    if baser & GITS_BASER_INDIRECT == 0 {
        return device_page(table, pages * ENTRIES, memory, ranges).map(|_| ());
    }
    for index in 0..pages * ENTRIES {
        let entry = read_entry(memory, table + index * ENTRY)?;
        if entry & KVM_ITS_L1E_VALID != 0 && device_page(entry & KVM_ITS_L1E_ADDR, ENTRIES, memory, ranges)? {
            break;
        }
    }
    Ok(())
}

/// Follows the chain of device table entries in one flat table. True after the last device of all.
fn device_page(table: u64, entries: u64, memory: &impl GuestMemoryRead, ranges: &mut Vec<GuestRange>) -> Result<bool, Unreadable> {
    let mut index = 0;
    while index < entries {
        let address = table.saturating_add(index * ENTRY);
        let entry = read_entry(memory, address)?;
        if entry & KVM_ITS_DTE_VALID == 0 {
            index += 1;
            continue;
        }
        ranges.push(GuestRange::new(address, ENTRY));
        let itt = ((entry & KVM_ITS_DTE_ITTADDR) >> KVM_ITS_DTE_ITTADDR.trailing_zeros()) << 8;
        let event_bits = (entry & KVM_ITS_DTE_SIZE) + 1;
        ranges.push(GuestRange::new(itt, ENTRY << event_bits));
        match (entry & KVM_ITS_DTE_NEXT) >> KVM_ITS_DTE_NEXT.trailing_zeros() {
            0 => return Ok(true),
            next => index += next,
        }
    }
    Ok(false)
}

fn collections(baser: u64, memory: &impl GuestMemoryRead, ranges: &mut Vec<GuestRange>) -> Result<(), Unreadable> {
    let table = baser_address(baser);
    let entries = ((baser & GITS_BASER_SIZE) + 1) * ENTRIES;
    let mut used = 0;
    while used < entries && read_entry(memory, table + used * ENTRY)? & KVM_ITS_CTE_VALID != 0 {
        used += 1;
    }
    // The entry that ends the table is written too, if there is room for it.
    ranges.push(GuestRange::new(table, (used + 1).min(entries) * ENTRY));
    Ok(())
}

/// The pending bits of a vCPU's LPIs: what `SAVE_PENDING_TABLES` may write, and what a restore clears as it takes them over. The
/// first 1 KiB, of interrupts that are no LPIs, is never touched.
pub(super) fn pending_table(redist: &RedistState) -> Option<GuestRange> {
    if redist.ctlr & 1 == 0 {
        return None;
    }
    let id_bits = ((redist.propbaser & 0x1f) + 1).min(16);
    let table = redist.pendbaser & 0x000f_ffff_ffff_0000;
    let range = GuestRange { start: table + 1024, end: table + (1 << id_bits) / 8 };
    (range.start < range.end).then_some(range)
}
