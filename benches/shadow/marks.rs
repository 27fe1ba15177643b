//! Notes when each operation was.
//!
//! Rule: registers are counted and not timed, so that looking at the clock is not what is measured.

use crate::fault::Operation;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use vgic_state::Errno;

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

    pub(crate) fn around<T>(&self, operation: Operation, act: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        match operation {
            Operation::Get => {
                self.reads.fetch_add(1, Ordering::Relaxed);
                act()
            }
            Operation::Set | Operation::Has | Operation::DirtyLog => act(),
            Operation::Command(_)
            | Operation::DeleteSlot
            | Operation::OverShadow
            | Operation::DeleteShadow
            | Operation::OverGuest => {
                let began = Instant::now();
                let result = act();
                let mark = Mark { operation, began, ended: Instant::now() };
                self.marks.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
                result
            }
        }
    }
}
