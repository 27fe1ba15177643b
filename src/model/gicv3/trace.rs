//! The record of accesses, with the device that each went to.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_SET_DEVICE_ATTR` and its siblings: an access is one ioctl on one descriptor.
//!
//! Rule: one order for all devices of a VM, since restoring them is one sequence.

use crate::model::trace::{Access, Op};
use crate::uapi::device::KVM_DEV_ARM_VGIC_GRP_CTRL;
use core::fmt;

/// A device of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The GICv3. Displayed as an empty string.
    Gic,
    /// An ITS, by its index in the order of creation, from 0. Displayed as `its0`.
    Its(usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Gic => Ok(()),
            Origin::Its(index) => write!(f, "its{index}"),
        }
    }
}

/// One access to a device attribute, and the device that it went to.
///
/// Displayed on one line: the device, then the access; a command by its name.
///
/// ```
/// use vgic_state::model::gicv3::{Origin, Traced};
/// use vgic_state::model::{Access, Op, Value};
/// use vgic_state::{Attr, Command, Errno};
///
/// let access = Access { op: Op::Set, id: Attr::dist(0).id(), value: Some(Value::U32(0x12)), result: Ok(()) };
/// assert_eq!(Traced { device: Origin::Gic, access }.to_string(), "set GICD_CTLR = 0x12");
/// let access = Access { op: Op::Set, id: Command::ItsSaveTables.id(), value: None, result: Err(Errno::EFAULT) };
/// assert_eq!(Traced { device: Origin::Its(0), access }.to_string(), "its0 command SAVE_TABLES -> EFAULT");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The device.
    pub device: Origin,
    /// The access.
    pub access: Access,
}

impl fmt::Display for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.device != Origin::Gic {
            write!(f, "{} ", self.device)?;
        }
        if self.access.op != Op::Set || self.access.id.group() != KVM_DEV_ARM_VGIC_GRP_CTRL {
            return self.access.fmt(f);
        }
        write!(f, "command {}", self.access.id)?;
        match self.access.result {
            Ok(()) => Ok(()),
            Err(errno) => write!(f, " -> {errno}"),
        }
    }
}
