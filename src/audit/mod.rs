//! Judges what a snapshot or a guest has put into tables, before anything acts on it.
//!
//! KVM believes most of what lies in an ITS's tables: a crafted table makes it read and write wherever the guest has memory, two tables
//! in one place destroy each other, and a chain that ends early loses interrupts without an error. An audit reads the tables as
//! `RESTORE_TABLES` does, touches no device, and says what would come of it.
//!
//! - [`gicv3`]: tables in guest memory.
//! - [`lpi_state`]: the same mappings as data.
//! - [`gicv5`]: interrupt state tables.
//!
//! ```
//! use vgic_state::audit::{self, Limits, Ranges, Severity};
//! # use vgic_state::{GuestMemoryRead, GuestRange, gicv3::Gicv3State};
//! # fn f(state: &Gicv3State, memory: &impl GuestMemoryRead, memory_of_the_guest: Vec<GuestRange>, firmware: GuestRange) -> bool {
//!
//! let ranges = Ranges::new(memory_of_the_guest, vec![firmware]);
//! let report = audit::gicv3(state, memory, &ranges, &Limits::default());
//! eprint!("{report}");
//! report.max_severity() < Some(Severity::DEFAULT_THRESHOLD)
//! # }
//! ```
//!
//! What no audit can find: an entry that was changed to another that means something as well, another vCPU, another LPI that is free,
//! an empty table elsewhere. And a device or an event before the first one of its chain, or in a gap too wide for a distance: KVM does
//! not record where a chain begins, and believes it.
//!
//! What is found and may be no attack: kernels before November 2024 leave the entries of devices and events that a guest has unmapped
//! ([`Problem::EntryBehindChain`], [`Problem::EntryJumpedOver`], [`Problem::EntryOffChain`]).
//!
//! # Work
//!
//! [`Limits::entries`] bounds what is read, in entries of 8 bytes: of collection tables and device tables all entries, once for each
//! place that leads to a table; of each device that KVM would take, as many as it has EventIDs; four for each command that is queued;
//! one for 8 LPIs in the configuration table, one for 64 in a pending table. What turns out not to be memory is asked for once more, entry by entry. What is kept grows with
//! the tables found, at most one for each DeviceID, and not with what is in them.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`; Documentation/virt/kvm/devices/arm-vgic-its.rst.
//!
//! Rule: an audit decides nothing. It reports, and a threshold of [`Severity`] decides.

mod commands;
mod ist;
mod judge;
mod lpis;
mod mappings;
mod overlap;
mod problem;
mod registers;
mod report;
pub mod walk;

pub use problem::{Problem, Severity};
pub use report::{Finding, Place, QueuedCommands, Report};

use crate::gicv3::Gicv3State;
use crate::gicv5::Gicv5State;
use crate::guest_memory::{GuestMemoryRead, GuestRange, join};
use crate::its::LpiState;
use alloc::vec::Vec;
use judge::Judge;
use walk::Budget;

/// What a guest owns, and what in it must not be touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    memory: Vec<GuestRange>,
    protected: Vec<GuestRange>,
}

impl Ranges {
    /// The guest's memory, and what is protected: firmware, pages that the host cannot access, memory shared with a device. In any order.
    #[must_use]
    pub fn new(memory: Vec<GuestRange>, protected: Vec<GuestRange>) -> Self {
        Ranges { memory: join(memory), protected: join(protected) }
    }

    /// Whether all of a range is the guest's memory.
    #[must_use]
    pub fn owns(&self, range: GuestRange) -> bool {
        // Ranges do not touch: one of them has all of it, or none.
        let before = self.memory.partition_point(|memory| memory.start <= range.start);
        before.checked_sub(1).and_then(|at| self.memory.get(at)).is_some_and(|memory| range.end <= memory.end)
    }

    /// Whether some of a range is protected.
    #[must_use]
    pub fn protects(&self, range: GuestRange) -> bool {
        let before = self.protected.partition_point(|protected| protected.start < range.end);
        before.checked_sub(1).and_then(|at| self.protected.get(at)).is_some_and(|protected| range.start < protected.end)
    }
}

/// How much an audit may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Entries of 8 bytes that may be read. More is [`Problem::WorkExceeded`]. Default: 16,777,216, which is 128 MiB.
    ///
    /// A guest with 1024 devices of 2048 events each needs 2.1 million.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { entries: 1 << 24 }
    }
}

impl Limits {
    /// So many entries.
    #[must_use]
    pub const fn entries(entries: u64) -> Self {
        Limits { entries }
    }
}

/// Judges the registers of a GICv3 and its ITSes, and their tables in guest memory, as they are between a flush and a restore.
///
/// A target of a collection is taken for a `vcpu_id` or, as kernels before Linux 6.7 mean it, for a place among the vCPUs.
#[must_use]
pub fn gicv3(state: &Gicv3State, memory: &impl GuestMemoryRead, ranges: &Ranges, limits: &Limits) -> Report {
    let mut judge = Judge::new(state, ranges);
    let mut budget = Budget::new(limits.entries);
    for its in &state.its {
        registers::registers(its, &mut judge);
    }
    let walked = state.its.iter().try_for_each(|its| {
        judge.its(its);
        walk::walk(its, memory, &mut budget, &mut judge)
    });
    let tables = if state.its.is_empty() { Vec::new() } else { lpis::add_tables(state, &mut judge) };
    let walked = walked.and_then(|()| commands::queued(state, memory, &mut budget, &mut judge));
    if let Err(spent) = walked.and_then(|()| lpis::read_tables(&tables, memory, &mut budget, &mut judge)) {
        judge.spent(spent);
    }
    finish(judge)
}

/// Judges the registers of a GICv3 and its ITSes, and what the ITSes have mapped, as data.
///
/// The tables that the mappings name are where a restore or a later flush puts them: their places are judged. Two of them overlap if
/// bytes that KVM uses do: a guest that resumed from hibernation may have declared a table where a stale one lies. Of memory, only
/// commands that are queued are read.
#[must_use]
pub fn lpi_state(state: &Gicv3State, lpis: &LpiState, memory: &impl GuestMemoryRead, ranges: &Ranges) -> Report {
    let mut judge = Judge::new(state, ranges);
    for its in &state.its {
        registers::registers(its, &mut judge);
    }
    judge.tables.clear();
    for table in crate::gicv3::used_tables(state, lpis) {
        judge.add_table(table);
    }
    let mut last = None;
    for its in &lpis.its {
        if last.is_some_and(|last| its.base <= last) {
            judge.report.add(Problem::NotInOrder, Place { its: Some(its.base), ..Place::default() });
        }
        last = Some(its.base);
        mappings::its(its, state, &mut judge);
    }
    mappings::lpis(lpis, state, &mut judge);
    if let Err(spent) = commands::queued(state, memory, &mut Budget::new(Limits::default().entries), &mut judge) {
        judge.spent(spent);
    }
    finish(judge)
}

/// Judges the interrupt state tables of a GICv5.
#[must_use]
pub fn gicv5(state: &Gicv5State<'_>) -> Report {
    ist::gicv5(state)
}

fn finish(judge: Judge<'_>) -> Report {
    let Judge { mut report, tables, .. } = judge;
    overlap::overlaps(tables, &mut report);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let range = |start, end| GuestRange { start, end };
        let ranges = Ranges::new([range(0x20, 0x30), range(0x10, 0x20), range(0x40, 0x50)].into(), [range(0x44, 0x46)].into());
        for (start, end, owns, protects) in [
            (0x10, 0x30, true, false),
            (0x0f, 0x11, false, false),
            (0x2f, 0x31, false, false),
            (0x28, 0x48, false, true),
            (0x40, 0x44, true, false),
            (0x46, 0x50, true, false),
            (0x45, 0x46, true, true),
            (0x40, 0x50, true, true),
        ] {
            assert_eq!((ranges.owns(range(start, end)), ranges.protects(range(start, end))), (owns, protects), "{start:#x}");
        }
        assert!(!Ranges::default().owns(range(0, 8)));
    }
}
