//! Interrupt state tables of a GICv5.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5-tables.c`, Linux 7.4: entries are written through, and none is checked.
//!
//! Rule: a table is judged entry by entry whatever its registers say; whether it is the one they mean is a finding of its own.

use super::problem::Problem;
use super::report::{Place, Report};
use crate::buffer::IstKind;
use crate::gicv5::{Gicv5State, Idr1, Ist, IstBaser, IstCfgr};
use crate::topology::IntId;
use crate::uapi::vgic_v5::irs;
use crate::{Attr, AttrId};
use alloc::vec::Vec;

/// Judges the tables of a state.
pub(super) fn gicv5(state: &Gicv5State<'_>) -> Report {
    let mut report = Report::default();
    let mut vcpus: Vec<u16> = state.vcpus.iter().map(|vcpu| vcpu.vcpu.id.iaffid()).collect();
    vcpus.sort_unstable();
    let implemented = {
        let bits = (u32::from(Idr1::from_bits(state.identity.idr1).priority_bits()) + 1).min(5);
        (0x1f_u8 << (5 - bits)) & 0x1f
    };

    let valid = IstBaser::from_bits(state.irs.ist_baser).valid();
    let bits = u32::from(IstCfgr::from_bits(state.irs.ist_cfgr).lpi_id_bits());
    let mut misfit = |register: AttrId, kind, expected: Option<usize>, table: Option<&Ist<'_>>| {
        if expected != table.map(Ist::len) || table.is_some_and(|table| table.kind() != kind) {
            report.add(Problem::IstMisfit, Place { register: Some(register), ..Place::default() });
        }
    };
    misfit(Attr::nr_irqs().id(), IstKind::Spi, Some(state.spi_count.get() as usize), Some(&state.spi_ist));
    misfit(Attr::irs(irs::GICV5_IRS_IST_CFGR).id(), IstKind::Lpi, valid.then_some(1 << bits), state.lpi_ist.as_ref());

    for (id, entry) in state.spi_ist.nonzero().chain(state.lpi_ist.iter().flat_map(Ist::nonzero)) {
        // An interrupt that was never configured has IAFFID 0, whether or not there is a vCPU 0.
        let target = entry.enable() || entry.iaffid() != 0;
        let problems = [
            (Problem::IstReservedBits, entry.res0() != 0),
            (Problem::IstTargetUnknown, target && vcpus.binary_search(&entry.iaffid()).is_err()),
            (Problem::IstOneOfN, entry.irm()),
            (Problem::IstPriority, entry.priority() & !implemented != 0),
            (Problem::IstHardwareUse, entry.hwu() != 0),
        ];
        for (problem, _) in problems.into_iter().filter(|(_, found)| *found) {
            report.add(problem, place(id));
        }
    }
    report
}

fn place(interrupt: IntId) -> Place {
    Place { interrupt: Some(interrupt), ..Place::default() }
}
