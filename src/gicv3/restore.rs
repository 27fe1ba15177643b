//! The restore of a GICv3 as a list of steps.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, restore sequence; arm-vgic-v3.rst; `arch/arm64/kvm/vgic/`.
//!
//! Rule: the order is data, each phase with the reason for its place; a write that KVM may drop without an error is read back.

use super::block::{BLOCK_ORDER, BlockStep};
use crate::registers::{RegisterTable, Row};
use crate::state::gicv3::block::BlockAt;
use crate::state::gicv3::{Gicv3State, InterruptBlock, ItsUnit, VcpuState, has_icc};
use crate::uapi::vgic_v3::icc::SYS_ICC_SRE_EL1;
use crate::uapi::vgic_v3::ich::SYS_ICH_HCR_EL2;
use crate::uapi::vgic_v3::its::*;
use crate::uapi::vgic_v3::{dist, its, redist};
use crate::{Attr, Command};

/// One part of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// `GICD_IIDR`, `GICD_TYPER2`.
    Identity,
    /// Every ITS back to the state after its initialisation.
    ResetIts,
    /// `GICD_CTLR`.
    Distributor,
    /// Of each vCPU: LPI tables, `GICR_CTLR`, SGIs and PPIs.
    Redistributors,
    /// SPIs, 32 by 32.
    Spis,
    /// Of each vCPU: CPU interface registers.
    CpuInterfaces,
    /// Of each vCPU with EL2: registers of the virtual CPU interface.
    VirtualCpuInterfaces,
    /// Of each ITS: `GITS_IIDR`, command queue, `GITS_BASER`.
    ItsRegisters,
    /// Of each ITS: the kernel reads its tables from guest memory.
    ItsTables,
    /// Of each ITS: `GITS_CTLR`.
    EnableIts,
}

/// The order of a restore.
pub const RESTORE_ORDER: &[(Phase, &str)] = &[
    (
        Phase::Identity,
        "the revision selects how all other registers behave; a kernel that cannot have it says so before anything changed",
    ),
    (Phase::ResetIts, "reading tables into an ITS that has some fails; a reset of a fresh one changes nothing"),
    (Phase::Distributor, "its bits mean what the revision says"),
    (
        Phase::Redistributors,
        "an ITS reads the configuration and the pending bit of each LPI through GICR_PROPBASER and GICR_PENDBASER",
    ),
    (Phase::Spis, "any time before the guest runs"),
    (Phase::CpuInterfaces, "any time before the guest runs"),
    (
        Phase::VirtualCpuInterfaces,
        "after ICC_CTLR_EL1, whose priority bits say how many active-priority registers there are here, too",
    ),
    (Phase::ItsRegisters, "GITS_BASER says where the tables are"),
    (Phase::ItsTables, "after everything that a table entry refers to, before the ITS acts on it"),
    (Phase::EnableIts, "enabling runs the commands that are queued, on the tables"),
];

/// What a step writes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Write {
    /// A 32-bit register.
    U32(Attr<u32>, u32),
    /// A 64-bit value.
    U64(Attr<u64>, u64),
    /// A command.
    Command(Command),
}

/// Whether a step is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verify {
    /// The kernel refuses what it cannot do.
    No,
    /// Read back and compare these bits.
    ReadBack(u64),
    /// The same, but not written at all where the device has the value already: KVM normalises memory attributes on every write.
    Unless(u64),
    /// The same, but not written at all where these bits are as they should be.
    UnlessBits(u64),
}

/// One write of a restore.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The ITS that it goes to, by its place in the state; the GICv3 itself otherwise.
    pub(super) its: Option<usize>,
    pub(super) write: Write,
    pub(super) verify: Verify,
}

/// Shows every step of the restore of a state, in order, to `visit`, up to its first error.
pub(super) fn plan<E>(state: &Gicv3State, mut visit: impl FnMut(Step) -> Result<(), E>) -> Result<(), E> {
    for (phase, _) in RESTORE_ORDER {
        phase.steps(state, &mut visit)?;
    }
    Ok(())
}

impl Phase {
    /// Shows the steps of one part.
    pub(super) fn steps<E>(self, state: &Gicv3State, visit: &mut impl FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        let mut its = (0..).zip(&state.its);
        match self {
            Phase::Identity => identity(state, visit),
            Phase::ResetIts => its.try_for_each(|(n, _)| visit(command(n, Command::ItsReset))),
            Phase::Distributor => visit(gic(Attr::dist(dist::GICD_CTLR), state.dist.ctlr, Verify::ReadBack(u32::MAX.into()))),
            Phase::Redistributors => (0..).zip(&state.vcpus).try_for_each(|(n, vcpu)| redistributor(vcpu, n == 0, visit)),
            Phase::Spis => {
                // Line levels of SPIs are asked for through any vCPU.
                let Some(any) = state.vcpus.first() else { return Ok(()) };
                state
                    .spis
                    .iter()
                    .try_for_each(|spis| block(&spis.interrupts, BlockAt::Spis(spis.first, any.vcpu.mpidr), &spis.router, visit))
            }
            Phase::CpuInterfaces => state.vcpus.iter().try_for_each(|vcpu| cpu_interface(vcpu, visit)),
            Phase::VirtualCpuInterfaces => state.vcpus.iter().try_for_each(|vcpu| virtual_cpu_interface(vcpu, visit)),
            Phase::ItsRegisters => its.try_for_each(|(n, its)| its_registers(n, its, visit)),
            Phase::ItsTables => its.try_for_each(|(n, _)| visit(command(n, Command::ItsRestoreTables))),
            Phase::EnableIts => its.try_for_each(|(n, its)| {
                visit(its_register(n, GITS_CTLR, its.registers.ctlr.into(), Verify::ReadBack(its::GITS_CTLR_ENABLE)))
            }),
        }
    }
}

fn command(its: usize, command: Command) -> Step {
    Step { its: Some(its), write: Write::Command(command), verify: Verify::No }
}

fn its_register(its: usize, offset: u32, value: u64, verify: Verify) -> Step {
    Step { its: Some(its), write: Write::U64(Attr::its(offset), value), verify }
}

fn gic(attr: Attr<u32>, value: u32, verify: Verify) -> Step {
    Step { its: None, write: Write::U32(attr, value), verify }
}

fn identity<E>(state: &Gicv3State, visit: &mut impl FnMut(Step) -> Result<(), E>) -> Result<(), E> {
    visit(gic(Attr::dist(dist::GICD_IIDR), state.identity.iidr, Verify::ReadBack(u32::MAX.into())))?;
    visit(gic(Attr::dist(dist::GICD_TYPER2), state.identity.typer2, Verify::No))
}

/// Both halves of a 64-bit register.
fn redist64(vcpu: &VcpuState, offset: u32, value: u64, mask: u64) -> [Step; 2] {
    let half = |at: u32, value: u64, mask: u64| {
        gic(Attr::redist(vcpu.vcpu.mpidr, offset + at), value as u32, Verify::Unless(mask & u64::from(u32::MAX)))
    };
    [half(0, value, mask), half(4, value >> 32, mask >> 32)]
}

/// Bits of `GICR_PROPBASER` that mean something: address and IDbits. KVM normalises the memory attributes.
const PROPBASER: u64 = redist::GICR_PROPBASER_ADDRESS | redist::GICR_PROPBASER_IDBITS;
/// Bits of `GICR_PENDBASER` that mean something: the address.
const PENDBASER: u64 = redist::GICR_PENDBASER_ADDRESS;

/// The bit of `GICR_CTLR` that is state.
const ENABLE_LPIS: u64 = redist::GICR_CTLR_ENABLE_LPIS as u64;

fn redistributor<E>(vcpu: &VcpuState, first: bool, visit: &mut impl FnMut(Step) -> Result<(), E>) -> Result<(), E> {
    let ctlr = Attr::redist(vcpu.vcpu.mpidr, redist::GICR_CTLR);
    // On a device that was used before, LPIs would freeze the table registers.
    visit(gic(ctlr, 0, Verify::UnlessBits(ENABLE_LPIS)))?;
    // KVM has one for a VM: a state with two is refused.
    if first {
        redist64(vcpu, redist::GICR_PROPBASER, vcpu.redist.propbaser, PROPBASER).into_iter().try_for_each(&mut *visit)?;
    }
    redist64(vcpu, redist::GICR_PENDBASER, vcpu.redist.pendbaser, PENDBASER).into_iter().try_for_each(&mut *visit)?;
    if vcpu.redist.lpis_enabled() {
        visit(gic(ctlr, vcpu.redist.ctlr, Verify::ReadBack(ENABLE_LPIS)))?;
    }
    block(&vcpu.private, BlockAt::Private(vcpu.vcpu.mpidr), &[], visit)
}

fn block<E>(block: &InterruptBlock, at: BlockAt, routers: &[u32], visit: &mut impl FnMut(Step) -> Result<(), E>) -> Result<(), E> {
    // The trigger modes of SGIs are a constant, which the check has compared.
    let sgi_trigger = at.attr(&InterruptBlock::CONFIG, 0).id();
    let fixed = |attr: Attr<u32>| matches!(at, BlockAt::Private(_)) && attr.id() == sgi_trigger;
    BLOCK_ORDER.iter().try_for_each(|(step, _)| {
        let verify = match step {
            // The write also queues the interrupt: it is made even where the latch is as it should be. That it clears latches, too, is
            // not documented for every kernel: read back.
            BlockStep::Pending => Verify::ReadBack(u32::MAX.into()),
            // KVM's PPIs have fixed trigger modes, and a write is ignored.
            BlockStep::Config => Verify::Unless(u32::MAX.into()),
            _ => Verify::No,
        };
        step.write(block, at, routers, |attr, value| match fixed(attr) {
            true => Ok(()),
            false => visit(gic(attr, value, verify)),
        })
    })
}

fn cpu_interface<E>(vcpu: &VcpuState, visit: &mut impl FnMut(Step) -> Result<(), E>) -> Result<(), E> {
    // No write changes ICC_SRE_EL1: the check has compared it.
    let written = |row: &Row| row.key != u32::from(SYS_ICC_SRE_EL1) && has_icc(row.key, vcpu.icc.ctlr);
    vcpu.icc.rows().filter(|(row, _)| written(row)).try_for_each(|(row, value)| {
        let attr = Attr::cpu_sysreg(vcpu.vcpu.mpidr, row.key as u16);
        visit(Step { its: None, write: Write::U64(attr, value), verify: Verify::No })
    })
}

fn virtual_cpu_interface<E>(vcpu: &VcpuState, visit: &mut impl FnMut(Step) -> Result<(), E>) -> Result<(), E> {
    let Some(el2) = &vcpu.el2 else { return Ok(()) };
    el2.registers.rows().filter(|(row, _)| has_icc(row.key, vcpu.icc.ctlr)).try_for_each(|(row, value)| {
        let verify = if row.key == u32::from(SYS_ICH_HCR_EL2) { Verify::ReadBack(u64::MAX) } else { Verify::No };
        let attr = Attr::cpu_sysreg(vcpu.vcpu.mpidr, row.key as u16);
        visit(Step { its: None, write: Write::U64(attr, value), verify })
    })
}

fn its_registers<E>(n: usize, its: &ItsUnit, visit: &mut impl FnMut(Step) -> Result<(), E>) -> Result<(), E> {
    visit(its_register(n, GITS_IIDR, its.identity.iidr.into(), Verify::ReadBack(u64::MAX)))?;
    for (row, value) in its.registers.rows().filter(|(row, _)| row.key != GITS_CTLR) {
        let verify = match row.key {
            GITS_CBASER => Verify::Unless(GITS_CBASER_VALID | GITS_CBASER_ADDRESS | GITS_CBASER_SIZE),
            GITS_CREADR | GITS_CWRITER => Verify::ReadBack(GITS_CMD_OFFSET),
            _ => Verify::Unless(GITS_BASER_VALID | GITS_BASER_INDIRECT | GITS_BASER_ADDRESS | GITS_BASER_SIZE),
        };
        visit(its_register(n, row.key, value, verify))?;
    }
    Ok(())
}
