//! The order in which 32 interrupts are restored.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst, `GRP_DIST_REGS`, `GRP_REDIST_REGS`, `GRP_LEVEL_INFO`;
//! `arch/arm64/kvm/vgic/vgic-mmio.c`.
//!
//! Rule: one order for private interrupts and for SPIs, each step with the reason for its place.

use crate::Attr;
use crate::state::gicv3::InterruptBlock;
use crate::state::gicv3::block::{BlockAt, BlockRow, router};

/// One step of the restore of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockStep {
    Group,
    ClearEnable,
    Enable,
    Route,
    Config,
    Level,
    Pending,
    ClearActive,
    Active,
    Priority,
}

/// Order of the restore of a block.
pub(super) const BLOCK_ORDER: &[(BlockStep, &str)] = &[
    (BlockStep::Group, "before an interrupt can be signalled"),
    (BlockStep::Route, "before enable and pending: an interrupt is queued for its target"),
    (BlockStep::ClearEnable, "a set register only sets: all ones into the clear register first"),
    (BlockStep::Enable, "the saved bits into the set register"),
    (BlockStep::Config, "before level and pending: they mean other things to edge and level interrupts"),
    (BlockStep::Level, "before pending: a latch is kept beside the line"),
    (BlockStep::Pending, "the latch, as it was"),
    (BlockStep::ClearActive, "a set register only sets: all ones into the clear register first"),
    (BlockStep::Active, "the saved bits into the set register"),
    (BlockStep::Priority, "any time before the guest runs"),
];

impl BlockStep {
    /// The writes of this step.
    pub(super) fn write<E>(
        self,
        block: &InterruptBlock,
        at: BlockAt,
        router_of: &[u32],
        mut set: impl FnMut(Attr<u32>, u32) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut words = |row: &BlockRow, words: &[u32]| (0..).zip(words).try_for_each(|(n, word)| set(at.attr(row, n), *word));
        match self {
            BlockStep::Group => words(&InterruptBlock::GROUP, &[block.group]),
            BlockStep::ClearEnable => set(at.clear_enable(), u32::MAX),
            BlockStep::Enable => words(&InterruptBlock::ENABLE, &[block.enable]),
            BlockStep::Route => (at.first()..).zip(router_of).try_for_each(|(intid, target)| set(router(intid), *target)),
            BlockStep::Config => words(&InterruptBlock::CONFIG, &block.config),
            BlockStep::Level => words(&InterruptBlock::LEVEL, &[block.level]),
            BlockStep::Pending => words(&InterruptBlock::PENDING, &[block.pending]),
            BlockStep::ClearActive => set(at.clear_active(), u32::MAX),
            BlockStep::Active => words(&InterruptBlock::ACTIVE, &[block.active]),
            BlockStep::Priority => words(&InterruptBlock::PRIORITY, &block.priority),
        }
    }
}
