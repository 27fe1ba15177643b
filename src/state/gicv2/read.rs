//! A state, read register by register: from a device, or from a list of attributes.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst.
//!
//! Rule: by the register tables, in their order, vCPU by vCPU; which registers a state has is said here and nowhere else.

use super::block::{BlockAt, BlockRow, sgi_sources};
use super::{CpuIdentity, CpuInterface, DistIdentity, DistState, Gicv2State, InterruptBlock, VcpuState};
use crate::Attr;
use crate::registers::{Absent, RegisterTable};
use crate::topology::{NrIrqs, Vcpu, VcpuId, Vcpus};

impl Gicv2State {
    /// Reads every register by `get`, which is told what stands for one of which no value is known. The distributor is reached by the
    /// first vCPU.
    pub(crate) fn read<E>(
        nr_irqs: NrIrqs,
        vcpus: &Vcpus,
        mut get: impl FnMut(Attr<u32>, Absent) -> Result<u32, E>,
    ) -> Result<Self, E> {
        let any = vcpus.iter().next().map_or(VcpuId::ZERO, |vcpu| vcpu.id);
        let mut state = Gicv2State::new(nr_irqs);
        state.identity = DistIdentity::read(|row| get(Attr::gicv2_dist(any, row.key), Absent::of_identity(row)).map(u64::from))?;
        state.dist = DistState::read(|row| get(Attr::gicv2_dist(any, row.key), Absent::of(row)).map(u64::from))?;
        for spis in &mut state.spis {
            spis.interrupts = block(BlockAt { vcpu: any, first: spis.first }, &mut get)?;
        }
        for vcpu in vcpus.iter() {
            state.vcpus.push(VcpuState::read(vcpu, &mut get)?);
        }
        Ok(state)
    }
}

impl VcpuState {
    fn read<E>(vcpu: Vcpu, get: &mut impl FnMut(Attr<u32>, Absent) -> Result<u32, E>) -> Result<Self, E> {
        let mut state = VcpuState::new(vcpu);
        let cpu = |key| Attr::gicv2_cpu(vcpu.id, key);
        state.identity = CpuIdentity::read(|row| get(cpu(row.key), Absent::of_identity(row)).map(u64::from))?;
        state.gicc = CpuInterface::read(|row| get(cpu(row.key), Absent::of(row)).map(u64::from))?;
        state.private = block(BlockAt::private(vcpu.id), get)?;
        for (n, word) in (0..).zip(&mut state.sgi_sources) {
            *word = get(sgi_sources(vcpu.id, n), Absent::word(0))?;
        }
        Ok(state)
    }
}

fn block<E>(at: BlockAt, get: &mut impl FnMut(Attr<u32>, Absent) -> Result<u32, E>) -> Result<InterruptBlock, E> {
    InterruptBlock::read(|row, n| get(at.attr(row, n), absent_word(*row, at, n)))
}

/// Word `n` of a row: in a new VM, SGIs are enabled, SPIs are edge-triggered, and a private interrupt has its vCPU as target.
fn absent_word(row: BlockRow, at: BlockAt, n: u32) -> Absent {
    let is_private = at.first == 0;
    match (row, n) {
        (InterruptBlock::ENABLE, _) if is_private => Absent::word(0xffff),
        (InterruptBlock::CONFIG, 1) if is_private => Absent::word(0),
        (InterruptBlock::CONFIG, _) => Absent::word(0xaaaa_aaaa),
        (InterruptBlock::TARGETS, _) if is_private => {
            let own = 1_u32.checked_shl(at.vcpu.get()).unwrap_or(0) & 0xff;
            Absent { is_identity: true, ..Absent::word(own * 0x0101_0101) }
        }
        _ => Absent::word(0),
    }
}
