//! The registers of a GICv2: what no kernel takes, what it drops, and what it cannot be told.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v2.c`, `vgic-mmio.c`, `vgic-v2.c`.
//!
//! Rule: what a kernel would refuse halfway is accepted by no threshold; a bit that it drops is reported.

use crate::judge::words::{FIRST_REVISION, ICFGR_RES0, PRIORITY_IGNORED, PRIVATE_CONFIG};
use crate::registers::RegisterTable;
use crate::report::{Place, Problem, Report};
use crate::state::gicv2::block::{BlockAt, BlockRow, sgi_sources};
use crate::state::gicv2::{Gicv2State, InterruptBlock, VcpuState};
use crate::topology::VcpuId;
use crate::uapi::vgic_v3::dist::{GICD_CTLR, GICD_IIDR};
use crate::{Attr, AttrId};

/// The bit that KVM has of `GICD_CTLR`.
const CTLR_KEPT: u32 = 1;
/// Bits of SGIs among those of 32 private interrupts.
const SGIS: u32 = 0xffff;

/// Judges the registers of a state.
pub(super) fn registers(state: &Gicv2State, report: &mut Report) {
    let iidr = state.identity.iidr;
    if (iidr >> 12) & 0xf < FIRST_REVISION {
        report.add_refused(Problem::RevisionUnknown, Place::register(Attr::gicv2_dist(VcpuId::ZERO, GICD_IIDR).id(), iidr));
    }
    ignored(Attr::gicv2_dist(VcpuId::ZERO, GICD_CTLR).id(), state.dist.ctlr, state.dist.ctlr & !CTLR_KEPT, report);
    let senders = state.vcpus.iter().fold(0, |all, vcpu| all | 1_u8.checked_shl(vcpu.vcpu.id.get()).unwrap_or(0));
    for vcpu in &state.vcpus {
        of_vcpu(vcpu, senders, report);
    }
    // SPIs that are not where they should be have no registers to name.
    if !state.has_all_spis() {
        return report.add_refused(Problem::SpisIncomplete, Place::register(Attr::nr_irqs().id(), state.nr_irqs.get()));
    }
    // The targets are numbered by creation.
    let no_targets = !(1_u32.checked_shl(state.vcpus.len() as u32).map_or(u32::MAX, |bit| bit - 1) & 0xff) & 0xff;
    for spis in &state.spis {
        let at = BlockAt { vcpu: VcpuId::ZERO, first: spis.first };
        words(at, &InterruptBlock::TARGETS, &spis.interrupts.targets, no_targets * 0x0101_0101, report);
        for (n, value) in (0..).zip(spis.interrupts.config).filter(|(_, value)| value & ICFGR_RES0 != 0) {
            report.add_refused(Problem::TriggerMode, Place::register(at.attr(&InterruptBlock::CONFIG, n).id(), value));
        }
        words(at, &InterruptBlock::PRIORITY, &spis.interrupts.priority, PRIORITY_IGNORED, report);
    }
}

fn of_vcpu(vcpu: &VcpuState, senders: u8, report: &mut Report) {
    let (id, private) = (vcpu.vcpu.id, &vcpu.private);
    let at = BlockAt::private(id);
    words(at, &InterruptBlock::PRIORITY, &private.priority, PRIORITY_IGNORED, report);
    for (n, (found, _)) in (0..).zip(private.config.into_iter().zip(PRIVATE_CONFIG)).filter(|(_, (found, fixed))| found != fixed) {
        report.add_refused(Problem::TriggerMode, Place::register(at.attr(&InterruptBlock::CONFIG, n).id(), found));
    }
    let [targets, ..] = private.targets;
    for (n, found) in (0..).zip(private.targets) {
        ignored(at.attr(&InterruptBlock::TARGETS, n).id(), found, found ^ targets, report);
    }
    for (row, value) in vcpu.gicc.rows() {
        ignored(Attr::gicv2_cpu(id, row.key).id(), value as u32, (value & !row.known_bits()) as u32, report);
    }
    let [pending] = private.pending;
    let by_senders = (0..16).filter(|sgi| vcpu.sources_of(*sgi) != 0).fold(0, |bits, sgi| bits | 1 << sgi);
    if pending & SGIS != by_senders {
        let place = Place::register(at.attr(&InterruptBlock::PENDING, 0).id(), pending & SGIS);
        report.add(Problem::SgiSenders, place.allowed(by_senders, by_senders));
    }
    for (n, word) in (0..).zip(vcpu.sgi_sources).filter(|(_, word)| word & !(u32::from(senders) * 0x0101_0101) != 0) {
        report.add(Problem::SgiSenderUnknown, Place::register(sgi_sources(id, n).id(), word));
    }
    let [active] = private.active;
    if active & SGIS != 0 {
        report.add(Problem::ActiveSgi, Place::register(at.attr(&InterruptBlock::ACTIVE, 0).id(), active & SGIS));
    }
}

fn words(at: BlockAt, row: &BlockRow, words: &[u32], mask: u32, report: &mut Report) {
    for (n, word) in (0..).zip(words) {
        ignored(at.attr(row, n).id(), *word, word & mask, report);
    }
}

/// Reports a register some of whose bits KVM does not keep.
fn ignored(register: AttrId, value: u32, lost: u32, report: &mut Report) {
    if lost != 0 {
        report.add(Problem::IgnoredBits, Place::register(register, value));
    }
}
