//! What the library says of a state.
//!
//! Source: [`vgic_state::judge`].
//!
//! Rule: nothing is judged here. With a dump of memory it is what a restore in a VM with that memory would say; without one, of tables
//! in guest memory, what the registers alone tell.

use crate::input::State;
use crate::ram::Ram;
use vgic_state::GuestRange;
use vgic_state::gicv3::Gicv3State;
use vgic_state::judge::{self, Limits, Ranges};
use vgic_state::report::{Problem, Report};

/// What is wrong with a state.
pub(crate) fn problems(state: &State, ram: Option<&Ram>) -> Report {
    match (state, ram) {
        (State::Gicv2(state), _) => judge::gicv2::problems(state),
        (State::Gicv5(state), _) => judge::gicv5::problems(state),
        (State::Gicv3(state), Some(ram)) => with_memory(state, ram),
        (State::Gicv3(state), None) => {
            let everywhere = Ranges::new(vec![GuestRange::new(0, u64::MAX)], Vec::new());
            judge::gicv3::problems_without_memory(state, &everywhere)
        }
    }
}

/// What is said where a table is not in the dump.
pub(crate) fn not_in_dump(report: &Report) -> Option<String> {
    let outside = report.findings.iter().any(|finding| finding.problem == Problem::TableOutsideMemory);
    outside
        .then(|| "The dump was taken for all memory of the guest: a table may as well be in memory that was not dumped.".to_owned())
}

/// What is wrong with a GICv3 whose guest has this memory.
pub(crate) fn with_memory(state: &Gicv3State, ram: &Ram) -> Report {
    judge::gicv3::problems(state, ram, &Ranges::new(ram.ranges(), Vec::new()), &Limits::default())
}
