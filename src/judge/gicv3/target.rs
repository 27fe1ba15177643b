//! Whether a VM is one for a state, judged without touching its devices.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v3.c`, `vgic-its.c`, `arch/arm64/kvm/vgic-sys-reg-v3.c`: which values a write refuses, and
//! which it drops without an error.
//!
//! Rule: what a guest has seen and the target cannot have is refused.

use crate::judge::identity::{Exception, RESERVED, Rule, check_fields, check_vcpus};
use crate::registers::RegisterTable;
use crate::report::Refusal;
use crate::state::gicv3::{DistIdentity, El2Identity, Gicv3State, ItsIdentity, RedistIdentity, VcpuState};
use crate::topology::{NrIrqs, TopologyError, Vcpu, Vcpus};
use crate::uapi::vgic_v3::dist::GICD_IIDR;
use crate::uapi::vgic_v3::icc::SYS_ICC_CTLR_EL1;
use crate::uapi::vgic_v3::its::GITS_IIDR;
use crate::uapi::vgic_v3::redist::GICR_IIDR;
use crate::{Attr, AttrId};
use alloc::vec::Vec;

/// What a state is compared with: the devices and the VM they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Whether the vCPUs have EL2.
    pub el2: TargetEl2,
}

/// Whether the vCPUs of a VM have EL2, as its GICv3 shows it: all of them, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TargetEl2 {
    /// They have not.
    #[default]
    Absent,
    /// They have.
    Shown {
        /// INTID of the maintenance interrupt, 16 to 31; 25 if the VMM has set none, as KVM takes it at the first run.
        maintenance_irq: u32,
    },
    /// The kernel does not tell: Linux 6.16, which may give a vCPU EL2 and gives user space none of its registers.
    Unknown,
}

impl Target {
    /// The VM that a state is of, on the host that it was saved on.
    ///
    /// # Errors
    ///
    /// [`TopologyError`]: the vCPUs of the state are no possible set.
    pub fn of(state: &Gicv3State) -> Result<Target, TopologyError> {
        let per_vcpu = state.vcpus.iter().map(TargetVcpu::of);
        let has_el2 = state.vcpus.iter().any(|vcpu| vcpu.el2.is_some());
        let maintenance_irq = state.maintenance_irq;
        Ok(Target {
            nr_irqs: state.nr_irqs,
            identity: state.identity,
            vcpus: state.topology()?,
            per_vcpu: per_vcpu.collect(),
            its: state.its.iter().map(|its| (its.base, its.identity)).collect(),
            el2: if has_el2 { TargetEl2::Shown { maintenance_irq } } else { TargetEl2::Absent },
        })
    }
}

impl TargetVcpu {
    fn of(vcpu: &VcpuState) -> TargetVcpu {
        let el2 = vcpu.el2.map(|el2| el2.identity);
        TargetVcpu { vcpu: vcpu.vcpu, redist: vcpu.identity, icc_ctlr: vcpu.icc.ctlr, el2 }
    }
}

/// What one vCPU's part of the controller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetVcpu {
    /// The vCPU.
    pub vcpu: Vcpu,
    /// Its redistributor.
    pub redist: RedistIdentity,
    /// Its `ICC_CTLR_EL1`, whose priority bits, ID bits, SEIS and A3V are the host's.
    pub icc_ctlr: u64,
    /// Its virtual CPU interface, if it has EL2 and the device shows it.
    pub el2: Option<El2Identity>,
}

const DIST_EXCEPTIONS: &[Exception] = &[(GICD_IIDR, "Revision", Rule::NotGreater)];

/// Read only: its implementer and its product are what must stay.
const REDIST_EXCEPTIONS: &[Exception] =
    &[(GICR_IIDR, "Revision", Rule::Any), (GICR_IIDR, "Variant", Rule::Any), (GICR_IIDR, RESERVED, Rule::Any)];

const ITS_EXCEPTIONS: &[Exception] = &[(GITS_IIDR, "Revision", Rule::NotGreater)];

/// `ICC_CTLR_EL1`: what `vgic-sys-reg-v3.c` asks of its fields; the others are state.
const ICC_CTLR_RULES: [(&str, Rule); 4] =
    [("PRIbits", Rule::NotGreater), ("IDbits", Rule::NotGreater), ("SEIS", Rule::Equal), ("A3V", Rule::Equal)];

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
    fit_el2(state, target)?;
    // Before the registers that follow from it.
    fit_its(state, target)?;
    check_fields(&state.identity, &target.identity, DIST_EXCEPTIONS, |offset| Attr::dist(offset).id())?;
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
    check_fields(&state.identity, &device.redist, REDIST_EXCEPTIONS, |offset| Attr::redist(mpidr, offset).id())?;
    let register = Attr::cpu_sysreg(mpidr, SYS_ICC_CTLR_EL1).id();
    // Equal values keep every rule.
    let differs = state.icc.ctlr != device.icc_ctlr;
    for (row, value) in state.icc.rows().filter(|(row, _)| differs && row.key == u32::from(SYS_ICC_CTLR_EL1)) {
        for (name, rule) in ICC_CTLR_RULES {
            let field = row.fields.iter().find(|field| field.name == name);
            field.map_or(Ok(()), |field| rule.judge(register, name, field.of(device.icc_ctlr), field.of(value)))?;
        }
    }
    match (&state.el2, &device.el2) {
        (Some(state), Some(device)) => {
            check_fields(&state.identity, device, &[], |instr| Attr::cpu_sysreg(mpidr, instr as u16).id())
        }
        (None, None) => Ok(()),
        (Some(_), None) => Err(Refusal::El2Missing),
        (None, Some(_)) => Err(Refusal::El2Unexpected),
    }
}

/// EL2 is of all vCPUs, and first: what differs otherwise may follow from it.
fn fit_el2(state: &Gicv3State, target: &Target) -> Result<(), Refusal> {
    let has = state.vcpus.iter().any(|vcpu| vcpu.el2.is_some());
    match target.el2 {
        TargetEl2::Shown { .. } if !has => Err(Refusal::El2Unexpected),
        TargetEl2::Shown { maintenance_irq } if maintenance_irq != state.maintenance_irq => {
            Err(Refusal::MaintenanceIrq { expected: maintenance_irq, found: state.maintenance_irq })
        }
        TargetEl2::Absent | TargetEl2::Unknown if has => Err(Refusal::El2Missing),
        _ => Ok(()),
    }
}

fn fit_its(state: &Gicv3State, target: &Target) -> Result<(), Refusal> {
    if state.its.len() != target.its.len() {
        return Err(Refusal::ItsCount { expected: target.its.len(), found: state.its.len() });
    }
    state.its.iter().try_for_each(|its| {
        let device = target.its.iter().find(|(base, _)| *base == its.base);
        let (_, device) = device.ok_or(Refusal::ItsMissing { base: its.base })?;
        check_fields(&its.identity, device, ITS_EXCEPTIONS, its_attr)
    })
}

fn its_attr(offset: u32) -> AttrId {
    Attr::its(offset).id()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::identity::tests::has_fields;
    use crate::state::gicv3::CpuInterface;

    #[test]
    fn every_rule_is_one_of_a_field() {
        has_fields::<DistIdentity>(DIST_EXCEPTIONS);
        has_fields::<RedistIdentity>(REDIST_EXCEPTIONS);
        has_fields::<ItsIdentity>(ITS_EXCEPTIONS);
        let ctlr = CpuInterface::REGISTERS.iter().find(|row| row.key == u32::from(SYS_ICC_CTLR_EL1)).expect("ICC_CTLR_EL1");
        for (name, _) in ICC_CTLR_RULES {
            assert!(ctlr.fields.iter().any(|field| field.name == name), "{name}");
        }
    }
}
