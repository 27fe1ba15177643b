//! Reads of single registers, with errors that name them.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst, `GRP_DIST_REGS`, `GRP_REDIST_REGS`; arm-vgic-its.rst, `GRP_ITS_REGS`.
//!
//! Rule: an error names the register, and the ITS that it is of.

use super::once::Once;
use crate::error::{AccessError, DeviceError};
use crate::registers::Row;
use crate::topology::Mpidr;
use crate::{Attr, AttrDevice, Error, Operation, Word};

pub(super) fn get<W: Word>(device: &impl AttrDevice, attr: Attr<W>, its: Option<u64>) -> Result<W, Error> {
    device.get(attr).map_err(|errno| AccessError { its, ..AccessError::new(Operation::Get, attr.id(), errno) }.into())
}

pub(super) fn read_dist(gic: &impl AttrDevice, row: &Row) -> Result<u64, Error> {
    get(gic, Attr::dist(row.key), None).map(u64::from)
}

/// A redistributor register: 64 bits are two accesses.
pub(super) fn read_redist(gic: &impl AttrDevice, mpidr: Mpidr, row: &Row, once: &mut Once) -> Result<u64, Error> {
    let mut half = |offset: u32| {
        let attr = Attr::redist(mpidr, offset);
        once.read(attr, || get(gic, attr, None)).map(u64::from)
    };
    let low = half(row.key)?;
    if !row.is_wide() {
        return Ok(low);
    }
    Ok(half(row.key + 4)? << 32 | low)
}

pub(super) fn read_its(its: &impl AttrDevice, base: u64, row: &Row) -> Result<u64, Error> {
    let attr = Attr::its(row.key);
    match get(its, attr, Some(base))? {
        value if value <= row.max => Ok(value),
        value => Err(DeviceError::Impossible { attr: attr.id(), value, reason: "the register has 32 bits" }.into()),
    }
}
