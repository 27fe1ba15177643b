//! What a vCPU with EL2 (nested virtualization) has more: the virtual CPU interface that its guest gives to a guest of its own.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v3.c`, `vgic/vgic-v3-nested.c`, Linux 6.17 and later; Arm IHI 0069, AArch64 virtualization control
//! System registers. `ICH_MISR_EL2`, `ICH_EISR_EL2` and `ICH_ELRSR_EL2` follow from these, and KVM computes them.
//!
//! Rule: as of the other tables. All sixteen list registers are state, however many the host has: a guest with FEAT_NV2 keeps them in
//! memory, and reads there what it wrote.

use super::fields::*;
use crate::registers::{RegisterTable, Row, register_table};
use crate::uapi::device::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS;
use crate::uapi::vgic_v3::ich::*;

register_table! {
    /// Identification registers of the virtual CPU interface of a vCPU with EL2: compared before a restore.
    El2Identity of KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS {
        /// `ICC_SRE_EL2`.
        sre: u64 = SYS_ICC_SRE_EL2, "system registers are enabled: read only",
            reset(0xf), fields(ICC_SRE_EL2);
        /// `ICH_VTR_EL2`.
        vtr: u64 = SYS_ICH_VTR_EL2, "number of list registers, priority and preemption bits of the host: read only",
            fields(ICH_VTR);
    }
}

register_table! {
    /// Registers of the virtual CPU interface of a vCPU with EL2.
    El2State of KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS {
        /// `ICH_VMCR_EL2`.
        vmcr: u64 = SYS_ICH_VMCR_EL2, "the nested guest's own CPU interface: enables, mask, binary points",
            reset(0), fields(ICH_VMCR);
        /// `ICH_AP0R0_EL2`.
        ap0r0: u64 = SYS_ICH_AP0R0_EL2, "active priorities, group 0: after ICC_CTLR_EL1, which says how many registers there are",
            reset(0);
        /// `ICH_AP0R1_EL2`; there with 6 or 7 priority bits.
        ap0r1: u64 = SYS_ICH_AP0R1_EL2, "active priorities, group 0",
            or_zero();
        /// `ICH_AP0R2_EL2`; there with 7 priority bits.
        ap0r2: u64 = SYS_ICH_AP0R2_EL2, "active priorities, group 0",
            or_zero();
        /// `ICH_AP0R3_EL2`; there with 7 priority bits.
        ap0r3: u64 = SYS_ICH_AP0R3_EL2, "active priorities, group 0",
            or_zero();
        /// `ICH_AP1R0_EL2`.
        ap1r0: u64 = SYS_ICH_AP1R0_EL2, "active priorities, group 1",
            reset(0);
        /// `ICH_AP1R1_EL2`; there with 6 or 7 priority bits.
        ap1r1: u64 = SYS_ICH_AP1R1_EL2, "active priorities, group 1",
            or_zero();
        /// `ICH_AP1R2_EL2`; there with 7 priority bits.
        ap1r2: u64 = SYS_ICH_AP1R2_EL2, "active priorities, group 1",
            or_zero();
        /// `ICH_AP1R3_EL2`; there with 7 priority bits.
        ap1r3: u64 = SYS_ICH_AP1R3_EL2, "active priorities, group 1",
            or_zero();
        /// `ICH_LR0_EL2`.
        lr0: u64 = SYS_ICH_LR0_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR1_EL2`.
        lr1: u64 = SYS_ICH_LR1_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR2_EL2`.
        lr2: u64 = SYS_ICH_LR2_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR3_EL2`.
        lr3: u64 = SYS_ICH_LR3_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR4_EL2`.
        lr4: u64 = SYS_ICH_LR4_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR5_EL2`.
        lr5: u64 = SYS_ICH_LR5_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR6_EL2`.
        lr6: u64 = SYS_ICH_LR6_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR7_EL2`.
        lr7: u64 = SYS_ICH_LR7_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR8_EL2`.
        lr8: u64 = SYS_ICH_LR8_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR9_EL2`.
        lr9: u64 = SYS_ICH_LR9_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR10_EL2`.
        lr10: u64 = SYS_ICH_LR10_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR11_EL2`.
        lr11: u64 = SYS_ICH_LR11_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR12_EL2`.
        lr12: u64 = SYS_ICH_LR12_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR13_EL2`.
        lr13: u64 = SYS_ICH_LR13_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR14_EL2`.
        lr14: u64 = SYS_ICH_LR14_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_LR15_EL2`.
        lr15: u64 = SYS_ICH_LR15_EL2, "list register: an interrupt for the nested guest",
            reset(0), fields(ICH_LR);
        /// `ICH_HCR_EL2`.
        hcr: u64 = SYS_ICH_HCR_EL2, "last: it enables what stands before; read back, since a vCPU that has run drops bits",
            reset(0), fields(ICH_HCR);
    }
}

impl El2State {
    /// The list registers, from `ICH_LR0_EL2` on.
    #[must_use]
    pub const fn list_registers(&self) -> [u64; 16] {
        [
            self.lr0, self.lr1, self.lr2, self.lr3, self.lr4, self.lr5, self.lr6, self.lr7, self.lr8, self.lr9, self.lr10,
            self.lr11, self.lr12, self.lr13, self.lr14, self.lr15,
        ]
    }
}

/// The virtual CPU interface of a vCPU with EL2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct El2 {
    /// Its identification registers.
    pub identity: El2Identity,
    /// Its registers.
    pub registers: El2State,
}

/// The maintenance interrupt that vCPUs with EL2 have where `MAINT_IRQ` is this: as long as the VMM has set none it is 0, and KVM takes 25
/// at the first run, as SBSA has it (`DEFAULT_MI_INTID` of `vgic-init.c`).
pub(crate) const fn maintenance_irq(attribute: u32) -> u32 {
    if attribute == 0 { 25 } else { attribute }
}
