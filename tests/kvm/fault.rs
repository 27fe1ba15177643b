//! Devices and memory slots whose n-th operation fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vgic_state::shadow::{Memslot, Memslots, ShadowRegion};
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, Word};

/// Counts operations of everything that shares it: commands, and changes of memory slots.
#[derive(Clone, Debug)]
pub(crate) struct Faults(Arc<AtomicUsize>);

impl Default for Faults {
    fn default() -> Self {
        Faults(Arc::new(AtomicUsize::new(usize::MAX)))
    }
}

impl Faults {
    /// This many operations succeed, and the one after them fails.
    pub(crate) fn fail_after(&self, operations: usize) {
        self.0.store(operations, Ordering::Relaxed);
    }

    /// No more faults. Whether there was one.
    pub(crate) fn end(&self) -> bool {
        // It has gone below zero, to the largest number.
        self.0.swap(usize::MAX, Ordering::Relaxed) > usize::MAX / 2
    }

    fn operation(&self) -> Result<(), Errno> {
        // Behind zero comes the largest number.
        if self.0.fetch_sub(1, Ordering::Relaxed) == 0 { Err(Errno::ENOMEM) } else { Ok(()) }
    }
}

/// Something whose operations are counted.
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
        self.inner.get(attr)
    }

    fn set<W: Word>(&mut self, attr: Attr<W>, value: W) -> Result<(), Errno> {
        self.inner.set(attr, value)
    }

    fn has(&self, attr: AttrId) -> Result<(), Errno> {
        self.inner.has(attr)
    }

    fn command(&mut self, command: Command) -> Result<(), Errno> {
        self.faults.operation()?;
        self.inner.command(command)
    }
}

impl<S: Memslots> Memslots for Faulty<S> {
    fn list(&self) -> Vec<Memslot> {
        self.inner.list()
    }

    /// Fails only where the guest's memory is still there: otherwise the VM would be lost.
    fn delete(&mut self, slot: u32) -> Result<(), Errno> {
        if !self.diverted.contains(&slot) {
            self.faults.operation()?;
        }
        self.inner.delete(slot)
    }

    fn create_over_shadow(&mut self, slot: u32, shadow: &ShadowRegion) -> Result<(), Errno> {
        self.faults.operation()?;
        self.inner.create_over_shadow(slot, shadow)?;
        self.diverted.push(slot);
        Ok(())
    }

    /// Never fails: the VM would be lost.
    fn create_over_guest(&mut self, slot: u32) -> Result<(), Errno> {
        self.diverted.retain(|diverted| *diverted != slot);
        self.inner.create_over_guest(slot)
    }

    fn dirty_log(&mut self, slot: u32) -> Result<Option<Vec<u64>>, Errno> {
        self.inner.dirty_log(slot)
    }

    fn merge_dirty_log(&mut self, slot: u32, bitmap: Vec<u64>) {
        self.inner.merge_dirty_log(slot, bitmap);
    }
}
