//! The registers of distributor, redistributors and CPU interfaces: what no kernel takes, and what it drops.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v3.c`, `vgic-mmio.c`, `arch/arm64/kvm/vgic-sys-reg-v3.c`.
//!
//! Rule: what a kernel would refuse halfway, or drop without an error, is accepted by no threshold.

use super::el2;
use crate::Attr;
use crate::judge::words::{FIRST_REVISION, ICFGR_RES0, PRIORITY_IGNORED, PRIVATE_CONFIG};
use crate::registers::RegisterTable;
use crate::report::{Place, Problem, Report};
use crate::state::gicv3::block::{BlockAt, router};
use crate::state::gicv3::{Gicv3State, InterruptBlock, VcpuState, has_icc};
use crate::topology::{IntId, Mpidr};
use crate::uapi::vgic_v3::dist::*;
use crate::uapi::vgic_v3::icc::{ICC_SRE_EL1_SRE, SYS_ICC_SRE_EL1};
use crate::uapi::vgic_v3::redist::{GICR_CTLR, GICR_PROPBASER, GICR_TYPER_PLPIS};
use alloc::vec::Vec;

/// Judges the registers of a state, but for those of ITSes.
pub(super) fn registers(state: &Gicv3State, report: &mut Report) {
    // SPIs that are not where they should be have no registers to name.
    if state.has_all_spis() {
        spis(state, report);
    } else {
        report.add_refused(Problem::SpisIncomplete, Place::register(Attr::nr_irqs().id(), state.nr_irqs.get()));
    }
    let revision = (state.identity.iidr & GICD_IIDR_REVISION) >> GICD_IIDR_REVISION.trailing_zeros();
    if revision < FIRST_REVISION {
        report.add_refused(Problem::RevisionUnknown, Place::register(Attr::dist(GICD_IIDR).id(), state.identity.iidr));
    }
    for (n, its) in state.its.iter().enumerate() {
        if state.its.iter().take(n).any(|other| other.base == its.base) {
            report.add_refused(Problem::ItsTwice, Place { its: Some(its.base), ..Place::default() });
        }
    }
    let request = if state.identity.typer2 & GICD_TYPER2_NASSGICAP != 0 { GICD_CTLR_NASSGIREQ } else { 0 };
    if state.dist.ctlr & !(GICD_CTLR_ENABLE_GRP1 | request) != GICD_CTLR_ARE | GICD_CTLR_DS {
        report.add_refused(Problem::DistCtlr, Place::register(Attr::dist(GICD_CTLR).id(), state.dist.ctlr));
    }
    let propbaser = state.vcpus.first().map_or(0, |vcpu| vcpu.redist.propbaser);
    for vcpu in &state.vcpus {
        of_vcpu(vcpu, propbaser, report);
    }
    el2::virtual_cpu_interfaces(state, report);
}

fn of_vcpu(vcpu: &VcpuState, propbaser: u64, report: &mut Report) {
    let mpidr = vcpu.vcpu.mpidr;
    let redist = |offset: u32, value: u64| Place::register(Attr::redist(mpidr, offset).id(), value);
    if vcpu.redist.lpis_enabled() && vcpu.identity.typer & GICR_TYPER_PLPIS == 0 {
        report.add_refused(Problem::LpisWithoutIts, redist(GICR_CTLR, vcpu.redist.ctlr.into()));
    }
    if vcpu.redist.propbaser != propbaser {
        report.add_refused(Problem::PropbaserDiffers, redist(GICR_PROPBASER, vcpu.redist.propbaser));
    }
    let icc = |instr: u16, value: u64| Place::register(Attr::cpu_sysreg(mpidr, instr).id(), value);
    if vcpu.icc.sre & ICC_SRE_EL1_SRE == 0 {
        report.add_refused(Problem::SreClear, icc(SYS_ICC_SRE_EL1, vcpu.icc.sre));
    }
    for (row, value) in vcpu.icc.rows() {
        if value != 0 && !has_icc(row.key, vcpu.icc.ctlr) {
            report.add_refused(Problem::ActivePriority, icc(row.key as u16, value));
        }
        // No write changes ICC_SRE_EL1.
        let differs = row.key == u32::from(SYS_ICC_SRE_EL1) && value & ICC_SRE_EL1_SRE != 0 && row.reset != Some(value);
        if value & !row.known_bits() != 0 || differs {
            report.add(Problem::IgnoredBits, icc(row.key as u16, value));
        }
    }
    let private = BlockAt::Private(mpidr);
    for (n, (value, kept)) in (0..).zip(vcpu.private.config.into_iter().zip(PRIVATE_CONFIG)) {
        if value != kept {
            let place = Place::register(private.attr(&InterruptBlock::CONFIG, n).id(), value);
            report.add_refused(Problem::TriggerMode, place);
        }
    }
    priorities(private, &vcpu.private, report);
}

fn spis(state: &Gicv3State, report: &mut Report) {
    let mut affinities: Vec<Mpidr> = state.vcpus.iter().map(|vcpu| vcpu.vcpu.mpidr).collect();
    affinities.sort_unstable();
    let any = state.vcpus.first().map_or(Mpidr::from_packed(0), |vcpu| vcpu.vcpu.mpidr);
    for spis in &state.spis {
        let at = BlockAt::Spis(spis.first, any);
        for (n, value) in (0..).zip(spis.interrupts.config).filter(|(_, value)| value & ICFGR_RES0 != 0) {
            report.add_refused(Problem::TriggerMode, Place::register(at.attr(&InterruptBlock::CONFIG, n).id(), value));
        }
        priorities(at, &spis.interrupts, report);
        for (n, target) in (0..).zip(spis.router) {
            let intid = spis.first + n;
            let place = Place::register(router(intid).id(), target);
            // KVM keeps Aff2 to Aff0.
            if target & !GICD_IROUTER_AFF2_0 != 0 {
                report.add(Problem::IgnoredBits, place);
            }
            // A guest that never configured the interrupt leaves 0, whether or not there is a vCPU with affinity 0.
            let enabled = spis.interrupts.enable >> n & 1 != 0;
            if (enabled || target != 0) && affinities.binary_search(&Mpidr::from_packed(target & GICD_IROUTER_AFF2_0)).is_err() {
                report.add(Problem::SpiTargetUnknown, Place { interrupt: Some(IntId::Spi(intid)), ..place });
            }
        }
    }
}

fn priorities(at: BlockAt, block: &InterruptBlock, report: &mut Report) {
    for (n, word) in (0..).zip(block.priority).filter(|(_, word)| word & PRIORITY_IGNORED != 0) {
        report.add(Problem::IgnoredBits, Place::register(at.attr(&InterruptBlock::PRIORITY, n).id(), word));
    }
}
