//! The restore of a GICv2 as a list of steps.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst, `GRP_DIST_REGS`; `arch/arm64/kvm/vgic/vgic-mmio-v2.c`, `vgic-mmio.c`, `vgic.c`.
//!
//! Rule: the order is data, each phase and each step with the reason for its place; a write that KVM may drop without an error is read
//! back.

use crate::Attr;
use crate::registers::RegisterTable;
use crate::state::gicv2::block::{BlockAt, BlockRow, sgi_sources};
use crate::state::gicv2::{Gicv2State, InterruptBlock, VcpuState};
use crate::topology::VcpuId;
use crate::uapi::vgic_v2::cpu::GICC_APR;
use crate::uapi::vgic_v2::dist::GICD_CPENDSGIR;
use crate::uapi::vgic_v3::dist::{GICD_CTLR, GICD_ICACTIVER, GICD_ICENABLER, GICD_ICPENDR, GICD_IIDR};

/// One part of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// `GICD_IIDR`.
    Identity,
    /// `GICD_CTLR`.
    Distributor,
    /// Of each vCPU: SGIs with their senders, PPIs.
    Private,
    /// SPIs, 32 by 32.
    Spis,
    /// Of each vCPU: CPU interface registers.
    CpuInterfaces,
}

/// The order of a restore.
pub const RESTORE_ORDER: &[(Phase, &str)] = &[
    (
        Phase::Identity,
        "KVM ignores GICD_IGROUPR until this is written; a kernel that cannot have the revision says so before anything changed",
    ),
    (Phase::Distributor, "an interrupt that becomes pending is queued for its vCPU only while the distributor is enabled"),
    (Phase::Private, "any time before the guest runs"),
    (Phase::Spis, "any time before the guest runs"),
    (Phase::CpuInterfaces, "any time before the guest runs"),
];

/// One step of the restore of 32 interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockStep {
    Group,
    Targets,
    ClearEnable,
    Enable,
    Config,
    ClearPending,
    Senders,
    Pending,
    ClearActive,
    Active,
    Priority,
}

/// Order of the restore of 32 interrupts.
pub(super) const BLOCK_ORDER: &[(BlockStep, &str)] = &[
    (BlockStep::Group, "before an interrupt can be signalled"),
    (BlockStep::Targets, "before enable and pending: an interrupt is queued for its target"),
    (BlockStep::ClearEnable, "a set register only sets: all ones into the clear register first"),
    (BlockStep::Enable, "before pending: an interrupt is queued when it is both"),
    (BlockStep::Config, "before pending, which means other things to edge and level interrupts"),
    (BlockStep::ClearPending, "a set register only sets: all ones into the clear registers first, GICD_CPENDSGIR as well"),
    (BlockStep::Senders, "an SGI is pending by its senders"),
    (BlockStep::Pending, "but for SGIs, to which GICD_ISPENDR would add the vCPU itself as sender"),
    (BlockStep::ClearActive, "a set register only sets: all ones into the clear register first"),
    (BlockStep::Active, "the saved bits into the set register"),
    (BlockStep::Priority, "any time before the guest runs"),
];

/// One write of a restore.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) attr: Attr<u32>,
    pub(super) value: u32,
    /// Read back, and compared in these bits.
    pub(super) verify: Option<u32>,
}

/// Bits of SGIs among those of 32 private interrupts.
const SGIS: u32 = 0xffff;

/// Shows every step of the restore of a state, in order, to `visit`, up to its first error. The distributor is reached by `any` vCPU.
pub(super) fn plan<E>(state: &Gicv2State, any: VcpuId, mut visit: impl FnMut(Step) -> Result<(), E>) -> Result<(), E> {
    for (phase, _) in RESTORE_ORDER {
        phase.steps(state, any, &mut visit)?;
    }
    Ok(())
}

impl Phase {
    fn steps<E>(self, state: &Gicv2State, any: VcpuId, visit: &mut impl FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        match self {
            Phase::Identity => visit(verified(Attr::gicv2_dist(any, GICD_IIDR), state.identity.iidr, u32::MAX)),
            Phase::Distributor => visit(plain(Attr::gicv2_dist(any, GICD_CTLR), state.dist.ctlr)),
            Phase::Private => state
                .vcpus
                .iter()
                .try_for_each(|vcpu| block(BlockAt::private(vcpu.vcpu.id), &vcpu.private, Some(&vcpu.sgi_sources), visit)),
            Phase::Spis => state
                .spis
                .iter()
                .try_for_each(|spis| block(BlockAt { vcpu: any, first: spis.first }, &spis.interrupts, None, visit)),
            Phase::CpuInterfaces => state.vcpus.iter().try_for_each(|vcpu| cpu_interface(vcpu, visit)),
        }
    }
}

const fn plain(attr: Attr<u32>, value: u32) -> Step {
    Step { attr, value, verify: None }
}

const fn verified(attr: Attr<u32>, value: u32, mask: u32) -> Step {
    Step { attr, value, verify: Some(mask) }
}

/// The steps of 32 interrupts; SGIs have senders.
fn block<E>(
    at: BlockAt,
    block: &InterruptBlock,
    senders: Option<&[u32]>,
    visit: &mut impl FnMut(Step) -> Result<(), E>,
) -> Result<(), E> {
    for (step, _) in BLOCK_ORDER {
        let mut words = |row: &BlockRow, words: &[u32], verify: Option<u32>| {
            (0..).zip(words).try_for_each(|(n, word)| visit(Step { attr: at.attr(row, n), value: *word, verify }))
        };
        match step {
            BlockStep::Group => words(&InterruptBlock::GROUP, &block.group, Some(u32::MAX))?,
            // Those of private interrupts cannot be written.
            BlockStep::Targets | BlockStep::Config if senders.is_some() => {}
            BlockStep::Targets => words(&InterruptBlock::TARGETS, &block.targets, None)?,
            BlockStep::Config => words(&InterruptBlock::CONFIG, &block.config, None)?,
            BlockStep::ClearEnable => visit(plain(at.bits(GICD_ICENABLER), u32::MAX))?,
            BlockStep::Enable => words(&InterruptBlock::ENABLE, &block.enable, None)?,
            BlockStep::ClearPending => {
                visit(plain(at.bits(GICD_ICPENDR), u32::MAX))?;
                for (n, _) in (0..).zip(senders.unwrap_or_default()) {
                    visit(plain(Attr::gicv2_dist(at.vcpu, GICD_CPENDSGIR + 4 * n), u32::MAX))?;
                }
            }
            BlockStep::Senders => {
                for (n, word) in (0..).zip(senders.unwrap_or_default()) {
                    visit(verified(sgi_sources(at.vcpu, n), *word, u32::MAX))?;
                }
            }
            BlockStep::Pending => {
                let [pending] = block.pending;
                let own = if senders.is_some() { !SGIS } else { u32::MAX };
                // A level interrupt whose line is high already is pending without the latch.
                visit(verified(at.bits(InterruptBlock::PENDING.offset), pending & own, (pending | block.edges()) & own))?;
            }
            BlockStep::ClearActive => visit(plain(at.bits(GICD_ICACTIVER), u32::MAX))?,
            BlockStep::Active => words(&InterruptBlock::ACTIVE, &block.active, None)?,
            BlockStep::Priority => words(&InterruptBlock::PRIORITY, &block.priority, None)?,
        }
    }
    Ok(())
}

fn cpu_interface<E>(vcpu: &VcpuState, visit: &mut impl FnMut(Step) -> Result<(), E>) -> Result<(), E> {
    vcpu.gicc.rows().try_for_each(|(row, value)| {
        let attr = Attr::gicv2_cpu(vcpu.vcpu.id, row.key);
        // A host with fewer priority bits drops the active priorities that it has no register for.
        let verify = (row.key >= GICC_APR).then_some(u32::MAX);
        visit(Step { attr, value: value as u32, verify })
    })
}
