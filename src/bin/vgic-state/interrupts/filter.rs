//! Which interrupts a person wants to see.
//!
//! Source: nothing.
//!
//! Rule: without options, those that something is up with. Options of one kind widen, options of different kinds narrow.

use super::interrupt::{Interrupt, Kind, Target};
use crate::number::{Span, number32, span};
use clap::Args;

/// Options that choose interrupts.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which interrupts (default: pending, active, line high, or with an unusual entry)")]
pub(crate) struct Filter {
    /// Every interrupt, every register, every field.
    #[arg(long)]
    pub(crate) all: bool,
    /// Only interrupts of this kind; may be repeated.
    #[arg(long, value_name = "KIND")]
    kind: Vec<Kind>,
    /// Only interrupts with an INTID in this range, such as 8192-8200 or 8192-; may be repeated. GICv5: the ID within its kind.
    #[arg(long, value_name = "RANGE", value_parser = span)]
    intid: Vec<Span>,
    /// Only interrupts for the vCPU with this vcpu_id; may be repeated.
    #[arg(long, value_name = "ID", value_parser = number32)]
    vcpu: Vec<u32>,
    /// Only pending interrupts.
    #[arg(long)]
    pending: bool,
    /// Only active interrupts.
    #[arg(long)]
    active: bool,
    /// Only interrupts in use that are disabled.
    #[arg(long)]
    disabled: bool,
}

impl Filter {
    /// No option is given.
    pub(super) fn is_default(&self) -> bool {
        !self.all && self.kind.is_empty() && self.intid.is_empty() && self.vcpu.is_empty() && !self.by_state()
    }

    fn by_state(&self) -> bool {
        self.pending || self.active || self.disabled
    }

    pub(super) fn passes(&self, interrupt: &Interrupt) -> bool {
        if self.is_default() {
            return interrupt.is_interesting();
        }
        let kind = self.kind.is_empty() || self.kind.contains(&interrupt.kind);
        let intid = self.intid.is_empty() || self.intid.iter().any(|span| span.contains(interrupt.intid));
        let vcpu = self.vcpu.is_empty() || self.vcpu.iter().any(|id| interrupt.target == Target::Vcpu(*id));
        let state = !self.by_state()
            || self.pending && interrupt.pending
            || self.active && interrupt.active
            || self.disabled && interrupt.used && !interrupt.enabled;
        (self.all || interrupt.used) && kind && intid && vcpu && state
    }

    pub(super) fn nothing(&self) -> &'static str {
        if self.is_default() { "none is pending or active" } else { "none of these" }
    }
}
