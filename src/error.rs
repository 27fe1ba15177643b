//! Everything that can go wrong, in the words of who must act on it.
//!
//! Source of the meanings: Documentation/virt/kvm/devices/arm-vgic-v5.rst and `arch/arm64/kvm/vgic/`, Linux 7.4.
//!
//! Rule: an error of the kernel names the operation, the register, the vCPU, the error number and what that number means there; after
//! a restore that failed half-way it says what is already applied.

use crate::buffer::BufferError;
use crate::check::Refusal;
use crate::image::ImageError;
use crate::its::TableError;
use crate::shadow::ShadowError;
use crate::topology::{TopologyError, Vcpu};
use crate::uapi::{device as dev, vgic_v3 as v3, vgic_v5 as v5};
use crate::{AttrId, Command, Errno};
use alloc::boxed::Box;
use core::fmt;

/// Why a virtual GIC could not be set up, saved or restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused an access.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The kernel accepted a write and did not do it.
    #[error(transparent)]
    ReadBack(#[from] ReadBackError),
    /// The device says what no device of this kind can say.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A buffer of the caller does not have the right size. At most registers were read to find out; nothing was transferred.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// The bytes are not an image that can be read. Nothing was accessed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The state cannot be restored on this device. Nothing was accessed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The description of the VM is impossible. Nothing was accessed.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// What the kernel wrote as tables cannot be read, or is not what it has mapped.
    #[error(transparent)]
    Tables(#[from] TableError),
    /// In a restore: the tables of the state cannot be written into shadow memory.
    #[error("{error}{}", AfterShadow(Some(*applied)))]
    TablesNotBuilt {
        /// Why not.
        error: Box<TableError>,
        /// What was done before.
        applied: Applied,
    },
    /// The tables are to go into the image, and were not flushed since the last save, which may have failed:
    /// [`flush_tables`](crate::DynInterruptState::flush_tables).
    #[error("the tables are to go into the image: flush them before each save")]
    NotFlushed,
    /// Guest memory could not be diverted to shadow memory, or not be put back.
    #[error("{error}{}", AfterShadow(*applied))]
    Shadow {
        /// What happened.
        error: ShadowError,
        /// In a restore: what was done before.
        applied: Option<Applied>,
    },
}

impl From<ShadowError> for Error {
    fn from(error: ShadowError) -> Self {
        Error::Shadow { error, applied: None }
    }
}

/// What was done before guest memory could not be diverted.
struct AfterShadow(Option<Applied>);

impl fmt::Display for AfterShadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(applied) = &self.0 else { return Ok(()) };
        applied.describe(f)?;
        applied.conclude(f)
    }
}

impl Error {
    /// After a restore that failed: whether another VM can be restored on the same guest memory. False once the kernel may have taken
    /// pending bits out of it.
    #[must_use]
    pub const fn can_retry_on_same_memory(&self) -> bool {
        match self {
            Error::Access(AccessError { applied: Some(applied), .. }) => applied.can_retry_on_same_memory(),
            Error::ReadBack(error) => error.applied.can_retry_on_same_memory(),
            Error::Shadow { applied: Some(applied), .. } | Error::TablesNotBuilt { applied, .. } => {
                applied.can_retry_on_same_memory()
            }
            _ => true,
        }
    }
}

/// A device that contradicts its specification or is not set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// `NR_IRQS` reads 0.
    #[error("the device has no SPIs yet: it must be initialised (GRP_CTRL, INIT) before state is saved or restored")]
    NotInitialised,
    /// A VM with LPIs and no ITS given, or the other way: state would be lost. By `GICD_TYPER.LPIS`.
    #[error("the VM has {its}, {given} were given", its = if *lpis { "ITSes" } else { "no ITS" })]
    ItsMissing {
        /// Whether the VM has ITSes.
        lpis: bool,
        /// ITSes that the backend was given.
        given: usize,
    },
    /// Two ITSes at one address, or the same one twice.
    #[error("two ITSes at {base:#x} were given")]
    ItsTwice {
        /// Guest physical address.
        base: u64,
    },
    /// More ITSes than an image can hold.
    #[error("{given} ITSes were given, at most 64 are possible")]
    TooManyIts {
        /// ITSes that the backend was given.
        given: usize,
    },
    /// No vCPU that was given has the last redistributor of a region (`GICR_TYPER.Last`): one is missing, or the redistributors have
    /// no address yet.
    #[error("none of the vCPUs given has the last redistributor: one is missing, or the redistributors have no address yet")]
    LastVcpuMissing,
    /// A redistributor that names its vCPU otherwise (`GICR_TYPER`).
    #[error("{vcpu} was given, its redistributor says GICR_TYPER = {typer:#x}")]
    OtherVcpu {
        /// The vCPU as it was given.
        vcpu: Vcpu,
        /// What the device says.
        typer: u64,
    },
    /// The VM has another number of vCPUs than the backend was given: state of the others would be lost.
    #[error("the VM has {device} vCPUs, {given} were given")]
    Vcpus {
        /// vCPUs of the VM, by `IRS_IDR1.PE_CNT`.
        device: usize,
        /// vCPUs that the backend was given.
        given: usize,
    },
    /// A value that the interface does not allow.
    #[error("the device reports {attr} = {value:#x}: {reason}")]
    Impossible {
        /// What was read.
        attr: AttrId,
        /// Its value.
        value: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

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

/// How far a restore had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// Steps that are done. A register that had its value already counts.
    pub done: usize,
    /// Steps that the whole restore consists of.
    pub total: usize,
    /// The last step that is done.
    pub last: Option<AttrId>,
    /// The kernel may have taken pending bits out of guest memory: a restore of a new VM needs guest memory as it was before.
    pub memory_consumed: bool,
}

impl Applied {
    /// Whether another VM can be restored on the same guest memory.
    #[must_use]
    pub const fn can_retry_on_same_memory(&self) -> bool {
        !self.memory_consumed
    }

    /// What is done, and what that means for the VM and for another try.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            None => f.write_str("; nothing is done yet"),
            Some(last) => write!(f, "; {} of {} steps are done, the last one {last}", self.done, self.total),
        }
    }

    fn conclude(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.last, self.memory_consumed) {
            (None, _) => Ok(()),
            (Some(_), false) => f.write_str(": discard this VM"),
            (Some(_), true) => f.write_str(": discard this VM and its memory, pending LPIs may have been taken out of it"),
        }
    }
}

/// A write that the kernel accepted and did not do: the register reads otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBackError {
    /// The register.
    pub attr: AttrId,
    /// Guest physical address of the ITS that it belongs to.
    pub its: Option<u64>,
    /// What was written, of the bits that are compared.
    pub written: u64,
    /// What the register reads.
    pub found: u64,
    /// What was written before.
    pub applied: Applied,
}

impl fmt::Display for ReadBackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set {}{}: {:#x} was written, {:#x} reads back", self.attr, OfIts(self.its), self.written, self.found)?;
        self.applied.describe(f)?;
        self.applied.conclude(f)
    }
}

impl ReadBackError {
    /// Whether the kernel keeps a newer revision of its distributor than was written.
    pub(crate) fn is_newer_revision(&self) -> bool {
        let register = crate::Attr::dist(v3::dist::GICD_IIDR).id();
        self.attr == register && (self.written ^ self.found) & !0xf000 == 0 && self.found > self.written
    }
}

impl core::error::Error for ReadBackError {}

/// Names an ITS behind its register.
struct OfIts(Option<u64>);

impl fmt::Display for OfIts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(base) => write!(f, " of ITS {base:#x}"),
            None => Ok(()),
        }
    }
}

/// An access that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessError {
    /// Get or set.
    pub operation: Operation,
    /// The register or table, and the vCPU it belongs to.
    pub attr: AttrId,
    /// Guest physical address of the ITS that it belongs to.
    pub its: Option<u64>,
    /// The kernel's error number, as it came.
    pub errno: Errno,
    /// How often the access was tried.
    pub attempts: u32,
    /// During a restore: what was written before. Once anything was, the VM must not run; throw it away.
    pub applied: Option<Applied>,
}

impl AccessError {
    pub(crate) fn new(operation: Operation, attr: AttrId, errno: Errno) -> Self {
        AccessError { operation, attr, its: None, errno, attempts: 1, applied: None }
    }

    /// What the error number means for this operation and register; empty where the kernel documents nothing.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        use Operation::{Get, Set};
        match (self.operation, self.attr.group(), self.errno) {
            (Set, dev::KVM_DEV_ARM_VGIC_GRP_CTRL, Errno::EFAULT) => "there is no guest memory where a table is",
            (_, _, Errno::EFAULT) => "user memory is not accessible",
            (_, _, Errno::EIO) => "the VM is dead",
            (_, _, Errno::ENOTTY) => "not a KVM device, or not of this kind",

            (Get, v5::KVM_DEV_ARM_VGIC_GRP_IST, Errno::EBUSY) => {
                "a vCPU is in KVM_RUN or in another ioctl, the device is not initialised, or the interrupts of the VM did not come to \
                 rest: stop whatever injects interrupts"
            }
            (Set, v5::KVM_DEV_ARM_VGIC_GRP_IST, Errno::EBUSY) => {
                "a vCPU is in KVM_RUN or in another ioctl or has run, the device is not initialised, or it already has an LPI table"
            }
            (_, v5::KVM_DEV_ARM_VGIC_GRP_IST, Errno::EINVAL) => {
                "a table does not have the size that follows from NR_IRQS, IRS_IST_CFGR and IRS_IST_BASER, or IRS_IST_CFGR is illegal"
            }
            (Get, v5::KVM_DEV_ARM_VGIC_GRP_IST, Errno::ENXIO) => {
                "IRS_IST_BASER was restored and the tables were not, or the kernel's own tables disagree"
            }
            (Set, v5::KVM_DEV_ARM_VGIC_GRP_IST, Errno::ENXIO) => "the kernel has no such table, or its own tables disagree",
            (Get, v5::KVM_DEV_ARM_VGIC_GRP_IST, Errno::ETIMEDOUT) => "the hardware did not finish saving the VM",
            (Set, v5::KVM_DEV_ARM_VGIC_GRP_IST, Errno::ETIMEDOUT) => "the hardware did not take the tables; the VM may be dead",

            (Get, v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS | dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, Errno::EBUSY) => {
                "a vCPU is in KVM_RUN or in another ioctl, or the device is not initialised"
            }
            (Set, v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS | dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, Errno::EBUSY) => {
                "a vCPU is in KVM_RUN or in another ioctl or has run, or the device is not initialised"
            }
            (_, v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS, Errno::ENXIO) => "the IRS has no address yet, or KVM has no such register",
            (Get, v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS, Errno::EINVAL) => "the VM has no vCPU, or the offset is not aligned",
            (Set, v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS, Errno::EINVAL) => {
                "the VM has no vCPU, or the value is not one that this VM can have"
            }
            (Set, dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, Errno::EINVAL) => {
                "no vCPU has this affinity, or this host's CPU interface cannot have the value or the register"
            }
            (_, dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, Errno::EINVAL) => "no vCPU has this affinity",
            (_, dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, Errno::ENOENT | Errno::ENXIO) => "KVM has no such register",

            (Set, dev::KVM_DEV_ARM_VGIC_GRP_NR_IRQS, Errno::EBUSY) => "already set, or the device is already initialised",
            (Set, dev::KVM_DEV_ARM_VGIC_GRP_NR_IRQS, Errno::EINVAL) => "not a number of SPIs that this kernel accepts",
            (Set, dev::KVM_DEV_ARM_VGIC_GRP_ADDR, Errno::EEXIST) => "already set",
            (Set, dev::KVM_DEV_ARM_VGIC_GRP_ADDR, Errno::EINVAL) => "not aligned to 64 KiB, or beyond the end of the address space",
            (Set, dev::KVM_DEV_ARM_VGIC_GRP_ADDR, Errno::E2BIG) => "beyond the guest physical address space",
            (_, dev::KVM_DEV_ARM_VGIC_GRP_ADDR, Errno::ENXIO) => "not an address of this kind of device",
            (Set, _, Errno::EBUSY) if self.attr == Command::ItsReset.id() => "a vCPU is in KVM_RUN or in another ioctl",
            (Set, _, errno) if self.attr == Command::ItsRestoreTables.id() => match errno {
                Errno::EBUSY => "a vCPU is in KVM_RUN or in another ioctl",
                Errno::EINVAL => "the tables contradict themselves or the registers",
                Errno::EEXIST => "a collection is there twice, or the tables were restored before",
                Errno::ENXIO => "the ITS has no address yet",
                _ => "",
            },
            (Set, _, errno) if [Command::ItsSaveTables, Command::SavePendingTables].map(Command::id).contains(&self.attr) => {
                match errno {
                    Errno::EBUSY => "a vCPU is in KVM_RUN or in another ioctl",
                    Errno::EINVAL => "a table has no place for what the guest has mapped",
                    Errno::EACCES => "an LPI is forwarded to a GICv4, whose pending state cannot be read",
                    Errno::ENXIO => "the device has no address yet, or no such command",
                    _ => "",
                }
            }
            (Set, dev::KVM_DEV_ARM_VGIC_GRP_CTRL, Errno::EBUSY) => "a vCPU is being created",
            (Set, dev::KVM_DEV_ARM_VGIC_GRP_CTRL, Errno::ENODEV) => "the VM has no vCPU",
            (Set, dev::KVM_DEV_ARM_VGIC_GRP_CTRL, Errno::EINVAL) => "a vCPU has EL2, which a virtual GICv5 does not support",
            (Set, dev::KVM_DEV_ARM_VGIC_GRP_CTRL, Errno::E2BIG) => "a vcpu_id is beyond what the host supports",
            (Set, dev::KVM_DEV_ARM_VGIC_GRP_CTRL, Errno::ENOSPC) => "the host has no VM id left",

            (
                _,
                v3::KVM_DEV_ARM_VGIC_GRP_DIST_REGS
                | v3::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
                | v3::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO
                | v3::KVM_DEV_ARM_VGIC_GRP_ITS_REGS,
                Errno::EBUSY,
            ) => "a vCPU is in KVM_RUN or in another ioctl, the device is not initialised, or the ITS is enabled",
            (
                Get,
                v3::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS | v3::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO | v3::KVM_DEV_ARM_VGIC_GRP_DIST_REGS,
                Errno::EINVAL,
            ) => "no vCPU has this affinity",
            (
                Set,
                v3::KVM_DEV_ARM_VGIC_GRP_DIST_REGS
                | v3::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
                | v3::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO
                | v3::KVM_DEV_ARM_VGIC_GRP_ITS_REGS,
                Errno::EINVAL,
            ) => "not a value that this kernel can have here",
            (_, v3::KVM_DEV_ARM_VGIC_GRP_ITS_REGS, Errno::ENXIO) => "the ITS has no address yet, or KVM has no such register",

            (_, _, Errno::ENOMEM) => "the host has no memory left",
            (_, _, Errno::ETIMEDOUT) => "the hardware did not answer",
            (_, _, Errno::ENXIO) => "KVM has no such attribute",
            _ => "",
        }
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}: {}", self.operation, self.attr, OfIts(self.its), self.errno)?;
        if self.attempts > 1 {
            write!(f, " after {} attempts", self.attempts)?;
        }
        let meaning = self.meaning();
        if !meaning.is_empty() {
            write!(f, " ({meaning})")?;
        }
        let Some(applied) = &self.applied else { return Ok(()) };
        applied.describe(f)?;
        // These two are found before anything is written.
        if self.attr == AttrId::IST && ![Errno::EBUSY, Errno::EINVAL].contains(&self.errno) {
            f.write_str(", and SPI entries perhaps in part")?;
        }
        applied.conclude(f)
    }
}

impl core::error::Error for AccessError {}
