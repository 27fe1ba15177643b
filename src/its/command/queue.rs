//! The command queue as the registers of an ITS describe it.
//!
//! Source: Arm IHI 0069, `GITS_CBASER`, `GITS_CREADR`, `GITS_CWRITER`.
//!
//! Rule: a queue is left after as many commands as it holds, whatever the registers say.

use super::{COMMAND_BYTES, Decoded, ItsCommand, UnknownCommand, Version, words};
use crate::Errno;
use crate::memory::{GuestMemoryRead, GuestRange, MemoryError};
use crate::uapi::vgic_v3::its::{GITS_CBASER_ADDRESS, GITS_CBASER_SIZE, GITS_CBASER_VALID, GITS_CMD_OFFSET};

/// A queue, and what of it is queued: from `GITS_CREADR` up to `GITS_CWRITER`.
///
/// # Example
///
/// What runs when a restored ITS is enabled:
///
/// ```
/// use vgic_state::{GuestMemoryRead, MemoryError};
/// use vgic_state::its::command::{CommandQueue, Version};
///
/// struct Memory;
///
/// impl GuestMemoryRead for Memory {
///     fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
///         // SYNC at the end of the queue, INVALL of collection 7 at its start.
///         bytes.fill(0);
///         match (address, bytes) {
///             (0x4000_0fe0, [opcode, ..]) => *opcode = 0x05,
///             (0x4000_0000, bytes) => (bytes[0], bytes[16]) = (0x0d, 7),
///             _ => return Err(MemoryError::NotMemory),
///         }
///         Ok(())
///     }
/// }
///
/// let queue = CommandQueue::new(1 << 63 | 0x4000_0000, 0xfe0, 0x20)?;
/// let commands: Vec<String> =
///     queue.commands(&Memory, Version::V3).map(|queued| queued.decoded.unwrap().to_string()).collect();
/// assert_eq!(commands, ["SYNC RDbase=0x0", "INVALL ICID=0x7"]);
/// # Ok::<(), vgic_state::its::command::QueueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommandQueue {
    address: u64,
    bytes: u64,
    read: u64,
    write: u64,
}

/// Why registers describe no queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// `GITS_CBASER.Valid` is 0.
    #[error("GITS_CBASER.Valid is 0: the ITS has no command queue")]
    NotValid,
    /// `GITS_CREADR` is not in the queue.
    #[error("GITS_CREADR is {offset:#x}, the command queue has {bytes:#x} bytes")]
    ReadOutside {
        /// `GITS_CREADR.Offset`, in bytes.
        offset: u64,
        /// Bytes of the queue.
        bytes: u64,
    },
    /// `GITS_CWRITER` is not in the queue.
    #[error("GITS_CWRITER is {offset:#x}, the command queue has {bytes:#x} bytes")]
    WriteOutside {
        /// `GITS_CWRITER.Offset`, in bytes.
        offset: u64,
        /// Bytes of the queue.
        bytes: u64,
    },
}

/// Why a place in the queue gives no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// There is no guest memory.
    #[error("no guest memory at {address:#x}")]
    NoMemory {
        /// Guest physical address of the command.
        address: u64,
    },
    /// Whether there is, nobody can tell.
    #[error("guest memory at {address:#x} cannot be read: {errno}")]
    Failed {
        /// Guest physical address of the command.
        address: u64,
        /// What the system said.
        errno: Errno,
    },
    /// There is no such command.
    #[error(transparent)]
    Unknown(#[from] UnknownCommand),
}

/// A place in the queue, and what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Queued {
    /// Bytes from the start of the queue.
    pub offset: u64,
    /// Guest physical address.
    pub address: u64,
    /// The command.
    pub decoded: Result<Decoded, Unreadable>,
}

impl CommandQueue {
    /// From the values of `GITS_CBASER`, `GITS_CREADR` and `GITS_CWRITER`. Of the last two, bits `[19:5]` count.
    ///
    /// # Errors
    ///
    /// [`QueueError`]: there is no queue, or an offset is not in it.
    pub const fn new(cbaser: u64, creadr: u64, cwriter: u64) -> Result<Self, QueueError> {
        if cbaser & GITS_CBASER_VALID == 0 {
            return Err(QueueError::NotValid);
        }
        let bytes = ((cbaser & GITS_CBASER_SIZE) + 1) << 12;
        let (read, write) = (creadr & GITS_CMD_OFFSET, cwriter & GITS_CMD_OFFSET);
        if read >= bytes {
            return Err(QueueError::ReadOutside { offset: read, bytes });
        }
        if write >= bytes {
            return Err(QueueError::WriteOutside { offset: write, bytes });
        }
        Ok(CommandQueue { address: cbaser & GITS_CBASER_ADDRESS, bytes, read, write })
    }

    /// All of the queue, as guest physical addresses.
    #[must_use]
    pub const fn range(&self) -> GuestRange {
        GuestRange::new(self.address, self.bytes)
    }

    /// How many commands are queued.
    #[must_use]
    pub const fn len(&self) -> u64 {
        let bytes = if self.write < self.read { self.write + self.bytes - self.read } else { self.write - self.read };
        bytes / COMMAND_BYTES
    }

    /// No command is queued.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.read == self.write
    }

    /// Places of the commands that are queued, in bytes from the start of the queue, in the order of their execution.
    pub fn offsets(&self) -> impl Iterator<Item = u64> + use<> {
        let CommandQueue { bytes, read, .. } = *self;
        (0..self.len()).map(move |n| (read + n * COMMAND_BYTES) % bytes)
    }

    /// As [`CommandQueue::offsets`], guest physical addresses.
    pub fn addresses(&self) -> impl Iterator<Item = u64> + use<> {
        let address = self.address;
        self.offsets().map(move |offset| address + offset)
    }

    /// The commands that are queued, in the order of their execution. Each is read once, when its turn comes.
    pub fn commands<M: GuestMemoryRead>(&self, memory: M, version: Version) -> impl Iterator<Item = Queued> + use<M> {
        let base = self.address;
        self.offsets().map(move |offset| {
            let (address, mut bytes) = (base + offset, [0; 32]);
            let decoded = match memory.read(address, &mut bytes) {
                Ok(()) => ItsCommand::decode(words(&bytes), version).map_err(Unreadable::Unknown),
                Err(MemoryError::NotMemory) => Err(Unreadable::NoMemory { address }),
                Err(MemoryError::Failed(errno)) => Err(Unreadable::Failed { address, errno }),
            };
            Queued { offset, address, decoded }
        })
    }
}
