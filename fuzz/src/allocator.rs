//! Counts what the code under test asks of the allocator.
//!
//! Rule: every byte that was asked for counts, also what was given back: a bound on it is a bound on the memory in use.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    BYTES.set(BYTES.get().wrapping_add(bytes));
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: promised by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: promised by the caller.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `code` returned, and how many bytes it asked for in all.
pub fn allocated<R>(code: impl FnOnce() -> R) -> (R, usize) {
    let before = BYTES.get();
    let result = code();
    (result, BYTES.get().wrapping_sub(before))
}

/// Runs `code`, which may ask for `factor` bytes for each byte of its input, and `constant` more.
#[track_caller]
pub fn bounded<R>(input: usize, (factor, constant): (usize, usize), code: impl FnOnce() -> R) -> R {
    let (result, bytes) = allocated(code);
    assert!(bytes <= factor * input + constant, "{bytes} bytes were asked for, for an input of {input}");
    result
}
