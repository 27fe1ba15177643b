//! Devices and memory slots whose operations somebody else has a hand in: tests let them fail, benchmarks look at the clock.
//!
//! Rule: what is done is always the same; what is around it is [`Faults`], of which each user of this file has one of its own.

use crate::faults::Faults;
use vgic_state::shadow::{Memslot, Memslots, ShadowRegion};
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, Word};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    Set,
    Has,
    Command(Command),
    /// A slot that is over the guest's memory.
    DeleteSlot,
    OverShadow,
    /// A slot that is over a shadow.
    DeleteShadow,
    OverGuest,
    DirtyLog,
}

/// Something with operations.
#[derive(Debug)]
pub(crate) struct Faulty<T> {
    inner: T,
    faults: Faults,
    /// Slots that are over shadow memory.
    diverted: Vec<u32>,
}

impl<T> Faulty<T> {
    pub(crate) fn new(inner: T, faults: &Faults) -> Self {
        Faulty { inner, faults: faults.clone(), diverted: Vec::new() }
    }

    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    pub(crate) fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<D: AttrDevice> AttrDevice for Faulty<D> {
    fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno> {
        self.faults.around(Operation::Get, || self.inner.get(attr))
    }

    fn set<W: Word>(&mut self, attr: Attr<W>, value: W) -> Result<(), Errno> {
        self.faults.around(Operation::Set, || self.inner.set(attr, value))
    }

    fn has(&self, attr: AttrId) -> Result<(), Errno> {
        self.faults.around(Operation::Has, || self.inner.has(attr))
    }

    fn command(&mut self, command: Command) -> Result<(), Errno> {
        self.faults.around(Operation::Command(command), || self.inner.command(command))
    }
}

impl<S: Memslots> Memslots for Faulty<S> {
    fn list(&self) -> Vec<Memslot> {
        self.inner.list()
    }

    fn delete(&mut self, slot: u32) -> Result<(), Errno> {
        let operation = if self.diverted.contains(&slot) { Operation::DeleteShadow } else { Operation::DeleteSlot };
        self.faults.around(operation, || self.inner.delete(slot))
    }

    fn create_over_shadow(&mut self, slot: u32, shadow: &ShadowRegion) -> Result<(), Errno> {
        self.faults.around(Operation::OverShadow, || self.inner.create_over_shadow(slot, shadow))?;
        self.diverted.push(slot);
        Ok(())
    }

    fn create_over_guest(&mut self, slot: u32) -> Result<(), Errno> {
        self.diverted.retain(|diverted| *diverted != slot);
        self.faults.around(Operation::OverGuest, || self.inner.create_over_guest(slot))
    }

    fn dirty_log(&mut self, slot: u32) -> Result<Option<Vec<u64>>, Errno> {
        self.faults.around(Operation::DirtyLog, || self.inner.dirty_log(slot))
    }

    fn merge_dirty_log(&mut self, slot: u32, bitmap: Vec<u64>) {
        self.inner.merge_dirty_log(slot, bitmap);
    }
}
