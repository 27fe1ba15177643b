//! Reads the registers of a state.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst.
//!
//! Rule: by the register tables, in their order, vCPU by vCPU.

use super::access::{get, read_cpu, read_dist};
use super::attach::Gicv2;
use crate::registers::RegisterTable;
use crate::state::gicv2::block::{BlockAt, InterruptBlock, SpiBlock, sgi_sources};
use crate::state::gicv2::{CpuIdentity, CpuInterface, DistIdentity, DistState, Gicv2State, VcpuState};
use crate::topology::Vcpu;
use crate::{AttrDevice, Error};

impl<D: AttrDevice> Gicv2<D> {
    pub(super) fn read_state(&self) -> Result<Gicv2State, Error> {
        let (gic, any) = (&self.gic, self.any());
        let mut state = Gicv2State::new(self.target.nr_irqs);
        state.identity = DistIdentity::read(|row| read_dist(gic, any, row))?;
        state.dist = DistState::read(|row| read_dist(gic, any, row))?;
        for SpiBlock { first, interrupts } in &mut state.spis {
            *interrupts = self.read_block(BlockAt { vcpu: any, first: *first })?;
        }
        for vcpu in self.target.vcpus.iter() {
            state.vcpus.push(self.read_vcpu(vcpu)?);
        }
        Ok(state)
    }

    fn read_vcpu(&self, vcpu: Vcpu) -> Result<VcpuState, Error> {
        let mut state = VcpuState::new(vcpu);
        state.identity = CpuIdentity::read(|row| read_cpu(&self.gic, vcpu.id, row))?;
        state.gicc = CpuInterface::read(|row| read_cpu(&self.gic, vcpu.id, row))?;
        state.private = self.read_block(BlockAt::private(vcpu.id))?;
        for (n, word) in (0..).zip(&mut state.sgi_sources) {
            *word = get(&self.gic, sgi_sources(vcpu.id, n))?;
        }
        Ok(state)
    }

    fn read_block(&self, at: BlockAt) -> Result<InterruptBlock, Error> {
        InterruptBlock::read(|row, n| get(&self.gic, at.attr(row, n)))
    }
}
