//! A record of every access to a device attribute.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_SET_DEVICE_ATTR` and its siblings: an access is one ioctl.
//!
//! Rule: an access is recorded once, in the order of the calls, whether it succeeded or not.

use crate::uapi::device::KVM_DEV_ARM_VGIC_GRP_NR_IRQS;
use crate::{AttrId, Errno};
use core::fmt;

/// One of the three ioctls on device attributes. Displayed as `get`, `set` or `has`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// `KVM_GET_DEVICE_ATTR`.
    Get,
    /// `KVM_SET_DEVICE_ATTR`.
    Set,
    /// `KVM_HAS_DEVICE_ATTR`.
    Has,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Get => "get",
            Op::Set => "set",
            Op::Has => "has",
        })
    }
}

/// The value that an access wrote or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Value {
    /// A 32-bit value.
    U32(u32),
    /// A 64-bit value.
    U64(u64),
    /// Two 64-bit values.
    U64x2([u64; 2]),
    /// The interrupt state tables of a GICv5 (`GRP_IST`): the sizes that the caller stated, in bytes.
    Tables {
        /// Size of the SPI table, in bytes.
        spi: u64,
        /// Size of the LPI table, in bytes; `None` if address and size are 0: no table.
        lpi: Option<u64>,
    },
}

/// One access to a device attribute.
///
/// Displayed on one line: ` = ` before the value that was set or got, ` -> ` before the error number of a failure.
///
/// ```
/// use vgic_state::model::{Access, Op, Value};
/// use vgic_state::{Attr, AttrId, Errno};
///
/// let mut access = Access { op: Op::Set, id: Attr::irs(0x80).id(), value: Some(Value::U64(1)), result: Ok(()) };
/// assert_eq!(access.to_string(), "set IRS_CR0 = 0x1");
/// access.result = Err(Errno::EBUSY);
/// assert_eq!(access.to_string(), "set IRS_CR0 = 0x1 -> EBUSY");
///
/// let tables = Value::Tables { spi: 128, lpi: Some(1024) };
/// let access = Access { op: Op::Get, id: AttrId::IST, value: Some(tables), result: Ok(()) };
/// assert_eq!(access.to_string(), "get IST spi 128 bytes, lpi 1024 bytes");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The ioctl.
    pub op: Op,
    /// The attribute.
    pub id: AttrId,
    /// Set: the value that was given. Get: the value that was returned, `None` after a failure. Of tables always their sizes. `None` for
    /// commands and for [`Op::Has`].
    pub value: Option<Value>,
    /// What the ioctl returned: success, or the error number.
    pub result: Result<(), Errno>,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.op, self.id)?;
        match self.value {
            None => {}
            // A number of interrupts, not a register.
            Some(Value::U32(value)) if self.id.group() == KVM_DEV_ARM_VGIC_GRP_NR_IRQS => write!(f, " = {value}")?,
            Some(Value::U32(value)) => write!(f, " = {value:#x}")?,
            Some(Value::U64(value)) => write!(f, " = {value:#x}")?,
            Some(Value::U64x2([first, second])) => write!(f, " = {first:#x}, {second:#x}")?,
            Some(Value::Tables { spi, lpi: Some(lpi) }) => write!(f, " spi {spi} bytes, lpi {lpi} bytes")?,
            Some(Value::Tables { spi, lpi: None }) => write!(f, " spi {spi} bytes, no lpi")?,
        }
        match self.result {
            Ok(()) => Ok(()),
            Err(errno) => write!(f, " -> {errno}"),
        }
    }
}
