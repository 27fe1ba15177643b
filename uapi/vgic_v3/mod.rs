//! The virtual GICv3 and its ITS: attribute groups and commands; registers in the files beside this one.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst; `arch/arm64/include/uapi/asm/kvm.h`. Register
//! semantics: Arm Generic Interrupt Controller Architecture Specification, GICv3 and GICv4 (IHI 0069).
//!
//! Rule: C names and C numbers; one file per frame.

pub mod dist;
pub mod icc;
pub mod ich;
pub mod its;
pub mod redist;

constants! {
    /// All constants of this module by name.
    CONSTANTS;

    /// `GRP_ADDR`: base of the distributor, 64 KiB aligned.
    KVM_VGIC_V3_ADDR_TYPE_DIST: u64 = 2;
    /// `GRP_ADDR`: base of one contiguous region of all redistributors, 64 KiB aligned.
    KVM_VGIC_V3_ADDR_TYPE_REDIST: u64 = 3;
    /// `GRP_ADDR`: base of the ITS, 64 KiB aligned.
    KVM_VGIC_ITS_ADDR_TYPE: u64 = 4;
    /// `GRP_ADDR`: one of several redistributor regions: `count[63:52] base[51:16] flags[15:12] index[11:0]`.
    KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION: u64 = 5;

    /// Bytes of the distributor.
    KVM_VGIC_V3_DIST_SIZE: u64 = 0x1_0000;
    /// Bytes of one redistributor: RD frame, then SGI frame, 64 KiB each.
    KVM_VGIC_V3_REDIST_SIZE: u64 = 0x2_0000;
    /// Bytes of an ITS: control frame, then translation frame, 64 KiB each.
    KVM_VGIC_V3_ITS_SIZE: u64 = 0x2_0000;

    /// Group: distributor registers by offset; `u32`.
    KVM_DEV_ARM_VGIC_GRP_DIST_REGS: u32 = 1;
    /// Group: redistributor registers of one vCPU by offset in both frames; `u32`.
    KVM_DEV_ARM_VGIC_GRP_REDIST_REGS: u32 = 5;
    /// Group: line levels of 32 interrupts; `u32`.
    KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO: u32 = 7;
    /// Group: ITS registers by offset; always `u64`.
    KVM_DEV_ARM_VGIC_GRP_ITS_REGS: u32 = 8;
    /// Group: INTID of the maintenance interrupt (nested virtualization), a PPI; `u32`, set before INIT.
    KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ: u32 = 9;

    /// `GRP_CTRL` of an ITS: write the tables to guest memory.
    KVM_DEV_ARM_ITS_SAVE_TABLES: u32 = 1;
    /// `GRP_CTRL` of an ITS: read the tables from guest memory.
    KVM_DEV_ARM_ITS_RESTORE_TABLES: u32 = 2;
    /// `GRP_CTRL` of a GICv3: write the LPI pending bits to guest memory.
    KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES: u32 = 3;
    /// `GRP_CTRL` of an ITS: back to the state after `INIT`.
    KVM_DEV_ARM_ITS_CTRL_RESET: u32 = 4;

    /// `GRP_LEVEL_INFO`: position of the kind of information in `attr`.
    KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT: u32 = 10;
    /// `GRP_LEVEL_INFO`: mask of the kind of information in `attr`.
    KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_MASK: u32 = 0x3f_ffff << KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT;
    /// `GRP_LEVEL_INFO`: mask of the first of the 32 INTIDs in `attr`.
    KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK: u32 = 0x3ff;
    /// `GRP_LEVEL_INFO`: the line levels, one bit each.
    VGIC_LEVEL_INFO_LINE_LEVEL: u32 = 0;
}
