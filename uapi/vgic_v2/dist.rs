//! Offsets of the distributor registers that only a GICv2 has. All others are where a GICv3 has them:
//! [`vgic_v3::dist`](crate::uapi::vgic_v3::dist).
//!
//! Source: Arm IHI 0048, distributor register map; `include/linux/irqchip/arm-gic.h`.
//!
//! Rule: the registers that KVM implements; an array stands by its first register.

constants! {
    /// All registers by name, in the order of their offsets.
    REGISTERS;

    /// Sends SGIs, write only.
    GICD_SGIR: u32 = 0x0f00;
    /// Clear the sources of pending SGIs, 8 bits each.
    GICD_CPENDSGIR: u32 = 0x0f10;
    /// Set the sources of pending SGIs, 8 bits each.
    GICD_SPENDSGIR: u32 = 0x0f20;
}

/// Arrays: first offset, offset behind the last register, bytes from one register to the next.
pub const ARRAYS: &[(u32, u32, u32)] = &[(GICD_CPENDSGIR, 0x0f20, 4), (GICD_SPENDSGIR, 0x0f30, 4)];
