//! A state, read register by register: from devices, or from a list of attributes.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst.
//!
//! Rule: by the register tables, in their order, vCPU by vCPU; which registers a state has is said here and nowhere else.

use super::block::{BlockAt, BlockRow, router};
use super::{
    CpuInterface, DistIdentity, DistState, El2, El2Identity, El2State, Gicv3State, InterruptBlock, ItsIdentity, ItsState, ItsUnit,
    RedistIdentity, RedistState, SpiBlock, VcpuState, has_icc,
};
use crate::Attr;
use crate::its::LpiState;
use crate::registers::{Absent, RegisterTable, Row};
use crate::topology::{Mpidr, NrIrqs, Vcpu, Vcpus};
use crate::uapi::vgic_v3::icc::SYS_ICC_CTLR_EL1;
use alloc::vec::Vec;

/// Word `n` of a row of a block.
const fn absent_word(row: &BlockRow, at: BlockAt, n: u32) -> Absent {
    let [first, others] = row.private_reset;
    match (at, n) {
        (BlockAt::Spis(..), _) => Absent::word(row.spi_reset),
        (BlockAt::Private(_), 0) => Absent::word(first),
        (BlockAt::Private(_), _) => Absent::word(others),
    }
}

/// Where the registers of a state are read.
pub(crate) trait Registers {
    /// Why one cannot be read.
    type Error;

    /// 32 bits of the GICv3 itself.
    fn word(&mut self, attr: Attr<u32>, absent: Absent) -> Result<u32, Self::Error>;

    /// A CPU interface register.
    fn cpu_sysreg(&mut self, attr: Attr<u64>, absent: Absent) -> Result<u64, Self::Error>;

    /// A register of the ITS at this place, whose frames are at this address. Not above `Row::max`.
    fn its(&mut self, n: usize, base: u64, row: &'static Row, absent: Absent) -> Result<u64, Self::Error>;
}

impl Gicv3State {
    /// Reads everything but the tables, with the ITSes in the order of `its`. `maintenance_irq`: where the vCPUs have EL2.
    pub(crate) fn read<R: Registers>(
        from: &mut R,
        nr_irqs: NrIrqs,
        vcpus: &Vcpus,
        its: &[u64],
        maintenance_irq: Option<u32>,
        lpis: Option<LpiState>,
    ) -> Result<Self, R::Error> {
        let mut state = Gicv3State {
            nr_irqs,
            identity: DistIdentity::read(|row| dist(from, row, Absent::of_identity(row)))?,
            dist: DistState::read(|row| dist(from, row, Absent::of(row)))?,
            spis: Vec::with_capacity(nr_irqs.spi_blocks().len()),
            vcpus: Vec::with_capacity(vcpus.len()),
            its: Vec::with_capacity(its.len()),
            maintenance_irq: maintenance_irq.unwrap_or(0),
            lpis,
        };
        for vcpu in vcpus.iter() {
            state.vcpus.push(VcpuState::read(from, vcpu, maintenance_irq.is_some())?);
        }
        let any = vcpus.iter().next().map_or(Mpidr::from_packed(0), |vcpu| vcpu.mpidr);
        for first in nr_irqs.spi_blocks() {
            state.spis.push(SpiBlock::read(from, first, any)?);
        }
        for (n, base) in its.iter().enumerate() {
            state.its.push(ItsUnit {
                base: *base,
                identity: ItsIdentity::read(|row| from.its(n, *base, row, Absent::of_identity(row)))?,
                registers: ItsState::read(|row| from.its(n, *base, row, Absent::of(row)))?,
            });
        }
        Ok(state)
    }
}

fn dist<R: Registers>(from: &mut R, row: &Row, absent: Absent) -> Result<u64, R::Error> {
    from.word(Attr::dist(row.key), absent).map(u64::from)
}

/// A redistributor register: 64 bits are two accesses.
fn redist<R: Registers>(from: &mut R, mpidr: Mpidr, row: &Row, absent: Absent) -> Result<u64, R::Error> {
    let low = from.word(Attr::redist(mpidr, row.key), absent.half(0))?;
    if !row.is_wide() {
        return Ok(low.into());
    }
    let high = from.word(Attr::redist(mpidr, row.key + 4), absent.half(32))?;
    Ok(u64::from(high) << 32 | u64::from(low))
}

/// A CPU interface register that is there, whatever other hosts have.
fn sysreg<R: Registers>(from: &mut R, mpidr: Mpidr, row: &Row, absent: Absent) -> Result<u64, R::Error> {
    let absent = Absent { optional: false, ..absent };
    from.cpu_sysreg(Attr::cpu_sysreg(mpidr, row.key as u16), absent)
}

fn block<R: Registers>(from: &mut R, at: BlockAt) -> Result<InterruptBlock, R::Error> {
    InterruptBlock::read(|row, n| from.word(at.attr(row, n), absent_word(row, at, n)))
}

impl VcpuState {
    fn read<R: Registers>(from: &mut R, vcpu: Vcpu, has_el2: bool) -> Result<Self, R::Error> {
        let identity = RedistIdentity::read(|row| redist(from, vcpu.mpidr, row, Absent::of_identity(row)))?;
        let redist = RedistState::read(|row| self::redist(from, vcpu.mpidr, row, Absent::of(row)))?;
        let private = block(from, BlockAt::Private(vcpu.mpidr))?;
        // The number of active-priority registers follows from ICC_CTLR_EL1, which is read on the way.
        let mut ctlr = 0;
        let icc = CpuInterface::read(|row| {
            if !has_icc(row.key, ctlr) {
                return Ok(0);
            }
            let value = sysreg(from, vcpu.mpidr, row, Absent::of(row))?;
            if row.key == u32::from(SYS_ICC_CTLR_EL1) {
                ctlr = value;
            }
            Ok::<u64, R::Error>(value)
        })?;
        let mut el2 = None;
        if has_el2 {
            let identity = El2Identity::read(|row| sysreg(from, vcpu.mpidr, row, Absent::of_identity(row)))?;
            let registers =
                El2State::read(|row| if has_icc(row.key, ctlr) { sysreg(from, vcpu.mpidr, row, Absent::of(row)) } else { Ok(0) })?;
            el2 = Some(El2 { identity, registers });
        }
        Ok(VcpuState { vcpu, identity, redist, private, icc, el2 })
    }
}

impl SpiBlock {
    /// Line levels are asked for through any vCPU.
    fn read<R: Registers>(from: &mut R, first: u32, any: Mpidr) -> Result<Self, R::Error> {
        let interrupts = block(from, BlockAt::Spis(first, any))?;
        let mut targets = [0; 32];
        for (intid, target) in (first..).zip(&mut targets) {
            *target = from.word(router(intid), Absent::word(0))?;
        }
        Ok(SpiBlock { first, interrupts, router: targets })
    }
}
