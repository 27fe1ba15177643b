//! Offsets of the IRS registers in `CONFIG_FRAME`, and which of them have 64 bits. The attribute has 64 bits for all.
//!
//! Source: `include/linux/irqchip/arm-gic-v5.h` and `arch/arm64/kvm/vgic/vgic-irs-v5.c`, Linux 7.4.
//!
//! Rule: every offset that the attribute group accepts is here, whether it holds state or not.

constants! {
    /// All registers by name, in the order of their offsets.
    REGISTERS;

    /// `IRS_IDR0`, 32 bits: domain, physical address range, optional features.
    GICV5_IRS_IDR0: u32 = 0x0000;
    /// `IRS_IDR1`, 32 bits: number of PEs, IAFFID and priority bits.
    GICV5_IRS_IDR1: u32 = 0x0004;
    /// `IRS_IDR2`, 32 bits: LPI support, ID bits, shapes of interrupt state tables.
    GICV5_IRS_IDR2: u32 = 0x0008;
    /// `IRS_IDR3`, 32 bits.
    GICV5_IRS_IDR3: u32 = 0x000c;
    /// `IRS_IDR4`, 32 bits.
    GICV5_IRS_IDR4: u32 = 0x0010;
    /// `IRS_IDR5`, 32 bits: number of SPIs in the system.
    GICV5_IRS_IDR5: u32 = 0x0014;
    /// `IRS_IDR6`, 32 bits: number of SPIs of this IRS.
    GICV5_IRS_IDR6: u32 = 0x0018;
    /// `IRS_IDR7`, 32 bits: first SPI of this IRS.
    GICV5_IRS_IDR7: u32 = 0x001c;
    /// `IRS_IIDR`, 32 bits: implementer.
    GICV5_IRS_IIDR: u32 = 0x0040;
    /// `IRS_AIDR`, 32 bits: architecture revision.
    GICV5_IRS_AIDR: u32 = 0x0044;
    /// `IRS_CR0`, 32 bits: enable.
    GICV5_IRS_CR0: u32 = 0x0080;
    /// `IRS_CR1`, 32 bits: memory attributes of accesses.
    GICV5_IRS_CR1: u32 = 0x0084;
    /// `IRS_SYNCR`, 32 bits.
    GICV5_IRS_SYNCR: u32 = 0x00c0;
    /// `IRS_SYNC_STATUSR`, 32 bits.
    GICV5_IRS_SYNC_STATUSR: u32 = 0x00c4;
    /// `IRS_SPI_VMR`, 64 bits.
    GICV5_IRS_SPI_VMR: u32 = 0x0100;
    /// `IRS_SPI_SELR`, 32 bits: selects an SPI for `SPI_CFGR`.
    GICV5_IRS_SPI_SELR: u32 = 0x0108;
    /// `IRS_SPI_DOMAINR`, 32 bits.
    GICV5_IRS_SPI_DOMAINR: u32 = 0x010c;
    /// `IRS_SPI_RESAMPLER`, 32 bits.
    GICV5_IRS_SPI_RESAMPLER: u32 = 0x0110;
    /// `IRS_SPI_CFGR`, 32 bits: trigger mode of the selected SPI.
    GICV5_IRS_SPI_CFGR: u32 = 0x0114;
    /// `IRS_SPI_STATUSR`, 32 bits.
    GICV5_IRS_SPI_STATUSR: u32 = 0x0118;
    /// `IRS_PE_SELR`, 32 bits: selects a PE for `PE_CR0`.
    GICV5_IRS_PE_SELR: u32 = 0x0140;
    /// `IRS_PE_STATUSR`, 32 bits.
    GICV5_IRS_PE_STATUSR: u32 = 0x0144;
    /// `IRS_PE_CR0`, 32 bits: 1-of-N setting of the selected PE.
    GICV5_IRS_PE_CR0: u32 = 0x0148;
    /// `IRS_IST_BASER`, 64 bits: LPI interrupt state table: valid bit and address.
    GICV5_IRS_IST_BASER: u32 = 0x0180;
    /// `IRS_IST_CFGR`, 32 bits: LPI interrupt state table: ID bits and shape.
    GICV5_IRS_IST_CFGR: u32 = 0x0190;
    /// `IRS_IST_STATUSR`, 32 bits.
    GICV5_IRS_IST_STATUSR: u32 = 0x0194;
    /// `IRS_MAP_L2_ISTR`, 32 bits.
    GICV5_IRS_MAP_L2_ISTR: u32 = 0x01c0;
    /// `IRS_VMT_BASER`, 64 bits.
    GICV5_IRS_VMT_BASER: u32 = 0x0200;
    /// `IRS_VMT_CFGR`, 32 bits.
    GICV5_IRS_VMT_CFGR: u32 = 0x0210;
    /// `IRS_VMT_STATUSR`, 32 bits.
    GICV5_IRS_VMT_STATUSR: u32 = 0x0214;
    /// `IRS_VPE_SELR`, 64 bits.
    GICV5_IRS_VPE_SELR: u32 = 0x0240;
    /// `IRS_VPE_DBR`, 64 bits.
    GICV5_IRS_VPE_DBR: u32 = 0x0248;
    /// `IRS_VPE_HPPIR`, 64 bits.
    GICV5_IRS_VPE_HPPIR: u32 = 0x0250;
    /// `IRS_VPE_CR0`, 32 bits.
    GICV5_IRS_VPE_CR0: u32 = 0x0258;
    /// `IRS_VPE_STATUSR`, 32 bits.
    GICV5_IRS_VPE_STATUSR: u32 = 0x025c;
    /// `IRS_VM_DBR`, 64 bits.
    GICV5_IRS_VM_DBR: u32 = 0x0280;
    /// `IRS_VM_SELR`, 32 bits.
    GICV5_IRS_VM_SELR: u32 = 0x0288;
    /// `IRS_VM_STATUSR`, 32 bits.
    GICV5_IRS_VM_STATUSR: u32 = 0x028c;
    /// `IRS_VMAP_L2_VMTR`, 64 bits.
    GICV5_IRS_VMAP_L2_VMTR: u32 = 0x02c0;
    /// `IRS_VMAP_VMR`, 64 bits.
    GICV5_IRS_VMAP_VMR: u32 = 0x02c8;
    /// `IRS_VMAP_VISTR`, 64 bits.
    GICV5_IRS_VMAP_VISTR: u32 = 0x02d0;
    /// `IRS_VMAP_L2_VISTR`, 64 bits.
    GICV5_IRS_VMAP_L2_VISTR: u32 = 0x02d8;
    /// `IRS_VMAP_VPER`, 64 bits.
    GICV5_IRS_VMAP_VPER: u32 = 0x02e0;
    /// `IRS_SAVE_VMR`, 64 bits.
    GICV5_IRS_SAVE_VMR: u32 = 0x0300;
    /// `IRS_SAVE_VM_STATUSR`, 32 bits.
    GICV5_IRS_SAVE_VM_STATUSR: u32 = 0x0308;
    /// `IRS_MEC_IDR`, 32 bits.
    GICV5_IRS_MEC_IDR: u32 = 0x0340;
    /// `IRS_MEC_MECID_R`, 32 bits.
    GICV5_IRS_MEC_MECID_R: u32 = 0x0344;
    /// `IRS_MPAM_IDR`, 32 bits.
    GICV5_IRS_MPAM_IDR: u32 = 0x0380;
    /// `IRS_MPAM_PARTID_R`, 32 bits.
    GICV5_IRS_MPAM_PARTID_R: u32 = 0x0384;
    /// `IRS_SWERR_STATUSR`, 64 bits.
    GICV5_IRS_SWERR_STATUSR: u32 = 0x03c0;
    /// `IRS_SWERR_SYNDROMER0`, 64 bits.
    GICV5_IRS_SWERR_SYNDROMER0: u32 = 0x03c8;
    /// `IRS_SWERR_SYNDROMER1`, 64 bits.
    GICV5_IRS_SWERR_SYNDROMER1: u32 = 0x03d0;
    /// `IRS_DEVARCH`, 32 bits.
    GICV5_IRS_DEVARCH: u32 = 0xffbc;
    /// `IRS_PIDR4`, 32 bits.
    GICV5_IRS_PIDR4: u32 = 0xffd0;
    /// `IRS_PIDR5`, 32 bits.
    GICV5_IRS_PIDR5: u32 = 0xffd4;
    /// `IRS_PIDR6`, 32 bits.
    GICV5_IRS_PIDR6: u32 = 0xffd8;
    /// `IRS_PIDR7`, 32 bits.
    GICV5_IRS_PIDR7: u32 = 0xffdc;
    /// `IRS_PIDR0`, 32 bits.
    GICV5_IRS_PIDR0: u32 = 0xffe0;
    /// `IRS_PIDR1`, 32 bits.
    GICV5_IRS_PIDR1: u32 = 0xffe4;
    /// `IRS_PIDR2`, 32 bits.
    GICV5_IRS_PIDR2: u32 = 0xffe8;
    /// `IRS_PIDR3`, 32 bits.
    GICV5_IRS_PIDR3: u32 = 0xffec;
    /// `IRS_CIDR0`, 32 bits.
    GICV5_IRS_CIDR0: u32 = 0xfff0;
    /// `IRS_CIDR1`, 32 bits.
    GICV5_IRS_CIDR1: u32 = 0xfff4;
    /// `IRS_CIDR2`, 32 bits.
    GICV5_IRS_CIDR2: u32 = 0xfff8;
    /// `IRS_CIDR3`, 32 bits.
    GICV5_IRS_CIDR3: u32 = 0xfffc;
}

/// The 64-bit registers; all others have 32 bits. An access must be aligned to the width.
pub const REGISTERS_64: &[u32] = &[
    GICV5_IRS_SPI_VMR,
    GICV5_IRS_IST_BASER,
    GICV5_IRS_VMT_BASER,
    GICV5_IRS_VPE_SELR,
    GICV5_IRS_VPE_DBR,
    GICV5_IRS_VPE_HPPIR,
    GICV5_IRS_VM_DBR,
    GICV5_IRS_VMAP_L2_VMTR,
    GICV5_IRS_VMAP_VMR,
    GICV5_IRS_VMAP_VISTR,
    GICV5_IRS_VMAP_L2_VISTR,
    GICV5_IRS_VMAP_VPER,
    GICV5_IRS_SAVE_VMR,
    GICV5_IRS_SWERR_STATUSR,
    GICV5_IRS_SWERR_SYNDROMER0,
    GICV5_IRS_SWERR_SYNDROMER1,
];
