//! Adds up how long operations take.
//!
//! Rule: what is inside of a call of a device or of a slot is the kernel's; everything else is the crate's, and so is looking at the
//! clock, which is counted and taken off.

use crate::fault::Operation;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use vgic_state::Errno;

/// Time inside of calls, and how many there were, of everything that shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Rc<Cell<(Duration, u32)>>);

impl Faults {
    /// What was added since the last time.
    pub(crate) fn take(&self) -> (Duration, u32) {
        self.0.take()
    }

    pub(crate) fn around<T>(&self, _: Operation, act: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        let start = Instant::now();
        let result = act();
        let elapsed = start.elapsed();
        let (time, calls) = self.0.get();
        self.0.set((time + elapsed, calls + 1));
        result
    }
}
