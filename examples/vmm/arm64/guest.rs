//! The guest's program as bytes.
//!
//! Source: `guest.s` and `interrupt.s`, assembled into this binary and copied from there into guest memory.
//!
//! Rule: nothing of it is ever run here.

#![expect(unsafe_code, reason = "the program is between two labels")]

use super::layout::*;

core::arch::global_asm!(
    include_str!("guest.s"),
    include_str!("interrupt.s"),
    STATE = const STATE,
    DIST = const DIST,
    REDIST = const REDIST,
    ITS = const ITS,
    DEVICE = const DEVICE,
    CONFIGURATION = const CONFIGURATION,
    PENDING = const PENDING,
    DEVICE_TABLE = const DEVICE_TABLE,
    COLLECTION_TABLE = const COLLECTION_TABLE,
    QUEUE = const QUEUE,
    ITTS = const ITTS,
    CELLS = const CELLS,
    SPIS = const SPIS,
    LPIS = const LPIS,
    LPIS_SHIFT = const LPIS_SHIFT,
    EVENT_BITS = const EVENT_BITS,
    TICKS_SHIFT = const TICKS_SHIFT,
    READY = const READY,
    SECONDARY_UP = const SECONDARY_UP,
    STOP = const STOP,
    CWRITER = const CWRITER,
    STACKS = const STACKS,
    PER_VCPU = const PER_VCPU,
    PER_VCPU_SHIFT = const PER_VCPU_SHIFT,
    TICKS = const TICKS,
    START = const START,
    PERIOD = const PERIOD,
    NEXT = const NEXT,
    DOUBLED = const DOUBLED,
    SGIS = const SGIS,
    SGIS_SENT = const SGIS_SENT,
    STRANGE = const STRANGE,
    SPURIOUS = const SPURIOUS,
    MOVES = const MOVES,
    EXPECTED = const EXPECTED,
    DONE = const DONE,
);

unsafe extern "C" {
    static vmm_guest_begin: [u8; 0];
    static vmm_guest_end: [u8; 0];
}

/// The program; its first byte is its first instruction.
pub(super) fn program() -> &'static [u8] {
    let (begin, end) = (&raw const vmm_guest_begin, &raw const vmm_guest_end);
    let length = end.addr().saturating_sub(begin.addr());
    // SAFETY: both labels are in one section of the two files, in this order, with nothing but initialised bytes of this binary in
    // between. They are mapped readable and never written, for as long as the process runs. `begin` is the address of the first.
    unsafe { core::slice::from_raw_parts(begin.cast(), length) }
}
