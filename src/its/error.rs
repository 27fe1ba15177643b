//! What is wrong with tables, or with mappings that are to become tables.
//!
//! Rule: names the table or the mapping, and what must hold.

use super::Table;
use crate::Errno;
use crate::memory::MemoryError;
use alloc::vec::Vec;
use core::fmt;

/// Why tables cannot be read, or mappings cannot be written as tables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// Two tables lie on top of each other: what the kernel wrote into one has destroyed the other.
    #[error("{one} and {other} overlap")]
    Overlap {
        /// One of them.
        one: Table,
        /// The other.
        other: Table,
    },
    /// Two registers give their tables one address.
    #[error("{one} and {other} are both at {address:#x}")]
    SameAddress {
        /// One of them.
        one: Table,
        /// The other.
        other: Table,
        /// Guest physical address.
        address: u64,
    },
    /// A table is not where the kernel's accesses can be diverted: the list of memory slots lacks one, or the table is in no memory at all,
    /// or in memory that is read-only. The kernel was given no command.
    #[error("{table}: {address:#x} is in none of the writable memory slots that were given")]
    NoSlot {
        /// The table.
        table: Table,
        /// Guest physical address.
        address: u64,
    },
    /// After a flush into shadow memory: a table is not where the kernel's accesses were diverted, which only the kernel's own table could
    /// tell. If it is in a memory slot that was not given, **guest memory there may have been written**.
    #[error("{table}: {address:#x} is in none of the writable memory slots that were given: {}", not_diverted(*in_memory))]
    NotDiverted {
        /// The table.
        table: Table,
        /// Guest physical address.
        address: u64,
        /// The guest memory that was given has that address. Otherwise there may be no memory at all, as the guest chose the address.
        in_memory: bool,
    },
    /// A table lies outside of guest memory, or in memory that is mapped and cannot be accessed.
    #[error("{table}: {address:#x} is not guest memory that can be accessed")]
    Outside {
        /// The table.
        table: Table,
        /// Guest physical address.
        address: u64,
    },
    /// What is in a table is not known, nor whether there is memory: the means of reading guest memory are missing, such as two descriptors
    /// for a pipe (`docs/seccomp.md`). From a flush, unless it was verifying itself: the kernel has written nothing to guest memory.
    #[error("{table}: guest memory at {address:#x} cannot be read: {errno}")]
    Unreadable {
        /// The table.
        table: Table,
        /// Guest physical address.
        address: u64,
        /// What the system said.
        errno: Errno,
    },
    /// An entry that the kernel does not write.
    #[error("{table}: the entry at {address:#x} is {word:#018x}: {rule}")]
    Entry {
        /// The table.
        table: Table,
        /// Guest physical address.
        address: u64,
        /// The entry.
        word: u64,
        /// What must hold.
        rule: &'static str,
    },
    /// The tables have more entries than any guest needs: reading them stops at a limit.
    #[error("{table}: more than {limit} entries had to be read")]
    TooLong {
        /// The table that was read last.
        table: Table,
        /// The limit.
        limit: u64,
    },
    /// A table is memory and could not be made all zeros: a copy-on-write shadow takes memory for that, and there is a limit.
    #[error("{table}: more has to be cleared than the shadow memory can hold")]
    Unclear {
        /// The table.
        table: Table,
    },
    /// A mapping that cannot be.
    #[error("{mapping}: {rule}")]
    Mapping {
        /// Which one.
        mapping: Mapping,
        /// What must hold.
        rule: &'static str,
    },
    /// After a flush that was asked to verify itself: what the kernel has mapped is not what its tables in guest memory say. A restore
    /// from them would lose interrupts.
    #[error("{0}")]
    Lost(Lost),
}

/// What it can mean that a table is not where accesses were diverted.
const fn not_diverted(in_memory: bool) -> &'static str {
    if in_memory {
        "the kernel may have written guest memory there, unless it is read-only"
    } else {
        "there is no memory, or the kernel may have written to a slot that was not given"
    }
}

impl TableError {
    /// A part of a table that was not read or not written.
    pub(crate) const fn memory(error: MemoryError, table: Table, address: u64) -> Self {
        match error {
            MemoryError::NotMemory => TableError::Outside { table, address },
            MemoryError::Failed(errno) => TableError::Unreadable { table, address, errno },
        }
    }
}

/// Which mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mapping {
    /// Those of an ITS.
    Its {
        /// Guest physical address of its registers.
        its: u64,
    },
    /// A collection.
    Collection {
        /// The ITS.
        its: u64,
        /// ICID.
        icid: u16,
    },
    /// A device.
    Device {
        /// The ITS.
        its: u64,
        /// DeviceID.
        device: u32,
    },
    /// An event of a device.
    Event {
        /// The ITS.
        its: u64,
        /// DeviceID.
        device: u32,
        /// EventID.
        event: u32,
    },
    /// An LPI.
    Lpi {
        /// INTID.
        intid: u32,
    },
    /// The pending LPIs of a vCPU.
    Pending {
        /// `vcpu_id`.
        vcpu: u32,
    },
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mapping::Its { its } => write!(f, "ITS at {its:#x}"),
            Mapping::Collection { its, icid } => write!(f, "ITS at {its:#x}, collection {icid}"),
            Mapping::Device { its, device } => write!(f, "ITS at {its:#x}, device {device:#x}"),
            Mapping::Event { its, device, event } => write!(f, "ITS at {its:#x}, device {device:#x}, event {event}"),
            Mapping::Lpi { intid } => write!(f, "LPI {intid}"),
            Mapping::Pending { vcpu } => write!(f, "pending LPIs of vCPU {vcpu}"),
        }
    }
}

/// What the tables of an ITS in guest memory say wrongly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Guest physical address of the registers of the ITS.
    pub its: u64,
    /// DeviceIDs that are mapped, and that the tables do not have as they are mapped.
    pub devices: Vec<u32>,
    /// Collections likewise.
    pub collections: Vec<u16>,
    /// DeviceIDs that the tables have and that are not mapped: something else lies there.
    pub stale: Vec<u32>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the tables of the ITS at {:#x} in guest memory are not what it has mapped", self.its)?;
        list(f, "devices lost", &self.devices)?;
        list(f, "collections lost", &self.collections)?;
        list(f, "devices that are not mapped", &self.stale)
    }
}

/// The first few, and how many there are.
fn list<T: fmt::LowerHex>(f: &mut fmt::Formatter<'_>, what: &str, ids: &[T]) -> fmt::Result {
    const SHOWN: usize = 8;
    if ids.is_empty() {
        return Ok(());
    }
    write!(f, "; {} {what}:", ids.len())?;
    ids.iter().take(SHOWN).try_for_each(|id| write!(f, " {id:#x}"))?;
    if ids.len() > SHOWN { f.write_str(" ...") } else { Ok(()) }
}
