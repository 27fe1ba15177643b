//! Interrupts of any controller as rows of one kind.
//!
//! Source: what the controllers have in common; `gicv2.rs`, `gicv3.rs` and `gicv5.rs` beside this file say where each value comes from.
//!
//! Rule: whoever shows, compares or draws interrupts knows these rows and no controller.

mod filter;
mod gicv2;
mod gicv3;
mod gicv5;
mod interrupt;

pub(crate) use filter::Filter;
pub(crate) use gicv3::lpis;
pub(crate) use interrupt::{Interrupt, Kind, Source, Target};

use crate::input::State;
use crate::output::{Cell, Column, Section, column, for_people, for_programs};
use vgic_state::its::LpiState;

/// The interrupts of a state, in the order of kinds and IDs; LPIs of a GICv3 only if `mapped` has them.
pub(crate) fn interrupts(state: &State, mapped: Option<&LpiState>) -> Vec<Interrupt> {
    let mut interrupts = match state {
        State::Gicv2(state) => gicv2::interrupts(state),
        State::Gicv3(state) => gicv3::interrupts(state, mapped),
        State::Gicv5(state) => gicv5::interrupts(state),
    };
    interrupts.sort_by(|one, other| (one.kind, one.intid, &one.target).cmp(&(other.kind, other.intid, &other.target)));
    interrupts
}

const COLUMNS: &[Column] = &[
    column("kind"),
    column("intid"),
    column("vcpu"),
    for_people("state"),
    for_programs("enabled"),
    for_programs("pending"),
    for_programs("active"),
    for_programs("line"),
    column("mode"),
    column("priority"),
    for_programs("group"),
    for_programs("irm"),
    for_programs("hwu"),
    for_programs("word"),
    column("source"),
];
/// The interrupts that a filter lets through, as a table, and how many it keeps back although they are in use.
pub(crate) fn section(interrupts: &[Interrupt], filter: &Filter) -> (Section, usize) {
    let mut section = Section::new("interrupts", COLUMNS).or_say(filter.nothing());
    let mut hidden = 0;
    for interrupt in interrupts {
        if filter.passes(interrupt) {
            section.push(interrupt.ink(), row(interrupt));
        } else if interrupt.used && filter.is_default() {
            hidden += 1;
        }
    }
    (section, hidden)
}

fn row(interrupt: &Interrupt) -> Vec<Cell> {
    let vcpu = match &interrupt.target {
        Target::Vcpu(id) => Cell::number(*id),
        other => Cell::text(other),
    };
    let sources: Vec<String> = interrupt.sources.iter().map(Source::to_string).collect();
    vec![
        Cell::text(interrupt.kind),
        Cell::number(interrupt.intid),
        vcpu,
        Cell::text(interrupt.state()),
        Cell::Flag(interrupt.enabled),
        Cell::Flag(interrupt.pending),
        Cell::Flag(interrupt.active),
        Cell::Flag(interrupt.line),
        Cell::text(if interrupt.level { "level" } else { "edge" }),
        Cell::or_none(interrupt.priority, Cell::number),
        Cell::or_none(interrupt.group, Cell::number),
        Cell::Flag(interrupt.irm),
        Cell::number(interrupt.hwu),
        Cell::or_none(interrupt.word, |word| Cell::Hex(word.into(), 8)),
        if sources.is_empty() { Cell::None } else { Cell::Text(sources.join(", ")) },
    ]
}

/// How many interrupts there are of what.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) used: usize,
    pub(crate) pending: usize,
    pub(crate) active: usize,
    pub(crate) disabled: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, interrupt: &Interrupt) {
        self.used += usize::from(interrupt.used);
        self.pending += usize::from(interrupt.pending);
        self.active += usize::from(interrupt.active);
        self.disabled += usize::from(interrupt.used && !interrupt.enabled);
    }
}

/// Counts interrupts.
pub(crate) fn counts(interrupts: &[Interrupt]) -> Counts {
    let mut counts = Counts::default();
    interrupts.iter().for_each(|interrupt| counts.add(interrupt));
    counts
}
