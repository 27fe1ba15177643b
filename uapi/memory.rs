//! Flags of a memory slot.
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
}
