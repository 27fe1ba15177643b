//! The order in which 32 interrupts are restored.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst, `GRP_DIST_REGS`, `GRP_REDIST_REGS`, `GRP_LEVEL_INFO`;
//! `arch/arm64/kvm/vgic/vgic-mmio.c`.
//!
//! Rule: one order for private interrupts and for SPIs, each step with the reason for its place.

use crate::Attr;
use crate::state::gicv3::Bank;
use crate::state::gicv3::bank::{BankAt, router};

/// One step of the restore of a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BankStep {
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

/// Order of the restore of a bank.
pub(super) const BANK_ORDER: &[(BankStep, &str)] = &[
    (BankStep::Group, "before an interrupt can be signalled"),
    (BankStep::Route, "before enable and pending: an interrupt is queued for its target"),
    (BankStep::ClearEnable, "a set register only sets: all ones into the clear register first"),
    (BankStep::Enable, "the saved bits into the set register"),
    (BankStep::Config, "before level and pending: they mean other things to edge and level interrupts"),
    (BankStep::Level, "before pending: a latch is kept beside the line"),
    (BankStep::Pending, "the latch, as it was"),
    (BankStep::ClearActive, "a set register only sets: all ones into the clear register first"),
    (BankStep::Active, "the saved bits into the set register"),
    (BankStep::Priority, "any time before the guest runs"),
];

impl BankStep {
    /// The writes of this step.
    pub(super) fn write<E>(
        self,
        bank: &Bank,
        at: BankAt,
        router_of: &[u32],
        mut set: impl FnMut(Attr<u32>, u32) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            BankStep::Group => set(at.group(), bank.group),
            BankStep::ClearEnable => set(at.clear_enable(), u32::MAX),
            BankStep::Enable => set(at.enable(), bank.enable),
            BankStep::Route => (at.first()..).zip(router_of).try_for_each(|(intid, target)| set(router(intid), *target)),
            BankStep::Config => (0..).zip(bank.config).try_for_each(|(n, config)| set(at.config(n), config)),
            BankStep::Level => set(at.level(), bank.level),
            BankStep::Pending => set(at.pending(), bank.pending),
            BankStep::ClearActive => set(at.clear_active(), u32::MAX),
            BankStep::Active => set(at.active(), bank.active),
            BankStep::Priority => (0..).zip(bank.priority).try_for_each(|(n, priority)| set(at.priority(n), priority)),
        }
    }
}
