//! Offsets of the redistributor registers, RD frame from 0, SGI frame from 0x10000; the masks of fields that somebody asks for.
//!
//! Source: `include/linux/irqchip/arm-gic-v3.h`.
//!
//! Rule: the registers that KVM implements or answers with zero; a 64-bit register is two accesses, at +0 and +4. A mask is
//! written as the bit range of the specification.

use super::super::bits;

/// Offset of the SGI frame.
pub const SGI_BASE: u32 = 0x1_0000;

constants! {
    /// All registers by name, in the order of their offsets.
    REGISTERS;

    /// Enables LPIs.
    GICR_CTLR: u32 = 0x0000;
    /// Implementer.
    GICR_IIDR: u32 = 0x0004;
    /// Affinity and features, 64 bits, read only.
    GICR_TYPER: u32 = 0x0008;
    /// Error status; not implemented by KVM.
    GICR_STATUSR: u32 = 0x0010;
    /// Power management; not implemented by KVM.
    GICR_WAKER: u32 = 0x0014;
    /// LPI configuration table, 64 bits; one value per VM in KVM. Frozen while LPIs are enabled.
    GICR_PROPBASER: u32 = 0x0070;
    /// LPI pending table, 64 bits. Frozen while LPIs are enabled.
    GICR_PENDBASER: u32 = 0x0078;
    /// Interrupt groups of SGIs and PPIs.
    GICR_IGROUPR0: u32 = SGI_BASE + 0x0080;
    /// Set enable.
    GICR_ISENABLER0: u32 = SGI_BASE + 0x0100;
    /// Clear enable.
    GICR_ICENABLER0: u32 = SGI_BASE + 0x0180;
    /// Set pending; user space reads and writes the latch.
    GICR_ISPENDR0: u32 = SGI_BASE + 0x0200;
    /// Clear pending; without effect from user space.
    GICR_ICPENDR0: u32 = SGI_BASE + 0x0280;
    /// Set active.
    GICR_ISACTIVER0: u32 = SGI_BASE + 0x0300;
    /// Clear active.
    GICR_ICACTIVER0: u32 = SGI_BASE + 0x0380;
    /// Priorities of INTIDs 0 to 31, eight registers.
    GICR_IPRIORITYR0: u32 = SGI_BASE + 0x0400;
    /// Trigger modes of SGIs.
    GICR_ICFGR0: u32 = SGI_BASE + 0x0c00;
    /// Trigger modes of PPIs.
    GICR_ICFGR1: u32 = SGI_BASE + 0x0c04;
}

constants! {
    /// All masks by name.
    MASKS;

    /// `GICR_CTLR.EnableLPIs`.
    GICR_CTLR_ENABLE_LPIS: u32 = bits(0, 0) as u32;
    /// `GICR_TYPER.PLPIS`: LPIs.
    GICR_TYPER_PLPIS: u64 = bits(0, 0);
    /// `GICR_TYPER.Last`: the last redistributor of a region.
    GICR_TYPER_LAST: u64 = bits(4, 4);
    /// `GICR_TYPER.Processor_Number`: the `vcpu_id`.
    GICR_TYPER_PROCESSOR_NUMBER: u64 = bits(23, 8);
    /// `GICR_TYPER.Affinity_Value`; KVM shows no Aff3.
    GICR_TYPER_AFFINITY_VALUE: u64 = bits(63, 32);
    /// `GICR_PROPBASER.IDbits` - 1.
    GICR_PROPBASER_IDBITS: u64 = bits(4, 0);
    /// `GICR_PROPBASER.Physical_Address`.
    GICR_PROPBASER_ADDRESS: u64 = bits(51, 12);
    /// `GICR_PENDBASER.Physical_Address`.
    GICR_PENDBASER_ADDRESS: u64 = bits(51, 16);
    /// `GICR_PENDBASER.PTZ`: the table is all zeros; reads as 0.
    GICR_PENDBASER_PTZ: u64 = bits(62, 62);
}

/// Registers of 64 bits, and arrays: first offset, offset behind the last register, bytes from one register to the next.
pub const ARRAYS: &[(u32, u32, u32)] =
    &[(GICR_TYPER, 0x0010, 8), (GICR_PROPBASER, 0x0078, 8), (GICR_PENDBASER, 0x0080, 8), (GICR_IPRIORITYR0, SGI_BASE + 0x0420, 4)];
