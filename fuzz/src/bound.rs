//! How much the code under test may ask of the allocator.

use crate::allocator::allocated;

/// Runs `code`, which may ask for `factor` bytes for each byte of its input, and `constant` more.
#[track_caller]
pub fn bounded<R>(input: usize, (factor, constant): (usize, usize), code: impl FnOnce() -> R) -> R {
    let (bytes, result) = allocated(code);
    assert!(bytes <= factor * input + constant, "{bytes} bytes were asked for, for an input of {input}");
    result
}
