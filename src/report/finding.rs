//! One thing that was found: a problem, with its first place and a count.
//!
//! Rule: a finding has a fixed size, however often the problem is there.

use super::place::Place;
use super::problem::{Problem, Severity};
use crate::memory::GuestRange;
use crate::topology::{IntId, VcpuId};
use core::fmt;

/// A problem, where it is first, and how often it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What is wrong.
    pub problem: Problem,
    /// Where it is first; where some are refused and others not, the first that is.
    pub first: Place,
    /// In how many places it is.
    pub count: u64,
    /// Refused at every threshold: KVM would refuse it halfway, or drop it without an error.
    pub refused: bool,
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
#[non_exhaustive]
pub struct QueuedCommands {
    /// Guest physical address of the registers of the ITS.
    pub its: u64,
    /// Where they are, from the one that runs first: a queue wraps, and the second range is empty if it does not.
    pub ranges: [GuestRange; 2],
}

/// The line of a PPI, whose level the interface does not carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PpiLine {
    /// The vCPU.
    pub vcpu: VcpuId,
    /// The PPI.
    pub interrupt: IntId,
}

impl PpiLine {
    pub(crate) const fn new(vcpu: VcpuId, interrupt: IntId) -> Self {
        PpiLine { vcpu, interrupt }
    }
}

impl fmt::Display for PpiLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of vCPU {}", self.interrupt, self.vcpu)
    }
}
