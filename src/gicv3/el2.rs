//! EL2 of the vCPUs: whether a GICv3 shows it, and what it shows.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst, `GRP_CPU_SYSREGS`, `GRP_MAINT_IRQ`; `arch/arm64/kvm/arm.c`,
//! `KVM_ARM_VCPU_INIT`: all vCPUs of a VM have EL2, or none has.
//!
//! Rule: whether vCPUs have EL2 is two questions for a VM, of its first vCPU; none for each vCPU.

use super::access::get;
use super::once::Once;
use crate::error::AccessError;
use crate::judge::gicv3::TargetEl2;
use crate::registers::RegisterTable;
use crate::state::gicv3::{El2Identity, maintenance_irq};
use crate::topology::Mpidr;
use crate::uapi::vgic_v3::ich::SYS_ICH_VTR_EL2;
use crate::{Attr, AttrDevice, Errno, Error, Operation};

/// What the device shows, and whether it has the attribute `MAINT_IRQ`, as every kernel has since Linux 6.15.
pub(super) fn shown(gic: &impl AttrDevice, vcpu: Mpidr) -> Result<(TargetEl2, bool), Error> {
    let vtr = Attr::cpu_sysreg(vcpu, SYS_ICH_VTR_EL2);
    match gic.get(vtr) {
        Ok(_) => {
            let maintenance_irq = maintenance_irq(get(gic, Attr::maintenance_irq(), None)?);
            Ok((TargetEl2::Shown { maintenance_irq }, true))
        }
        Err(Errno::ENOENT | Errno::ENXIO) => match gic.get(Attr::maintenance_irq()) {
            // Kernels that have vCPUs with EL2 and no registers for user space do not give this one after INIT.
            Err(Errno::EBUSY) => Ok((TargetEl2::Unknown, true)),
            other => Ok((TargetEl2::Absent, other.is_ok())),
        },
        Err(errno) => Err(AccessError::new(Operation::Get, vtr.id(), errno).into()),
    }
}

/// What the virtual CPU interface of a vCPU is.
pub(super) fn identity(gic: &impl AttrDevice, vcpu: Mpidr, once: &mut Once) -> Result<El2Identity, Error> {
    El2Identity::read(|row| {
        let attr = Attr::cpu_sysreg(vcpu, row.key as u16);
        once.read(attr, || get(gic, attr, None))
    })
}
