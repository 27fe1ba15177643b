//! Fields of the IRS registers, as masks.
//!
//! Source: `include/linux/irqchip/arm-gic-v5.h`, Linux 7.4.
//!
//! Rule: a mask is written as the bit range of the specification.

use super::super::bits;

constants! {
    /// All masks by name.
    MASKS;

    /// `IRS_IDR0.INT_DOM`.
    GICV5_IRS_IDR0_INT_DOM: u32 = bits(1, 0) as u32;
    /// `IRS_IDR0.PA_RANGE`.
    GICV5_IRS_IDR0_PA_RANGE: u32 = bits(5, 2) as u32;
    /// `IRS_IDR0.VIRT`.
    GICV5_IRS_IDR0_VIRT: u32 = bits(6, 6) as u32;
    /// `IRS_IDR0.ONE_N`.
    GICV5_IRS_IDR0_ONE_N: u32 = bits(7, 7) as u32;
    /// `IRS_IDR0.VIRT_ONE_N`.
    GICV5_IRS_IDR0_VIRT_ONE_N: u32 = bits(8, 8) as u32;
    /// `IRS_IDR0.SETLPI`.
    GICV5_IRS_IDR0_SETLPI: u32 = bits(9, 9) as u32;
    /// `IRS_IDR0.MEC`.
    GICV5_IRS_IDR0_MEC: u32 = bits(10, 10) as u32;
    /// `IRS_IDR0.MPAM`.
    GICV5_IRS_IDR0_MPAM: u32 = bits(11, 11) as u32;
    /// `IRS_IDR0.SWE`.
    GICV5_IRS_IDR0_SWE: u32 = bits(12, 12) as u32;
    /// `IRS_IDR0.IRSID`.
    GICV5_IRS_IDR0_IRSID: u32 = bits(31, 16) as u32;
    /// `IRS_IDR1.PE_CNT`.
    GICV5_IRS_IDR1_PE_CNT: u32 = bits(15, 0) as u32;
    /// `IRS_IDR1.IAFFID_BITS`.
    GICV5_IRS_IDR1_IAFFID_BITS: u32 = bits(19, 16) as u32;
    /// `IRS_IDR1.PRIORITY_BITS`.
    GICV5_IRS_IDR1_PRIORITY_BITS: u32 = bits(22, 20) as u32;
    /// `IRS_IDR2.ID_BITS`.
    GICV5_IRS_IDR2_ID_BITS: u32 = bits(4, 0) as u32;
    /// `IRS_IDR2.LPI`.
    GICV5_IRS_IDR2_LPI: u32 = bits(5, 5) as u32;
    /// `IRS_IDR2.MIN_LPI_ID_BITS`.
    GICV5_IRS_IDR2_MIN_LPI_ID_BITS: u32 = bits(9, 6) as u32;
    /// `IRS_IDR2.IST_LEVELS`.
    GICV5_IRS_IDR2_IST_LEVELS: u32 = bits(10, 10) as u32;
    /// `IRS_IDR2.IST_L2SZ`.
    GICV5_IRS_IDR2_IST_L2SZ: u32 = bits(13, 11) as u32;
    /// `IRS_IDR2.ISTMD`.
    GICV5_IRS_IDR2_ISTMD: u32 = bits(14, 14) as u32;
    /// `IRS_IDR2.ISTMD_SZ`.
    GICV5_IRS_IDR2_ISTMD_SZ: u32 = bits(19, 15) as u32;
    /// `IRS_IDR5.SPI_RANGE`.
    GICV5_IRS_IDR5_SPI_RANGE: u32 = bits(24, 0) as u32;
    /// `IRS_IDR6.SPI_IRS_RANGE`.
    GICV5_IRS_IDR6_SPI_IRS_RANGE: u32 = bits(24, 0) as u32;
    /// `IRS_IDR7.SPI_BASE`.
    GICV5_IRS_IDR7_SPI_BASE: u32 = bits(23, 0) as u32;
    /// `IRS_IIDR.IMPLEMENTER`.
    GICV5_IRS_IIDR_IMPLEMENTER: u32 = bits(11, 0) as u32;
    /// `IRS_IIDR.REVISION`.
    GICV5_IRS_IIDR_REVISION: u32 = bits(15, 12) as u32;
    /// `IRS_IIDR.VARIANT`.
    GICV5_IRS_IIDR_VARIANT: u32 = bits(19, 16) as u32;
    /// `IRS_IIDR.PRODUCT_ID`.
    GICV5_IRS_IIDR_PRODUCT_ID: u32 = bits(31, 20) as u32;
    /// `IRS_AIDR.ARCHMINORREV`.
    GICV5_IRS_AIDR_ARCHMINORREV: u32 = bits(3, 0) as u32;
    /// `IRS_AIDR.ARCHMAJORREV`.
    GICV5_IRS_AIDR_ARCHMAJORREV: u32 = bits(7, 4) as u32;
    /// `IRS_AIDR.COMPONENT`.
    GICV5_IRS_AIDR_COMPONENT: u32 = bits(11, 8) as u32;
    /// `IRS_CR0.IRSEN`.
    GICV5_IRS_CR0_IRSEN: u32 = bits(0, 0) as u32;
    /// `IRS_CR0.IDLE`.
    GICV5_IRS_CR0_IDLE: u32 = bits(1, 1) as u32;
    /// `IRS_CR1.SH`.
    GICV5_IRS_CR1_SH: u32 = bits(1, 0) as u32;
    /// `IRS_CR1.OC`.
    GICV5_IRS_CR1_OC: u32 = bits(3, 2) as u32;
    /// `IRS_CR1.IC`.
    GICV5_IRS_CR1_IC: u32 = bits(5, 4) as u32;
    /// `IRS_CR1.IST_RA`.
    GICV5_IRS_CR1_IST_RA: u32 = bits(6, 6) as u32;
    /// `IRS_CR1.IST_WA`.
    GICV5_IRS_CR1_IST_WA: u32 = bits(7, 7) as u32;
    /// `IRS_CR1.VMT_RA`.
    GICV5_IRS_CR1_VMT_RA: u32 = bits(8, 8) as u32;
    /// `IRS_CR1.VMT_WA`.
    GICV5_IRS_CR1_VMT_WA: u32 = bits(9, 9) as u32;
    /// `IRS_CR1.VPET_RA`.
    GICV5_IRS_CR1_VPET_RA: u32 = bits(10, 10) as u32;
    /// `IRS_CR1.VPET_WA`.
    GICV5_IRS_CR1_VPET_WA: u32 = bits(11, 11) as u32;
    /// `IRS_CR1.VMD_RA`.
    GICV5_IRS_CR1_VMD_RA: u32 = bits(12, 12) as u32;
    /// `IRS_CR1.VMD_WA`.
    GICV5_IRS_CR1_VMD_WA: u32 = bits(13, 13) as u32;
    /// `IRS_CR1.VPED_RA`.
    GICV5_IRS_CR1_VPED_RA: u32 = bits(14, 14) as u32;
    /// `IRS_CR1.VPED_WA`.
    GICV5_IRS_CR1_VPED_WA: u32 = bits(15, 15) as u32;
    /// `IRS_SYNCR.SYNC`.
    GICV5_IRS_SYNCR_SYNC: u32 = bits(31, 31) as u32;
    /// `IRS_SYNC_STATUSR.IDLE`.
    GICV5_IRS_SYNC_STATUSR_IDLE: u32 = bits(0, 0) as u32;
    /// `IRS_SPI_VMR.VM_ID`.
    GICV5_IRS_SPI_VMR_VM_ID: u64 = bits(15, 0);
    /// `IRS_SPI_VMR.VIRT`.
    GICV5_IRS_SPI_VMR_VIRT: u64 = bits(63, 63);
    /// `IRS_SPI_SELR.ID`.
    GICV5_IRS_SPI_SELR_ID: u32 = bits(23, 0) as u32;
    /// `IRS_SPI_DOMAINR.DOMAIN`.
    GICV5_IRS_SPI_DOMAINR_DOMAIN: u32 = bits(1, 0) as u32;
    /// `IRS_SPI_RESAMPLER.SPI_ID`.
    GICV5_IRS_SPI_RESAMPLER_SPI_ID: u32 = bits(23, 0) as u32;
    /// `IRS_SPI_CFGR.TM`.
    GICV5_IRS_SPI_CFGR_TM: u32 = bits(0, 0) as u32;
    /// `IRS_SPI_STATUSR.IDLE`.
    GICV5_IRS_SPI_STATUSR_IDLE: u32 = bits(0, 0) as u32;
    /// `IRS_SPI_STATUSR.V`.
    GICV5_IRS_SPI_STATUSR_V: u32 = bits(1, 1) as u32;
    /// `IRS_PE_SELR.IAFFID`.
    GICV5_IRS_PE_SELR_IAFFID: u32 = bits(15, 0) as u32;
    /// `IRS_PE_STATUSR.IDLE`.
    GICV5_IRS_PE_STATUSR_IDLE: u32 = bits(0, 0) as u32;
    /// `IRS_PE_STATUSR.V`.
    GICV5_IRS_PE_STATUSR_V: u32 = bits(1, 1) as u32;
    /// `IRS_PE_STATUSR.ONLINE`.
    GICV5_IRS_PE_STATUSR_ONLINE: u32 = bits(2, 2) as u32;
    /// `IRS_PE_CR0.DPS`.
    GICV5_IRS_PE_CR0_DPS: u32 = bits(0, 0) as u32;
    /// `IRS_IST_BASER.VALID`.
    GICV5_IRS_IST_BASER_VALID: u64 = bits(0, 0);
    /// `IRS_IST_BASER.ADDR`.
    GICV5_IRS_IST_BASER_ADDR: u64 = bits(55, 6);
    /// `IRS_IST_CFGR.LPI_ID_BITS`.
    GICV5_IRS_IST_CFGR_LPI_ID_BITS: u32 = bits(4, 0) as u32;
    /// `IRS_IST_CFGR.L2SZ`.
    GICV5_IRS_IST_CFGR_L2SZ: u32 = bits(6, 5) as u32;
    /// `IRS_IST_CFGR.ISTSZ`.
    GICV5_IRS_IST_CFGR_ISTSZ: u32 = bits(8, 7) as u32;
    /// `IRS_IST_CFGR.STRUCTURE`.
    GICV5_IRS_IST_CFGR_STRUCTURE: u32 = bits(16, 16) as u32;
    /// `IRS_IST_STATUSR.IDLE`.
    GICV5_IRS_IST_STATUSR_IDLE: u32 = bits(0, 0) as u32;
    /// `IRS_SAVE_VMR.VM_ID`.
    GICV5_IRS_SAVE_VMR_VM_ID: u64 = bits(15, 0);
    /// `IRS_SAVE_VMR.Q`.
    GICV5_IRS_SAVE_VMR_Q: u64 = bits(62, 62);
    /// `IRS_SAVE_VMR.S`.
    GICV5_IRS_SAVE_VMR_S: u64 = bits(63, 63);
    /// `IRS_SAVE_VM_STATUSR.IDLE`.
    GICV5_IRS_SAVE_VM_STATUSR_IDLE: u32 = bits(0, 0) as u32;
    /// `IRS_SAVE_VM_STATUSR.Q`.
    GICV5_IRS_SAVE_VM_STATUSR_Q: u32 = bits(1, 1) as u32;

    /// `IRS_IDR0.INT_DOM` of the Non-secure domain.
    GICV5_IRS_IDR0_INT_DOM_NON_SECURE: u32 = 1;
    /// `IRS_IST_CFGR.ISTSZ` of 4-byte entries.
    GICV5_IRS_IST_CFGR_ISTSZ_4: u32 = 0;
    /// `IRS_IST_CFGR.STRUCTURE` of a linear table.
    GICV5_IRS_IST_CFGR_STRUCTURE_LINEAR: u32 = 0;
}
