//! One interrupt of any controller, as a row.
//!
//! Source: what GICv3 and GICv5 have in common.
//!
//! Rule: what only one of them has is none, or zero, of the other.

use crate::output::Ink;
use clap::ValueEnum;
use std::fmt;

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
    /// Pending whatever its line is.
    pub(crate) latch: bool,
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
            latch: false,
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
    pub(super) fn is_interesting(&self) -> bool {
        let strange = self.irm || self.hwu != 0 || self.reserved != 0;
        let lost = self.enabled && !matches!(self.target, Target::Vcpu(_));
        self.pending || self.active || self.line || strange || lost
    }

    pub(super) fn state(&self) -> String {
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

    pub(super) fn ink(&self) -> Ink {
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
