//! Where in guest memory KVM keeps the tables of an ITS and the pending bits of LPIs.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0"; `arch/arm64/kvm/vgic/vgic-its.c` (save of tables),
//! `vgic-v3.c` (save of pending tables).
//!
//! Rule: the work is bounded by `GITS_TYPER`, whatever a guest has put into its tables: every entry that a DeviceID can have is looked
//! at once, and none is followed. What is reported may be more than was written, never less.

use super::{ItsIdentity, ItsState, RedistState};
use crate::guest_memory::{GuestMemoryRead, GuestRange};
use crate::uapi::vgic_v3::its::*;
use alloc::vec::Vec;

/// Bytes of an entry of any table.
const ENTRY: u64 = 8;
/// Bytes of a page of an ITS table: KVM has no other size.
const PAGE: u64 = 0x1_0000;
/// Entries of a page.
const ENTRIES: u64 = PAGE / ENTRY;
/// Collections have 16-bit names.
const COLLECTIONS: u64 = 1 << 16;

/// Address of the table in a `GITS_BASER` with 64 KiB pages.
const fn baser_address(baser: u64) -> u64 {
    (baser & 0x0000_ffff_ffff_0000) | ((baser >> 12) & 0xf) << 48
}

/// A field of `GITS_TYPER` that holds a number of bits - 1.
const fn bits_of(typer: u64, mask: u64) -> u64 {
    ((typer & mask) >> mask.trailing_zeros()) + 1
}

/// Shows the entries `0..count` of a table, as far as they are memory. KVM cannot have written elsewhere.
fn for_each_entry(memory: &impl GuestMemoryRead, table: u64, count: u64, mut entry: impl FnMut(u64, u64)) {
    const CHUNK: u64 = 512;
    let mut bytes = [0; (CHUNK * ENTRY) as usize];
    for first in (0..count).step_by(CHUNK as usize) {
        let entries = CHUNK.min(count - first);
        let Some(bytes) = bytes.get_mut(..(entries * ENTRY) as usize) else { return };
        // The address of a table has 52 bits.
        let address = table + first * ENTRY;
        if memory.read(address, bytes) {
            for (at, word) in (address..).step_by(ENTRY as usize).zip(bytes.as_chunks().0) {
                entry(at, u64::from_le_bytes(*word));
            }
            continue;
        }
        // The chunk crosses the end of memory.
        for at in (address..).step_by(ENTRY as usize).take(entries as usize) {
            let mut word = [0; ENTRY as usize];
            if memory.read(at, &mut word) {
                entry(at, u64::from_le_bytes(word));
            }
        }
    }
}

/// What `SAVE_TABLES` has written: device table entries, interrupt translation tables, collection table entries. To be asked afterwards.
pub(super) fn written_by_save(
    its: &ItsIdentity,
    registers: &ItsState,
    memory: &impl GuestMemoryRead,
    ranges: &mut Vec<GuestRange>,
) {
    if registers.baser0 & GITS_BASER_VALID != 0 {
        devices(its.typer, registers.baser0, memory, ranges);
    }
    if registers.baser1 & GITS_BASER_VALID != 0 {
        collections(registers.baser1, memory, ranges);
    }
}

fn devices(typer: u64, baser: u64, memory: &impl GuestMemoryRead, ranges: &mut Vec<GuestRange>) {
    let (device_ids, event_bits) = (1 << bits_of(typer, GITS_TYPER_DEVBITS), bits_of(typer, GITS_TYPER_IDBITS));
    let table = baser_address(baser);
    let in_table = ((baser & GITS_BASER_SIZE) + 1) * ENTRIES;
    let mut device = |address: u64, entry: u64| {
        let bits = (entry & KVM_ITS_DTE_SIZE) + 1;
        // KVM maps no device with more bits of EventID than it has.
        if entry & KVM_ITS_DTE_VALID != 0 && bits <= event_bits {
            let itt = ((entry & KVM_ITS_DTE_ITTADDR) >> KVM_ITS_DTE_ITTADDR.trailing_zeros()) << 8;
            ranges.push(GuestRange::new(address, ENTRY));
            ranges.push(GuestRange::new(itt, ENTRY << bits));
        }
    };
    if baser & GITS_BASER_INDIRECT == 0 {
        return for_each_entry(memory, table, in_table.min(device_ids), device);
    }
    for_each_entry(memory, table, in_table.min(device_ids.div_ceil(ENTRIES)), |_, level1| {
        if level1 & KVM_ITS_L1E_VALID != 0 {
            for_each_entry(memory, level1 & KVM_ITS_L1E_ADDR, ENTRIES.min(device_ids), &mut device);
        }
    });
}

fn collections(baser: u64, memory: &impl GuestMemoryRead, ranges: &mut Vec<GuestRange>) {
    let table = baser_address(baser);
    let entries = (((baser & GITS_BASER_SIZE) + 1) * ENTRIES).min(COLLECTIONS + 1);
    let mut end = entries;
    for_each_entry(memory, table, entries, |address, entry| {
        if entry & KVM_ITS_CTE_VALID == 0 {
            end = end.min((address - table) / ENTRY + 1);
        }
    });
    // The entry that ends the table is written too, if there is room for it.
    ranges.push(GuestRange::new(table, end * ENTRY));
}

/// The pending bits of a vCPU's LPIs: what `SAVE_PENDING_TABLES` may write, and what a restore clears as it takes them over. KVM asks
/// neither whether LPIs are enabled nor how many the table is said to have. The first 1 KiB, of interrupts that are no LPIs, is never
/// touched.
pub(super) const fn pending_table(redist: &RedistState) -> GuestRange {
    let table = redist.pendbaser & 0x000f_ffff_ffff_0000;
    GuestRange { start: table + 1024, end: table + (1 << 16) / 8 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::cell::Cell;

    /// Memory that is the same 64 KiB everywhere, and counts what is read.
    struct Same {
        page: Vec<u8>,
        entries: Cell<u64>,
    }

    impl GuestMemoryRead for Same {
        fn read(&self, address: u64, bytes: &mut [u8]) -> bool {
            self.entries.set(self.entries.get() + bytes.len() as u64 / ENTRY);
            let at = (address % PAGE) as usize;
            bytes.copy_from_slice(&self.page[at..at + bytes.len()]);
            true
        }
    }

    const IDENTITY: ItsIdentity = ItsIdentity { typer: 0x1_ef71, iidr: 0 };

    fn same(entry: u64) -> Same {
        Same { page: entry.to_le_bytes().repeat(ENTRIES as usize), entries: Cell::new(0) }
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
            written_by_save(&IDENTITY, &registers, &memory, &mut ranges);
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
            written_by_save(&IDENTITY, &registers, &same(valid | size), &mut ranges);
            assert_eq!(ranges[1], GuestRange::new(0x40_0000, expected));
        }
        let mut ranges = Vec::new();
        let registers = ItsState { baser0: GITS_BASER_VALID, ..ItsState::default() };
        written_by_save(&IDENTITY, &registers, &same(valid | 16), &mut ranges);
        assert_eq!(ranges, vec![]);
    }

    /// Memory that ends in the middle of a chunk.
    struct Short(u64);

    impl GuestMemoryRead for Short {
        fn read(&self, address: u64, bytes: &mut [u8]) -> bool {
            bytes.fill(0xff);
            bytes[0] = 0;
            address + bytes.len() as u64 <= self.0
        }
    }

    #[test]
    fn what_is_not_memory_is_not_a_table() {
        let mut seen = 0;
        for_each_entry(&Short(0x1000 + 24), 0x1000, 512, |_, _| seen += 1);
        assert_eq!(seen, 3);
        for_each_entry(&Short(0), 0x000f_ffff_ffff_0000, 512, |_, _| seen += 1);
        assert_eq!(seen, 3);
    }

    #[test]
    fn addresses_above_48_bits() {
        assert_eq!(baser_address(0x8000_1234_5678_a2ff), 0x000a_1234_5678_0000);
    }
}
