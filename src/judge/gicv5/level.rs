//! Level-triggered SPIs: those that the table calls edge-triggered, and those that it has pending.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5-tables.c`, Linux 7.4: the trigger mode of an SPI is restored from HM, a latch from Pending.
//!
//! Rule: which SPIs are level-triggered, the VMM knows, and HM may say; whatever is not written as the state has it is reported.

use crate::report::{Finding, Place, Problem, Report};
use crate::state::gicv5::ist::blocks_with_level;
use crate::state::gicv5::{Gicv5State, Iste};
use crate::topology::{IntId, SpiSet};

/// Judges the entries of level-triggered SPIs, and lists them in the report.
pub(super) fn level(state: &Gicv5State<'_>, named: &SpiSet, report: &mut Report) {
    for (first, words, named) in blocks_with_level(state.spi_ist.words(), named) {
        for (word, n) in words.iter().zip(0..) {
            let (id, entry) = (first + n, Iste::from_bits(u32::from_le_bytes(*word)));
            if !entry.hm() && named >> n & 1 == 0 {
                continue;
            }
            report.level_spis.insert(id);
            let problem = match (entry.hm(), entry.pending()) {
                (false, _) => Problem::SpiLevelLost,
                (true, true) => Problem::SpiLevelPending,
                (true, false) => continue,
            };
            let first = Place { value: Some(entry.into_bits().into()), ..Place::interrupt(IntId::Spi(id)) };
            report.add_finding(Finding { problem, first, count: 1, refused: false });
        }
    }
}
