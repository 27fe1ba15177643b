//! The virtual GICv5 device: attribute groups, IRS registers, CPU interface registers, table entries.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst; `arch/arm64/include/uapi/asm/kvm.h`; `include/linux/irqchip/arm-gic-v5.h`;
//! `arch/arm64/tools/sysreg`, Linux 7.4. Register semantics: Arm Generic Interrupt Controller Architecture Specification, GICv5.
//!
//! Rule: C names and C numbers; one file per frame or table.

pub mod icc;
pub mod irs;
pub mod irs_fields;
pub mod ist;

constants! {
    /// All constants of this module by name.
    CONSTANTS;

    /// `GRP_ADDR`: base of the IRS frames, 64 KiB aligned; settable once.
    KVM_VGIC_V5_ADDR_TYPE_IRS: u64 = 6;
    /// Bytes of guest physical address space of the IRS: `CONFIG_FRAME`, then `SETLPI_FRAME`, 64 KiB each.
    KVM_VGIC_V5_IRS_SIZE: u64 = 0x20000;
    /// `GRP_CTRL`, get only: which PPIs user space may drive; `u64[2]`.
    KVM_DEV_ARM_VGIC_USERSPACE_PPIS: u32 = 5;
    /// Group: IRS registers by offset in `CONFIG_FRAME`; always `u64`.
    KVM_DEV_ARM_VGIC_GRP_IRS_REGS: u32 = 10;
    /// Group: interrupt state tables; `attr` must be 0; [`kvm_vgic_v5_ist`].
    KVM_DEV_ARM_VGIC_GRP_IST: u32 = 11;
}

/// Argument of `GRP_IST`: where the tables are. The kernel reads it, for get and for set.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct kvm_vgic_v5_ist {
    /// User-space address of the SPI table.
    pub spi_ist_addr: u64,
    /// Bytes of the SPI table: exactly 4 per SPI.
    pub spi_ist_size: u64,
    /// User-space address of the LPI table; 0 while `IRS_IST_BASER.VALID` is 0.
    pub lpi_ist_addr: u64,
    /// Bytes of the LPI table: exactly `4 << IRS_IST_CFGR.LPI_ID_BITS`; 0 while `IRS_IST_BASER.VALID` is 0.
    pub lpi_ist_size: u64,
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<kvm_vgic_v5_ist>() == 32);
    assert!(align_of::<kvm_vgic_v5_ist>() == 8);
    assert!(offset_of!(kvm_vgic_v5_ist, spi_ist_size) == 8);
    assert!(offset_of!(kvm_vgic_v5_ist, lpi_ist_addr) == 16);
    assert!(offset_of!(kvm_vgic_v5_ist, lpi_ist_size) == 24);
};

const _: () = {
    assert!(irs::GICV5_IRS_IST_BASER == 0x180 && irs::GICV5_IRS_IST_CFGR == 0x190);
    assert!(irs_fields::GICV5_IRS_IST_BASER_ADDR == 0x00ff_ffff_ffff_ffc0);
    assert!(icc::SYS_ICC_ICSR_EL1 == 0xc654);
    assert!(icc::SYS_ICC_PPI_ENABLER0_EL1 == 0xc656);
    assert!(icc::SYS_ICC_PPI_SACTIVER0_EL1 == 0xc66a);
    assert!(icc::SYS_ICC_PPI_SPENDR0_EL1 == 0xc66e);
    assert!(icc::SYS_ICC_PPI_PRIORITYR0_EL1 == 0xc670);
    assert!(icc::SYS_ICC_PPI_PRIORITYR15_EL1 == 0xc67f);
    assert!(icc::SYS_ICC_APR_EL1 == 0xce00);
    assert!(icc::SYS_ICC_PCR_EL1 == 0xce02);
    assert!(icc::REGISTERS.len() == 26);
    assert!(ist::GICV5_ISTL2E_IAFFID == 0xffff_0000 && ist::GICV5_ISTL2E_PRIORITY == 0xf800);
    // The architected bits of an entry are all there are, and none is counted twice.
    assert!(
        ist::GICV5_ISTL2E_PENDING
            + ist::GICV5_ISTL2E_ACTIVE
            + ist::GICV5_ISTL2E_HM
            + ist::GICV5_ISTL2E_ENABLE
            + ist::GICV5_ISTL2E_IRM
            + ist::GICV5_ISTL2E_RES0
            + ist::GICV5_ISTL2E_HWU
            + ist::GICV5_ISTL2E_PRIORITY
            + ist::GICV5_ISTL2E_IAFFID
            == u32::MAX
    );
};
