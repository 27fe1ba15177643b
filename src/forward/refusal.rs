//! Why a command is not passed on, and the word for it.
//!
//! Source: Arm IHI 0069, "ITS command errors".
//!
//! Rule: a refusal says what is wrong; its error word is the nearest that the architecture has.

use crate::its::command::{ErrorWord, ItsCommand};

/// Why a command is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CommandRefusal {
    /// There is no such command in this version.
    #[error("no such command")]
    Unknown,
    /// Bits are set that are none of its fields, and the policy is strict.
    #[error("reserved bits are set")]
    Reserved,
    /// DeviceID: more bits than the ITS has, or behind the end of the device table.
    #[error("DeviceID out of range")]
    DeviceOutOfRange,
    /// The level-1 entry of the ID is not valid, or cannot be read.
    #[error("no level-2 table for this ID")]
    NoLevel2,
    /// ICID behind the last collection.
    #[error("ICID out of range")]
    CollectionOutOfRange,
    /// The device is not mapped.
    #[error("device not mapped")]
    UnmappedDevice,
    /// EventID: more bits than the device has; in `MAPD`, more bits than the ITS has.
    #[error("EventID out of range")]
    EventOutOfRange,
    /// The INTID is no LPI, or has more bits than the redistributors know.
    #[error("INTID out of range")]
    IntidOutOfRange,
    /// The target is not one of those allowed.
    #[error("no such target")]
    Target,
    /// vPEID behind the last vPE.
    #[error("vPEID out of range")]
    VpeOutOfRange,
    /// The vPE is not mapped.
    #[error("vPE not mapped")]
    UnmappedVpe,
    /// The vPE is mapped, and would be mapped again.
    #[error("vPE mapped already")]
    MappedVpe,
    /// vINTID: no LPI, or more bits than the tables of the vPE; in `VMAPP`, a number of bits that there is not.
    #[error("vINTID out of range")]
    VirtualIntidOutOfRange,
    /// The list names an ITS that is not there, or not this one: an ITS would wait for the others forever.
    #[error("ITS list")]
    ItsList,
    /// Bits of an address below the size of what is there are set.
    #[error("address not aligned")]
    Alignment,
    /// The table is not in the memory allowed for it, or it is in memory that is protected.
    #[error("memory not allowed")]
    Memory,
    /// The table has bytes in common with another.
    #[error("memory in use by another table")]
    Overlap,
    /// The list of live ranges is full.
    #[error("too many tables")]
    Full,
    /// The owner of the memory did not hand it over.
    #[error("memory not handed over")]
    NotDonated,
}

impl CommandRefusal {
    /// The error word for this command.
    ///
    /// A table in the wrong place, a second level among them, has no error in the architecture: for `MAPD` it is `MAPD_ITTSIZE_OOR`, and
    /// for `VMAPP` it is `VMAPP_VPE_OOR`. An unknown command, and reserved bits, have reason 0.
    #[must_use]
    pub const fn word(self, opcode: u8) -> ErrorWord {
        const MAPD: u8 = 0x08;
        const MOVALL: u8 = 0x0e;
        const VMAPP: u8 = 0x29;
        let reason = match self {
            CommandRefusal::Unknown | CommandRefusal::Reserved => 0x00,
            CommandRefusal::NoLevel2 if opcode == VMAPP => 0x11,
            CommandRefusal::DeviceOutOfRange | CommandRefusal::NoLevel2 => 0x01,
            CommandRefusal::Target if opcode == MOVALL => 0x01,
            CommandRefusal::Target | CommandRefusal::ItsList => 0x02,
            CommandRefusal::CollectionOutOfRange => 0x03,
            CommandRefusal::UnmappedDevice => 0x04,
            CommandRefusal::EventOutOfRange if opcode == MAPD => 0x02,
            CommandRefusal::EventOutOfRange => 0x05,
            CommandRefusal::IntidOutOfRange => 0x06,
            CommandRefusal::UnmappedVpe => 0x12,
            CommandRefusal::VirtualIntidOutOfRange => 0x13,
            CommandRefusal::Alignment
            | CommandRefusal::Memory
            | CommandRefusal::Overlap
            | CommandRefusal::Full
            | CommandRefusal::NotDonated
                if opcode == MAPD =>
            {
                0x02
            }
            _ => 0x11,
        };
        // The error words of CLEAR, opcode 4, have 5.
        ErrorWord::new(if opcode == 0x04 { 0x05 } else { opcode }, reason)
    }
}

/// A command that was not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refused {
    /// Where it is, in bytes from the start of the untrusted queue.
    pub offset: u64,
    /// Its words, as fetched.
    pub words: [u64; 4],
    /// The command, if there is one of this opcode.
    pub command: Option<ItsCommand>,
    /// Why.
    pub refusal: CommandRefusal,
}

impl Refused {
    /// What the ITS would report.
    #[must_use]
    pub const fn word(&self) -> ErrorWord {
        let [dw0, ..] = self.words;
        self.refusal.word(dw0 as u8)
    }
}
