//! Everything that can go wrong, in words for whoever must act on it.
//!
//! Source of the meanings: Documentation/virt/kvm/devices/arm-vgic-v5.rst and `arch/arm64/kvm/vgic/`, Linux 7.4.
//!
//! Rule: an error of the kernel names the operation, the register, the vCPU, the error number and what that number means there; after
//! a restore that failed half-way it says what is already applied.

use crate::attr::{AttributeError, Operation, Stage, meaning};
use crate::buffer::BufferError;
use crate::image::ImageError;
use crate::its::TableError;
use crate::memory::ShadowError;
use crate::report::Refusal;
use crate::topology::{SpiCount, TopologyError, Vcpu};
use crate::uapi::{vgic_v2 as v2, vgic_v3 as v3};
use crate::{AttrId, Errno};
use alloc::boxed::Box;
use core::fmt;

/// Why a virtual GIC could not be set up, saved or restored. Small: what is large in it is boxed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused an access.
    #[error(transparent)]
    Access(Box<AccessError>),
    /// The kernel accepted a write, and the register reads back another value.
    #[error(transparent)]
    ReadBack(Box<ReadBackError>),
    /// The device is not set up, is not the one that was described, or reports what no such device can.
    #[error(transparent)]
    Device(Box<DeviceError>),
    /// A buffer of the caller does not have the right size. At most registers were read to find out; nothing was transferred.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// The bytes are not an image that can be read. Nothing was accessed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A list of attribute values does not make a state. Nothing was accessed.
    #[error(transparent)]
    Attribute(Box<AttributeError>),
    /// The state cannot be restored on this device. Nothing was accessed.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The description of the VM is impossible. Nothing was accessed.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// What the kernel wrote as tables cannot be read, or is not what it has mapped.
    #[error(transparent)]
    Tables(Box<TableError>),
    /// In a restore: the tables of the state cannot be written into shadow memory.
    #[error("{error}{}", AfterShadow(Some(**applied)))]
    TablesNotBuilt {
        /// Why not.
        error: Box<TableError>,
        /// What was done before.
        applied: Box<Applied>,
    },
    /// Guest memory could not be diverted to shadow memory, or not be put back.
    #[error("{error}{}", AfterShadow(applied.as_deref().copied()))]
    Shadow {
        /// What happened.
        error: ShadowError,
        /// In a restore: what was done before.
        applied: Option<Box<Applied>>,
    },
}

macro_rules! boxed {
    ($($variant:ident: $ty:ty;)*) => {
        $(impl From<$ty> for Error {
            fn from(error: $ty) -> Self {
                Error::$variant(Box::new(error))
            }
        })*
    };
}

boxed! {
    Access: AccessError;
    ReadBack: ReadBackError;
    Device: DeviceError;
    Attribute: AttributeError;
    Refused: Refusal;
    Tables: TableError;
}

impl From<ShadowError> for Error {
    fn from(error: ShadowError) -> Self {
        Error::Shadow { error, applied: None }
    }
}

// A VMM wraps this into an error of its own, and its functions return that by value: `clippy::result_large_err` begins at 128 bytes.
const _: () = assert!(size_of::<Error>() <= 40);

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
    /// The same, before a device was attached to.
    pub(crate) fn while_setting_up(self) -> Self {
        match self {
            Error::Access(mut error) => {
                error.attached = false;
                Error::Access(error)
            }
            other => other,
        }
    }

    /// After a restore that failed: how far it had come; `None` if nothing was written.
    #[must_use]
    pub fn applied(&self) -> Option<&Applied> {
        match self {
            Error::Access(error) => error.applied.as_ref(),
            Error::ReadBack(error) => Some(&error.applied),
            Error::Shadow { applied, .. } => applied.as_deref(),
            Error::TablesNotBuilt { applied, .. } => Some(applied),
            _ => None,
        }
    }

    /// After a restore that failed: whether another VM can be restored on the same guest memory. False once the kernel may have taken
    /// pending bits out of it.
    #[must_use]
    pub fn can_retry_on_same_memory(&self) -> bool {
        self.applied().is_none_or(Applied::can_retry_on_same_memory)
    }
}

/// A device that is not set up, that is not the one that was described, or that contradicts its specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// `NR_IRQS` reads 0, of a GICv2 the 32 private interrupts alone.
    #[error("the device has no SPIs yet: it must be initialised (GRP_CTRL, INIT) before state is saved or restored")]
    NotInitialised,
    /// The vCPUs have EL2 (nested virtualization), as the VMM says ([`Options::el2`](crate::Options::el2)), and the device does not show
    /// the registers of the virtual CPU interface: their state would be lost. So it is on Linux 6.16.
    #[error(
        "the vCPUs have EL2, and this kernel does not give the registers of their virtual CPU interface (ICH_*_EL2): they would be lost"
    )]
    El2StateUnavailable,
    /// The VM has ITSes and none was given, or it has none and one was given: state would be lost. Found by `GICD_TYPER.LPIS`.
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
    /// `GICR_TYPER` of the redistributor of a vCPU identifies another vCPU.
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
        /// vCPUs of the VM, by `IRS_IDR1.PE_CNT` or `GICD_TYPER.CPUNumber`.
        device: usize,
        /// vCPUs that the backend was given.
        given: usize,
    },
    /// The `vcpu_id`s that were given are not those of the VM: an IAFFID of the device has another width than they need.
    #[error(
        "the greatest vcpu_id given is {greatest}, for IAFFIDs of {needed} bits; by IRS_IDR1.IAFFID_BITS the VM's have {device}"
    )]
    VcpuIds {
        /// Bits of an IAFFID, by `IRS_IDR1.IAFFID_BITS` + 1.
        device: u32,
        /// Bits that KVM gives an IAFFID for the ids that the backend was given.
        needed: u32,
        /// The greatest id that the backend was given.
        greatest: u32,
    },
    /// An SPI of [`Options::level_spis`](crate::Options::level_spis) that the VM does not have: another VM's set, or INTIDs of a GICv3,
    /// which begin at 32.
    #[error("SPI {spi} is among Options::level_spis, and the VM has SPIs 0 to {}", spi_count.get() - 1)]
    LevelSpi {
        /// The least one that the VM does not have.
        spi: u32,
        /// SPIs of the device.
        spi_count: SpiCount,
    },
    /// In a restore: this attachment has restored its GICv5 before, or has failed to when something was written. The device was not
    /// accessed: a restore is into a new VM.
    #[error("this GICv5 was restored before, or a restore of it failed half-way: take a new VM")]
    RestoredBefore,
    /// In a restore: the IRS of this GICv5 is enabled (`IRS_CR0.IRSEN`), or has an LPI table (`IRS_IST_BASER.VALID`), as of no new VM. It
    /// was restored before, or its guest has run; nothing was written.
    ///
    /// A device that was restored through another attachment shows neither if the state was of a guest that had set up no interrupts,
    /// or if that restore failed before it wrote `IRS_IST_BASER`. That is not found, and does no harm: the second restore writes every
    /// register and all of the SPI table again. A guest that has run shows neither if it set up no interrupts: then the kernel refuses the
    /// first write ([`Error::Access`], `EBUSY`), and nothing is written.
    #[error("{attr} is {value:#x} before the restore: this GICv5 was restored before, or its guest has run. Take a new VM")]
    NotFresh {
        /// The register that shows it.
        attr: AttrId,
        /// Its value.
        value: u64,
    },
    /// In a save: the guest has more LPIs than an image can hold. There are such hosts, and a VMM has offered their width
    /// (`IRS_IDR2.ID_BITS`) to the guest.
    #[error("IRS_IST_CFGR.LPI_ID_BITS is {found}, an LPI table can be saved with at most {greatest}")]
    LpiIdBits {
        /// Bits of an LPI ID that the guest has chosen.
        found: u32,
        /// The most that there can be in an image.
        greatest: u32,
    },
    /// A vCPU whose id no VM with a GICv2 has. Nothing was accessed.
    #[error("{vcpu} was given, and a VM with a GICv2 has ids below {}", v2::VGIC_V2_MAX_CPUS)]
    VcpuBeyondGicv2 {
        /// The vCPU.
        vcpu: Vcpu,
    },
    /// Tables were flushed through another attachment than the one that saves, or before its last flush or restore.
    #[error("the tables that were flushed are not those that this controller has now: flush it again before the save")]
    OtherFlush,
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
#[non_exhaustive]
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
        // A GICv2's by any vCPU.
        let of_dist = self.attr.group() == v3::KVM_DEV_ARM_VGIC_GRP_DIST_REGS;
        of_dist
            && self.attr.attr() as u32 == v3::dist::GICD_IIDR
            && (self.written ^ self.found) & !u64::from(v3::dist::GICD_IIDR_REVISION) == 0
            && self.found > self.written
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
#[non_exhaustive]
pub struct AccessError {
    /// Get or set.
    pub operation: Operation,
    /// The register or table, and the vCPU it belongs to.
    pub attr: AttrId,
    /// Guest physical address of the ITS that it belongs to.
    pub its: Option<u64>,
    /// The kernel's error number, as it came.
    pub errno: Errno,
    /// What was to be written.
    pub value: Option<u64>,
    /// What the device has instead, of what can be set once.
    pub present: Option<u64>,
    /// How often the access was tried.
    pub attempts: u32,
    /// Whether the device had been attached to: then it is initialised and has the vCPUs, and what would follow otherwise is not meant.
    pub attached: bool,
    /// During a restore: what was written before. Once anything was, the VM must not run; throw it away.
    pub applied: Option<Applied>,
}

impl AccessError {
    /// An access of an attached device that failed; more is known by its fields.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(operation: Operation, attr: AttrId, errno: Errno) -> Self {
        AccessError { operation, attr, its: None, errno, value: None, present: None, attempts: 1, attached: true, applied: None }
    }

    /// What the error number means for this operation and register, after what was done before; empty where the kernel documents
    /// nothing.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        let stage = match self.applied {
            _ if !self.attached => Stage::SettingUp,
            Some(Applied { last: Some(_), .. }) => Stage::HalfWay,
            _ => Stage::Attached,
        };
        meaning(self.operation, self.attr, self.errno, stage)
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.operation, self.attr, OfIts(self.its))?;
        if let Some(value) = self.value {
            write!(f, " to {value:#x}")?;
        }
        write!(f, ": {}", self.errno)?;
        if self.attempts > 1 {
            write!(f, " after {} attempts", self.attempts)?;
        }
        match self.meaning() {
            "" => f.write_str(" (KVM documents no such answer here)")?,
            meaning => write!(f, " ({meaning})")?,
        }
        if let Some(present) = self.present {
            write!(f, "; it is {present:#x}")?;
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
