//! Memory slots: their flags, and the ioctls that set them and fetch their dirty logs.
//!
//! Source: `include/uapi/linux/kvm.h`; Documentation/virt/kvm/api.rst, `KVM_SET_USER_MEMORY_REGION`.
//!
//! Rule: those that every kernel with a virtual GIC has, and no other.

constants! {
    /// All constants of this module by name.
    CONSTANTS;

    /// `kvm_userspace_memory_region.flags`: KVM keeps a bitmap of the pages that are written.
    KVM_MEM_LOG_DIRTY_PAGES: u32 = 1 << 0;
    /// `kvm_userspace_memory_region.flags`: a write by the guest exits to user space; one by KVM fails.
    KVM_MEM_READONLY: u32 = 1 << 1;

    /// ioctl number, `_IOW(0xAE, 0x42, struct kvm_dirty_log)`.
    KVM_GET_DIRTY_LOG: u32 = 0x4010_ae42;
    /// ioctl number, `_IOW(0xAE, 0x46, struct kvm_userspace_memory_region)`.
    KVM_SET_USER_MEMORY_REGION: u32 = 0x4020_ae46;
}

/// Argument of [`KVM_SET_USER_MEMORY_REGION`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct kvm_userspace_memory_region {
    /// Number of the slot.
    pub slot: u32,
    /// [`KVM_MEM_LOG_DIRTY_PAGES`], [`KVM_MEM_READONLY`].
    pub flags: u32,
    /// Guest physical address of the first byte.
    pub guest_phys_addr: u64,
    /// In bytes; 0 deletes the slot.
    pub memory_size: u64,
    /// User-space address of the memory.
    pub userspace_addr: u64,
}

/// Argument of [`KVM_GET_DIRTY_LOG`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct kvm_dirty_log {
    /// Number of the slot.
    pub slot: u32,
    /// Not used.
    pub padding1: u32,
    /// User-space address of a bitmap: one bit for each page of the host, rounded up to 64.
    pub dirty_bitmap: u64,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(offset_of!(kvm_userspace_memory_region, guest_phys_addr) == 8);
    assert!(offset_of!(kvm_userspace_memory_region, memory_size) == 16);
    assert!(offset_of!(kvm_userspace_memory_region, userspace_addr) == 24);
    assert!(offset_of!(kvm_dirty_log, dirty_bitmap) == 8);
    // The size of the argument is part of an ioctl number: bits 29:16.
    assert!((KVM_SET_USER_MEMORY_REGION >> 16) & 0x3fff == size_of::<kvm_userspace_memory_region>() as u32);
    assert!((KVM_GET_DIRTY_LOG >> 16) & 0x3fff == size_of::<kvm_dirty_log>() as u32);
};
