//! Register map of the distributor and of a redistributor: which register each offset belongs to.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v3.c`, `vgic_v3_dist_registers` and `vgic_v3_rd_registers`; `vgic-mmio.c`,
//! `vgic_get_mmio_region`.
//!
//! Rule: an access that no region takes (unknown, unaligned, of another width, of an interrupt that does not exist) reads 0 and is
//! dropped, without an error.

use super::irq::PRIVATE_IRQS;
use crate::uapi::vgic_v3::{dist, redist};

/// What a register is, for reading and writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reg {
    /// `GICD_CTLR`, `GICD_TYPER`, `GICD_IIDR`, `GICD_TYPER2`.
    Misc,
    Zero,
    Ones,
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
    Priority,
    Config,
    Router,
    Ids,
    RedistCtlr,
    RedistIidr,
    RedistTyper,
    Propbaser,
    Pendbaser,
    InvalidateLpi,
    InvalidateAll,
}

/// Widths of access in bytes, as a set of bits.
const W32: u32 = 4;
const W8: u32 = 1;
const W64: u32 = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    start: u32,
    len: u32,
    widths: u32,
    /// Bits per interrupt; 0 where the region is not about interrupts.
    pub(super) bits: u32,
    pub(super) reg: Reg,
}

const fn plain(start: u32, len: u32, widths: u32, reg: Reg) -> Region {
    Region { start, len, widths, bits: 0, reg }
}

/// Registers of one private interrupt each, in the SGI frame.
const fn private(start: u32, bits: u32, widths: u32, reg: Reg) -> Region {
    Region { start, len: bits * PRIVATE_IRQS / 8, widths, bits, reg }
}

/// Registers of the distributor with `bits` per interrupt: those of private interrupts are zero with affinity routing.
const fn banked(start: u32, bits: u32) -> Region {
    Region { start, len: bits * PRIVATE_IRQS / 8, widths: any_width(bits), bits, reg: Reg::Zero }
}

const fn shared(start: u32, bits: u32, reg: Reg) -> Region {
    Region { start: start + bits * PRIVATE_IRQS / 8, len: bits * (1024 - PRIVATE_IRQS) / 8, widths: any_width(bits), bits, reg }
}

const fn any_width(bits: u32) -> u32 {
    match bits {
        8 => W32 | W8,
        64 => W64 | W32,
        _ => W32,
    }
}

/// `GICD_PIDR4`: identification registers, in every frame.
const ID_REGISTERS: u32 = 0xffd0;
/// Their length.
const ID_LENGTH: u32 = 0x30;

pub(super) const DIST: &[Region] = &[
    plain(dist::GICD_CTLR, 16, W32, Reg::Misc),
    plain(dist::GICD_STATUSR, 4, W32, Reg::Ones),
    banked(dist::GICD_IGROUPR, 1),
    shared(dist::GICD_IGROUPR, 1, Reg::Group),
    banked(dist::GICD_ISENABLER, 1),
    shared(dist::GICD_ISENABLER, 1, Reg::SetEnable),
    banked(dist::GICD_ICENABLER, 1),
    shared(dist::GICD_ICENABLER, 1, Reg::ClearEnable),
    banked(dist::GICD_ISPENDR, 1),
    shared(dist::GICD_ISPENDR, 1, Reg::SetPending),
    banked(dist::GICD_ICPENDR, 1),
    shared(dist::GICD_ICPENDR, 1, Reg::ClearPending),
    banked(dist::GICD_ISACTIVER, 1),
    shared(dist::GICD_ISACTIVER, 1, Reg::SetActive),
    banked(dist::GICD_ICACTIVER, 1),
    shared(dist::GICD_ICACTIVER, 1, Reg::ClearActive),
    banked(dist::GICD_IPRIORITYR, 8),
    shared(dist::GICD_IPRIORITYR, 8, Reg::Priority),
    banked(dist::GICD_ITARGETSR, 8),
    shared(dist::GICD_ITARGETSR, 8, Reg::Zero),
    banked(dist::GICD_ICFGR, 2),
    shared(dist::GICD_ICFGR, 2, Reg::Config),
    banked(dist::GICD_IGRPMODR, 1),
    shared(dist::GICD_IGRPMODR, 1, Reg::Zero),
    banked(dist::GICD_IROUTER, 64),
    shared(dist::GICD_IROUTER, 64, Reg::Router),
    plain(ID_REGISTERS, ID_LENGTH, W32, Reg::Ids),
];

/// `GICR_INVLPIR`.
const GICR_INVLPIR: u32 = 0xa0;
/// `GICR_INVALLR`.
const GICR_INVALLR: u32 = 0xb0;
/// `GICR_SYNCR`.
const GICR_SYNCR: u32 = 0xc0;
/// `GICR_IGRPMODR0`.
const GICR_IGRPMODR0: u32 = redist::SGI_BASE + 0xd00;
/// `GICR_NSACR`.
const GICR_NSACR: u32 = redist::SGI_BASE + 0xe00;

// GICR_STATUSR is not among them: KVM searches its table as if sorted, and does not find it.
pub(super) const REDIST: &[Region] = &[
    plain(redist::GICR_CTLR, 4, W32, Reg::RedistCtlr),
    plain(redist::GICR_IIDR, 4, W32, Reg::RedistIidr),
    plain(redist::GICR_TYPER, 8, W64 | W32, Reg::RedistTyper),
    plain(redist::GICR_WAKER, 4, W32, Reg::Zero),
    plain(redist::GICR_PROPBASER, 8, W64 | W32, Reg::Propbaser),
    plain(redist::GICR_PENDBASER, 8, W64 | W32, Reg::Pendbaser),
    plain(GICR_INVLPIR, 8, W64 | W32, Reg::InvalidateLpi),
    plain(GICR_INVALLR, 8, W64 | W32, Reg::InvalidateAll),
    // No invalidation is ever under way.
    plain(GICR_SYNCR, 4, W32, Reg::Zero),
    plain(ID_REGISTERS, ID_LENGTH, W32, Reg::Ids),
    private(redist::GICR_IGROUPR0, 1, W32, Reg::Group),
    private(redist::GICR_ISENABLER0, 1, W32, Reg::SetEnable),
    private(redist::GICR_ICENABLER0, 1, W32, Reg::ClearEnable),
    private(redist::GICR_ISPENDR0, 1, W32, Reg::SetPending),
    private(redist::GICR_ICPENDR0, 1, W32, Reg::ClearPending),
    private(redist::GICR_ISACTIVER0, 1, W32, Reg::SetActive),
    private(redist::GICR_ICACTIVER0, 1, W32, Reg::ClearActive),
    private(redist::GICR_IPRIORITYR0, 8, W32 | W8, Reg::Priority),
    private(redist::GICR_ICFGR0, 2, W32, Reg::Config),
    plain(GICR_IGRPMODR0, 4, W32, Reg::Zero),
    plain(GICR_NSACR, 4, W32, Reg::Zero),
];

/// The region that takes an access of `width` bytes in a VM with `irqs` interrupts below the LPIs.
pub(super) fn find(regions: &'static [Region], offset: u32, width: u32, irqs: u32) -> Option<&'static Region> {
    let region = regions.iter().find(|region| offset.checked_sub(region.start).is_some_and(|at| at < region.len))?;
    let taken = region.widths & width != 0 && offset.is_multiple_of(width);
    (taken && (region.bits == 0 || region.intid(offset) < irqs)).then_some(region)
}

impl Region {
    /// First interrupt of an access.
    pub(super) fn intid(&self, offset: u32) -> u32 {
        (offset & (self.bits * 1024 / 8 - 1)) * 8 / self.bits
    }
}
