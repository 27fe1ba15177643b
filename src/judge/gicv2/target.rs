//! Whether a VM is one for a state, judged without touching its device.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v2.c`: which values a write refuses, and which it drops without an error; `vgic-init.c`:
//! which target a private interrupt has.
//!
//! Rule: what a guest has seen and the target cannot have is refused.

use crate::Attr;
use crate::judge::identity::{Exception, Rule, check_fields, check_vcpus};
use crate::report::Refusal;
use crate::state::gicv2::block::BlockAt;
use crate::state::gicv2::{CpuIdentity, DistIdentity, Gicv2State, InterruptBlock};
use crate::topology::{NrIrqs, TopologyError, Vcpu, VcpuId, Vcpus};
use crate::uapi::vgic_v3::dist::GICD_IIDR;
use alloc::vec::Vec;

/// What a state is compared with: the device and the VM it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// Interrupts of the device.
    pub nr_irqs: NrIrqs,
    /// Distributor of the device.
    pub identity: DistIdentity,
    /// vCPUs of the VM.
    pub vcpus: Vcpus,
    /// What each vCPU's part of the controller is, in the order of the vCPUs.
    pub per_vcpu: Vec<TargetVcpu>,
}

/// What one vCPU's part of the controller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetVcpu {
    /// The vCPU.
    pub vcpu: Vcpu,
    /// Its `GICD_ITARGETSR0`: the vCPU itself as a target, four times; the bit is its id, before Linux 6.16 its
    /// place in the order of creation.
    pub targets: u32,
    /// Its CPU interface.
    pub gicc: CpuIdentity,
}

impl Target {
    /// The VM that a state was saved from.
    ///
    /// # Errors
    ///
    /// [`TopologyError`]: the vCPUs of the state are no possible set.
    pub fn of(state: &Gicv2State) -> Result<Self, TopologyError> {
        let per_vcpu = state.vcpus.iter().map(|own| TargetVcpu {
            vcpu: own.vcpu,
            targets: own.private.targets.first().copied().unwrap_or(0),
            gicc: own.identity,
        });
        let (nr_irqs, identity) = (state.nr_irqs, state.identity);
        Ok(Target { nr_irqs, identity, vcpus: state.topology()?, per_vcpu: per_vcpu.collect() })
    }
}

const DIST_EXCEPTIONS: &[Exception] = &[(GICD_IIDR, "Revision", Rule::NotGreater)];

/// Whether a VM is one for a state: its vCPUs, the number of interrupts, and what its
/// device is. What is wrong with the state itself, [`problems`](super::problems) says.
///
/// # Errors
///
/// [`Refusal`]: the first reason why this VM is none for the state.
pub fn fit(state: &Gicv2State, target: &Target) -> Result<(), Refusal> {
    check_vcpus(state.vcpus.iter().map(|state| state.vcpu), &target.vcpus)?;
    if state.nr_irqs != target.nr_irqs {
        return Err(Refusal::NrIrqs { expected: target.nr_irqs, found: state.nr_irqs });
    }
    check_fields(&state.identity, &target.identity, DIST_EXCEPTIONS, |offset| Attr::gicv2_dist(VcpuId::ZERO, offset).id())?;
    for vcpu in &state.vcpus {
        let (own, id) = (vcpu.vcpu, vcpu.vcpu.id);
        let device = target.per_vcpu.iter().find(|device| device.vcpu == own).ok_or(Refusal::VcpuMissing { vcpu: own })?;
        let register = BlockAt::private(id).attr(&InterruptBlock::TARGETS, 0).id();
        let [targets, ..] = vcpu.private.targets;
        Rule::Equal.judge(register, "[31:0]", device.targets.into(), targets.into())?;
        check_fields(&vcpu.identity, &device.gicc, &[], |offset| Attr::gicv2_cpu(id, offset).id())?;
    }
    Ok(())
}
