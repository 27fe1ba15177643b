//! The tables of LPIs: configuration and pending bits in guest memory.
//!
//! Source: Arm IHI 0069, "LPI Configuration tables", "LPI Pending tables"; `arch/arm64/kvm/vgic/vgic-v3.c`,
//! `vgic_v3_lpi_sync_pending_status`.
//!
//! Rule: a table that no LPI uses is not looked at: its register may hold anything.

use super::tables::Judge;
use super::walk::{Budget, Spent};
use crate::its::geometry::{LPI_LIMIT, configuration_table, pending_bits};
use crate::its::{FIRST_LPI, Table, TableRange};
use crate::memory::{GuestMemoryRead, GuestRange};
use crate::report::{Place, Problem};
use crate::state::gicv3::{Gicv3State, VcpuState};
use crate::topology::IntId;

/// Bytes read at once.
const CHUNK: u64 = 4096;

/// Whether a vCPU's pending table is in use: KVM reads it for each LPI routed to the vCPU, without asking whether LPIs are enabled.
fn pending_is_used(judge: &Judge<'_>, at: usize, vcpu: &VcpuState) -> bool {
    vcpu.redist.lpis_enabled() || judge.targets.get(at).is_some_and(|targeted| *targeted)
}

/// Notes the tables that are in use. What is left are those to be read, with whether they are memory.
pub(super) fn add_tables(state: &Gicv3State, judge: &mut Judge<'_>) -> alloc::vec::Vec<TableRange> {
    let mut tables = alloc::vec::Vec::new();
    let Some(first) = state.vcpus.first() else { return tables };
    let mut add = |judge: &mut Judge<'_>, table, start, bytes| {
        let table = TableRange { range: GuestRange::new(start, bytes), table };
        if bytes > 0 && judge.add_table(table) {
            tables.push(table);
        }
    };
    if !judge.mapped.is_empty() || state.vcpus.iter().any(|vcpu| vcpu.redist.lpis_enabled()) {
        let start = configuration_table(first.redist.propbaser);
        add(judge, Table::LpiConfiguration, start, u64::from(judge.intid_end - FIRST_LPI));
    }
    for (at, vcpu) in state.vcpus.iter().enumerate() {
        if pending_is_used(judge, at, vcpu) {
            let bytes = u64::from((judge.intid_end - FIRST_LPI) / 8);
            add(judge, Table::LpiPending { vcpu: vcpu.vcpu.id }, pending_bits(vcpu.redist.pendbaser).start, bytes);
        }
    }
    tables
}

/// Reads the tables: mapped LPIs have a credible configuration, and no other is pending.
pub(super) fn read_tables(
    tables: &[TableRange],
    memory: &impl GuestMemoryRead,
    budget: &mut Budget,
    judge: &mut Judge<'_>,
) -> Result<(), Spent> {
    let mut bytes = [0; CHUNK as usize];
    for table in tables {
        let mut address = table.range.start;
        while address < table.range.end {
            let left = (table.range.end - address).min(CHUNK);
            let taken = (budget.take(left.div_ceil(8)) * 8).min(left);
            let Some(bytes) = bytes.get_mut(..taken as usize).filter(|bytes| !bytes.is_empty()) else {
                return Err(Spent { table: table.table, address });
            };
            if !memory.read(address, bytes) {
                let place = Place { table: Some(table.table), address: Some(address), ..Place::default() };
                judge.report.add(Problem::TableOutsideMemory, place);
                break;
            }
            for (at, byte) in (address..).zip(bytes.iter()) {
                judge.lpi_byte(table, at, *byte);
            }
            address += taken;
        }
    }
    Ok(())
}

impl Judge<'_> {
    /// A byte of a configuration or a pending table.
    fn lpi_byte(&mut self, table: &TableRange, address: u64, byte: u8) {
        // Tables have at most 64 KiB.
        let offset = (address - table.range.start) as u32;
        if table.table == Table::LpiConfiguration {
            return self.configuration(Some(address), FIRST_LPI + offset, byte);
        }
        for bit in (0..8).filter(|bit| byte >> bit & 1 != 0) {
            self.pending(table.table, Some(address), FIRST_LPI + offset * 8 + bit);
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
        if intid >= LPI_LIMIT || !self.mapped.contains(intid) {
            let place = Place { table: Some(table), interrupt: Some(IntId::Lpi(intid)), address, ..Place::default() };
            self.report.add(Problem::PendingUnmapped, place);
        }
    }
}
