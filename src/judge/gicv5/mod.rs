//! Judges a GICv5.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-irs-v5.c`, `vgic-v5-tables.c`, `vgic-sys-reg-v5.c`, Linux 7.4.
//!
//! Rule: what a running guest could have made although it looks wrong is reported, since a migration must not lose a guest over its own
//! oddities.

mod level;
mod registers;
mod scan;
mod target;

pub use target::{Target, fit};

use crate::report::Report;
use crate::state::gicv5::Gicv5State;
use crate::topology::SpiSet;

/// What is wrong with a state: with its registers, and with every entry of its tables.
#[must_use]
pub fn problems(state: &Gicv5State<'_>) -> Report {
    problems_of_vm(state, &SpiSet::EMPTY)
}

/// The same, with SPIs that the VMM says are level-triggered ([`Options::level_spis`](crate::Options::level_spis)).
#[must_use]
pub fn problems_of_vm(state: &Gicv5State<'_>, level_spis: &SpiSet) -> Report {
    let mut report = Report::default();
    registers::registers(state, &mut report);
    scan::scan(state, &mut report);
    level::level(state, level_spis, &mut report);
    report
}
