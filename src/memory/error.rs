//! Why guest memory could not be read, and why it could not be diverted to shadow memory.
//!
//! Rule: what is not memory is told apart from what nobody could look at; a kind of memory that cannot be shadowed is refused by its name,
//! before any slot has changed; an error of the kernel names the slot and the step.

use crate::Errno;
use core::fmt;

/// Why guest memory was not read, or shadow memory not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MemoryError {
    /// Not all of it is memory, or it is memory that cannot be accessed (`PROT_NONE`, a file that has become shorter).
    #[error("it is not guest memory that can be accessed")]
    NotMemory,
    /// The means of access are missing or have failed: whether there is memory, nobody can tell.
    #[error("guest memory cannot be read: {0}")]
    Failed(Errno),
}

/// Why guest memory could not be diverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShadowError {
    /// The backend was given guest memory without its slots.
    #[error("the backend was given no memory slots to divert")]
    Unavailable,
    /// A copy-on-write shadow was asked for, and the memory of a slot is no shared mapping of a file: what the guest sees is not what is
    /// in a file.
    #[error("slot {slot}: its memory is no shared mapping of a file, which a copy-on-write shadow needs")]
    NotShared {
        /// The slot.
        slot: u32,
    },
    /// A copy-on-write shadow was asked for, and the memory of a slot is in huge pages: each page written would take a huge page that
    /// may not be there, and KVM would fail with `EFAULT`.
    #[error("slot {slot}: its file has huge pages, of which a copy-on-write shadow would need more")]
    HugePages {
        /// The slot.
        slot: u32,
    },
    /// A slot has flags other than those for dirty logging and read-only memory.
    #[error("slot {slot}: flags {flags:#x} cannot be put back")]
    Flags {
        /// The slot.
        slot: u32,
        /// Its flags.
        flags: u32,
    },
    /// Two slots have the same number, or addresses in common, or a slot is not of whole pages.
    #[error("slot {slot}: listed twice, or overlaps another, or is not made of whole pages")]
    Slots {
        /// The slot.
        slot: u32,
    },
    /// There is no room in the guest's address space for the extra memory that the tables need.
    #[error("no {bytes} bytes of the address space are free behind any slot")]
    NoRoom {
        /// What is needed.
        bytes: u64,
    },
    /// A step failed. The guest's memory is in its slots.
    #[error("slot {slot}: {step}: {errno}")]
    Step {
        /// What was done.
        step: ShadowStep,
        /// The slot.
        slot: u32,
        /// What the kernel said.
        errno: Errno,
    },
    /// A slot could not be given its memory back: **the VM has lost it, and must be discarded.** Guest memory itself is unharmed.
    #[error("slot {slot}: the guest's memory could not be put back, {step}: {errno}; the VM must be thrown away")]
    Lost {
        /// What was done.
        step: ShadowStep,
        /// The slot.
        slot: u32,
        /// What the kernel said.
        errno: Errno,
    },
}

/// A step of a diversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ShadowStep {
    /// Mapping shadow memory.
    Map,
    /// Fetching the dirty log, which the kernel forgets with the slot.
    DirtyLog,
    /// Deleting the slot.
    Delete,
    /// Creating the slot.
    Create,
    /// Finding what was written to its shadow.
    File,
}

impl fmt::Display for ShadowStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ShadowStep::Map => "mapping shadow memory",
            ShadowStep::DirtyLog => "fetching its dirty log",
            ShadowStep::Delete => "deleting it",
            ShadowStep::Create => "creating it",
            ShadowStep::File => "finding what was written to its shadow",
        })
    }
}
