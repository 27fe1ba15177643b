//! Oddities: what a running guest could have made although it looks wrong.
//!
//! Rule: one finding per oddity and place of its kind, however many entries it is in: a report is small whatever the state.

use crate::AttrId;
use crate::audit;
use crate::guest_memory::GuestRange;
use crate::topology::IntId;
use alloc::vec::Vec;
use core::fmt;

/// Something odd that does not keep a state from being restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is odd.
    pub oddity: Oddity,
    /// Where it is, or where it is first.
    pub first: Place,
    /// In how many places it is.
    pub count: u32,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(f, "{}: {}", self.first, self.oddity),
            count => write!(f, "{} and {} more: {}", self.first, count - 1, self.oddity),
        }
    }
}

/// Where a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// In an interrupt's table entry.
    Interrupt(IntId),
    /// In a register.
    Register(AttrId),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Interrupt(id) => id.fmt(f),
            Place::Register(attr) => attr.fmt(f),
        }
    }
}

/// What can be odd about a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Oddity {
    /// An entry's IAFFID is the id of no vCPU: the interrupt cannot be delivered.
    NoSuchTarget,
    /// An entry routes to one of N PEs, which KVM does not offer.
    OneOfN,
    /// An entry is pending and disabled: delivered only if the guest enables it.
    PendingDisabled,
    /// An entry's priority has bits that the IRS does not implement.
    UnimplementedPriority,
    /// An entry's hardware-use bits are set: KVM clears them.
    HardwareUse,
    /// An ITS that is enabled has commands in its queue: they run as soon as it is restored, and may write guest memory.
    QueuedCommands,
    /// The kernel has a newer revision of its distributor than the guest has seen, and cannot take the guest's.
    NewerRevision,
    /// A register has bits that KVM ignores: they may be lost.
    IgnoredBits,
    /// The configuration of an LPI lacks a bit that is RES1: the guest has perhaps put other data where its configuration table was.
    /// Its priority and enable cannot be had from the kernel: see
    /// [`ConfigurationPolicy`](crate::gicv3::ConfigurationPolicy).
    LpiConfiguration,
    /// An LPI beyond what `GICR_PROPBASER` has room for: its configuration is read from behind the table.
    LpiBeyondTables,
    /// A pending LPI that no event is mapped to: it is lost.
    PendingUnmapped,
    /// Several events are mapped to one LPI: it is one interrupt.
    LpiShared,
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Oddity::NoSuchTarget => "IAFFID names no vCPU: it cannot be delivered",
            Oddity::OneOfN => "IRM is set: KVM does not offer 1-of-N routing",
            Oddity::PendingDisabled => "pending and disabled",
            Oddity::UnimplementedPriority => "the priority has bits that the IRS does not implement",
            Oddity::HardwareUse => "HWU is set: the kernel clears it",
            Oddity::QueuedCommands => "commands are queued in an ITS that is enabled: they run at once",
            Oddity::NewerRevision => "the kernel keeps its newer revision",
            Oddity::IgnoredBits => "bits that KVM ignores are set: they may be lost",
            Oddity::LpiConfiguration => "its configuration lacks RES1: the guest may have put other data there",
            Oddity::LpiBeyondTables => "beyond the configuration table that GICR_PROPBASER describes",
            Oddity::PendingUnmapped => "pending, and no event is mapped to it: lost",
            Oddity::LpiShared => "several events are mapped to it",
        })
    }
}

/// What a check found in a state that can be restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// One finding per oddity and table or register, tables first.
    pub findings: Vec<Finding>,
    /// What an audit found, below the severity from which a state is refused.
    pub audit: audit::Report,
    /// After a restore: guest memory that the kernel may have written. Mark it dirty.
    pub guest_memory_written: Vec<GuestRange>,
}
