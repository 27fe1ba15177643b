//! The tables of LPIs: configuration and pending bits in guest memory.
//!
//! Source: Arm IHI 0069, "LPI Configuration tables", "LPI Pending tables"; `arch/arm64/kvm/vgic/vgic-v3.c`,
//! `vgic_v3_lpi_sync_pending_status`.
//!
//! Rule: a table that no LPI uses is not looked at: its register may hold anything. Of one that is used, what LPIs that are mapped have
//! there must be memory.

use super::tables::{Judge, unread};
use super::walk::{Budget, Spent};
use crate::its::geometry::{LPI_LIMIT, configuration_table, pending_bits};
use crate::its::scan::{Exhausted, InGuest, Scan};
use crate::its::{ENTRY_BYTES, FIRST_LPI, Table, TableRange};
use crate::memory::{GuestMemoryRead, GuestRange, MemoryError};
use crate::report::{Place, Problem};
use crate::state::gicv3::Gicv3State;
use crate::topology::IntId;
use alloc::vec::Vec;

/// Notes the tables that are in use, which are to be read; of a pending table, with the place of its vCPU.
pub(super) fn add_tables(state: &Gicv3State, judge: &mut Judge<'_>) -> Vec<(TableRange, usize)> {
    let mut tables = Vec::new();
    let Some(first) = state.vcpus.first() else { return tables };
    let mut add = |judge: &mut Judge<'_>, table, start, bytes, place, is_used| {
        let table = TableRange { range: GuestRange::new(start, bytes), table };
        if bytes > 0 {
            if is_used {
                judge.add_table(table)
            } else {
                judge.protect(table)
            }
            tables.push((table, place));
        }
    };
    if !judge.mapped.is_empty() || state.vcpus.iter().any(|vcpu| vcpu.redist.lpis_enabled()) {
        let start = configuration_table(first.redist.propbaser);
        add(judge, Table::LpiConfiguration, start, u64::from(judge.intid_end - FIRST_LPI), 0, true);
    }
    for (at, vcpu) in state.vcpus.iter().enumerate() {
        // KVM reads it for each LPI that is routed to the vCPU, without asking whether LPIs are enabled, and for no other: in the
        // way of the table of a vCPU that none is routed to is nothing. The guest may route one there later: it must not be protected.
        let is_used = judge.targets.get(at).is_some_and(|targeted| *targeted);
        if is_used || vcpu.redist.lpis_enabled() {
            let bytes = u64::from((judge.intid_end - FIRST_LPI) / 8);
            add(judge, Table::LpiPending { vcpu: vcpu.vcpu.id }, pending_bits(vcpu.redist.pendbaser).start, bytes, at, is_used);
        }
    }
    tables
}

/// Reads the tables: mapped LPIs have a credible configuration, and no other is pending.
pub(super) fn read_tables(
    tables: &[(TableRange, usize)],
    memory: &impl GuestMemoryRead,
    budget: &mut Budget,
    judge: &mut Judge<'_>,
) -> Result<(), Spent> {
    for (table, place) in tables {
        let mut scan = Scan::new(table.range.start, (table.range.end - table.range.start).div_ceil(ENTRY_BYTES));
        let spent = |exhausted: Exhausted| Spent { table: table.table, address: exhausted.address };
        let mut outside = None;
        while let Some(entry) = scan.next(&InGuest(memory), budget).map_err(spent)? {
            // Tables have at most 64 KiB.
            let offset = (entry.index * ENTRY_BYTES) as u32;
            match entry.word {
                Ok(word) => {
                    for (byte, n) in word.to_le_bytes().into_iter().zip(0..) {
                        judge.lpi_byte(table.table, entry.address + u64::from(n), offset + n, byte);
                    }
                }
                Err(MemoryError::NotMemory) if !judge.uses(table.table, offset, *place) => {
                    outside = outside.or(Some((Problem::TableBeyondMemory, entry.address)));
                }
                Err(error) => {
                    outside = Some((unread(error), entry.address));
                    break;
                }
            }
        }
        if let Some((problem, address)) = outside {
            judge.report.add(problem, Place::table(table.table, address));
        }
    }
    Ok(())
}

impl Judge<'_> {
    /// Whether KVM reads some of eight bytes for an LPI that is mapped; of a pending table, for one that is routed to its vCPU.
    fn uses(&self, table: Table, offset: u32, place: usize) -> bool {
        if table == Table::LpiConfiguration {
            return (0..8).any(|n| self.mapped.contains(FIRST_LPI + offset + n));
        }
        (0..64).any(|n| self.is_routed(FIRST_LPI + offset * 8 + n, place))
    }

    /// A byte of a configuration or a pending table.
    fn lpi_byte(&mut self, table: Table, address: u64, offset: u32, byte: u8) {
        if table == Table::LpiConfiguration {
            return self.configuration(Some(address), FIRST_LPI + offset, byte);
        }
        for bit in (0..8).filter(|bit| byte >> bit & 1 != 0) {
            self.pending(table, Some(address), FIRST_LPI + offset * 8 + bit);
        }
    }

    /// Priority and enable of an LPI.
    pub(super) fn configuration(&mut self, address: Option<u64>, intid: u32, byte: u8) {
        if byte & 2 == 0 && self.mapped.contains(intid) {
            let (table, interrupt) = (Some(Table::LpiConfiguration), Some(IntId::Lpi(intid)));
            self.report.add(Problem::ConfigurationNotCredible, Place { table, interrupt, address, ..Place::default() });
        }
    }

    /// An LPI that is pending.
    pub(super) fn pending(&mut self, table: Table, address: Option<u64>, intid: u32) {
        // What maps it may be where a table could not be read.
        if !self.has_more_mappings() && (intid >= LPI_LIMIT || !self.mapped.contains(intid)) {
            let place = Place { table: Some(table), interrupt: Some(IntId::Lpi(intid)), address, ..Place::default() };
            self.report.add(Problem::PendingUnmapped, place);
        }
    }
}
