//! Register map of the distributor: which register each offset belongs to.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v2.c`, `vgic_v2_dist_registers`; `vgic-mmio.c`, `vgic_get_mmio_region`.
//!
//! Rule: an access that no region takes (unknown, unaligned, of another width, of an interrupt that does not exist) reads 0 and is
//! dropped, without an error.

use crate::uapi::vgic_v2::dist::{GICD_CPENDSGIR, GICD_SGIR, GICD_SPENDSGIR};
use crate::uapi::vgic_v3::dist::*;

/// What a register is, for reading and writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reg {
    /// `GICD_CTLR`, `GICD_TYPER`, `GICD_IIDR`.
    Misc,
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
    Priority,
    Target,
    Config,
    Sgir,
    ClearSource,
    SetSource,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    start: u32,
    len: u32,
    /// Widths of access in bytes, as a set of bits.
    widths: u32,
    /// Bits per interrupt; 0 where the region is not about interrupts of any number.
    pub(super) bits: u32,
    pub(super) reg: Reg,
}

/// Interrupts that the registers have room for.
const ROOM: u32 = 1024;
const W32: u32 = 4;
const W8: u32 = 1;

const fn plain(start: u32, len: u32, widths: u32, reg: Reg) -> Region {
    Region { start, len, widths, bits: 0, reg }
}

const fn per_irq(start: u32, bits: u32, reg: Reg) -> Region {
    Region { start, len: bits * ROOM / 8, widths: if bits == 8 { W32 | W8 } else { W32 }, bits, reg }
}

const DIST: &[Region] = &[
    plain(GICD_CTLR, 12, W32, Reg::Misc),
    per_irq(GICD_IGROUPR, 1, Reg::Group),
    per_irq(GICD_ISENABLER, 1, Reg::SetEnable),
    per_irq(GICD_ICENABLER, 1, Reg::ClearEnable),
    per_irq(GICD_ISPENDR, 1, Reg::SetPending),
    per_irq(GICD_ICPENDR, 1, Reg::ClearPending),
    per_irq(GICD_ISACTIVER, 1, Reg::SetActive),
    per_irq(GICD_ICACTIVER, 1, Reg::ClearActive),
    per_irq(GICD_IPRIORITYR, 8, Reg::Priority),
    per_irq(GICD_ITARGETSR, 8, Reg::Target),
    per_irq(GICD_ICFGR, 2, Reg::Config),
    plain(GICD_SGIR, 4, W32, Reg::Sgir),
    plain(GICD_CPENDSGIR, 16, W32 | W8, Reg::ClearSource),
    plain(GICD_SPENDSGIR, 16, W32 | W8, Reg::SetSource),
];

/// The region that takes an access of `width` bytes in a VM with `irqs` interrupts.
pub(super) fn find(offset: u32, width: u32, irqs: u32) -> Option<&'static Region> {
    let region = DIST.iter().find(|region| offset.checked_sub(region.start).is_some_and(|at| at < region.len))?;
    let taken = region.widths & width != 0 && offset.is_multiple_of(width);
    (taken && (region.bits == 0 || region.intid(offset) < irqs)).then_some(region)
}

impl Region {
    /// First interrupt of an access.
    pub(super) fn intid(&self, offset: u32) -> u32 {
        match self.bits {
            // Sources of SGIs.
            0 => offset & 0xf,
            bits => (offset & (bits * ROOM / 8 - 1)) * 8 / bits,
        }
    }
}
