//! Devices and memory slots that note when each operation was: what the tests' rig has faults for.
//!
//! Rule: reads of registers are counted and not timed, so that looking at the clock is not what is measured.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use vgic_state::shadow::{Memslot, Memslots, ShadowRegion};
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, Word};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Command(Command),
    DeleteSlot,
    OverShadow,
    OverGuest,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) operation: Operation,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

/// What was done, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    marks: Arc<Mutex<Vec<Mark>>>,
    reads: Arc<AtomicUsize>,
}

impl Faults {
    /// What was done since the last time, and how many registers were read.
    pub(crate) fn take(&self) -> (Vec<Mark>, usize) {
        let marks = std::mem::take(&mut *self.marks.lock().unwrap_or_else(PoisonError::into_inner));
        (marks, self.reads.swap(0, Ordering::Relaxed))
    }

    fn mark<T>(&self, operation: Operation, act: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = act();
        let mark = Mark { operation, began, ended: Instant::now() };
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
        result
    }
}

/// Something whose operations are noted.
#[derive(Debug)]
pub(crate) struct Faulty<T> {
    inner: T,
    faults: Faults,
}

impl<T> Faulty<T> {
    pub(crate) fn new(inner: T, faults: &Faults) -> Self {
        Faulty { inner, faults: faults.clone() }
    }
}

impl<D: AttrDevice> AttrDevice for Faulty<D> {
    fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno> {
        self.faults.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.get(attr)
    }

    fn set<W: Word>(&mut self, attr: Attr<W>, value: W) -> Result<(), Errno> {
        self.inner.set(attr, value)
    }

    fn has(&self, attr: AttrId) -> Result<(), Errno> {
        self.inner.has(attr)
    }

    fn command(&mut self, command: Command) -> Result<(), Errno> {
        self.faults.mark(Operation::Command(command), || self.inner.command(command))
    }
}

impl<S: Memslots> Memslots for Faulty<S> {
    fn list(&self) -> Vec<Memslot> {
        self.inner.list()
    }

    fn delete(&mut self, slot: u32) -> Result<(), Errno> {
        self.faults.mark(Operation::DeleteSlot, || self.inner.delete(slot))
    }

    fn create_over_shadow(&mut self, slot: u32, shadow: &ShadowRegion) -> Result<(), Errno> {
        self.faults.mark(Operation::OverShadow, || self.inner.create_over_shadow(slot, shadow))
    }

    fn create_over_guest(&mut self, slot: u32) -> Result<(), Errno> {
        self.faults.mark(Operation::OverGuest, || self.inner.create_over_guest(slot))
    }

    fn dirty_log(&mut self, slot: u32) -> Result<Option<Vec<u64>>, Errno> {
        self.inner.dirty_log(slot)
    }

    fn merge_dirty_log(&mut self, slot: u32, bitmap: Vec<u64>) {
        self.inner.merge_dirty_log(slot, bitmap);
    }
}
