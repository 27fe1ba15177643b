//! The commands of an ITS, and the queue that they come in: data, without a device.
//!
//! Source: Arm IHI 0069, "ITS commands"; `drivers/irqchip/irq-gic-v3-its.c`, the functions that encode.
//!
//! Rule: what a decoder did not understand is reported, and an encoder never writes it.

mod error;
mod field;
mod list;
mod queue;

pub use error::ErrorWord;
pub use list::ItsCommand;
pub use queue::{CommandQueue, QueueError, Queued, Unreadable};

use crate::uapi::vgic_v3::its::{GITS_TYPER_VLPIS, GITS_TYPER_VMAPP};
use core::fmt;

/// Bytes of a command: four 64-bit little-endian words.
pub const COMMAND_BYTES: u64 = 32;

/// The version of the architecture that an ITS has: which commands there are, and in which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// GICv3: physical interrupts alone. What KVM emulates.
    #[default]
    V3,
    /// GICv4.0: virtual interrupts.
    V40,
    /// GICv4.1: virtual SGIs; `VMAPP` and `VMOVP` have more fields.
    V41,
}

impl Version {
    /// From `GITS_TYPER`: Virtual, and VMAPP, which says that `VMAPP` has the form of GICv4.1.
    #[must_use]
    pub const fn from_typer(typer: u64) -> Self {
        match (typer & GITS_TYPER_VLPIS != 0, typer & GITS_TYPER_VMAPP != 0) {
            (false, _) => Version::V3,
            (_, false) => Version::V40,
            _ => Version::V41,
        }
    }
}

/// The field `RDbase` of a command, bits `[51:16]` of its doubleword: 36 bits. `GITS_TYPER.PTA` says what it means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RdBase(pub(super) u64);

impl RdBase {
    /// `GITS_TYPER.PTA` = 0: the number of a PE, as in `GICR_TYPER.Processor_Number`. KVM: a `vcpu_id`.
    #[must_use]
    pub const fn number(number: u32) -> Self {
        RdBase(number as u64)
    }

    /// `GITS_TYPER.PTA` = 1: the address of the redistributor; its bits `[15:0]` and `[63:52]` are lost.
    #[must_use]
    pub const fn address(address: u64) -> Self {
        RdBase((address >> 16) & ((1 << 36) - 1))
    }

    /// The field, 36 bits; with `GITS_TYPER.PTA` = 0 the number of a PE.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// With `GITS_TYPER.PTA` = 1, the address of the redistributor.
    #[must_use]
    pub const fn to_address(self) -> u64 {
        self.0 << 16
    }
}

/// A command, and what else was in its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decoded {
    /// The command.
    pub command: ItsCommand,
    /// The bits that were set and are none of its fields: `RES0`. `encode()`, or-ed with them, is what was decoded.
    pub reserved: [u64; 4],
}

/// There is no such command in this version of the architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("no ITS command has the opcode {opcode:#04x}")]
pub struct UnknownCommand {
    /// `DW0[7:0]`.
    pub opcode: u8,
}

impl ItsCommand {
    /// The words as a command. Bits that are none of its fields do not matter; they are reported.
    ///
    /// # Errors
    ///
    /// [`UnknownCommand`]: the opcode has no command in this version.
    ///
    /// # Example
    ///
    /// ```
    /// use vgic_state::its::command::{ItsCommand, Version};
    ///
    /// let words = [0x0000_0008_0000_0008, 0x5, 0x8000_0000_4012_3400, 0];
    /// let decoded = ItsCommand::decode(words, Version::V3)?;
    /// assert_eq!(decoded.command.to_string(), "MAPD DeviceID=0x8 Size=5 ITT_addr=0x40123400 V=1");
    /// assert_eq!((decoded.command.encode(), decoded.reserved), (words, [0; 4]));
    /// # Ok::<(), vgic_state::its::command::UnknownCommand>(())
    /// ```
    pub fn decode(words: [u64; 4], version: Version) -> Result<Decoded, UnknownCommand> {
        let command = Self::parse(words.into(), version)?;
        let mut reserved = words;
        for (word, meaningful) in reserved.iter_mut().zip(command.meaningful_bits()) {
            *word &= !meaningful;
        }
        Ok(Decoded { command, reserved })
    }

    /// As in memory: little-endian words.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.encode()) {
            *bytes = word.to_le_bytes();
        }
        bytes
    }
}

/// The words of a command in memory.
#[must_use]
pub fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.command.fmt(f)?;
        for (n, word) in self.reserved.into_iter().enumerate().filter(|(_, word)| *word != 0) {
            write!(f, " RES0.DW{n}={word:#x}")?;
        }
        Ok(())
    }
}
