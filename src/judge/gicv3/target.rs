//! Whether a VM is one for a state, judged without touching its devices.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v3.c`, `vgic-its.c`, `arch/arm64/kvm/vgic-sys-reg-v3.c`: which values a write refuses, and
//! which it drops without an error.
//!
//! Rule: what a guest has seen and the target cannot have is refused.

use crate::judge::identity::{FieldRule, Rule, check_fields, check_vcpus};
use crate::report::Refusal;
use crate::state::gicv3::{DistIdentity, Gicv3State, ItsIdentity, RedistIdentity, VcpuState};
use crate::topology::{NrIrqs, Vcpu, Vcpus};
use crate::uapi::vgic_v3::dist::*;
use crate::uapi::vgic_v3::icc::*;
use crate::uapi::vgic_v3::its::*;
use crate::uapi::vgic_v3::redist::*;
use crate::{Attr, AttrId};
use alloc::vec::Vec;

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

/// Whether a VM is one for a state: its vCPUs, the number of interrupts, its ITSes, and what its devices are. What is wrong with the state
/// itself, [`problems`](super::problems) says.
///
/// # Errors
///
/// [`Refusal`]: the first reason why this VM is none for the state.
pub fn fit(state: &Gicv3State, target: &Target) -> Result<(), Refusal> {
    check_vcpus(state.vcpus.iter().map(|state| state.vcpu), &target.vcpus)?;
    if state.nr_irqs != target.nr_irqs {
        return Err(Refusal::NrIrqs { expected: target.nr_irqs, found: state.nr_irqs });
    }
    // Before the registers that follow from it.
    fit_its(state, target)?;
    check_fields(&state.identity, &target.identity, DIST_RULES, |offset| Attr::dist(offset).id())?;
    for (n, vcpu) in state.vcpus.iter().enumerate() {
        // Mostly both are in the same order.
        let same_place = target.per_vcpu.get(n).filter(|device| device.vcpu == vcpu.vcpu);
        let device = same_place.or_else(|| target.per_vcpu.iter().find(|device| device.vcpu == vcpu.vcpu));
        fit_vcpu(vcpu, device.ok_or(Refusal::VcpuMissing { vcpu: vcpu.vcpu })?)?;
    }
    Ok(())
}

fn fit_vcpu(state: &VcpuState, device: &TargetVcpu) -> Result<(), Refusal> {
    let mpidr = state.vcpu.mpidr;
    check_fields(&state.identity, &device.redist, REDIST_RULES, |offset| Attr::redist(mpidr, offset).id())?;
    let register = Attr::cpu_sysreg(mpidr, SYS_ICC_CTLR_EL1).id();
    ICC_CTLR_RULES.iter().try_for_each(|(field, mask, rule)| {
        let value = |register: u64| (register & mask) >> mask.trailing_zeros();
        rule.judge(register, field, value(device.icc_ctlr), value(state.icc.ctlr))
    })
}

fn fit_its(state: &Gicv3State, target: &Target) -> Result<(), Refusal> {
    if state.its.len() != target.its.len() {
        return Err(Refusal::ItsCount { expected: target.its.len(), found: state.its.len() });
    }
    state.its.iter().try_for_each(|its| {
        let device = target.its.iter().find(|(base, _)| *base == its.base);
        let (_, device) = device.ok_or(Refusal::ItsMissing { base: its.base })?;
        check_fields(&its.identity, device, ITS_RULES, its_attr)
    })
}

fn its_attr(offset: u32) -> AttrId {
    Attr::its(offset).id()
}
