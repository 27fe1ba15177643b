//! CPU interface registers as `GRP_CPU_SYSREGS` names them.
//!
//! Source: `arch/arm64/tools/sysreg` and `arch/arm64/kvm/vgic-sys-reg-v5.c`, Linux 7.4.
//!
//! Rule: exactly the 26 registers that the attribute group offers.

use super::super::device::sysreg_instr;

constants! {
    /// All registers by name, in the order of their encodings.
    REGISTERS;

    /// Interrupt configuration and state, result of CDRCFG.
    SYS_ICC_ICSR_EL1: u16 = sysreg_instr(3, 0, 12, 10, 4);
    /// Enable of PPIs 0 to 63.
    SYS_ICC_PPI_ENABLER0_EL1: u16 = sysreg_instr(3, 0, 12, 10, 6);
    /// Enable of PPIs 64 to 127.
    SYS_ICC_PPI_ENABLER1_EL1: u16 = sysreg_instr(3, 0, 12, 10, 7);
    /// Active state of PPIs 0 to 63.
    SYS_ICC_PPI_SACTIVER0_EL1: u16 = sysreg_instr(3, 0, 12, 13, 2);
    /// Active state of PPIs 64 to 127.
    SYS_ICC_PPI_SACTIVER1_EL1: u16 = sysreg_instr(3, 0, 12, 13, 3);
    /// Pending state of PPIs 0 to 63.
    SYS_ICC_PPI_SPENDR0_EL1: u16 = sysreg_instr(3, 0, 12, 13, 6);
    /// Pending state of PPIs 64 to 127.
    SYS_ICC_PPI_SPENDR1_EL1: u16 = sysreg_instr(3, 0, 12, 13, 7);
    /// Priority of PPIs 0 to 7, 8 bits each.
    SYS_ICC_PPI_PRIORITYR0_EL1: u16 = sysreg_instr(3, 0, 12, 14, 0);
    /// Priority of PPIs 8 to 15, 8 bits each.
    SYS_ICC_PPI_PRIORITYR1_EL1: u16 = sysreg_instr(3, 0, 12, 14, 1);
    /// Priority of PPIs 16 to 23, 8 bits each.
    SYS_ICC_PPI_PRIORITYR2_EL1: u16 = sysreg_instr(3, 0, 12, 14, 2);
    /// Priority of PPIs 24 to 31, 8 bits each.
    SYS_ICC_PPI_PRIORITYR3_EL1: u16 = sysreg_instr(3, 0, 12, 14, 3);
    /// Priority of PPIs 32 to 39, 8 bits each.
    SYS_ICC_PPI_PRIORITYR4_EL1: u16 = sysreg_instr(3, 0, 12, 14, 4);
    /// Priority of PPIs 40 to 47, 8 bits each.
    SYS_ICC_PPI_PRIORITYR5_EL1: u16 = sysreg_instr(3, 0, 12, 14, 5);
    /// Priority of PPIs 48 to 55, 8 bits each.
    SYS_ICC_PPI_PRIORITYR6_EL1: u16 = sysreg_instr(3, 0, 12, 14, 6);
    /// Priority of PPIs 56 to 63, 8 bits each.
    SYS_ICC_PPI_PRIORITYR7_EL1: u16 = sysreg_instr(3, 0, 12, 14, 7);
    /// Priority of PPIs 64 to 71, 8 bits each.
    SYS_ICC_PPI_PRIORITYR8_EL1: u16 = sysreg_instr(3, 0, 12, 15, 0);
    /// Priority of PPIs 72 to 79, 8 bits each.
    SYS_ICC_PPI_PRIORITYR9_EL1: u16 = sysreg_instr(3, 0, 12, 15, 1);
    /// Priority of PPIs 80 to 87, 8 bits each.
    SYS_ICC_PPI_PRIORITYR10_EL1: u16 = sysreg_instr(3, 0, 12, 15, 2);
    /// Priority of PPIs 88 to 95, 8 bits each.
    SYS_ICC_PPI_PRIORITYR11_EL1: u16 = sysreg_instr(3, 0, 12, 15, 3);
    /// Priority of PPIs 96 to 103, 8 bits each.
    SYS_ICC_PPI_PRIORITYR12_EL1: u16 = sysreg_instr(3, 0, 12, 15, 4);
    /// Priority of PPIs 104 to 111, 8 bits each.
    SYS_ICC_PPI_PRIORITYR13_EL1: u16 = sysreg_instr(3, 0, 12, 15, 5);
    /// Priority of PPIs 112 to 119, 8 bits each.
    SYS_ICC_PPI_PRIORITYR14_EL1: u16 = sysreg_instr(3, 0, 12, 15, 6);
    /// Priority of PPIs 120 to 127, 8 bits each.
    SYS_ICC_PPI_PRIORITYR15_EL1: u16 = sysreg_instr(3, 0, 12, 15, 7);
    /// Active priorities.
    SYS_ICC_APR_EL1: u16 = sysreg_instr(3, 1, 12, 0, 0);
    /// Enable.
    SYS_ICC_CR0_EL1: u16 = sysreg_instr(3, 1, 12, 0, 1);
    /// Priority mask.
    SYS_ICC_PCR_EL1: u16 = sysreg_instr(3, 1, 12, 0, 2);

}
