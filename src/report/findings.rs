//! All that was found, as a report.
//!
//! Rule: a report is small whatever the state: one finding for each problem and kind of place, of values that are missing one for each name
//! of a register and each ITS; two ranges for each ITS, one set of SPIs.

use super::finding::{Finding, PpiLine, QueuedCommands};
use super::place::Place;
use super::problem::{Problem, Severity};
use super::refusal::Refusal;
use crate::memory::GuestRange;
use crate::topology::SpiSet;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// What was found in a state, and what a restore of it wrote. Printed, it is a line for each finding and for each range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// One finding for each problem, the worst first; two where SPIs and LPIs, or registers of different groups, have it. Of values that
    /// are missing, one for each name of a register and each ITS: another kind of loss is another finding.
    pub findings: Vec<Finding>,
    /// Commands that run as soon as their ITS is enabled.
    pub queued: Vec<QueuedCommands>,
    /// After a restore: guest memory that the kernel may have written. Mark it dirty.
    pub guest_memory_written: Vec<GuestRange>,
    /// GICv5: the level-triggered SPIs, by the VMM ([`Options::level_spis`](crate::Options::level_spis)) or by the table (`ISTE.HM`).
    /// The restore leaves each as if its line were low: then drive the line of each that a device holds high (`KVM_IRQ_LINE`, irqfd).
    ///
    /// GICv2: those that are pending, by a latch or by a line that is high: the interface does not tell which. A restore makes them pending
    /// by a latch. Such an SPI arrives once, also if its line has fallen meanwhile, and arrives again only if its line is driven.
    pub level_spis: SpiSet,
    /// GICv2: PPIs likewise. KVM drives those of its timers itself.
    pub level_ppis: Vec<PpiLine>,
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

    /// Whether a state with this report may be restored: refuses what is as bad as the threshold or worse, and whatever no threshold
    /// accepts ([`Finding::refused`]).
    ///
    /// # Errors
    ///
    /// [`Refusal::Problem`]: the worst finding that is refused.
    pub fn refuse(&self, threshold: Option<Severity>) -> Result<(), Refusal> {
        let refused = |finding: &&Finding| finding.refused || threshold.is_some_and(|threshold| finding.severity() >= threshold);
        // The worst comes first.
        match self.findings.iter().find(refused) {
            Some(finding) => Err(Refusal::Problem(Box::new(*finding))),
            None => Ok(()),
        }
    }

    /// Counts a problem in one more place.
    pub(crate) fn add(&mut self, problem: Problem, place: Place) {
        self.add_finding(Finding { problem, first: place, count: 1, refused: false });
    }

    /// The same for one that no threshold accepts.
    pub(crate) fn add_refused(&mut self, problem: Problem, place: Place) {
        self.add_finding(Finding { problem, first: place, count: 1, refused: true });
    }

    /// Counts a problem in as many places as the finding says.
    pub(crate) fn add_finding(&mut self, new: Finding) {
        // Problems stand in the order of their severity.
        let start = self.findings.partition_point(|finding| finding.problem < new.problem);
        let same = self.findings.iter_mut().skip(start).take_while(|finding| finding.problem == new.problem);
        let mut end = start;
        for finding in same {
            if finding.first.is_like(&new.first)
                && (!new.problem.is_of_one_register() || finding.first.is_same_register(&new.first))
            {
                finding.count += new.count;
                // A refusal names what is refused.
                if new.refused && !finding.refused {
                    (finding.first, finding.refused) = (new.first, true);
                }
                return;
            }
            end += 1;
        }
        self.findings.insert(end, new);
    }
}

impl fmt::Display for Report {
    /// A line for each finding: severity, code, the finding; then a line for each range that was written, and one for the lines that must
    /// be driven.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings
            .iter()
            .try_for_each(|finding| writeln!(f, "{:<8} {}: {finding}", finding.severity(), finding.problem.code()))?;
        self.guest_memory_written.iter().try_for_each(|range| writeln!(f, "guest memory written: {range}"))?;
        self.level_ppis.iter().try_for_each(|line| writeln!(f, "line to drive: {line}"))?;
        if self.level_spis.is_empty() { Ok(()) } else { writeln!(f, "lines to drive: {}", self.level_spis) }
    }
}
