//! Judges a GICv3 and its ITSes.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v3.c`, `vgic-its.c`, `vgic-v3.c`, `arch/arm64/kvm/vgic-sys-reg-v3.c`.
//!
//! Rule: the same judgement, wherever the mappings are: in tables in guest memory, or in the state.

mod commands;
mod el2;
mod its_registers;
mod lpi_tables;
mod mappings;
mod memory;
mod overlap;
mod registers;
mod tables;
mod target;
#[doc(hidden)]
pub mod walk;

pub(crate) use memory::{check_memory, check_slots, fits_memory};
pub use target::{Target, TargetEl2, TargetVcpu, fit};

use super::ranges::{Limits, Owned, Ranges};
use crate::its::Table;
use crate::memory::{GuestMemoryRead, NoGuestMemory};
use crate::report::Report;
use crate::state::gicv3::Gicv3State;
use crate::state::gicv3::layout::Layout;
use alloc::vec::Vec;
use tables::Judge;
use walk::Budget;

/// What is wrong with a state: with its registers, and with what its ITSes have mapped.
///
/// Tables in guest memory are judged as they are between a flush and a restore. Mappings in the state name tables, where a restore or a
/// later flush puts them: their places are judged, and of memory, only commands that are queued are read. Of a table, only what KVM uses
/// must be memory. Two tables overlap if bytes that KVM uses do: a guest that resumed from hibernation may have declared a table where a
/// stale one lies.
///
/// A target of a collection is taken for a `vcpu_id` or, as kernels before Linux 6.7 mean it, for a place among the vCPUs.
#[must_use]
pub fn problems(state: &Gicv3State, memory: &impl GuestMemoryRead, ranges: &Ranges, limits: &Limits) -> Report {
    let mut judge = judge_registers(state, ranges);
    // What lies elsewhere is not believed, even if it can be read.
    let memory = &Owned { memory, ranges };
    let mut budget = Budget::new(limits.entries);
    let tables = match &state.lpis {
        Some(lpis) => {
            judge.in_state = true;
            judge.tables.clear();
            let layout = Layout::of(state);
            let pending = layout.pending_bytes(lpis);
            for table in layout.used_tables(lpis, &pending) {
                judge.add_table(table);
                // Of pending tables, only some bytes.
                if !matches!(table.table, Table::LpiPending { .. }) {
                    judge.needs(table);
                }
            }
            layout.idle_tables(&pending).for_each(|table| judge.protect(table));
            pending.into_iter().for_each(|bytes| judge.needs(bytes));
            mappings::all(lpis, state, &mut judge);
            // Nothing else is read.
            commands::queued(state, memory, &mut budget, &mut judge).map(|()| Vec::new())
        }
        None => {
            let walked = state.its.iter().try_for_each(|its| {
                judge.its(its);
                walk::walk(its, memory, &mut budget, &mut judge)
            });
            let tables = if state.its.is_empty() { Vec::new() } else { lpi_tables::add_tables(state, &mut judge) };
            walked.and_then(|()| commands::queued(state, memory, &mut budget, &mut judge)).map(|()| tables)
        }
    };
    if let Err(spent) = tables.and_then(|tables| lpi_tables::read_tables(&tables, memory, &mut budget, &mut judge)) {
        judge.spent(spent);
    }
    judge.finish()
}

/// What is wrong with the registers of a state whose tables are in guest memory that is not at hand; of a state with mappings, all that is
/// wrong.
#[doc(hidden)]
#[must_use]
pub fn problems_without_memory(state: &Gicv3State, ranges: &Ranges) -> Report {
    match &state.lpis {
        Some(_) => problems(state, &NoGuestMemory, ranges, &Limits::default()),
        None => judge_registers(state, ranges).finish(),
    }
}

fn judge_registers<'a>(state: &Gicv3State, ranges: &'a Ranges) -> Judge<'a> {
    let mut judge = Judge::new(state, ranges);
    registers::registers(state, &mut judge.report);
    for its in &state.its {
        its_registers::registers(its, &mut judge);
    }
    judge
}
