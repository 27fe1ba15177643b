//! Whether a state can be restored on a device, judged without touching the device.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v3.c`, `vgic-its.c`, `arch/arm64/kvm/vgic-sys-reg-v3.c`: which values a write refuses, and
//! which it drops without an error.
//!
//! Rule: what the target cannot have, and what the kernel would drop silently, is refused.

use super::bank::BankAt;
use super::{Bank, Gicv3State, ItsIdentity, ItsUnit, RedistIdentity, VcpuState, has_icc};
use crate::check::{FieldRule, Finding, Oddity, Place, Refusal, Report, Rule, check_fields, check_vcpus};
use crate::registers::RegisterTable;
use crate::topology::{Mpidr, NrIrqs, Vcpu, Vcpus};
use crate::uapi::vgic_v3::dist::*;
use crate::uapi::vgic_v3::icc::*;
use crate::uapi::vgic_v3::its::*;
use crate::uapi::vgic_v3::redist::*;
use crate::{Attr, AttrId};
use alloc::vec::Vec;

use super::DistIdentity;

/// What a state is compared with: the devices and the VM they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Interrupts of the device.
    pub nr_irqs: NrIrqs,
    /// Distributor of the device.
    pub identity: DistIdentity,
    /// vCPUs of the VM.
    pub vcpus: Vcpus,
    /// What each vCPU's redistributor and CPU interface are, in the order of the vCPUs.
    pub per_vcpu: Vec<TargetVcpu>,
    /// ITSes: address and identification.
    pub its: Vec<(u64, ItsIdentity)>,
}

/// What one vCPU's part of the controller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetVcpu {
    /// The vCPU.
    pub vcpu: Vcpu,
    /// Its redistributor.
    pub redist: RedistIdentity,
    /// Its `ICC_CTLR_EL1`, whose priority bits, ID bits, SEIS and A3V are the host's.
    pub icc_ctlr: u64,
}

const DIST_RULES: &[FieldRule] = &[
    (GICD_TYPER, "ITLinesNumber", 0x1f, Rule::Equal),
    (GICD_TYPER, "LPIS", 1 << 17, Rule::Equal),
    (GICD_TYPER, "[18],[16:5]", 0x0005_ffe0, Rule::Equal),
    (GICD_TYPER, "IDbits", 0x00f8_0000, Rule::Equal),
    (GICD_TYPER, "[31:24]", 0xff00_0000, Rule::Equal),
    (GICD_IIDR, "Implementer", 0xfff, Rule::Equal),
    (GICD_IIDR, "Revision", 0xf000, Rule::NotGreater),
    (GICD_IIDR, "ProductID, Variant", 0xffff_0000, Rule::Equal),
    (GICD_TYPER2, "nASSGIcap", 1 << 8, Rule::Equal),
    (GICD_TYPER2, "[31:9],[7:0]", !(1 << 8) & 0xffff_ffff, Rule::Equal),
];

const REDIST_RULES: &[FieldRule] = &[
    (GICR_IIDR, "Implementer", 0xfff, Rule::Equal),
    (GICR_IIDR, "ProductID", 0xff00_0000, Rule::Equal),
    (GICR_TYPER, "PLPIS", 1, Rule::Equal),
    (GICR_TYPER, "[3:1]", 0xe, Rule::Equal),
    (GICR_TYPER, "Last", 1 << 4, Rule::Equal),
    (GICR_TYPER, "[7:5]", 0xe0, Rule::Equal),
    (GICR_TYPER, "Processor_Number", 0x00ff_ff00, Rule::Equal),
    (GICR_TYPER, "[31:24]", 0xff00_0000, Rule::Equal),
    (GICR_TYPER, "Affinity_Value", 0xffff_ffff_0000_0000, Rule::Equal),
];

const ITS_RULES: &[FieldRule] = &[
    (GITS_TYPER, "Physical", GITS_TYPER_PLPIS, Rule::Equal),
    (GITS_TYPER, "[3:1]", 0xe, Rule::Equal),
    (GITS_TYPER, "ITT_entry_size", GITS_TYPER_ITT_ENTRY_SIZE, Rule::Equal),
    (GITS_TYPER, "ID_bits", GITS_TYPER_IDBITS, Rule::Equal),
    (GITS_TYPER, "Devbits", GITS_TYPER_DEVBITS, Rule::Equal),
    (GITS_TYPER, "SEIS", 1 << 18, Rule::Equal),
    (GITS_TYPER, "PTA", GITS_TYPER_PTA, Rule::Equal),
    (GITS_TYPER, "HCC", GITS_TYPER_HCC, Rule::Equal),
    (GITS_TYPER, "[63:32],[23:20]", 0xffff_ffff_00f0_0000, Rule::Equal),
    (GITS_IIDR, "Implementer", 0xfff, Rule::Equal),
    (GITS_IIDR, "Revision", GITS_IIDR_REV, Rule::NotGreater),
    (GITS_IIDR, "ProductID, Variant", 0xffff_0000, Rule::Equal),
];

/// `ICC_CTLR_EL1`: a field, its mask, and what `vgic-sys-reg-v3.c` asks of it.
const ICC_CTLR_RULES: [(&str, u64, Rule); 4] = [
    ("PRIbits", 0x700, Rule::NotGreater),
    ("IDbits", 0x3800, Rule::NotGreater),
    ("SEIS", 1 << 14, Rule::Equal),
    ("A3V", 1 << 15, Rule::Equal),
];

/// Judges a state against a target, without a device.
///
/// # Errors
///
/// [`Refusal`]: the first reason why the state cannot be restored there; with `strict`, also the first finding.
pub fn check(state: &Gicv3State, target: &Target, strict: bool) -> Result<Report, Refusal> {
    check_vcpus(state.vcpus.iter().map(|state| state.vcpu), &target.vcpus)?;
    if state.nr_irqs != target.nr_irqs {
        return Err(Refusal::NrIrqs { expected: target.nr_irqs, found: state.nr_irqs });
    }
    check_spis(state)?;
    // Before the registers that follow from it.
    check_its_set(state, target)?;
    check_fields(&state.identity, &target.identity, DIST_RULES, |offset| Attr::dist(offset).id())?;
    if (state.identity.iidr >> 12) & 0xf < 2 {
        let register = Attr::dist(GICD_IIDR).id();
        let rule = "KVM has no revision below 2 since Linux 4.20";
        return Err(Refusal::Register { register, value: state.identity.iidr.into(), rule });
    }
    let propbaser = state.vcpus.first().map_or(0, |vcpu| vcpu.redist.propbaser);
    for (n, vcpu) in state.vcpus.iter().enumerate() {
        // Mostly both are in the same order.
        let same_place = target.per_vcpu.get(n).filter(|device| device.vcpu == vcpu.vcpu);
        let device = same_place.or_else(|| target.per_vcpu.iter().find(|device| device.vcpu == vcpu.vcpu));
        check_vcpu(vcpu, device.ok_or(Refusal::VcpuMissing { vcpu: vcpu.vcpu })?, propbaser)?;
    }
    for its in &state.its {
        check_its(its)?;
    }
    if let Some(lpis) = &state.lpis {
        super::lpis::check(state, lpis)?;
    }
    let report = scan(state, &target.vcpus);
    match report.findings.first() {
        Some(finding) if strict => Err(Refusal::Strict(*finding)),
        _ => Ok(report),
    }
}

/// Whether the SPIs are all there, each once and in order.
pub(super) fn check_spis(state: &Gicv3State) -> Result<(), Refusal> {
    if state.spis.iter().map(|spis| spis.first).eq(state.nr_irqs.spi_banks()) {
        Ok(())
    } else {
        Err(Refusal::SpiBanks { nr_irqs: state.nr_irqs })
    }
}

fn check_vcpu(state: &VcpuState, device: &TargetVcpu, propbaser: u64) -> Result<(), Refusal> {
    let mpidr = state.vcpu.mpidr;
    check_fields(&state.identity, &device.redist, REDIST_RULES, |offset| Attr::redist(mpidr, offset).id())?;
    let icc = |instr: u16| Attr::cpu_sysreg(mpidr, instr).id();
    for (field, mask, rule) in ICC_CTLR_RULES {
        let (found, expected) =
            ((state.icc.ctlr & mask) >> mask.trailing_zeros(), (device.icc_ctlr & mask) >> mask.trailing_zeros());
        rule.judge(icc(SYS_ICC_CTLR_EL1), field, expected, found)?;
    }
    let redist = |offset: u32, value: u64, rule| Err(Refusal::Register { register: Attr::redist(mpidr, offset).id(), value, rule });
    if state.redist.lpis_enabled() && state.identity.typer & 1 == 0 {
        return redist(GICR_CTLR, state.redist.ctlr.into(), "a VM without an ITS has no LPIs");
    }
    if state.redist.propbaser != propbaser {
        return redist(GICR_PROPBASER, state.redist.propbaser, "KVM has one value for all vCPUs");
    }
    if state.icc.sre & 1 == 0 {
        return Err(Refusal::Register { register: icc(SYS_ICC_SRE_EL1), value: state.icc.sre, rule: "SRE must be set" });
    }
    let beyond = state.icc.rows().find(|(row, value)| *value != 0 && !has_icc(row.key, state.icc.ctlr));
    match beyond {
        None => Ok(()),
        Some((row, value)) => Err(Refusal::Register {
            register: icc(row.key as u16),
            value,
            rule: "KVM has no such register with this number of priority bits",
        }),
    }
}

fn check_its_set(state: &Gicv3State, target: &Target) -> Result<(), Refusal> {
    if state.its.len() != target.its.len() {
        return Err(Refusal::ItsCount { expected: target.its.len(), found: state.its.len() });
    }
    for (n, its) in state.its.iter().enumerate() {
        let Some((_, device)) = target.its.iter().find(|(base, _)| *base == its.base) else {
            return Err(Refusal::ItsMissing { base: its.base });
        };
        if state.its.iter().take(n).any(|other| other.base == its.base) {
            return Err(Refusal::ItsTwice { base: its.base });
        }
        check_fields(&its.identity, device, ITS_RULES, its_attr)?;
    }
    Ok(())
}

fn its_attr(offset: u32) -> AttrId {
    Attr::its(offset).id()
}

/// Values that the kernel would refuse, or drop without an error.
fn check_its(its: &ItsUnit) -> Result<(), Refusal> {
    let registers = &its.registers;
    let refuse = |offset: u32, value: u64, rule| Err(Refusal::Register { register: its_attr(offset), value, rule });
    if registers.cbaser & 0xf000 != 0 {
        return refuse(GITS_CBASER, registers.cbaser, "KVM aligns the queue to 64 KiB");
    }
    let queue = ((registers.cbaser & GITS_CBASER_SIZE) + 1) * 4096;
    for (offset, value) in [(GITS_CREADR, registers.creadr), (GITS_CWRITER, registers.cwriter)] {
        if value & !GITS_CMD_OFFSET != 0 {
            return refuse(offset, value, "more than an offset in the queue");
        }
        if value >= queue {
            return refuse(offset, value, "outside of the command queue");
        }
    }
    let enabled = u64::from(registers.ctlr) & GITS_CTLR_ENABLE != 0;
    for (offset, value) in [(GITS_CBASER, registers.cbaser), (GITS_BASER, registers.baser0), (GITS_BASER + 8, registers.baser1)] {
        // Bit 63 is Valid in all three.
        if enabled && value & GITS_BASER_VALID == 0 {
            return refuse(offset, value, "must be valid in an ITS that is enabled");
        }
    }
    if registers.baser1 & GITS_BASER_INDIRECT != 0 {
        return refuse(GITS_BASER + 8, registers.baser1, "KVM has flat collection tables only");
    }
    for (offset, value) in [
        (GITS_BASER + 16, registers.baser2),
        (GITS_BASER + 24, registers.baser3),
        (GITS_BASER + 32, registers.baser4),
        (GITS_BASER + 40, registers.baser5),
        (GITS_BASER + 48, registers.baser6),
        (GITS_BASER + 56, registers.baser7),
    ] {
        if value != 0 {
            return refuse(offset, value, "KVM does not implement the register");
        }
    }
    Ok(())
}

/// What is odd about a state that can be restored.
fn scan(state: &Gicv3State, vcpus: &Vcpus) -> Report {
    let mut affinities: Vec<Mpidr> = vcpus.iter().map(|vcpu| vcpu.mpidr).collect();
    affinities.sort_unstable();
    let lost = state.spis.iter().flat_map(|spis| {
        let enabled = move |n: u32| spis.bank.enable >> n & 1 != 0;
        (0..).zip(spis.router).filter(move |(n, _)| enabled(*n)).map(|(n, router)| (spis.first + n, router))
    });
    let mut lost = lost.filter(|(_, router)| affinities.binary_search(&Mpidr::from_packed(router & 0x00ff_ffff)).is_err());
    let mut report = Report::default();
    if let Some((intid, _)) = lost.next() {
        let first = Place::Register(super::bank::router(intid).id());
        report.findings.push(Finding { oddity: Oddity::NoSuchTarget, first, count: 1 + lost.count() as u32 });
    }
    let mut odd = |oddity, registers: &mut dyn Iterator<Item = AttrId>| {
        if let Some(first) = registers.next() {
            let count = 1 + registers.count() as u32;
            report.findings.push(Finding { oddity, first: Place::Register(first), count });
        }
    };
    odd(Oddity::IgnoredBits, &mut ignored_bits(state));
    // KVM runs commands as they are written: an ITS that is enabled has none left.
    let queued =
        |its: &&ItsUnit| u64::from(its.registers.ctlr) & GITS_CTLR_ENABLE != 0 && its.registers.creadr != its.registers.cwriter;
    odd(Oddity::QueuedCommands, &mut state.its.iter().filter(queued).map(|_| its_attr(GITS_CWRITER)));
    if let Some(lpis) = &state.lpis {
        super::lpis::findings(state, lpis, |finding| report.findings.push(finding));
    }
    report
}

/// Registers with bits that KVM does not keep: the lower bits of priorities, and a target beyond Aff2.
fn ignored_bits(state: &Gicv3State) -> impl Iterator<Item = AttrId> + '_ {
    let priorities = |at: BankAt, bank: &Bank| {
        let odd = (0..).zip(bank.priority).filter(|(_, word)| word & 0x0707_0707 != 0);
        odd.map(move |(n, _)| at.priority(n).id())
    };
    let private = state.vcpus.iter().flat_map(move |vcpu| priorities(BankAt::Private(vcpu.vcpu.mpidr), &vcpu.private));
    let any = state.vcpus.first().map_or(Mpidr::from_packed(0), |vcpu| vcpu.vcpu.mpidr);
    let shared = state.spis.iter().flat_map(move |spis| {
        let routers = (spis.first..).zip(spis.router).filter(|(_, target)| target >> 24 != 0);
        priorities(BankAt::Spis(spis.first, any), &spis.bank).chain(routers.map(|(intid, _)| super::bank::router(intid).id()))
    });
    private.chain(shared)
}
