//! Where things are: as in the tests, but for ITTs.
//!
//! Rule: tables lie further apart than 2 MiB, as those of a guest with more than a few MiB do. When memory is unmapped, an arm64 kernel
//! invalidates a smaller span page by page, which takes milliseconds in an emulator and has nothing to do with how many LPIs there are.

#[path = "../../tests/kvm/layout.rs"]
mod tests;

pub(crate) use tests::*;

/// Interrupt translation table of a device, one of 256: 4 KiB.
pub(crate) const fn itt(_: usize, device: u32) -> u64 {
    RAM + 0x50_0000 + device as u64 * 0x1000
}
