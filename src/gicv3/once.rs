//! Registers of a vCPU that need no access for each vCPU.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v3.c`, `vgic-mmio.c`, `vgic-init.c`; `arch/arm64/kvm/vgic-sys-reg-v3.c`.
//!
//! Rule: an access takes the locks of every vCPU of the VM, so that a save and a restore take time with the square of their number: what
//! can be neither different nor changed is read once, and written at most once.

use crate::uapi::device::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS;
use crate::uapi::vgic_v3::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS;
use crate::uapi::vgic_v3::icc::SYS_ICC_SRE_EL1;
use crate::uapi::vgic_v3::ich::{SYS_ICC_SRE_EL2, SYS_ICH_VTR_EL2};
use crate::uapi::vgic_v3::redist::*;
use crate::{Attr, Error, Word};
use alloc::vec::Vec;

const fn redist(offset: u32) -> (u32, u32) {
    (KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, offset)
}

const PROPBASER: &str = "KVM has one for a VM, which every redistributor shows; a state with two is refused before a restore";

const OF_EL2: &str = "a constant of the host, and all vCPUs have EL2 or none; a state with two is refused before a restore";

/// What is read through the first vCPU alone, and holds for all: group and register, without the vCPU.
pub(super) const ONCE: &[((u32, u32), &str)] = &[
    (redist(GICR_IIDR), "a constant of the kernel"),
    (redist(GICR_PROPBASER), PROPBASER),
    (redist(GICR_PROPBASER + 4), PROPBASER),
    (redist(GICR_ICFGR0), "SGIs are edge-triggered, which no write changes; a state with other values is refused before a restore"),
    (
        (KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, SYS_ICC_SRE_EL1 as u32),
        "each vCPU of a GICv3 has the same, which no write changes; a value that KVM does not take is refused before a restore",
    ),
    ((KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, SYS_ICC_SRE_EL2 as u32), OF_EL2),
    ((KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, SYS_ICH_VTR_EL2 as u32), OF_EL2),
];

/// What was read through the first vCPU.
#[derive(Debug, Default)]
pub(super) struct Once(Vec<((u32, u32), [u8; 16])>);

impl Once {
    /// The value of a register: read by `get`, or the first vCPU's where it holds for all.
    pub(super) fn read<W: Word>(&mut self, attr: Attr<W>, get: impl FnOnce() -> Result<W, Error>) -> Result<W, Error> {
        let key = (attr.id().group(), attr.id().attr() as u32);
        if let Some((_, value)) = self.0.iter().find(|(known, _)| *known == key) {
            return Ok(W::from_ne_bytes(*value));
        }
        let value = get()?;
        if ONCE.iter().any(|(once, _)| *once == key) {
            self.0.push((key, value.to_ne_bytes()));
        }
        Ok(value)
    }
}
