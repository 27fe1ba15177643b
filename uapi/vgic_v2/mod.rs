//! The virtual GICv2: attribute groups; registers in the files beside this one.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst; `arch/arm64/include/uapi/asm/kvm.h`. Register semantics: Arm Generic Interrupt
//! Controller Architecture Specification, version 2.0 (IHI 0048).
//!
//! Rule: C names and C numbers; one file per frame.

pub mod cpu;
pub mod dist;

constants! {
    /// All constants of this module by name.
    CONSTANTS;

    /// `GRP_ADDR`: base of the distributor, 4 KiB aligned.
    KVM_VGIC_V2_ADDR_TYPE_DIST: u64 = 0;
    /// `GRP_ADDR`: base of the CPU interface, 4 KiB aligned; every vCPU finds its own there.
    KVM_VGIC_V2_ADDR_TYPE_CPU: u64 = 1;

    /// Bytes of the distributor.
    KVM_VGIC_V2_DIST_SIZE: u64 = 0x1000;
    /// Bytes of the CPU interface.
    KVM_VGIC_V2_CPU_SIZE: u64 = 0x2000;

    /// Group: distributor registers by vCPU and offset; `u32`. The same number as that of a GICv3.
    KVM_DEV_ARM_VGIC_GRP_DIST_REGS: u32 = 1;
    /// Group: CPU interface registers by vCPU and offset; `u32`.
    KVM_DEV_ARM_VGIC_GRP_CPU_REGS: u32 = 2;

    /// Position of the vCPU in `attr`.
    KVM_DEV_ARM_VGIC_CPUID_SHIFT: u32 = 32;
    /// Mask of the vCPU in `attr`.
    KVM_DEV_ARM_VGIC_CPUID_MASK: u64 = 0xff << KVM_DEV_ARM_VGIC_CPUID_SHIFT;
    /// Mask of the offset in `attr`.
    KVM_DEV_ARM_VGIC_OFFSET_MASK: u64 = 0xffff_ffff;
}

/// vCPUs that a VM with a GICv2 can have, and the limit of their ids: `VGIC_V2_MAX_CPUS`.
pub const VGIC_V2_MAX_CPUS: u32 = 8;
