//! The numbers and layouts of [`uapi`](crate::uapi) beside those of kvm-bindings.
//!
//! Source: kvm-bindings, which bindgen makes out of the kernel's headers.
//!
//! Rule: compiles only where both are the same. kvm-bindings has no GICv5 yet.

const _: () = {
    use crate::uapi::device as dev;
    use crate::uapi::memory as mem;
    use core::mem::offset_of;
    use kvm_bindings as kb;
    assert!(dev::KVM_DEV_TYPE_ARM_VGIC_V2 == kb::kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2);
    assert!(dev::KVM_DEV_TYPE_ARM_VGIC_V3 == kb::kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3);
    assert!(dev::KVM_DEV_TYPE_ARM_VGIC_ITS == kb::kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS);
    assert!(dev::KVM_CREATE_DEVICE_TEST == kb::KVM_CREATE_DEVICE_TEST);
    assert!(dev::KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES == kb::KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES);
    assert!(mem::KVM_MEM_LOG_DIRTY_PAGES == kb::KVM_MEM_LOG_DIRTY_PAGES);
    assert!(mem::KVM_MEM_READONLY == kb::KVM_MEM_READONLY);
    assert!(size_of::<dev::kvm_create_device>() == size_of::<kb::kvm_create_device>());
    assert!(offset_of!(dev::kvm_create_device, type_) == offset_of!(kb::kvm_create_device, type_));
    assert!(offset_of!(dev::kvm_create_device, fd) == offset_of!(kb::kvm_create_device, fd));
    assert!(offset_of!(dev::kvm_create_device, flags) == offset_of!(kb::kvm_create_device, flags));
    assert!(size_of::<dev::kvm_device_attr>() == size_of::<kb::kvm_device_attr>());
    assert!(offset_of!(dev::kvm_device_attr, flags) == offset_of!(kb::kvm_device_attr, flags));
    assert!(offset_of!(dev::kvm_device_attr, group) == offset_of!(kb::kvm_device_attr, group));
    assert!(offset_of!(dev::kvm_device_attr, attr) == offset_of!(kb::kvm_device_attr, attr));
    assert!(offset_of!(dev::kvm_device_attr, addr) == offset_of!(kb::kvm_device_attr, addr));
    assert!(size_of::<mem::kvm_userspace_memory_region>() == size_of::<kb::kvm_userspace_memory_region>());
    assert!(
        offset_of!(mem::kvm_userspace_memory_region, guest_phys_addr)
            == offset_of!(kb::kvm_userspace_memory_region, guest_phys_addr)
    );
    assert!(offset_of!(mem::kvm_userspace_memory_region, memory_size) == offset_of!(kb::kvm_userspace_memory_region, memory_size));
    assert!(
        offset_of!(mem::kvm_userspace_memory_region, userspace_addr) == offset_of!(kb::kvm_userspace_memory_region, userspace_addr)
    );
    assert!(size_of::<mem::kvm_dirty_log>() == size_of::<kb::kvm_dirty_log>());
};

#[cfg(target_arch = "aarch64")]
const _: () = {
    use crate::uapi::{device as dev, vgic_v2 as v2, vgic_v3 as v3};
    use kvm_bindings as kb;
    assert!(v2::KVM_VGIC_V2_ADDR_TYPE_DIST == kb::KVM_VGIC_V2_ADDR_TYPE_DIST as u64);
    assert!(v2::KVM_VGIC_V2_ADDR_TYPE_CPU == kb::KVM_VGIC_V2_ADDR_TYPE_CPU as u64);
    assert!(v2::KVM_VGIC_V2_DIST_SIZE == kb::KVM_VGIC_V2_DIST_SIZE as u64);
    assert!(v2::KVM_VGIC_V2_CPU_SIZE == kb::KVM_VGIC_V2_CPU_SIZE as u64);
    assert!(v2::KVM_DEV_ARM_VGIC_GRP_DIST_REGS == kb::KVM_DEV_ARM_VGIC_GRP_DIST_REGS);
    assert!(v2::KVM_DEV_ARM_VGIC_GRP_CPU_REGS == kb::KVM_DEV_ARM_VGIC_GRP_CPU_REGS);
    assert!(v2::KVM_DEV_ARM_VGIC_CPUID_SHIFT == kb::KVM_DEV_ARM_VGIC_CPUID_SHIFT);
    assert!(v2::KVM_DEV_ARM_VGIC_CPUID_MASK == kb::KVM_DEV_ARM_VGIC_CPUID_MASK);
    assert!(v2::KVM_DEV_ARM_VGIC_OFFSET_MASK == kb::KVM_DEV_ARM_VGIC_OFFSET_MASK as u64);
    assert!(v3::KVM_VGIC_V3_ADDR_TYPE_DIST == kb::KVM_VGIC_V3_ADDR_TYPE_DIST as u64);
    assert!(v3::KVM_VGIC_V3_ADDR_TYPE_REDIST == kb::KVM_VGIC_V3_ADDR_TYPE_REDIST as u64);
    assert!(v3::KVM_VGIC_ITS_ADDR_TYPE == kb::KVM_VGIC_ITS_ADDR_TYPE as u64);
    assert!(v3::KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION == kb::KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION as u64);
    assert!(v3::KVM_DEV_ARM_VGIC_GRP_DIST_REGS == kb::KVM_DEV_ARM_VGIC_GRP_DIST_REGS);
    assert!(v3::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS == kb::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS);
    assert!(v3::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO == kb::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO);
    assert!(v3::KVM_DEV_ARM_VGIC_GRP_ITS_REGS == kb::KVM_DEV_ARM_VGIC_GRP_ITS_REGS);
    assert!(v3::KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ == kb::KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ);
    assert!(v3::KVM_DEV_ARM_ITS_SAVE_TABLES == kb::KVM_DEV_ARM_ITS_SAVE_TABLES);
    assert!(v3::KVM_DEV_ARM_ITS_RESTORE_TABLES == kb::KVM_DEV_ARM_ITS_RESTORE_TABLES);
    assert!(v3::KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES == kb::KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES);
    assert!(v3::KVM_DEV_ARM_ITS_CTRL_RESET == kb::KVM_DEV_ARM_ITS_CTRL_RESET);
    assert!(v3::KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT == kb::KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT);
    assert!(v3::KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_MASK == kb::KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_MASK);
    assert!(v3::KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK == kb::KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK);
    assert!(v3::VGIC_LEVEL_INFO_LINE_LEVEL == kb::VGIC_LEVEL_INFO_LINE_LEVEL);
    assert!(dev::KVM_DEV_ARM_VGIC_GRP_ADDR == kb::KVM_DEV_ARM_VGIC_GRP_ADDR);
    assert!(dev::KVM_DEV_ARM_VGIC_GRP_NR_IRQS == kb::KVM_DEV_ARM_VGIC_GRP_NR_IRQS);
    assert!(dev::KVM_DEV_ARM_VGIC_GRP_CTRL == kb::KVM_DEV_ARM_VGIC_GRP_CTRL);
    assert!(dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS == kb::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS);
    assert!(dev::KVM_DEV_ARM_VGIC_CTRL_INIT == kb::KVM_DEV_ARM_VGIC_CTRL_INIT);
    assert!(dev::KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT == kb::KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT);
    // bindgen made a signed number of it
    assert!(dev::KVM_DEV_ARM_VGIC_V3_MPIDR_MASK == kb::KVM_DEV_ARM_VGIC_V3_MPIDR_MASK as u64);
    assert!(dev::KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK == kb::KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK as u64);
};
