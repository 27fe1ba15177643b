//! How large the tables of an ITS are, and which of them lie where.
//!
//! Source: Arm IHI 0069, `GITS_TYPER`, `GITS_BASER<n>`; `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_check_id`.
//!
//! Rule: a range holds what the kernel reads and writes there, and nothing more, so that tables which a guest has merely declared too
//! large are not said to overlap.

use super::{Device, ENTRY_BYTES, FIRST_LPI, PAGE_BYTES, PAGE_ENTRIES, Table, TableError, TableRange, baser_address, baser_bytes};
use crate::memory::GuestRange;
use crate::uapi::vgic_v3::its::*;
use crate::uapi::vgic_v3::redist::{GICR_PENDBASER_ADDRESS, GICR_PROPBASER_ADDRESS, GICR_PROPBASER_IDBITS};

/// INTIDs that KVM's LPIs can have end here: 16 bits.
pub(crate) const LPI_LIMIT: u32 = 1 << 16;

/// The shape of the tables of one ITS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Guest physical address of its registers.
    pub(crate) its: u64,
    /// Bits of DeviceID.
    pub(crate) device_bits: u32,
    /// Bits of EventID.
    pub(crate) event_bits: u32,
    pub(crate) baser0: u64,
    pub(crate) baser1: u64,
}

impl Geometry {
    pub(crate) fn new(its: u64, typer: u64, baser0: u64, baser1: u64) -> Self {
        let bits = |mask: u64| ((typer & mask) >> mask.trailing_zeros()) as u32 + 1;
        // KVM has 16 of each: whatever else a register says, no table is larger.
        let [device_bits, event_bits] = [GITS_TYPER_DEVBITS, GITS_TYPER_IDBITS].map(|mask| bits(mask).min(16));
        Geometry { its, device_bits, event_bits, baser0, baser1 }
    }

    pub(crate) const fn has_devices(&self) -> bool {
        self.baser0 & GITS_BASER_VALID != 0
    }

    pub(crate) const fn has_collections(&self) -> bool {
        self.baser1 & GITS_BASER_VALID != 0
    }

    pub(crate) const fn is_indirect(&self) -> bool {
        self.baser0 & GITS_BASER_INDIRECT != 0
    }

    pub(crate) const fn device_table(&self) -> u64 {
        baser_address(self.baser0)
    }

    pub(crate) const fn collection_table(&self) -> u64 {
        baser_address(self.baser1)
    }

    /// DeviceIDs that the ITS has and its table has room for.
    pub(crate) fn device_ids(&self) -> u64 {
        let entries = baser_bytes(self.baser0) / ENTRY_BYTES;
        (1 << self.device_bits).min(if self.is_indirect() { entries * PAGE_ENTRIES } else { entries })
    }

    /// Level-2 tables of an indirect device table.
    pub(crate) fn level2_tables(&self) -> u64 {
        if self.has_devices() && self.is_indirect() { self.device_ids().div_ceil(PAGE_ENTRIES) } else { 0 }
    }

    /// The device table: of two levels the first.
    pub(crate) fn devices(&self) -> TableRange {
        let entries = if self.is_indirect() { self.level2_tables() } else { self.device_ids() };
        TableRange { range: GuestRange::new(self.device_table(), entries * ENTRY_BYTES), table: Table::Devices { its: self.its } }
    }

    /// The device table as far as a restore reads it: the last device ends it. Without one, the kernel looks at every entry of the table
    /// that the guest has declared, also at those that no DeviceID has.
    pub(crate) fn devices_read(&self, devices: &[Device]) -> TableRange {
        let table = self.devices();
        let bytes = match devices.last() {
            None => baser_bytes(self.baser0),
            Some(last) if self.is_indirect() => (u64::from(last.id) / PAGE_ENTRIES + 1) * ENTRY_BYTES,
            Some(last) => (u64::from(last.id) + 1) * ENTRY_BYTES,
        };
        TableRange { range: GuestRange::new(table.range.start, bytes), ..table }
    }

    /// The level-2 device tables, one after the other from an address on.
    pub(crate) fn level2(&self, start: u64) -> impl Iterator<Item = TableRange> + use<> {
        let its = self.its;
        (0..self.level2_tables()).map(move |index| TableRange {
            range: GuestRange::new(start + index * PAGE_BYTES, PAGE_BYTES),
            table: Table::Level2 { its, index: index as u32 },
        })
    }

    /// Collections that the table has room for.
    pub(crate) fn collection_entries(&self) -> u64 {
        (baser_bytes(self.baser1) / ENTRY_BYTES).min(1 << 16)
    }

    /// The collection table up to the entry that ends it, with this many collections.
    pub(crate) fn collections(&self, count: usize) -> TableRange {
        // There can be more entries than ICIDs.
        let entries = (count as u64 + 1).min(baser_bytes(self.baser1) / ENTRY_BYTES);
        TableRange {
            range: GuestRange::new(self.collection_table(), entries * ENTRY_BYTES),
            table: Table::Collections { its: self.its },
        }
    }

    /// The interrupt translation table of a device: up to its last event, and all of it if it has none, since the kernel looks for
    /// one.
    pub(crate) fn itt(&self, device: &Device) -> TableRange {
        let entries = match device.events.last() {
            Some(last) => u64::from(last.id) + 1,
            None => 1 << device.event_bits.min(16),
        };
        let table = Table::Itt { its: self.its, device: device.id };
        TableRange { range: GuestRange::new(device.itt, entries * ENTRY_BYTES), table }
    }
}

/// Address of the LPI configuration table in a `GICR_PROPBASER`.
pub(crate) const fn configuration_table(propbaser: u64) -> u64 {
    propbaser & GICR_PROPBASER_ADDRESS
}

/// Behind the last LPI that a `GICR_PROPBASER` has room for: 8192 if it has room for none.
pub(crate) fn lpi_end(propbaser: u64) -> u32 {
    let bits = (propbaser & GICR_PROPBASER_IDBITS) as u32 + 1;
    (1 << bits.min(LPI_LIMIT.trailing_zeros())).max(FIRST_LPI)
}

/// The pending bits of LPIs in the table of a `GICR_PENDBASER`: the first 1 KiB, of interrupts that are no LPIs, is never touched.
pub(crate) const fn pending_bits(pendbaser: u64) -> GuestRange {
    let table = pendbaser & GICR_PENDBASER_ADDRESS;
    GuestRange { start: table + FIRST_LPI as u64 / 8, end: table + LPI_LIMIT as u64 / 8 }
}

/// Each table that begins within one before it, behind that one: of those before it, the one that reaches farthest. Empty tables are left
/// out.
pub(crate) fn overlapping(tables: &mut [TableRange]) -> impl Iterator<Item = (TableRange, TableRange)> + '_ {
    tables.sort_unstable_by_key(|table| (table.range, table.table));
    let mut reach: Option<TableRange> = None;
    tables.iter().filter(|table| table.range.start < table.range.end).filter_map(move |table| {
        let before = reach.filter(|before| table.range.start < before.range.end);
        reach = reach.filter(|before| before.range.end >= table.range.end).or(Some(*table));
        before.map(|before| (before, *table))
    })
}

/// Whether two registers give one address to these tables.
pub(crate) fn same_address(one: &TableRange, other: &TableRange) -> bool {
    one.range.start == other.range.start && one.table.is_in_register() && other.table.is_in_register()
}

/// Whether no two tables have an address in common.
pub(crate) fn check_overlap(tables: &mut [TableRange]) -> Result<(), TableError> {
    match overlapping(tables).next() {
        None => Ok(()),
        Some((before, table)) => {
            let (one, other, address) = (before.table, table.table, table.range.start);
            Err(match same_address(&before, &table) {
                true => TableError::SameAddress { one, other, address },
                false => TableError::Overlap { one, other },
            })
        }
    }
}
