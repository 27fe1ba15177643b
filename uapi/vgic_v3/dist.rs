//! Offsets of the distributor registers, and the masks of fields that somebody asks for.
//!
//! Source: `include/linux/irqchip/arm-gic-v3.h`.
//!
//! Rule: the registers that KVM implements or answers with zero; an array stands by its first register. A mask is written as the bit range of the specification.

use super::super::bits;

constants! {
    /// All registers by name, in the order of their offsets.
    REGISTERS;

    /// Enables, affinity routing.
    GICD_CTLR: u32 = 0x0000;
    /// Number of interrupts, read only.
    GICD_TYPER: u32 = 0x0004;
    /// Implementer and the revision of KVM's implementation.
    GICD_IIDR: u32 = 0x0008;
    /// GICv4.1 features, compared on write.
    GICD_TYPER2: u32 = 0x000c;
    /// Error status; not implemented by KVM.
    GICD_STATUSR: u32 = 0x0010;
    /// Interrupt groups, 1 bit each.
    GICD_IGROUPR: u32 = 0x0080;
    /// Set enable, 1 bit each.
    GICD_ISENABLER: u32 = 0x0100;
    /// Clear enable, 1 bit each.
    GICD_ICENABLER: u32 = 0x0180;
    /// Set pending, 1 bit each; user space reads and writes the latch.
    GICD_ISPENDR: u32 = 0x0200;
    /// Clear pending, 1 bit each; without effect from user space.
    GICD_ICPENDR: u32 = 0x0280;
    /// Set active, 1 bit each.
    GICD_ISACTIVER: u32 = 0x0300;
    /// Clear active, 1 bit each.
    GICD_ICACTIVER: u32 = 0x0380;
    /// Priorities, 8 bits each.
    GICD_IPRIORITYR: u32 = 0x0400;
    /// Targets of GICv2; zero with affinity routing.
    GICD_ITARGETSR: u32 = 0x0800;
    /// Trigger modes, 2 bits each.
    GICD_ICFGR: u32 = 0x0c00;
    /// Group modifiers; zero.
    GICD_IGRPMODR: u32 = 0x0d00;
    /// Non-secure access control; zero.
    GICD_NSACR: u32 = 0x0e00;
    /// Targets, 64 bits each, counted from INTID 0: the one of INTID 32 is at 0x6100.
    GICD_IROUTER: u32 = 0x6000;
}

constants! {
    /// All masks by name.
    MASKS;

    /// `GICD_CTLR.EnableGrp1`.
    GICD_CTLR_ENABLE_GRP1: u32 = bits(1, 1) as u32;
    /// `GICD_CTLR.ARE`: affinity routing.
    GICD_CTLR_ARE: u32 = bits(4, 4) as u32;
    /// `GICD_CTLR.DS`: one security state.
    GICD_CTLR_DS: u32 = bits(6, 6) as u32;
    /// `GICD_CTLR.nASSGIreq`: SGIs without active state.
    GICD_CTLR_NASSGIREQ: u32 = bits(8, 8) as u32;
    /// `GICD_TYPER.LPIS`: the VM has LPIs, which it has with an ITS.
    GICD_TYPER_LPIS: u32 = bits(17, 17) as u32;
    /// `GICD_IIDR.Revision`: how KVM's distributor behaves.
    GICD_IIDR_REVISION: u32 = bits(15, 12) as u32;
    /// `GICD_TYPER2.nASSGIcap`: the guest may ask for SGIs without active state.
    GICD_TYPER2_NASSGICAP: u32 = bits(8, 8) as u32;
    /// `GICD_IROUTER`: Aff2 to Aff0, which KVM keeps.
    GICD_IROUTER_AFF2_0: u32 = bits(23, 0) as u32;
}

/// Arrays: first offset, offset behind the last register, bytes from one register to the next.
pub const ARRAYS: &[(u32, u32, u32)] = &[
    (GICD_IGROUPR, 0x0100, 4),
    (GICD_ISENABLER, 0x0180, 4),
    (GICD_ICENABLER, 0x0200, 4),
    (GICD_ISPENDR, 0x0280, 4),
    (GICD_ICPENDR, 0x0300, 4),
    (GICD_ISACTIVER, 0x0380, 4),
    (GICD_ICACTIVER, 0x0400, 4),
    (GICD_IPRIORITYR, 0x0800, 4),
    (GICD_ITARGETSR, 0x0c00, 4),
    (GICD_ICFGR, 0x0d00, 4),
    (GICD_IGRPMODR, 0x0d80, 4),
    (GICD_NSACR, 0x0f00, 4),
    (GICD_IROUTER, 0x8000, 8),
];
