//! Judges a GICv2.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v2.c`, `vgic-mmio.c`, `vgic-v2.c`.
//!
//! Rule: what the interface cannot carry is said: lines that the VMM must drive, senders of active SGIs.

mod registers;
mod target;

pub use target::{Target, TargetVcpu, fit};

use crate::report::{PpiLine, Report};
use crate::state::gicv2::Gicv2State;

/// What is wrong with a state, and which lines must be driven after a restore of it.
#[must_use]
pub fn problems(state: &Gicv2State) -> Report {
    let mut report = Report::default();
    registers::registers(state, &mut report);
    report.level_spis = state.pending_level_spis();
    report.level_ppis = state.pending_level_ppis().map(|(vcpu, interrupt)| PpiLine::new(vcpu, interrupt)).collect();
    report
}
