//! An operation that fails: the n-th that can.
//!
//! Rule: what would lose the VM its memory never fails: a slot that is given back.

use crate::fault::Operation;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vgic_state::Errno;

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

    /// Does something, or fails.
    pub(crate) fn around<T>(&self, operation: Operation, act: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        let counts = matches!(operation, Operation::Command(_) | Operation::DeleteSlot | Operation::OverShadow);
        // Behind zero comes the largest number.
        if counts && self.0.fetch_sub(1, Ordering::Relaxed) == 0 { Err(Errno::ENOMEM) } else { act() }
    }
}
