//! Where in guest memory KVM keeps the tables of an ITS and the pending bits of LPIs.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0"; `arch/arm64/kvm/vgic/vgic-its.c` (save of tables),
//! `vgic-v3.c` (save of pending tables).
//!
//! Rule: the work is bounded by `GITS_TYPER`, whatever a guest has put into its tables: every entry that a DeviceID can have is looked
//! at once, and none is followed. What is reported may be more than was written, never less: where an entry cannot be read, nothing is
//! known of what it leads to.

use crate::Errno;
use crate::its::geometry::{Geometry, pending_bits};
use crate::its::scan::{Budget, InGuest, Scan};
use crate::its::{Cte, Dte, ENTRY_BYTES, Level1, PAGE_ENTRIES, TableError};
use crate::memory::{GuestMemoryRead, GuestRange, MemoryError};
use crate::state::gicv3::{ItsIdentity, ItsState, RedistState};
use alloc::vec::Vec;

/// Shows the entries `0..count` of a table, as far as they are memory. KVM cannot have written elsewhere.
fn for_each_entry(
    memory: &impl GuestMemoryRead,
    table: u64,
    count: u64,
    mut entry: impl FnMut(u64, u64) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let (mut scan, mut budget) = (Scan::new(table, count), Budget::new(count));
    while let Ok(Some(scanned)) = scan.next(&InGuest(memory), &mut budget) {
        match scanned.word {
            Ok(word) => entry(scanned.address, word)?,
            Err(MemoryError::NotMemory) => {}
            Err(MemoryError::Failed(errno)) => return Err(errno),
        }
    }
    Ok(())
}

/// Whether memory can be read at all, by the first entry of one table, if there is one. To be asked before the kernel writes.
pub(super) fn check_readable(its: &[Geometry], memory: &impl GuestMemoryRead) -> Result<(), TableError> {
    let devices = |geometry: &Geometry| geometry.has_devices().then(|| geometry.devices());
    let collections = |geometry: &Geometry| geometry.has_collections().then(|| geometry.collections(0));
    let Some(first) = its.iter().find_map(|geometry| devices(geometry).or_else(|| collections(geometry))) else { return Ok(()) };
    match memory.read(first.range.start, &mut [0; ENTRY_BYTES as usize]) {
        Err(error @ MemoryError::Failed(_)) => Err(TableError::memory(error, first.table, first.range.start)),
        _ => Ok(()),
    }
}

/// What `SAVE_TABLES` has written: device table entries, interrupt translation tables, collection table entries. To be asked afterwards.
pub(super) fn written_by_save(
    its: &ItsIdentity,
    registers: &ItsState,
    memory: &impl GuestMemoryRead,
    ranges: &mut Vec<GuestRange>,
) -> Result<(), Errno> {
    let geometry = Geometry::new(0, its.typer, registers.baser0, registers.baser1);
    if geometry.has_devices() {
        devices(&geometry, memory, ranges)?;
    }
    if geometry.has_collections() {
        collections(&geometry, memory, ranges)?;
    }
    Ok(())
}

fn devices(geometry: &Geometry, memory: &impl GuestMemoryRead, ranges: &mut Vec<GuestRange>) -> Result<(), Errno> {
    let mut device = |address: u64, entry: u64| {
        let dte = Dte::from_bits(entry);
        // KVM maps no device with more bits of EventID than it has.
        if dte.valid() && dte.event_bits() <= geometry.event_bits {
            ranges.push(GuestRange::new(address, ENTRY_BYTES));
            ranges.push(GuestRange::new(dte.itt(), ENTRY_BYTES << dte.event_bits()));
        }
        Ok(())
    };
    if !geometry.is_indirect() {
        return for_each_entry(memory, geometry.device_table(), geometry.device_ids(), device);
    }
    for_each_entry(memory, geometry.device_table(), geometry.level2_tables(), |_, entry| {
        let level1 = Level1::from_bits(entry);
        if level1.valid() {
            for_each_entry(memory, level1.address(), PAGE_ENTRIES.min(geometry.device_ids()), &mut device)?;
        }
        Ok(())
    })
}

fn collections(geometry: &Geometry, memory: &impl GuestMemoryRead, ranges: &mut Vec<GuestRange>) -> Result<(), Errno> {
    // The entry that ends the table is written too, if there is room for it.
    let all = geometry.collections(1 << 16).range;
    let mut end = all.end;
    for_each_entry(memory, all.start, (all.end - all.start) / ENTRY_BYTES, |address, entry| {
        if !Cte::from_bits(entry).valid() {
            end = end.min(address + ENTRY_BYTES);
        }
        Ok(())
    })?;
    ranges.push(GuestRange { end, ..all });
    Ok(())
}

/// The pending bits of a vCPU's LPIs: what `SAVE_PENDING_TABLES` may write, and what a restore clears as it takes them over. KVM asks
/// neither whether LPIs are enabled nor how many the table is said to have.
pub(super) const fn pending_table(redist: &RedistState) -> GuestRange {
    pending_bits(redist.pendbaser)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::its::PAGE_BYTES;
    use crate::uapi::vgic_v3::its::*;
    use alloc::vec;
    use core::cell::Cell;

    /// Memory that is the same 64 KiB everywhere, and counts what is read.
    struct Same {
        page: Vec<u8>,
        entries: Cell<u64>,
    }

    impl GuestMemoryRead for Same {
        fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
            self.entries.set(self.entries.get() + bytes.len() as u64 / ENTRY_BYTES);
            let at = (address % PAGE_BYTES) as usize;
            bytes.copy_from_slice(&self.page[at..at + bytes.len()]);
            Ok(())
        }
    }

    const IDENTITY: ItsIdentity = ItsIdentity { typer: 0x1_ef71, iidr: 0 };

    fn same(entry: u64) -> Same {
        Same { page: entry.to_le_bytes().repeat(PAGE_ENTRIES as usize), entries: Cell::new(0) }
    }

    #[test]
    fn tables_that_lead_to_themselves_cost_no_more_than_the_device_ids_there_are() {
        // Every entry of every table is valid, as a device and as a pointer to the next table.
        let memory = same(!0x1f | 4);
        for indirect in [0, GITS_BASER_INDIRECT] {
            let registers =
                ItsState { baser0: GITS_BASER_VALID | indirect | 0xff, baser1: GITS_BASER_VALID | 0xff, ..ItsState::default() };
            let mut ranges = Vec::new();
            memory.entries.set(0);
            written_by_save(&IDENTITY, &registers, &memory, &mut ranges).unwrap();
            assert!(memory.entries.get() <= (1 << 16) + 8 + (1 << 16) + 1, "{} entries read", memory.entries.get());
            assert!(ranges.len() <= 2 * (1 << 16) + 1);
        }
    }

    #[test]
    fn an_entry_with_more_event_bits_than_there_are_is_none_of_kvms() {
        let valid = KVM_ITS_DTE_VALID | 0x4000 << 5;
        for (size, expected) in [(0, 16), (15, 0x8_0000)] {
            let mut ranges = Vec::new();
            let registers = ItsState { baser0: GITS_BASER_VALID, ..ItsState::default() };
            written_by_save(&IDENTITY, &registers, &same(valid | size), &mut ranges).unwrap();
            assert_eq!(ranges[1], GuestRange::new(0x40_0000, expected));
        }
        let mut ranges = Vec::new();
        let registers = ItsState { baser0: GITS_BASER_VALID, ..ItsState::default() };
        written_by_save(&IDENTITY, &registers, &same(valid | 16), &mut ranges).unwrap();
        assert_eq!(ranges, vec![]);
    }

    /// Memory that ends in the middle of a chunk.
    struct Short(u64);

    impl GuestMemoryRead for Short {
        fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
            bytes.fill(0xff);
            bytes[0] = 0;
            if address + bytes.len() as u64 <= self.0 { Ok(()) } else { Err(MemoryError::NotMemory) }
        }
    }

    #[test]
    fn what_is_not_memory_is_not_a_table() {
        let mut seen = 0;
        for (end, table) in [(0x1000 + 24, 0x1000), (0, 0x000f_ffff_ffff_0000)] {
            let read = for_each_entry(&Short(end), table, 512, |_, _| {
                seen += 1;
                Ok(())
            });
            assert_eq!((read, seen), (Ok(()), 3));
        }
    }
}
