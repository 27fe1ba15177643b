//! Fields of the registers of a GICv5, and the registers and table entries that this crate takes apart.
//!
//! Source: `include/linux/irqchip/arm-gic-v5.h` and `arch/arm64/kvm/vgic/vgic-v5-tables.c`, Linux 7.4; Arm Generic Interrupt
//! Controller Architecture Specification, GICv5.
//!
//! Rule: a register is taken apart here and nowhere else.

use crate::registers::{Field, Meaning};
use crate::uapi::bits;
use crate::uapi::vgic_v5::irs_fields::*;
use bitfield_struct::bitfield;

const CACHE: Meaning = Meaning::Values(&[(0, "Non-cacheable"), (1, "Write-Back"), (2, "Write-Through")]);
const PA_RANGE: Meaning = Meaning::Values(&[
    (0, "32 bits"),
    (1, "36 bits"),
    (2, "40 bits"),
    (3, "42 bits"),
    (4, "44 bits"),
    (5, "48 bits"),
    (6, "52 bits"),
    (7, "56 bits"),
]);

const fn field(name: &'static str, mask: u32, meaning: Meaning) -> Field {
    Field::new(name, mask as u64, meaning)
}

const fn number(name: &'static str, mask: u32) -> Field {
    field(name, mask, Meaning::Number)
}

pub(super) const IDR0: &[Field] = &[
    field("INT_DOM", GICV5_IRS_IDR0_INT_DOM, Meaning::Values(&[(0, "Secure"), (1, "Non-secure"), (2, "EL3"), (3, "Realm")])),
    field("PA_RANGE", GICV5_IRS_IDR0_PA_RANGE, PA_RANGE),
    number("VIRT", GICV5_IRS_IDR0_VIRT),
    number("ONE_N", GICV5_IRS_IDR0_ONE_N),
    number("VIRT_ONE_N", GICV5_IRS_IDR0_VIRT_ONE_N),
    number("SETLPI", GICV5_IRS_IDR0_SETLPI),
    number("MEC", GICV5_IRS_IDR0_MEC),
    number("MPAM", GICV5_IRS_IDR0_MPAM),
    number("SWE", GICV5_IRS_IDR0_SWE),
    number("IRSID", GICV5_IRS_IDR0_IRSID),
];

pub(super) const IDR1: &[Field] = &[
    number("PE_CNT", GICV5_IRS_IDR1_PE_CNT),
    field("IAFFID_BITS", GICV5_IRS_IDR1_IAFFID_BITS, Meaning::MinusOne("bits")),
    field("PRIORITY_BITS", GICV5_IRS_IDR1_PRIORITY_BITS, Meaning::MinusOne("bits")),
];

pub(super) const IDR2: &[Field] = &[
    number("ID_BITS", GICV5_IRS_IDR2_ID_BITS),
    number("LPI", GICV5_IRS_IDR2_LPI),
    number("MIN_LPI_ID_BITS", GICV5_IRS_IDR2_MIN_LPI_ID_BITS),
    number("IST_LEVELS", GICV5_IRS_IDR2_IST_LEVELS),
    field("IST_L2SZ", GICV5_IRS_IDR2_IST_L2SZ, Meaning::Bits),
    number("ISTMD", GICV5_IRS_IDR2_ISTMD),
    number("ISTMD_SZ", GICV5_IRS_IDR2_ISTMD_SZ),
];

pub(super) const IDR5: &[Field] = &[number("SPI_RANGE", GICV5_IRS_IDR5_SPI_RANGE)];
pub(super) const IDR6: &[Field] = &[number("SPI_IRS_RANGE", GICV5_IRS_IDR6_SPI_IRS_RANGE)];
pub(super) const IDR7: &[Field] = &[number("SPI_BASE", GICV5_IRS_IDR7_SPI_BASE)];
pub(super) const CR0: &[Field] = &[number("IRSEN", GICV5_IRS_CR0_IRSEN), number("IDLE", GICV5_IRS_CR0_IDLE)];

pub(super) const CR1: &[Field] = &[
    field("SH", GICV5_IRS_CR1_SH, Meaning::Values(&[(0, "Non-shareable"), (2, "Outer Shareable"), (3, "Inner Shareable")])),
    field("OC", GICV5_IRS_CR1_OC, CACHE),
    field("IC", GICV5_IRS_CR1_IC, CACHE),
    number("IST_RA", GICV5_IRS_CR1_IST_RA),
    number("IST_WA", GICV5_IRS_CR1_IST_WA),
    number("VMT_RA", GICV5_IRS_CR1_VMT_RA),
    number("VMT_WA", GICV5_IRS_CR1_VMT_WA),
    number("VPET_RA", GICV5_IRS_CR1_VPET_RA),
    number("VPET_WA", GICV5_IRS_CR1_VPET_WA),
    number("VMD_RA", GICV5_IRS_CR1_VMD_RA),
    number("VMD_WA", GICV5_IRS_CR1_VMD_WA),
    number("VPED_RA", GICV5_IRS_CR1_VPED_RA),
    number("VPED_WA", GICV5_IRS_CR1_VPED_WA),
];

pub(super) const SPI_SELR: &[Field] = &[field("ID", GICV5_IRS_SPI_SELR_ID, Meaning::Bits)];
pub(super) const PE_SELR: &[Field] = &[field("IAFFID", GICV5_IRS_PE_SELR_IAFFID, Meaning::Bits)];

pub(super) const IST_CFGR: &[Field] = &[
    number("LPI_ID_BITS", GICV5_IRS_IST_CFGR_LPI_ID_BITS),
    field("L2SZ", GICV5_IRS_IST_CFGR_L2SZ, Meaning::Values(&[(0, "4K"), (1, "16K"), (2, "64K")])),
    field("ISTSZ", GICV5_IRS_IST_CFGR_ISTSZ, Meaning::Values(&[(0, "4 bytes"), (1, "8 bytes"), (2, "16 bytes")])),
    field("STRUCTURE", GICV5_IRS_IST_CFGR_STRUCTURE, Meaning::Values(&[(0, "linear"), (1, "two-level")])),
];

pub(super) const IST_BASER: &[Field] = &[
    Field::new("VALID", GICV5_IRS_IST_BASER_VALID, Meaning::Number),
    Field::new("ADDR", GICV5_IRS_IST_BASER_ADDR, Meaning::InPlace),
];

pub(super) const ICSR: &[Field] = &[
    Field::new("F", bits(0, 0), Meaning::Number),
    Field::new("Enabled", bits(1, 1), Meaning::Number),
    Field::new("Pending", bits(2, 2), Meaning::Number),
    Field::new("IRM", bits(3, 3), Meaning::Number),
    Field::new("Active", bits(4, 4), Meaning::Number),
    Field::new("HM", bits(5, 5), Meaning::Number),
    Field::new("Priority", bits(15, 11), Meaning::Number),
    Field::new("IAFFID", bits(47, 32), Meaning::Number),
];

pub(super) const ICC_CR0: &[Field] = &[
    Field::new("EN", bits(0, 0), Meaning::Number),
    Field::new("LINK", bits(1, 1), Meaning::Number),
    Field::new("LINK_IDLE", bits(2, 2), Meaning::Number),
];

/// LINK and LINK_IDLE: they read 1 whatever is written.
pub(crate) const ICC_CR0_ONES: u64 = 0x6;

pub(super) const ICC_PCR: &[Field] = &[Field::new("PRIORITY", bits(4, 0), Meaning::Number)];

/// `IRS_IDR0`.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Idr0 {
    /// Interrupt domain: 0 Secure, 1 Non-secure, 2 EL3, 3 Realm. KVM: 1.
    #[bits(2)]
    pub int_dom: u8,
    /// Physical address range, as in `ID_AA64MMFR0_EL1.PARange`.
    #[bits(4)]
    pub pa_range: u8,
    /// Virtualization. KVM: 0.
    pub virt: bool,
    /// 1-of-N routing. KVM: 0.
    pub one_n: bool,
    /// 1-of-N routing of virtual interrupts. KVM: 0.
    pub virt_one_n: bool,
    /// `SETLPI_FRAME`. KVM: 0.
    pub setlpi: bool,
    /// Memory encryption contexts. KVM: 0.
    pub mec: bool,
    /// MPAM. KVM: 0.
    pub mpam: bool,
    /// Software error reporting. KVM: 0.
    pub swe: bool,
    #[bits(3)]
    _reserved: u8,
    /// IRS identifier.
    pub irsid: u16,
}

/// `IRS_IDR1`.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Idr1 {
    /// Number of PEs.
    pub pe_cnt: u16,
    /// Bits of an IAFFID - 1.
    #[bits(4)]
    pub iaffid_bits: u8,
    /// Bits of a priority - 1: 0 to 4.
    #[bits(3)]
    pub priority_bits: u8,
    #[bits(9)]
    _reserved: u16,
}

/// `IRS_IDR2`.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Idr2 {
    /// Greatest number of interrupt ID bits.
    #[bits(5)]
    pub id_bits: u8,
    /// LPIs are implemented.
    pub lpi: bool,
    /// Least `IRS_IST_CFGR.LPI_ID_BITS`.
    #[bits(4)]
    pub min_lpi_id_bits: u8,
    /// Two-level interrupt state tables. KVM: 0.
    pub ist_levels: bool,
    /// Sizes of level-2 tables: bitmap of 4K, 16K, 64K.
    #[bits(3)]
    pub ist_l2sz: u8,
    /// Entries hold metadata. KVM: 0.
    pub istmd: bool,
    /// ID bits from which metadata needs 16-byte entries. KVM: 0.
    #[bits(5)]
    pub istmd_sz: u8,
    #[bits(12)]
    _reserved: u16,
}

/// `IRS_IST_CFGR`.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct IstCfgr {
    /// Width of LPI IDs in bits.
    #[bits(5)]
    pub lpi_id_bits: u8,
    /// Size of level-2 tables: 0 4K, 1 16K, 2 64K; without effect on a linear table.
    #[bits(2)]
    pub l2sz: u8,
    /// Bytes of an entry: 0 4, 1 8, 2 16. KVM: 0.
    #[bits(2)]
    pub istsz: u8,
    #[bits(7)]
    _reserved: u8,
    /// Two-level table. KVM: 0.
    pub structure: bool,
    #[bits(15)]
    _reserved: u16,
}

/// `IRS_IST_BASER`.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct IstBaser {
    /// The guest has an LPI table.
    pub valid: bool,
    #[bits(5)]
    _reserved: u8,
    /// Guest physical address `[55:6]` of the guest's table. KVM keeps interrupts in a table of its own and never reads this one.
    #[bits(50)]
    pub addr: u64,
    #[bits(8)]
    _reserved: u8,
}

impl IstCfgr {
    /// Whether a reserved bit is set.
    #[must_use]
    pub const fn reserved(self) -> bool {
        const KNOWN: u32 =
            GICV5_IRS_IST_CFGR_LPI_ID_BITS | GICV5_IRS_IST_CFGR_L2SZ | GICV5_IRS_IST_CFGR_ISTSZ | GICV5_IRS_IST_CFGR_STRUCTURE;
        self.into_bits() & !KNOWN != 0
    }
}

/// `L2_ISTE`, the architected 32 bits of an interrupt state table entry.
///
/// ```
/// use vgic_state::gicv5::Iste;
///
/// let entry = Iste::from_bits(0x0002_f80b);
/// assert!(entry.pending() && entry.active() && entry.enable() && !entry.hm());
/// assert_eq!((entry.priority(), entry.iaffid()), (31, 2));
/// ```
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Iste {
    /// Pending.
    pub pending: bool,
    /// Active: acknowledged and not yet deactivated.
    pub active: bool,
    /// Handling mode: false edge, true level.
    pub hm: bool,
    /// Enabled.
    pub enable: bool,
    /// Routing mode: false targeted, true one of N.
    pub irm: bool,
    /// Reserved, 0.
    #[bits(4)]
    pub res0: u8,
    /// Hardware use: belongs to the host that wrote it.
    #[bits(2)]
    pub hwu: u8,
    /// Priority, 0 (highest) to 31.
    #[bits(5)]
    pub priority: u8,
    /// Target: the `vcpu_id` of a vCPU.
    pub iaffid: u16,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::vgic_v5::ist::*;

    #[test]
    fn fields_are_where_the_kernel_has_them() {
        let ones = Iste::from_bits(u32::MAX);
        for (field, mask) in [
            (Iste::new().with_pending(true), GICV5_ISTL2E_PENDING),
            (Iste::new().with_active(true), GICV5_ISTL2E_ACTIVE),
            (Iste::new().with_hm(true), GICV5_ISTL2E_HM),
            (Iste::new().with_enable(true), GICV5_ISTL2E_ENABLE),
            (Iste::new().with_irm(true), GICV5_ISTL2E_IRM),
            (Iste::new().with_res0(ones.res0()), GICV5_ISTL2E_RES0),
            (Iste::new().with_hwu(ones.hwu()), GICV5_ISTL2E_HWU),
            (Iste::new().with_priority(ones.priority()), GICV5_ISTL2E_PRIORITY),
            (Iste::new().with_iaffid(ones.iaffid()), GICV5_ISTL2E_IAFFID),
        ] {
            assert_eq!(field.into_bits(), mask);
        }

        let ones = Idr0::from_bits(u32::MAX);
        for (field, mask) in [
            (Idr0::new().with_int_dom(ones.int_dom()), GICV5_IRS_IDR0_INT_DOM),
            (Idr0::new().with_pa_range(ones.pa_range()), GICV5_IRS_IDR0_PA_RANGE),
            (Idr0::new().with_virt(true), GICV5_IRS_IDR0_VIRT),
            (Idr0::new().with_one_n(true), GICV5_IRS_IDR0_ONE_N),
            (Idr0::new().with_virt_one_n(true), GICV5_IRS_IDR0_VIRT_ONE_N),
            (Idr0::new().with_setlpi(true), GICV5_IRS_IDR0_SETLPI),
            (Idr0::new().with_mec(true), GICV5_IRS_IDR0_MEC),
            (Idr0::new().with_mpam(true), GICV5_IRS_IDR0_MPAM),
            (Idr0::new().with_swe(true), GICV5_IRS_IDR0_SWE),
            (Idr0::new().with_irsid(ones.irsid()), GICV5_IRS_IDR0_IRSID),
        ] {
            assert_eq!(field.into_bits(), mask);
        }

        let ones = Idr1::from_bits(u32::MAX);
        for (field, mask) in [
            (Idr1::new().with_pe_cnt(ones.pe_cnt()), GICV5_IRS_IDR1_PE_CNT),
            (Idr1::new().with_iaffid_bits(ones.iaffid_bits()), GICV5_IRS_IDR1_IAFFID_BITS),
            (Idr1::new().with_priority_bits(ones.priority_bits()), GICV5_IRS_IDR1_PRIORITY_BITS),
        ] {
            assert_eq!(field.into_bits(), mask);
        }

        let ones = Idr2::from_bits(u32::MAX);
        for (field, mask) in [
            (Idr2::new().with_id_bits(ones.id_bits()), GICV5_IRS_IDR2_ID_BITS),
            (Idr2::new().with_lpi(true), GICV5_IRS_IDR2_LPI),
            (Idr2::new().with_min_lpi_id_bits(ones.min_lpi_id_bits()), GICV5_IRS_IDR2_MIN_LPI_ID_BITS),
            (Idr2::new().with_ist_levels(true), GICV5_IRS_IDR2_IST_LEVELS),
            (Idr2::new().with_ist_l2sz(ones.ist_l2sz()), GICV5_IRS_IDR2_IST_L2SZ),
            (Idr2::new().with_istmd(true), GICV5_IRS_IDR2_ISTMD),
            (Idr2::new().with_istmd_sz(ones.istmd_sz()), GICV5_IRS_IDR2_ISTMD_SZ),
        ] {
            assert_eq!(field.into_bits(), mask);
        }

        let ones = IstCfgr::from_bits(u32::MAX);
        for (field, mask) in [
            (IstCfgr::new().with_lpi_id_bits(ones.lpi_id_bits()), GICV5_IRS_IST_CFGR_LPI_ID_BITS),
            (IstCfgr::new().with_l2sz(ones.l2sz()), GICV5_IRS_IST_CFGR_L2SZ),
            (IstCfgr::new().with_istsz(ones.istsz()), GICV5_IRS_IST_CFGR_ISTSZ),
            (IstCfgr::new().with_structure(true), GICV5_IRS_IST_CFGR_STRUCTURE),
        ] {
            assert_eq!(field.into_bits(), mask);
        }

        let ones = IstBaser::from_bits(u64::MAX);
        for (field, mask) in [
            (IstBaser::new().with_valid(true), GICV5_IRS_IST_BASER_VALID),
            (IstBaser::new().with_addr(ones.addr()), GICV5_IRS_IST_BASER_ADDR),
        ] {
            assert_eq!(field.into_bits(), mask);
        }
    }
}
