//! Reads of single registers, with errors that name them.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst, `GRP_DIST_REGS`, `GRP_CPU_REGS`.
//!
//! Rule: an error names the register, and the vCPU that it is of.

use crate::error::AccessError;
use crate::registers::Row;
use crate::topology::VcpuId;
use crate::{Attr, AttrDevice, Error, Operation};

pub(super) fn get(gic: &impl AttrDevice, attr: Attr<u32>) -> Result<u32, Error> {
    gic.get(attr).map_err(|errno| AccessError::new(Operation::Get, attr.id(), errno).into())
}

/// A register of the distributor, as any vCPU finds it.
pub(super) fn read_dist(gic: &impl AttrDevice, any: VcpuId, row: &Row) -> Result<u64, Error> {
    get(gic, Attr::gicv2_dist(any, row.key)).map(u64::from)
}

/// A register of a CPU interface.
pub(super) fn read_cpu(gic: &impl AttrDevice, vcpu: VcpuId, row: &Row) -> Result<u64, Error> {
    get(gic, Attr::gicv2_cpu(vcpu, row.key)).map(u64::from)
}
