//! Offsets of the CPU interface registers.
//!
//! Source: Arm IHI 0048, CPU interface register map; `include/linux/irqchip/arm-gic.h`.
//!
//! Rule: an array stands by its first register. User space has CTLR, PMR, BPR, ABPR, APR and IIDR; the others are a guest's alone.

constants! {
    /// All registers by name, in the order of their offsets.
    REGISTERS;

    /// Enables, EOI mode.
    GICC_CTLR: u32 = 0x0000;
    /// Priority mask; user space has its upper five bits as bits `[4:0]`.
    GICC_PMR: u32 = 0x0004;
    /// Binary point.
    GICC_BPR: u32 = 0x0008;
    /// Acknowledge, read only.
    GICC_IAR: u32 = 0x000c;
    /// End of interrupt, write only.
    GICC_EOIR: u32 = 0x0010;
    /// Running priority, read only.
    GICC_RPR: u32 = 0x0014;
    /// Highest priority pending interrupt, read only.
    GICC_HPPIR: u32 = 0x0018;
    /// Binary point of group 1.
    GICC_ABPR: u32 = 0x001c;
    /// Acknowledge of group 1, read only.
    GICC_AIAR: u32 = 0x0020;
    /// End of interrupt of group 1, write only.
    GICC_AEOIR: u32 = 0x0024;
    /// Active priorities, four registers.
    GICC_APR: u32 = 0x00d0;
    /// Implementer and architecture version, read only.
    GICC_IIDR: u32 = 0x00fc;
    /// Deactivate, write only.
    GICC_DIR: u32 = 0x1000;
}

/// Arrays: first offset, offset behind the last register, bytes from one register to the next.
pub const ARRAYS: &[(u32, u32, u32)] = &[(GICC_APR, 0x00e0, 4)];
