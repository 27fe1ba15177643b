//! Tables in each other's way.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`: KVM writes an entry where the guest once said, and compares no two addresses.
//!
//! Rule: sort, then one sweep; each table that begins within one before it is counted once.

use crate::its::geometry::{overlapping, same_address};
use crate::its::{Table, TableRange};
use crate::report::{Finding, Place, Problem, Report};
use alloc::vec::Vec;

/// Reports every table that overlaps one that begins before it; `refused` if no threshold accepts that.
pub(super) fn overlaps(mut tables: Vec<TableRange>, refused: bool, report: &mut Report) {
    // A queued command may map a device again, to the table that it has.
    for (before, table) in overlapping(&mut tables).filter(|(before, table)| before != table) {
        let problem = match (table.table, before.table) {
            (Table::Level2 { .. }, Table::Level2 { .. }) => Problem::Level2Shared,
            (Table::LpiPending { .. }, Table::LpiPending { .. }) => Problem::PendingTablesShared,
            _ if same_address(&before, &table) => Problem::TablesAtOneAddress,
            _ => Problem::TablesOverlap,
        };
        let place =
            Place { table: Some(table.table), other: Some(before.table), address: Some(table.range.start), ..Place::default() };
        report.add_finding(Finding { problem, first: place, count: 1, refused });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::GuestRange;

    fn itt(device: u32, start: u64, bytes: u64) -> TableRange {
        TableRange { range: GuestRange::new(start, bytes), table: Table::Itt { its: 0, device } }
    }

    #[test]
    fn a_table_within_one_that_began_long_before() {
        let mut report = Report::default();
        overlaps(
            [itt(3, 0x900, 8), itt(1, 0, 0x1000), itt(2, 0x100, 8), itt(4, 0x1000, 8), itt(5, 0x1000, 0)].into(),
            false,
            &mut report,
        );
        assert_eq!((report.findings[0].problem, report.findings[0].count), (Problem::TablesOverlap, 2));
        assert_eq!(report.findings[0].first.other, Some(Table::Itt { its: 0, device: 1 }));
        assert_eq!(report.findings.len(), 1);
    }
}
