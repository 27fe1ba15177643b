//! Reads the registers of a state.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst.
//!
//! Rule: by the register tables, in their order, vCPU by vCPU.

use super::access::{get, read_dist, read_its, read_redist};
use super::attach::Gicv3;
use crate::its::LpiState;
use crate::memory::GuestMemoryRead;
use crate::registers::RegisterTable;
use crate::state::gicv3::block::{BlockAt, router};
use crate::state::gicv3::{
    CpuInterface, DistIdentity, DistState, Gicv3State, InterruptBlock, ItsIdentity, ItsState, ItsUnit, RedistIdentity, RedistState,
    SpiBlock, VcpuState, has_icc,
};
use crate::topology::{Mpidr, Vcpu};
use crate::uapi::vgic_v3::icc::SYS_ICC_CTLR_EL1;
use crate::{Attr, AttrDevice, Error};
use alloc::vec::Vec;

impl<D: AttrDevice, M: GuestMemoryRead> Gicv3<D, M> {
    /// Reads everything but the tables.
    pub(super) fn read_state(&self, lpis: Option<LpiState>) -> Result<Gicv3State, Error> {
        let identity = DistIdentity::read(|row| read_dist(&self.gic, row))?;
        let dist = DistState::read(|row| read_dist(&self.gic, row))?;
        let mut vcpus = Vec::with_capacity(self.target.vcpus.len());
        for vcpu in self.target.vcpus.iter() {
            vcpus.push(self.read_vcpu(vcpu)?);
        }
        let any = self.target.vcpus.iter().next().map_or(Mpidr::from_packed(0), |vcpu| vcpu.mpidr);
        let mut spis = Vec::with_capacity(self.target.nr_irqs.spi_blocks().len());
        for first in self.target.nr_irqs.spi_blocks() {
            spis.push(self.read_spis(first, any)?);
        }
        let mut its = Vec::with_capacity(self.its.len());
        for (device, (base, _)) in self.its.iter().zip(&self.target.its) {
            let identity = ItsIdentity::read(|row| read_its(device, *base, row))?;
            let registers = ItsState::read(|row| read_its(device, *base, row))?;
            its.push(ItsUnit { base: *base, identity, registers });
        }
        Ok(Gicv3State { nr_irqs: self.target.nr_irqs, identity, dist, spis, vcpus, its, lpis })
    }

    fn read_vcpu(&self, vcpu: Vcpu) -> Result<VcpuState, Error> {
        let gic = &self.gic;
        let identity = RedistIdentity::read(|row| read_redist(gic, vcpu.mpidr, row))?;
        let redist = RedistState::read(|row| read_redist(gic, vcpu.mpidr, row))?;
        let at = BlockAt::Private(vcpu.mpidr);
        let private = InterruptBlock::read(|row, n| get(gic, at.attr(row, n), None))?;
        // The number of active-priority registers follows from ICC_CTLR_EL1, which is read on the way.
        let mut ctlr = 0;
        let icc = CpuInterface::read(|row| {
            if !has_icc(row.key, ctlr) {
                return Ok(0);
            }
            let value = get(gic, Attr::cpu_sysreg(vcpu.mpidr, row.key as u16), None)?;
            if row.key == u32::from(SYS_ICC_CTLR_EL1) {
                ctlr = value;
            }
            Ok::<u64, Error>(value)
        })?;
        Ok(VcpuState { vcpu, identity, redist, private, icc })
    }

    fn read_spis(&self, first: u32, any: Mpidr) -> Result<SpiBlock, Error> {
        let at = BlockAt::Spis(first, any);
        let interrupts = InterruptBlock::read(|row, n| get(&self.gic, at.attr(row, n), None))?;
        let mut targets = [0; 32];
        for (intid, target) in (first..).zip(&mut targets) {
            *target = get(&self.gic, router(intid), None)?;
        }
        Ok(SpiBlock { first, interrupts, router: targets })
    }
}
