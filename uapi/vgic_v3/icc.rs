//! CPU interface registers as `GRP_CPU_SYSREGS` names them.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v3.c`; Documentation/virt/kvm/devices/arm-vgic-v3.rst.
//!
//! Rule: exactly the registers that the attribute group offers.

use super::super::bits;
use super::super::device::sysreg_instr;

constants! {
    /// All registers by name, in the order of their encodings.
    REGISTERS;

    /// Priority mask.
    SYS_ICC_PMR_EL1: u16 = sysreg_instr(3, 0, 4, 6, 0);
    /// Binary point, group 0.
    SYS_ICC_BPR0_EL1: u16 = sysreg_instr(3, 0, 12, 8, 3);
    /// Active priorities, group 0.
    SYS_ICC_AP0R0_EL1: u16 = sysreg_instr(3, 0, 12, 8, 4);
    /// Active priorities, group 0; from 6 priority bits.
    SYS_ICC_AP0R1_EL1: u16 = sysreg_instr(3, 0, 12, 8, 5);
    /// Active priorities, group 0; from 7 priority bits.
    SYS_ICC_AP0R2_EL1: u16 = sysreg_instr(3, 0, 12, 8, 6);
    /// Active priorities, group 0; from 7 priority bits.
    SYS_ICC_AP0R3_EL1: u16 = sysreg_instr(3, 0, 12, 8, 7);
    /// Active priorities, group 1.
    SYS_ICC_AP1R0_EL1: u16 = sysreg_instr(3, 0, 12, 9, 0);
    /// Active priorities, group 1; from 6 priority bits.
    SYS_ICC_AP1R1_EL1: u16 = sysreg_instr(3, 0, 12, 9, 1);
    /// Active priorities, group 1; from 7 priority bits.
    SYS_ICC_AP1R2_EL1: u16 = sysreg_instr(3, 0, 12, 9, 2);
    /// Active priorities, group 1; from 7 priority bits.
    SYS_ICC_AP1R3_EL1: u16 = sysreg_instr(3, 0, 12, 9, 3);
    /// Binary point, group 1.
    SYS_ICC_BPR1_EL1: u16 = sysreg_instr(3, 0, 12, 12, 3);
    /// Control; priority and ID bits are compared on write.
    SYS_ICC_CTLR_EL1: u16 = sysreg_instr(3, 0, 12, 12, 4);
    /// System register enable; bit 0 must be set.
    SYS_ICC_SRE_EL1: u16 = sysreg_instr(3, 0, 12, 12, 5);
    /// Enable of group 0.
    SYS_ICC_IGRPEN0_EL1: u16 = sysreg_instr(3, 0, 12, 12, 6);
    /// Enable of group 1.
    SYS_ICC_IGRPEN1_EL1: u16 = sysreg_instr(3, 0, 12, 12, 7);
}

constants! {
    /// All masks by name.
    MASKS;

    /// `ICC_CTLR_EL1.PRIbits` - 1.
    ICC_CTLR_EL1_PRI_BITS: u64 = bits(10, 8);
    /// `ICC_SRE_EL1.SRE`.
    ICC_SRE_EL1_SRE: u64 = bits(0, 0);
}

const _: () = {
    assert!(SYS_ICC_PMR_EL1 == 0xc230);
    assert!(SYS_ICC_BPR0_EL1 == 0xc643 && SYS_ICC_AP0R3_EL1 == 0xc647);
    assert!(SYS_ICC_AP1R0_EL1 == 0xc648 && SYS_ICC_AP1R3_EL1 == 0xc64b);
    assert!(SYS_ICC_BPR1_EL1 == 0xc663 && SYS_ICC_CTLR_EL1 == 0xc664 && SYS_ICC_IGRPEN1_EL1 == 0xc667);
};
