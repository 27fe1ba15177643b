//! Level-triggered SPIs: those that the table calls edge-triggered, and those that it has pending.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5-tables.c`, Linux 7.4: the trigger mode of an SPI is restored from HM, a latch from Pending.
//!
//! Rule: which SPIs are level-triggered, the VMM knows, and HM may say; whatever is not written as the state has it is reported.

use crate::report::{Finding, Place, Problem, Report};
use crate::state::gicv5::Gicv5State;
use crate::state::gicv5::ist::may_have_level;
use crate::topology::{SpiCount, SpiSet};

/// Judges the entries of level-triggered SPIs, and lists them in the report.
pub(super) fn level(state: &Gicv5State<'_>, named: &SpiSet, report: &mut Report) {
    if !may_have_level(state.spi_ist.as_bytes(), named) {
        return;
    }
    for ((interrupt, entry), id) in state.spi_ist.entries().zip(0..SpiCount::MAX.get()) {
        if !entry.hm() && !named.contains(id) {
            continue;
        }
        report.level_spis.insert(id);
        let problem = match (entry.hm(), entry.pending()) {
            (false, _) => Problem::SpiLevelLost,
            (true, true) => Problem::SpiLevelPending,
            (true, false) => continue,
        };
        let first = Place { value: Some(entry.into_bits().into()), ..Place::interrupt(interrupt) };
        report.add_finding(Finding { problem, first, count: 1, refused: false });
    }
}
