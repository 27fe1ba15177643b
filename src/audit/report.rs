//! What an audit says: one finding per problem, with the first place and a count.
//!
//! Rule: a report is small whatever the tables: as many findings as there are problems, and two ranges for each ITS.

use super::problem::{Problem, Severity};
use crate::AttrId;
use crate::check::Refusal;
use crate::guest_memory::GuestRange;
use crate::its::Table;
use crate::topology::IntId;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// Where a problem is: what is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The register.
    pub register: Option<AttrId>,
    /// The ITS of the register, by the address of its registers.
    pub its: Option<u64>,
    /// The table.
    pub table: Option<Table>,
    /// ICID.
    pub collection: Option<u16>,
    /// DeviceID.
    pub device: Option<u32>,
    /// EventID.
    pub event: Option<u32>,
    /// The interrupt.
    pub interrupt: Option<IntId>,
    /// Guest physical address: of the entry, or of the start of the table.
    pub address: Option<u64>,
    /// The other table, where two are in each other's way.
    pub other: Option<Table>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut part = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            let written = write!(f, "{separator}{text}");
            separator = ", ";
            written
        };
        match (self.register, self.its) {
            (Some(register), Some(its)) => part(f, format_args!("{register} of the ITS at {its:#x}"))?,
            (Some(register), None) => part(f, format_args!("{register}"))?,
            (None, Some(its)) => part(f, format_args!("ITS at {its:#x}"))?,
            (None, None) => {}
        }
        if let Some(table) = self.table {
            part(f, format_args!("{table}"))?;
        }
        if let Some(collection) = self.collection {
            part(f, format_args!("collection {collection:#x}"))?;
        }
        // The name of an ITT has the device in it.
        if let Some(device) = self.device.filter(|_| !matches!(self.table, Some(Table::Itt { .. }))) {
            part(f, format_args!("device {device:#x}"))?;
        }
        if let Some(event) = self.event {
            part(f, format_args!("event {event:#x}"))?;
        }
        if let Some(interrupt) = self.interrupt {
            part(f, format_args!("{interrupt}"))?;
        }
        if let Some(other) = self.other {
            part(f, format_args!("and the {other}"))?;
        }
        match self.address {
            Some(address) => part(f, format_args!("at {address:#x}")),
            None => Ok(()),
        }
    }
}

/// A problem, where it is first, and how often it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub problem: Problem,
    /// Where it is first.
    pub first: Place,
    /// In how many places it is.
    pub count: u64,
}

impl Finding {
    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.problem.severity()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(f, "{}: {}", self.first, self.problem),
            count => write!(f, "{} and {} more: {}", self.first, count - 1, self.problem),
        }
    }
}

/// Commands that an enabled ITS will run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedCommands {
    /// Guest physical address of the registers of the ITS.
    pub its: u64,
    /// Where they are, from the one that runs first: a queue wraps, and the second range is empty if it does not.
    pub ranges: [GuestRange; 2],
}

/// What an audit has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// One finding for each problem, the worst first.
    pub findings: Vec<Finding>,
    /// Commands that run as soon as their ITS is enabled.
    pub queued: Vec<QueuedCommands>,
}

impl Report {
    /// How bad the worst is; `None` if there is nothing.
    #[must_use]
    pub fn max_severity(&self) -> Option<Severity> {
        self.findings.iter().map(Finding::severity).max()
    }

    /// The finding of a problem.
    #[must_use]
    pub fn find(&self, problem: Problem) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.problem == problem)
    }

    /// Refuses what is as bad as the threshold.
    pub(crate) fn refuse(&self, threshold: Option<Severity>) -> Result<(), Refusal> {
        // The worst comes first.
        match self.findings.first() {
            Some(worst) if threshold.is_some_and(|threshold| worst.severity() >= threshold) => {
                Err(Refusal::Audit(Box::new(*worst)))
            }
            _ => Ok(()),
        }
    }

    /// Counts a problem in one more place.
    pub(super) fn add(&mut self, problem: Problem, place: Place) {
        // Problems stand in the order of their severity.
        match self.findings.binary_search_by_key(&problem, |finding| finding.problem) {
            Ok(at) => {
                if let Some(finding) = self.findings.get_mut(at) {
                    finding.count += 1;
                }
            }
            Err(at) => self.findings.insert(at, Finding { problem, first: place, count: 1 }),
        }
    }
}

impl fmt::Display for Report {
    /// A line for each finding: severity, code, the finding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{:<8} {}: {finding}", finding.severity(), finding.problem.code()))
    }
}
