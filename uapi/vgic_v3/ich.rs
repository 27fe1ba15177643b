//! Registers of a vCPU with EL2 (nested virtualization) as `GRP_CPU_SYSREGS` names them, beside those of [`icc`](super::icc).
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v3.c`, Linux 6.17 and later; Arm IHI 0069, AArch64 virtualization control System registers.
//!
//! Rule: exactly the registers that the attribute group offers of such a vCPU, and of no other.

use super::super::bits;
use super::super::device::sysreg_instr;

constants! {
    /// All registers by name, in the order of their encodings.
    REGISTERS;

    /// Active priorities of the virtual CPU interface, group 0.
    SYS_ICH_AP0R0_EL2: u16 = sysreg_instr(3, 4, 12, 8, 0);
    /// Active priorities of the virtual CPU interface, group 0; from 6 priority bits.
    SYS_ICH_AP0R1_EL2: u16 = sysreg_instr(3, 4, 12, 8, 1);
    /// Active priorities of the virtual CPU interface, group 0; from 7 priority bits.
    SYS_ICH_AP0R2_EL2: u16 = sysreg_instr(3, 4, 12, 8, 2);
    /// Active priorities of the virtual CPU interface, group 0; from 7 priority bits.
    SYS_ICH_AP0R3_EL2: u16 = sysreg_instr(3, 4, 12, 8, 3);
    /// Active priorities of the virtual CPU interface, group 1.
    SYS_ICH_AP1R0_EL2: u16 = sysreg_instr(3, 4, 12, 9, 0);
    /// Active priorities of the virtual CPU interface, group 1; from 6 priority bits.
    SYS_ICH_AP1R1_EL2: u16 = sysreg_instr(3, 4, 12, 9, 1);
    /// Active priorities of the virtual CPU interface, group 1; from 7 priority bits.
    SYS_ICH_AP1R2_EL2: u16 = sysreg_instr(3, 4, 12, 9, 2);
    /// Active priorities of the virtual CPU interface, group 1; from 7 priority bits.
    SYS_ICH_AP1R3_EL2: u16 = sysreg_instr(3, 4, 12, 9, 3);
    /// System register enable for EL2; read only.
    SYS_ICC_SRE_EL2: u16 = sysreg_instr(3, 4, 12, 9, 5);
    /// Control of the virtual CPU interface.
    SYS_ICH_HCR_EL2: u16 = sysreg_instr(3, 4, 12, 11, 0);
    /// What the virtual CPU interface has; read only.
    SYS_ICH_VTR_EL2: u16 = sysreg_instr(3, 4, 12, 11, 1);
    /// The virtual machine's view of its CPU interface.
    SYS_ICH_VMCR_EL2: u16 = sysreg_instr(3, 4, 12, 11, 7);
    /// List register 0.
    SYS_ICH_LR0_EL2: u16 = sysreg_instr(3, 4, 12, 12, 0);
    /// List register 1.
    SYS_ICH_LR1_EL2: u16 = sysreg_instr(3, 4, 12, 12, 1);
    /// List register 2.
    SYS_ICH_LR2_EL2: u16 = sysreg_instr(3, 4, 12, 12, 2);
    /// List register 3.
    SYS_ICH_LR3_EL2: u16 = sysreg_instr(3, 4, 12, 12, 3);
    /// List register 4.
    SYS_ICH_LR4_EL2: u16 = sysreg_instr(3, 4, 12, 12, 4);
    /// List register 5.
    SYS_ICH_LR5_EL2: u16 = sysreg_instr(3, 4, 12, 12, 5);
    /// List register 6.
    SYS_ICH_LR6_EL2: u16 = sysreg_instr(3, 4, 12, 12, 6);
    /// List register 7.
    SYS_ICH_LR7_EL2: u16 = sysreg_instr(3, 4, 12, 12, 7);
    /// List register 8.
    SYS_ICH_LR8_EL2: u16 = sysreg_instr(3, 4, 12, 13, 0);
    /// List register 9.
    SYS_ICH_LR9_EL2: u16 = sysreg_instr(3, 4, 12, 13, 1);
    /// List register 10.
    SYS_ICH_LR10_EL2: u16 = sysreg_instr(3, 4, 12, 13, 2);
    /// List register 11.
    SYS_ICH_LR11_EL2: u16 = sysreg_instr(3, 4, 12, 13, 3);
    /// List register 12.
    SYS_ICH_LR12_EL2: u16 = sysreg_instr(3, 4, 12, 13, 4);
    /// List register 13.
    SYS_ICH_LR13_EL2: u16 = sysreg_instr(3, 4, 12, 13, 5);
    /// List register 14.
    SYS_ICH_LR14_EL2: u16 = sysreg_instr(3, 4, 12, 13, 6);
    /// List register 15.
    SYS_ICH_LR15_EL2: u16 = sysreg_instr(3, 4, 12, 13, 7);
}

constants! {
    /// Masks of fields, by the names of Arm IHI 0069.
    MASKS;

    /// `ICH_VTR_EL2.ListRegs`: list registers, minus one.
    ICH_VTR_EL2_LISTREGS: u64 = bits(4, 0);
    /// `ICH_VTR_EL2.TDS`: there is `ICH_HCR_EL2.TDIR`.
    ICH_VTR_EL2_TDS: u64 = bits(19, 19);
    /// `ICH_HCR_EL2.vSGIEOICount`, of a GICv4.1.
    ICH_HCR_EL2_VSGIEOICOUNT: u64 = bits(8, 8);
    /// `ICH_HCR_EL2.TDIR`.
    ICH_HCR_EL2_TDIR: u64 = bits(14, 14);
    /// `ICH_HCR_EL2.DVIM`, of a GICv4.
    ICH_HCR_EL2_DVIM: u64 = bits(15, 15);
    /// `ICH_LR<n>_EL2.vINTID`.
    ICH_LR_EL2_VINTID: u64 = bits(31, 0);
    /// `ICH_LR<n>_EL2.pINTID`, with HW; without, bit 41 is EOI and the rest is reserved.
    ICH_LR_EL2_PINTID: u64 = bits(44, 32);
    /// `ICH_LR<n>_EL2.EOI`, without HW.
    ICH_LR_EL2_EOI: u64 = bits(41, 41);
    /// `ICH_LR<n>_EL2.HW`: the interrupt is linked to one of the VM.
    ICH_LR_EL2_HW: u64 = bits(61, 61);
    /// `ICH_LR<n>_EL2.State`: 0 inactive, 1 pending, 2 active, 3 both.
    ICH_LR_EL2_STATE: u64 = bits(63, 62);
}

const _: () = {
    assert!(SYS_ICH_AP0R0_EL2 == 0xe640 && SYS_ICH_AP1R3_EL2 == 0xe64b && SYS_ICC_SRE_EL2 == 0xe64d);
    assert!(SYS_ICH_HCR_EL2 == 0xe658 && SYS_ICH_VTR_EL2 == 0xe659 && SYS_ICH_VMCR_EL2 == 0xe65f);
    assert!(SYS_ICH_LR0_EL2 == 0xe660 && SYS_ICH_LR15_EL2 == 0xe66f);
};
