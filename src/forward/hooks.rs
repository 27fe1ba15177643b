//! What the trusted layer brings: access to what is not trusted, and the ownership of memory.
//!
//! Rule: untrusted memory is read by `Untrusted` alone, each word once.

use super::live::{Holder, IdTable};
use super::refusal::Refused;
use crate::memory::{GuestMemoryRead, GuestRange};

/// What the untrusted side has written. Its memory may change at any time: an implementation reads each byte once (a volatile read), and
/// gives a copy.
pub trait Untrusted {
    /// The command at this offset, in bytes from the start of the queue; `None` if there is no memory, or if it cannot be read: the
    /// forwarder stops there, and may be asked again.
    fn fetch(&mut self, offset: u64) -> Option<[u8; 32]>;

    /// The entry of a first level, as a number; `None` if there is no such entry, or if it cannot be read: the command is refused, and
    /// [`Owner::refused`] told.
    fn level1(&mut self, _table: IdTable, _index: u32) -> Option<u64> {
        None
    }
}

/// Who owns which memory. What is taken and given back are multiples of [`TableMemory::granule`](super::TableMemory::granule), each granule
/// once; it may come back in other pieces, for another holder, than it was taken: where tables share granules, with the last of them.
pub trait Owner {
    /// The ITS is about to own this memory: it has to be taken from the untrusted side, and then, if [`Holder::must_be_zero`] says so,
    /// filled with zeros. False if the untrusted side does not own all of it; the command is then refused.
    fn donate(&mut self, range: GuestRange, holder: Holder) -> bool;

    /// The ITS owns these granules already, for other tables, and now gets one here: exactly these bytes are to be filled with zeros, since
    /// a table that has left may have been there. No granule is taken. The untrusted side has lost the memory with the first of the tables:
    /// where it writes its new table nonetheless, or cleans caches there as Linux does, it takes a fault that the caller has to answer.
    fn clear(&mut self, range: GuestRange, holder: Holder);

    /// The ITS has executed the command that took this memory from it, or was never told of it: the memory can be given back.
    fn release(&mut self, range: GuestRange, holder: Holder);

    /// An entry of the trusted first level was written. Where the ITS does not snoop caches, it has to be cleaned.
    fn level1_written(&mut self, _table: IdTable, _index: u32) {}

    /// A command was refused.
    fn refused(&mut self, _refused: &Refused) {}
}

/// An untrusted side in memory that [`GuestMemoryRead`] reads.
#[derive(Clone, Copy, Debug)]
pub struct UntrustedMemory<M> {
    /// The memory.
    pub memory: M,
    /// Address of the command queue: `GITS_CBASER` as the untrusted side wrote it.
    pub queue: u64,
    /// Address of the first level of the device table, if it has two levels.
    pub devices: Option<u64>,
    /// Address of the first level of the table of vPEs, if it has two levels.
    pub vpes: Option<u64>,
}

impl<M: GuestMemoryRead> Untrusted for UntrustedMemory<M> {
    fn fetch(&mut self, offset: u64) -> Option<[u8; 32]> {
        let mut bytes = [0; 32];
        self.memory.read(self.queue.checked_add(offset)?, &mut bytes).ok().map(|()| bytes)
    }

    fn level1(&mut self, table: IdTable, index: u32) -> Option<u64> {
        let base = match table {
            IdTable::Devices => self.devices,
            IdTable::Vpes => self.vpes,
        };
        let mut bytes = [0; 8];
        self.memory.read(base?.checked_add(8 * u64::from(index))?, &mut bytes).ok().map(|()| u64::from_le_bytes(bytes))
    }
}
