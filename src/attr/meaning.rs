//! What the kernel's error numbers mean, by operation and attribute.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst, arm-vgic-its.rst, arm-vgic-v5.rst; `arch/arm64/kvm/vgic/`.
//!
//! Rule: a meaning is what the number can mean there, after what was done before, and nothing else.

use super::Attr;
use super::command::Command;
use super::id::AttrId;
use crate::Errno;
use crate::uapi::{device as dev, vgic_v2 as v2, vgic_v3 as v3, vgic_v5 as v5};
use core::fmt;

/// What was asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `KVM_GET_DEVICE_ATTR`.
    Get,
    /// `KVM_SET_DEVICE_ATTR`.
    Set,
    /// `KVM_HAS_DEVICE_ATTR`.
    Has,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Get => "get",
            Operation::Set => "set",
            Operation::Has => "has",
        })
    }
}

/// Groups of registers.
const REGISTERS: &[u32] = &[
    v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS,
    dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS,
    v2::KVM_DEV_ARM_VGIC_GRP_CPU_REGS,
    v3::KVM_DEV_ARM_VGIC_GRP_DIST_REGS,
    v3::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
    v3::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO,
    v3::KVM_DEV_ARM_VGIC_GRP_ITS_REGS,
];

/// What is known of a device when it is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing yet.
    SettingUp,
    /// It is initialised, and has the vCPUs that were given.
    Attached,
    /// Registers of it were written just before: no vCPU was running then.
    HalfWay,
}

/// What an error number means for an operation on an attribute; empty where the kernel documents nothing.
pub(crate) fn meaning(operation: Operation, attr: AttrId, errno: Errno, stage: Stage) -> &'static str {
    use Operation::{Get, Set};
    if errno == Errno::EBUSY
        && let Some(busy) = busy(operation, attr, stage)
    {
        return busy;
    }
    if stage != Stage::SettingUp
        && let Some(attached) = attached(operation, attr, errno)
    {
        return attached;
    }
    match (operation, attr.group(), errno) {
        (Set, dev::KVM_DEV_ARM_VGIC_GRP_CTRL, Errno::EFAULT) => "there is no guest memory where a table is",
        (_, _, Errno::EFAULT) => "user memory is not accessible",
        (_, _, Errno::EIO) => "the VM is dead, or of another process",
        (_, _, Errno::EBADF) => "no such device: it was not created, or its descriptor is closed",
        (_, _, Errno::EPERM) => "denied, by a seccomp filter or a security module",
        (_, _, Errno::ENOTTY) => "not a KVM device, or not of this kind",

        (_, v5::KVM_DEV_ARM_VGIC_GRP_IST, Errno::EINVAL) => {
            "a table does not have the size that follows from NR_IRQS, IRS_IST_CFGR and IRS_IST_BASER, or IRS_IST_CFGR is illegal"
        }
        (Get, v5::KVM_DEV_ARM_VGIC_GRP_IST, Errno::ENXIO) => {
            "IRS_IST_BASER was restored and the tables were not, or the kernel's own tables disagree"
        }
        (Set, v5::KVM_DEV_ARM_VGIC_GRP_IST, Errno::ENXIO) => "the kernel has no such table, or its own tables disagree",
        (Get, v5::KVM_DEV_ARM_VGIC_GRP_IST, Errno::ETIMEDOUT) => "the hardware did not finish saving the VM",
        (Set, v5::KVM_DEV_ARM_VGIC_GRP_IST, Errno::ETIMEDOUT) => "the hardware did not take the tables; the VM may be dead",

        (_, v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS, Errno::ENXIO) => "the IRS has no address yet, or KVM has no such register",
        (Get, v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS, Errno::EINVAL) => "the VM has no vCPU, or the offset is not aligned",
        (Set, v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS, Errno::EINVAL) => irs_value(attr.attr() as u32, stage),
        (Set, dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, Errno::EINVAL) => {
            "no vCPU has this affinity, or this host's CPU interface cannot have the value or the register"
        }
        (_, dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, Errno::EINVAL) => "no vCPU has this affinity",
        (_, dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, Errno::ENOENT | Errno::ENXIO) => "KVM has no such register",

        (Set, dev::KVM_DEV_ARM_VGIC_GRP_NR_IRQS, Errno::EBUSY) => "already set, or the device is already initialised",
        (Set, dev::KVM_DEV_ARM_VGIC_GRP_NR_IRQS, Errno::EINVAL) => "not a number of SPIs that this kernel accepts",
        (Set, dev::KVM_DEV_ARM_VGIC_GRP_ADDR, Errno::EEXIST) => "already set",
        (Set, dev::KVM_DEV_ARM_VGIC_GRP_ADDR, Errno::EINVAL) if attr.attr() <= v2::KVM_VGIC_V2_ADDR_TYPE_CPU => {
            "not aligned to 4 KiB, or beyond the end of the address space"
        }
        (Set, dev::KVM_DEV_ARM_VGIC_GRP_ADDR, Errno::EINVAL) => "not aligned to 64 KiB, or beyond the end of the address space",
        (Set, dev::KVM_DEV_ARM_VGIC_GRP_ADDR, Errno::E2BIG) => "beyond the guest physical address space",
        (_, dev::KVM_DEV_ARM_VGIC_GRP_ADDR, Errno::ENXIO) => "not an address of this kind of device",
        (Set, _, Errno::EBUSY) if attr == Command::ItsReset.id() => "a vCPU is in KVM_RUN or in another ioctl",
        (Set, _, errno) if attr == Command::ItsRestoreTables.id() => match errno {
            Errno::EBUSY => "a vCPU is in KVM_RUN or in another ioctl",
            Errno::EINVAL => "the tables contradict themselves or the registers",
            Errno::EEXIST => "a collection is there twice, or the tables were restored before",
            Errno::ENXIO => "the ITS has no address yet",
            _ => "",
        },
        (Set, _, errno) if [Command::ItsSaveTables, Command::SavePendingTables].map(Command::id).contains(&attr) => match errno {
            Errno::EBUSY => "a vCPU is in KVM_RUN or in another ioctl",
            Errno::EINVAL => "a table has no place for what the guest has mapped",
            Errno::EACCES => "an LPI is forwarded to a GICv4, whose pending state cannot be read",
            Errno::ENXIO => "the device has no address yet, or no such command",
            _ => "",
        },
        (Set, dev::KVM_DEV_ARM_VGIC_GRP_CTRL, Errno::EBUSY) => "a vCPU is being created",
        (Set, dev::KVM_DEV_ARM_VGIC_GRP_CTRL, Errno::ENODEV) => "the VM has no vCPU",
        (Set, dev::KVM_DEV_ARM_VGIC_GRP_CTRL, Errno::EINVAL) => "a vCPU has EL2, which a virtual GICv5 does not support",
        (Set, dev::KVM_DEV_ARM_VGIC_GRP_CTRL, Errno::E2BIG) => "a vcpu_id is beyond what the host supports",
        (Set, dev::KVM_DEV_ARM_VGIC_GRP_CTRL, Errno::ENOSPC) => "the host has no VM id left",

        (_, v2::KVM_DEV_ARM_VGIC_GRP_CPU_REGS, Errno::EINVAL) => "the VM has no such vCPU",
        (_, v2::KVM_DEV_ARM_VGIC_GRP_DIST_REGS, Errno::EINVAL) if attr.cpu_id().is_some() => "the VM has no such vCPU",
        (Get, v3::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS | v3::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, Errno::EINVAL) => {
            "no vCPU has this affinity"
        }
        (Get, v3::KVM_DEV_ARM_VGIC_GRP_DIST_REGS, Errno::EINVAL) => "the VM has no such vCPU",
        (
            Set,
            v3::KVM_DEV_ARM_VGIC_GRP_DIST_REGS
            | v3::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
            | v3::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO
            | v3::KVM_DEV_ARM_VGIC_GRP_ITS_REGS,
            Errno::EINVAL,
        ) => "not a value that this kernel can have here",
        (_, v3::KVM_DEV_ARM_VGIC_GRP_ITS_REGS, Errno::ENXIO) => "the ITS has no address yet, or KVM has no such register",

        (_, _, Errno::EACCES) => "denied, by a security module",
        (_, _, Errno::ENOMEM) => "the host has no memory left",
        (_, _, Errno::ETIMEDOUT) => "the hardware did not answer",
        (_, _, Errno::ENXIO) => "KVM has no such attribute",
        _ => "",
    }
}

/// Why KVM refuses a value of an IRS register of a VM that has vCPUs.
fn irs_value(offset: u32, stage: Stage) -> &'static str {
    use v5::irs::{GICV5_IRS_IDR0, GICV5_IRS_IDR7, GICV5_IRS_IST_BASER, GICV5_IRS_IST_CFGR};
    match (offset, stage) {
        // A restore compares these with the device's own before its first step, the one of IRS_IDR0.
        (GICV5_IRS_IDR0, Stage::Attached) | (GICV5_IRS_IDR0..=GICV5_IRS_IDR7, Stage::HalfWay) => {
            return "compared before with what the device shows of itself, the value fits; the kernel refuses it nonetheless";
        }
        // It has read VALID = 0 then.
        (GICV5_IRS_IST_BASER | GICV5_IRS_IST_CFGR, Stage::HalfWay) => {
            return "the value is one that KVM has, and the device had no LPI table before the restore; the kernel refuses it nonetheless";
        }
        _ => {}
    }
    match offset {
        v5::irs::GICV5_IRS_IDR0 => {
            "INT_DOM is not Non-secure, or the guest was shown a feature that KVM does not offer, bits 12 to 6"
        }
        v5::irs::GICV5_IRS_IDR1 => {
            "IAFFID_BITS does not follow from the greatest vcpu_id of this VM, or PRIORITY_BITS is above the host's"
        }
        v5::irs::GICV5_IRS_IDR2 => {
            "LPI is clear, IST_LEVELS, ISTMD or ISTMD_SZ is set, ID_BITS is above the host's, or MIN_LPI_ID_BITS is below the host's or \
             above ID_BITS"
        }
        v5::irs::GICV5_IRS_IDR5 | v5::irs::GICV5_IRS_IDR6 | v5::irs::GICV5_IRS_IDR7 => "not that of this VM's number of SPIs",
        v5::irs::GICV5_IRS_IST_BASER => "the VM has an LPI table already, with another ADDR or VALID: it was restored before",
        v5::irs::GICV5_IRS_IST_CFGR => {
            "the VM has an LPI table already, with another LPI_ID_BITS, L2SZ, ISTSZ or STRUCTURE: it was restored before"
        }
        _ => "KVM documents no value of this register that it refuses",
    }
}

/// Why the VM is busy, if it is a register or a table that is accessed.
fn busy(operation: Operation, attr: AttrId, stage: Stage) -> Option<&'static str> {
    use Operation::Set;
    let group = attr.group();
    Some(match (operation, stage) {
        // That there is no LPI table was read before the first step.
        (Set, Stage::HalfWay) if group == v5::KVM_DEV_ARM_VGIC_GRP_IST => {
            "a vCPU entered KVM_RUN or another ioctl since the step before"
        }
        // Registers were read just before, whatever the stage.
        (Set, _) if group == v5::KVM_DEV_ARM_VGIC_GRP_IST => {
            "the device already has an LPI table, a vCPU has run, or one entered KVM_RUN or another ioctl since registers were read"
        }
        (_, _) if group == v5::KVM_DEV_ARM_VGIC_GRP_IST => {
            "the interrupts of the VM did not come to rest: stop whatever injects interrupts; or a vCPU entered KVM_RUN or another ioctl \
             since registers were read"
        }
        (_, _) if !REGISTERS.contains(&group) => return None,
        (Set, Stage::HalfWay) if attr == Attr::its(v3::its::GITS_CREADR).id() => {
            "the guest's ITS was enabled, or a vCPU entered KVM_RUN or another ioctl, since the step before"
        }
        (_, Stage::HalfWay) => "a vCPU entered KVM_RUN or another ioctl since the step before",
        (Set, Stage::Attached) if group == v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS => {
            "a vCPU is in KVM_RUN or in another ioctl, or has run"
        }
        (_, Stage::Attached) => "a vCPU is in KVM_RUN or in another ioctl",
        (_, Stage::SettingUp) => "a vCPU is in KVM_RUN or in another ioctl, or the device is not initialised",
    })
}

/// What is left of a meaning once the device is known to be initialised and to have the vCPUs.
fn attached(operation: Operation, attr: AttrId, errno: Errno) -> Option<&'static str> {
    use Operation::{Get, Set};
    Some(match (operation, attr.group(), errno) {
        (Set, dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, Errno::EINVAL) => {
            "this host's CPU interface cannot have the value or the register"
        }
        // The vCPU is there, and the offset is aligned.
        (Get, group, Errno::EINVAL) if REGISTERS.contains(&group) => "",
        (_, v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS | v3::KVM_DEV_ARM_VGIC_GRP_ITS_REGS, Errno::ENXIO) => "KVM has no such register",
        _ => return None,
    })
}
