//! Device creation and device attributes: what all virtual GICs have in common.
//!
//! Source: `include/uapi/linux/kvm.h`; `arch/arm64/include/uapi/asm/kvm.h`; Documentation/virt/kvm/api.rst, sections 4.79 and 4.80.
//!
//! Rule: numbers that are arithmetic in C are arithmetic here.

constants! {
    /// All constants of this module by name.
    CONSTANTS;

    /// `kvm_create_device.type`: virtual GICv2.
    KVM_DEV_TYPE_ARM_VGIC_V2: u32 = 5;
    /// `kvm_create_device.type`: virtual GICv3.
    KVM_DEV_TYPE_ARM_VGIC_V3: u32 = 7;
    /// `kvm_create_device.type`: ITS of a virtual GICv3.
    KVM_DEV_TYPE_ARM_VGIC_ITS: u32 = 8;
    /// `kvm_create_device.type`: virtual GICv5. 15 is `KVM_DEV_TYPE_LOONGARCH_DMSINTC`.
    KVM_DEV_TYPE_ARM_VGIC_V5: u32 = 16;

    /// `kvm_create_device.flags`: only ask whether the type is supported; no device is made and `fd` is not written.
    KVM_CREATE_DEVICE_TEST: u32 = 1;

    /// ioctl number, `_IO(0xAE, 0x03)`; the argument is a capability.
    KVM_CHECK_EXTENSION: u32 = 0xae03;
    /// Capability, arm64, since Linux 6.7: which bits of ID registers user space may write.
    KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES: u32 = 230;

    /// ioctl number, `_IOWR(0xAE, 0xe0, struct kvm_create_device)`.
    KVM_CREATE_DEVICE: u32 = 0xc00c_aee0;
    /// ioctl number, `_IOW(0xAE, 0xe1, struct kvm_device_attr)`.
    KVM_SET_DEVICE_ATTR: u32 = 0x4018_aee1;
    /// ioctl number, `_IOW(0xAE, 0xe2, struct kvm_device_attr)`.
    KVM_GET_DEVICE_ATTR: u32 = 0x4018_aee2;
    /// ioctl number, `_IOW(0xAE, 0xe3, struct kvm_device_attr)`.
    KVM_HAS_DEVICE_ATTR: u32 = 0x4018_aee3;

    /// Group: guest physical addresses of the frames; `u64`.
    KVM_DEV_ARM_VGIC_GRP_ADDR: u32 = 0;
    /// Group: number of interrupts (GICv5: of SPIs); `u32`.
    KVM_DEV_ARM_VGIC_GRP_NR_IRQS: u32 = 3;
    /// Group: commands.
    KVM_DEV_ARM_VGIC_GRP_CTRL: u32 = 4;
    /// Group: CPU interface registers of one vCPU; `u64`.
    KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS: u32 = 6;

    /// `GRP_CTRL`: initialise the device.
    KVM_DEV_ARM_VGIC_CTRL_INIT: u32 = 0;

    /// `GRP_CPU_SYSREGS`: position of the packed affinity Aff3.Aff2.Aff1.Aff0 in `attr`.
    KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT: u32 = 32;
    /// `GRP_CPU_SYSREGS`: mask of the packed affinity in `attr`.
    KVM_DEV_ARM_VGIC_V3_MPIDR_MASK: u64 = 0xffff_ffff << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT;
    /// `GRP_CPU_SYSREGS`: mask of the register in `attr`; see [`sysreg_instr`].
    KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK: u64 = 0xffff;
}

/// A system register as `GRP_CPU_SYSREGS` names it: `Op0[15:14] Op1[13:11] CRn[10:7] CRm[6:3] Op2[2:0]`.
#[must_use]
pub const fn sysreg_instr(op0: u16, op1: u16, crn: u16, crm: u16, op2: u16) -> u16 {
    op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}

/// Argument of [`KVM_CREATE_DEVICE`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct kvm_create_device {
    /// In: `KVM_DEV_TYPE_*`.
    pub type_: u32,
    /// Out: the descriptor of the new device, unless [`KVM_CREATE_DEVICE_TEST`] was given.
    pub fd: u32,
    /// In: [`KVM_CREATE_DEVICE_TEST`] or 0.
    pub flags: u32,
}

/// Argument of the attribute ioctls.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct kvm_device_attr {
    /// Must be 0.
    pub flags: u32,
    /// `KVM_DEV_ARM_VGIC_GRP_*`.
    pub group: u32,
    /// Meaning depends on the group.
    pub attr: u64,
    /// User-space address of the value; its width depends on the group.
    pub addr: u64,
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<kvm_create_device>() == 12);
    assert!(offset_of!(kvm_create_device, fd) == 4);
    assert!(offset_of!(kvm_create_device, flags) == 8);
    assert!(size_of::<kvm_device_attr>() == 24);
    assert!(align_of::<kvm_device_attr>() == 8);
    assert!(offset_of!(kvm_device_attr, group) == 4);
    assert!(offset_of!(kvm_device_attr, attr) == 8);
    assert!(offset_of!(kvm_device_attr, addr) == 16);
    // The size of the argument is part of an ioctl number: bits 29:16.
    assert!((KVM_CREATE_DEVICE >> 16) & 0x3fff == size_of::<kvm_create_device>() as u32);
    assert!((KVM_SET_DEVICE_ATTR >> 16) & 0x3fff == size_of::<kvm_device_attr>() as u32);
    assert!((KVM_GET_DEVICE_ATTR >> 16) & 0x3fff == size_of::<kvm_device_attr>() as u32);
    assert!((KVM_HAS_DEVICE_ATTR >> 16) & 0x3fff == size_of::<kvm_device_attr>() as u32);
};
