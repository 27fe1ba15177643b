//! Interior mutability for what an access through a shared reference changes: the record of accesses and the armed faults.
//!
//! Rule: with `std` it can be shared between threads, as the descriptor of a real device can; without, within one.

#[cfg(not(feature = "std"))]
use core::cell::{RefCell as Cell, RefMut};
#[cfg(feature = "std")]
use std::sync::{Mutex as Cell, MutexGuard, PoisonError};

/// A value behind a shared reference.
#[derive(Debug, Default)]
pub(super) struct Shared<T>(Cell<T>);

impl<T> Shared<T> {
    /// The value, for as long as the guard lives. Not to be taken twice at a time.
    #[cfg(feature = "std")]
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        // A panic of a test elsewhere leaves the record as it is.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, for as long as the guard lives. Not to be taken twice at a time.
    #[cfg(not(feature = "std"))]
    pub(super) fn lock(&self) -> RefMut<'_, T> {
        self.0.borrow_mut()
    }
}
