//! Entries of interrupt state tables: the architected 32 bits of an `L2_ISTE`, and the `L1_ISTE` of a two-level table.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5-tables.c`, Linux 7.4; Arm Generic Interrupt Controller Architecture Specification, GICv5, `L2_ISTE`.
//!
//! Rule: a mask is written as the bit range of the specification.

use super::super::bits;

constants! {
    /// All masks by name.
    MASKS;

    /// `L2_ISTE.Pending`.
    GICV5_ISTL2E_PENDING: u32 = bits(0, 0) as u32;
    /// `L2_ISTE.Active`.
    GICV5_ISTL2E_ACTIVE: u32 = bits(1, 1) as u32;
    /// `L2_ISTE.HM`, handling mode: 0 edge, 1 level.
    GICV5_ISTL2E_HM: u32 = bits(2, 2) as u32;
    /// `L2_ISTE.Enable`.
    GICV5_ISTL2E_ENABLE: u32 = bits(3, 3) as u32;
    /// `L2_ISTE.IRM`, routing mode: 0 targeted, 1 one of N.
    GICV5_ISTL2E_IRM: u32 = bits(4, 4) as u32;
    /// Reserved bits of an `L2_ISTE`.
    GICV5_ISTL2E_RES0: u32 = bits(8, 5) as u32;
    /// `L2_ISTE.HWU`: for the hardware's own use.
    GICV5_ISTL2E_HWU: u32 = bits(10, 9) as u32;
    /// `L2_ISTE.Priority`; a lower value is a higher priority.
    GICV5_ISTL2E_PRIORITY: u32 = bits(15, 11) as u32;
    /// `L2_ISTE.IAFFID`: the PE that takes the interrupt.
    GICV5_ISTL2E_IAFFID: u32 = bits(31, 16) as u32;
    /// `L1_ISTE.VALID`.
    GICV5_ISTL1E_VALID: u64 = bits(0, 0);
    /// `L1_ISTE.L2_ADDR`.
    GICV5_ISTL1E_L2_ADDR: u64 = bits(55, 12);
}
