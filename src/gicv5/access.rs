//! Reads and writes of single registers, with errors that name them.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_IRS_REGS`, `GRP_CPU_SYSREGS`.
//!
//! Rule: an error names the register, and the vCPU that it is of.

use crate::error::{AccessError, DeviceError};
use crate::registers::Row;
use crate::{Attr, AttrDevice, Errno, Error, Operation, Word};

pub(super) fn get<W: Word>(device: &impl AttrDevice, attr: Attr<W>) -> Result<W, Error> {
    device.get(attr).map_err(|errno| AccessError::new(Operation::Get, attr.id(), errno).into())
}

/// Sets what can be set once; `again` is the kernel's answer where it is set already.
pub(super) fn set_once<W: Word + Into<u64>>(
    device: &mut impl AttrDevice,
    attr: Attr<W>,
    value: W,
    again: Errno,
) -> Result<(), Error> {
    match device.set(attr, value) {
        Ok(()) => Ok(()),
        Err(errno) => {
            let present = if errno == again { device.get(attr).ok() } else { None };
            if present == Some(value) {
                return Ok(());
            }
            let (value, present) = (Some(value.into()), present.map(Into::into));
            Err(AccessError { value, present, attached: false, ..AccessError::new(Operation::Set, attr.id(), errno) }.into())
        }
    }
}

pub(super) fn read_irs(device: &impl AttrDevice, row: &Row) -> Result<u64, Error> {
    let attr = Attr::irs(row.key);
    match get(device, attr)? {
        value if value <= row.max => Ok(value),
        value => Err(DeviceError::Impossible { attr: attr.id(), value, reason: "the register has 32 bits" }.into()),
    }
}
