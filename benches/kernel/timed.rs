//! Devices and memory slots that add up how long they take: what the tests' rig has faults for.
//!
//! Rule: what is inside of a call of a device or of a slot is the kernel's; everything else is the crate's, and so is looking at the
//! clock, which is counted and taken off.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use vgic_state::shadow::{Memslot, Memslots, ShadowRegion};
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, Word};

/// Time inside of calls, and how many there were, of everything that shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Rc<Cell<(Duration, u32)>>);

impl Faults {
    /// What was added since the last time.
    pub(crate) fn take(&self) -> (Duration, u32) {
        self.0.take()
    }

    fn timed<T>(&self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = call();
        let elapsed = start.elapsed();
        let (time, calls) = self.0.get();
        self.0.set((time + elapsed, calls + 1));
        result
    }
}

/// Something whose operations are timed.
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
        self.faults.timed(|| self.inner.get(attr))
    }

    fn set<W: Word>(&mut self, attr: Attr<W>, value: W) -> Result<(), Errno> {
        self.faults.timed(|| self.inner.set(attr, value))
    }

    fn has(&self, attr: AttrId) -> Result<(), Errno> {
        self.faults.timed(|| self.inner.has(attr))
    }

    fn command(&mut self, command: Command) -> Result<(), Errno> {
        self.faults.timed(|| self.inner.command(command))
    }
}

impl<S: Memslots> Memslots for Faulty<S> {
    fn list(&self) -> Vec<Memslot> {
        self.inner.list()
    }

    fn delete(&mut self, slot: u32) -> Result<(), Errno> {
        self.faults.timed(|| self.inner.delete(slot))
    }

    fn create_over_shadow(&mut self, slot: u32, shadow: &ShadowRegion) -> Result<(), Errno> {
        self.faults.timed(|| self.inner.create_over_shadow(slot, shadow))
    }

    fn create_over_guest(&mut self, slot: u32) -> Result<(), Errno> {
        self.faults.timed(|| self.inner.create_over_guest(slot))
    }

    fn dirty_log(&mut self, slot: u32) -> Result<Option<Vec<u64>>, Errno> {
        self.faults.timed(|| self.inner.dirty_log(slot))
    }

    fn merge_dirty_log(&mut self, slot: u32, bitmap: Vec<u64>) {
        self.inner.merge_dirty_log(slot, bitmap);
    }
}
