//! Interrupts of any controller as rows of one kind.
//!
//! Source: what GICv3 and GICv5 have in common; `gicv3.rs` and `gicv5.rs` beside this file say where each value comes from.
//!
//! Rule: whoever shows, compares or draws interrupts knows these rows and no controller.

mod filter;
mod gicv3;
mod gicv5;

pub(crate) use filter::Filter;
pub(crate) use gicv3::lpis;

use crate::input::State;
use crate::output::{Cell, Column, Ink, Section, column, for_people, for_programs};
use clap::ValueEnum;
use std::fmt;
use vgic_state::its::LpiState;

/// What kind of interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    Sgi,
    Ppi,
    Spi,
    Lpi,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Sgi => "SGI",
            Kind::Ppi => "PPI",
            Kind::Spi => "SPI",
            Kind::Lpi => "LPI",
        })
    }
}

/// Where an interrupt goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A vCPU, by its `vcpu_id`.
    Vcpu(u32),
    /// What names no vCPU.
    Unknown(String),
    /// To none: the collection is not mapped.
    Nowhere,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Vcpu(id) => id.fmt(f),
            Target::Unknown(name) => write!(f, "{name}?"),
            Target::Nowhere => f.write_str("none"),
        }
    }
}

/// A translation that leads to an LPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The address of the registers of the ITS.
    pub(crate) its: u64,
    pub(crate) device: u32,
    pub(crate) event: u32,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {:#x} event {}", self.device, self.event)
    }
}

/// One interrupt. Of one that every vCPU has, that of one vCPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interrupt {
    pub(crate) kind: Kind,
    /// As the controller counts: INTID of a GICv3, ID within the kind of a GICv5.
    pub(crate) intid: u32,
    pub(crate) target: Target,
    /// Somebody has configured it.
    pub(crate) used: bool,
    pub(crate) enabled: bool,
    pub(crate) pending: bool,
    pub(crate) active: bool,
    /// Level-triggered.
    pub(crate) level: bool,
    /// Its line is high, where that is known.
    pub(crate) line: bool,
    pub(crate) priority: Option<u8>,
    /// Of a GICv3.
    pub(crate) group: Option<u8>,
    /// 1-of-N routing.
    pub(crate) irm: bool,
    /// Of a GICv5: hardware use.
    pub(crate) hwu: u8,
    /// Of a GICv5: bits that are reserved, in place.
    pub(crate) reserved: u32,
    /// The entry of a table, in place.
    pub(crate) word: Option<u32>,
    pub(crate) sources: Vec<Source>,
}

impl Interrupt {
    pub(crate) fn new(kind: Kind, intid: u32, target: Target) -> Self {
        Interrupt {
            kind,
            intid,
            target,
            used: false,
            enabled: false,
            pending: false,
            active: false,
            level: false,
            line: false,
            priority: None,
            group: None,
            irm: false,
            hwu: 0,
            reserved: 0,
            word: None,
            sources: Vec::new(),
        }
    }

    /// Whether each vCPU has one of its own.
    pub(crate) fn is_private(&self) -> bool {
        matches!(self.kind, Kind::Sgi | Kind::Ppi)
    }

    /// What a person looks for first.
    fn is_interesting(&self) -> bool {
        let strange = self.irm || self.hwu != 0 || self.reserved != 0;
        let lost = self.enabled && !matches!(self.target, Target::Vcpu(_));
        self.pending || self.active || self.line || strange || lost
    }

    fn state(&self) -> String {
        let words = [
            (self.pending, "pending"),
            (self.active, "active"),
            (self.line && !self.pending, "line high"),
            (!self.enabled, "disabled"),
            (self.irm, "1-of-N"),
            (self.hwu != 0, "HWU"),
            (self.reserved != 0, "reserved bits"),
            (self.kind == Kind::Lpi && self.group.is_some() && self.sources.is_empty(), "not mapped"),
        ];
        let words: Vec<&str> = words.iter().filter(|(holds, _)| *holds).map(|(_, word)| *word).collect();
        if words.is_empty() { "idle".to_owned() } else { words.join(" ") }
    }

    fn ink(&self) -> Ink {
        match (self.pending, self.active, self.enabled) {
            _ if self.reserved != 0 || (self.enabled && !matches!(self.target, Target::Vcpu(_))) => Ink::Bad,
            (true, _, _) => Ink::Odd,
            (_, true, _) => Ink::Good,
            (_, _, false) => Ink::Dim,
            _ => Ink::Plain,
        }
    }
}

impl fmt::Display for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Vcpu(id) if self.is_private() => write!(f, "{} {} of vCPU {id}", self.kind, self.intid),
            _ => write!(f, "{} {}", self.kind, self.intid),
        }
    }
}

/// The interrupts of a state, in the order of kinds and IDs; LPIs of a GICv3 only if `mapped` has them.
pub(crate) fn interrupts(state: &State, mapped: Option<&LpiState>) -> Vec<Interrupt> {
    let mut interrupts = match state {
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
