//! What the library says of a state.
//!
//! Source: [`vgic_state::judge`].
//!
//! Rule: nothing is judged here. With a dump of all memory it is what a restore in a VM with that memory would say; of what is not in a
//! dump of some of it, nothing is said but that; without one, of tables in guest memory, what the registers alone tell.

use crate::input::State;
use crate::ram::Ram;
use vgic_state::gicv3::Gicv3State;
use vgic_state::judge::{self, Limits, Ranges};
use vgic_state::report::{Problem, Report};
use vgic_state::{Errno, GuestMemoryRead, GuestRange, MemoryError};

/// Some memory of a guest: whether there is more, nobody can tell.
struct Dumped<'a>(&'a Ram);

impl GuestMemoryRead for Dumped<'_> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.0.read(address, bytes).map_err(|error| match error {
            MemoryError::NotMemory => MemoryError::Failed(Errno::ENXIO),
            error => error,
        })
    }
}

/// What is wrong with a state. With dumps, and whether they have all memory.
pub(crate) fn problems(state: &State, ram: Option<(&Ram, bool)>) -> Report {
    match (state, ram) {
        (State::Gicv2(state), _) => judge::gicv2::problems(state),
        (State::Gicv5(state), _) => judge::gicv5::problems(state),
        (State::Gicv3(state), Some((ram, is_all))) => with_memory(state, ram, is_all),
        (State::Gicv3(state), None) => judge::gicv3::problems_without_memory(state, &everywhere()),
    }
}

/// What is said where a table is not in the dump.
pub(crate) fn not_in_dump(report: &Report) -> Option<String> {
    let absent = report.findings.iter().any(|finding| finding.problem == Problem::TableNotRead);
    absent.then(|| "What is not in the dump was not judged. If the guest has no other memory: --all-memory.".to_owned())
}

/// What is wrong with a GICv3 whose guest has this memory, or this and perhaps more.
pub(crate) fn with_memory(state: &Gicv3State, ram: &Ram, is_all: bool) -> Report {
    if is_all {
        return judge::gicv3::problems(state, ram, &Ranges::new(ram.ranges(), Vec::new()), &Limits::default());
    }
    judge::gicv3::problems(state, &Dumped(ram), &everywhere(), &Limits::default())
}

fn everywhere() -> Ranges {
    Ranges::new(vec![GuestRange::new(0, u64::MAX)], Vec::new())
}
