//! Register tables of a GICv5 as KVM shows it: which registers are state, in which order they are restored, and why.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst (`GRP_IRS_REGS`, `GRP_CPU_SYSREGS`, restore sequence);
//! `arch/arm64/kvm/vgic/vgic-irs-v5.c` and `vgic-sys-reg-v5.c`, Linux 7.4.
//!
//! Rule: a register has one row. The row reads it, restores it, encodes it and names it, so that none is saved and then forgotten.

use super::fields::*;
use crate::registers::{RegisterTable, Row, register_table};
use crate::uapi::device::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS;
use crate::uapi::vgic_v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS;
use crate::uapi::vgic_v5::icc::*;
use crate::uapi::vgic_v5::irs::*;

register_table! {
    /// Identification registers of an IRS. The initialisation fixes them; a check compares them; a restore writes them, so that the
    /// destination shows the guest what the source did.
    ///
    /// Written first: a kernel that cannot have a value answers `EINVAL` before anything else has changed.
    IrsIdentity of KVM_DEV_ARM_VGIC_GRP_IRS_REGS {
        /// `IRS_IDR0`.
        idr0: u32 = GICV5_IRS_IDR0, "physical address range and IRSID that the guest has seen",
            fields(IDR0);
        /// `IRS_IDR1`.
        idr1: u32 = GICV5_IRS_IDR1, "number of vCPUs, IAFFID bits and priority bits that the guest has seen",
            fields(IDR1);
        /// `IRS_IDR2`.
        idr2: u32 = GICV5_IRS_IDR2, "bounds of IRS_IST_CFGR.LPI_ID_BITS, against which the kernel judges IRS_IST_CFGR",
            fields(IDR2);
        /// `IRS_IDR5`.
        idr5: u32 = GICV5_IRS_IDR5, "number of SPIs: the kernel compares",
            fields(IDR5);
        /// `IRS_IDR6`.
        idr6: u32 = GICV5_IRS_IDR6, "number of SPIs of this IRS: the kernel compares",
            fields(IDR6);
        /// `IRS_IDR7`.
        idr7: u32 = GICV5_IRS_IDR7, "first SPI of this IRS: the kernel compares",
            fields(IDR7);
    }
}

register_table! {
    /// IRS registers that a guest writes.
    ///
    /// All of them go in before the interrupt state tables: `IRS_IST_CFGR` and `IRS_IST_BASER` tell the kernel how many LPIs to
    /// allocate and freeze with the LPI table.
    IrsState of KVM_DEV_ARM_VGIC_GRP_IRS_REGS {
        /// `IRS_CR1`.
        cr1: u32 = GICV5_IRS_CR1, "memory attributes, before the tables that they apply to",
            reset(0), fields(CR1);
        /// `IRS_SPI_SELR`.
        spi_selr: u32 = GICV5_IRS_SPI_SELR, "a guest stopped between IRS_SPI_SELR and IRS_SPI_CFGR would notice its loss",
            reset(0xff_ffff), fields(SPI_SELR);
        /// `IRS_PE_SELR`.
        pe_selr: u32 = GICV5_IRS_PE_SELR, "a guest stopped between IRS_PE_SELR and IRS_PE_CR0 would notice its loss",
            reset(0xffff), fields(PE_SELR);
        /// `IRS_IST_CFGR`.
        ist_cfgr: u32 = GICV5_IRS_IST_CFGR, "number of LPIs, before the table becomes valid",
            reset(0), fields(IST_CFGR);
        /// `IRS_IST_BASER`.
        ist_baser: u64 = GICV5_IRS_IST_BASER, "once valid, the kernel insists on a restore of the tables before the first run",
            reset(0), fields(IST_BASER);
        /// `IRS_CR0`.
        cr0: u32 = GICV5_IRS_CR0, "enables the IRS, after everything that it then acts on",
            reset(2), fields(CR0);
    }
}

/// Registers of the group that are neither saved nor restored, with the reason.
pub const IRS_NOT_STATE: &[(u32, &str)] = {
    const RAZ: &str = "reads as zero, writes are ignored: the feature is not offered to guests";
    const IDLE: &str = "status: always idle while vCPUs are stopped";
    const FIXED: &str = "constant of KVM's implementation; a write is accepted and ignored";
    &[
        (GICV5_IRS_IDR3, RAZ),
        (GICV5_IRS_IDR4, RAZ),
        (GICV5_IRS_IIDR, FIXED),
        (GICV5_IRS_AIDR, FIXED),
        (GICV5_IRS_SYNCR, RAZ),
        (GICV5_IRS_SYNC_STATUSR, IDLE),
        (GICV5_IRS_SPI_VMR, RAZ),
        (GICV5_IRS_SPI_DOMAINR, FIXED),
        (GICV5_IRS_SPI_RESAMPLER, RAZ),
        (GICV5_IRS_SPI_CFGR, "a write is accepted and ignored: the trigger mode travels as ISTE.HM of the SPI"),
        (GICV5_IRS_SPI_STATUSR, IDLE),
        (GICV5_IRS_PE_STATUSR, IDLE),
        (GICV5_IRS_PE_CR0, "follows from IRS_PE_SELR; a write is accepted and ignored"),
        (GICV5_IRS_IST_STATUSR, IDLE),
        (GICV5_IRS_MAP_L2_ISTR, RAZ),
        (GICV5_IRS_VMT_BASER, RAZ),
        (GICV5_IRS_VMT_CFGR, RAZ),
        (GICV5_IRS_VMT_STATUSR, RAZ),
        (GICV5_IRS_VPE_SELR, RAZ),
        (GICV5_IRS_VPE_DBR, RAZ),
        (GICV5_IRS_VPE_HPPIR, RAZ),
        (GICV5_IRS_VPE_CR0, RAZ),
        (GICV5_IRS_VPE_STATUSR, RAZ),
        (GICV5_IRS_VM_DBR, RAZ),
        (GICV5_IRS_VM_SELR, RAZ),
        (GICV5_IRS_VM_STATUSR, RAZ),
        (GICV5_IRS_VMAP_L2_VMTR, RAZ),
        (GICV5_IRS_VMAP_VMR, RAZ),
        (GICV5_IRS_VMAP_VISTR, RAZ),
        (GICV5_IRS_VMAP_L2_VISTR, RAZ),
        (GICV5_IRS_VMAP_VPER, RAZ),
        (GICV5_IRS_SAVE_VMR, RAZ),
        (GICV5_IRS_SAVE_VM_STATUSR, RAZ),
        (GICV5_IRS_MEC_IDR, RAZ),
        (GICV5_IRS_MEC_MECID_R, RAZ),
        (GICV5_IRS_MPAM_IDR, RAZ),
        (GICV5_IRS_MPAM_PARTID_R, RAZ),
        (GICV5_IRS_SWERR_STATUSR, RAZ),
        (GICV5_IRS_SWERR_SYNDROMER0, RAZ),
        (GICV5_IRS_SWERR_SYNDROMER1, RAZ),
        (GICV5_IRS_DEVARCH, FIXED),
        (GICV5_IRS_PIDR4, FIXED),
        (GICV5_IRS_PIDR5, FIXED),
        (GICV5_IRS_PIDR6, FIXED),
        (GICV5_IRS_PIDR7, FIXED),
        (GICV5_IRS_PIDR0, FIXED),
        (GICV5_IRS_PIDR1, FIXED),
        (GICV5_IRS_PIDR2, FIXED),
        (GICV5_IRS_PIDR3, FIXED),
        (GICV5_IRS_CIDR0, FIXED),
        (GICV5_IRS_CIDR1, FIXED),
        (GICV5_IRS_CIDR2, FIXED),
        (GICV5_IRS_CIDR3, FIXED),
    ]
};

register_table! {
    /// CPU interface registers of one vCPU, as the guest sees them at EL1.
    ///
    /// The kernel asks for no order among them.
    CpuInterface of KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS {
        /// `ICC_ICSR_EL1`.
        icsr: u64 = SYS_ICC_ICSR_EL1, "result of the guest's last GIC CDRCFG",
            reset(0), fields(ICSR);
        /// `ICC_PPI_ENABLER0_EL1`.
        ppi_enabler0: u64 = SYS_ICC_PPI_ENABLER0_EL1, "enable of PPIs; KVM keeps the PPIs that the VM has",
            reset(0);
        /// `ICC_PPI_ENABLER1_EL1`.
        ppi_enabler1: u64 = SYS_ICC_PPI_ENABLER1_EL1, "KVM has no PPIs above 63: zero",
            or_zero();
        /// `ICC_PPI_SACTIVER0_EL1`.
        ppi_sactiver0: u64 = SYS_ICC_PPI_SACTIVER0_EL1, "active state of PPIs; a write is the state itself, not bits to set",
            reset(0);
        /// `ICC_PPI_SACTIVER1_EL1`.
        ppi_sactiver1: u64 = SYS_ICC_PPI_SACTIVER1_EL1, "KVM has no PPIs above 63: zero",
            or_zero();
        /// `ICC_PPI_SPENDR0_EL1`.
        ppi_spendr0: u64 = SYS_ICC_PPI_SPENDR0_EL1, "pending state of PPIs; a write is the state itself, not bits to set",
            reset(0);
        /// `ICC_PPI_SPENDR1_EL1`.
        ppi_spendr1: u64 = SYS_ICC_PPI_SPENDR1_EL1, "KVM has no PPIs above 63: zero",
            or_zero();
        /// `ICC_PPI_PRIORITYR0_EL1`.
        ppi_priorityr0: u64 = SYS_ICC_PPI_PRIORITYR0_EL1, "priorities of PPIs 0 to 7",
            reset(0);
        /// `ICC_PPI_PRIORITYR1_EL1`.
        ppi_priorityr1: u64 = SYS_ICC_PPI_PRIORITYR1_EL1, "priorities of PPIs 8 to 15",
            reset(0);
        /// `ICC_PPI_PRIORITYR2_EL1`.
        ppi_priorityr2: u64 = SYS_ICC_PPI_PRIORITYR2_EL1, "priorities of PPIs 16 to 23",
            reset(0);
        /// `ICC_PPI_PRIORITYR3_EL1`.
        ppi_priorityr3: u64 = SYS_ICC_PPI_PRIORITYR3_EL1, "priorities of PPIs 24 to 31",
            reset(0);
        /// `ICC_PPI_PRIORITYR4_EL1`.
        ppi_priorityr4: u64 = SYS_ICC_PPI_PRIORITYR4_EL1, "priorities of PPIs 32 to 39",
            reset(0);
        /// `ICC_PPI_PRIORITYR5_EL1`.
        ppi_priorityr5: u64 = SYS_ICC_PPI_PRIORITYR5_EL1, "priorities of PPIs 40 to 47",
            reset(0);
        /// `ICC_PPI_PRIORITYR6_EL1`.
        ppi_priorityr6: u64 = SYS_ICC_PPI_PRIORITYR6_EL1, "priorities of PPIs 48 to 55",
            reset(0);
        /// `ICC_PPI_PRIORITYR7_EL1`.
        ppi_priorityr7: u64 = SYS_ICC_PPI_PRIORITYR7_EL1, "priorities of PPIs 56 to 63",
            reset(0);
        /// `ICC_PPI_PRIORITYR8_EL1`.
        ppi_priorityr8: u64 = SYS_ICC_PPI_PRIORITYR8_EL1, "KVM has no PPIs above 63: zero",
            or_zero();
        /// `ICC_PPI_PRIORITYR9_EL1`.
        ppi_priorityr9: u64 = SYS_ICC_PPI_PRIORITYR9_EL1, "KVM has no PPIs above 63: zero",
            or_zero();
        /// `ICC_PPI_PRIORITYR10_EL1`.
        ppi_priorityr10: u64 = SYS_ICC_PPI_PRIORITYR10_EL1, "KVM has no PPIs above 63: zero",
            or_zero();
        /// `ICC_PPI_PRIORITYR11_EL1`.
        ppi_priorityr11: u64 = SYS_ICC_PPI_PRIORITYR11_EL1, "KVM has no PPIs above 63: zero",
            or_zero();
        /// `ICC_PPI_PRIORITYR12_EL1`.
        ppi_priorityr12: u64 = SYS_ICC_PPI_PRIORITYR12_EL1, "KVM has no PPIs above 63: zero",
            or_zero();
        /// `ICC_PPI_PRIORITYR13_EL1`.
        ppi_priorityr13: u64 = SYS_ICC_PPI_PRIORITYR13_EL1, "KVM has no PPIs above 63: zero",
            or_zero();
        /// `ICC_PPI_PRIORITYR14_EL1`.
        ppi_priorityr14: u64 = SYS_ICC_PPI_PRIORITYR14_EL1, "KVM has no PPIs above 63: zero",
            or_zero();
        /// `ICC_PPI_PRIORITYR15_EL1`.
        ppi_priorityr15: u64 = SYS_ICC_PPI_PRIORITYR15_EL1, "KVM has no PPIs above 63: zero",
            or_zero();
        /// `ICC_APR_EL1`.
        apr: u64 = SYS_ICC_APR_EL1, "active priorities",
            reset(0);
        /// `ICC_CR0_EL1`.
        cr0: u64 = SYS_ICC_CR0_EL1, "enables the CPU interface",
            reset(6), fields(ICC_CR0);
        /// `ICC_PCR_EL1`.
        pcr: u64 = SYS_ICC_PCR_EL1, "priority mask",
            reset(0), fields(ICC_PCR);
    }
}
