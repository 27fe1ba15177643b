//! Where things are in the guest physical address space.

pub(crate) const RAM: u64 = 0x4000_0000;
pub(crate) const RAM_BYTES: usize = 6 << 20;

pub(crate) const DIST: u64 = 0x0800_0000;
pub(crate) const REDIST: u64 = 0x080a_0000;
/// Nothing there: a store of the guest ends in the VMM.
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
pub(crate) const MMIO: u64 = 0x0900_0000;

/// Registers of an ITS.
pub(crate) const fn its(n: usize) -> u64 {
    0x0a00_0000 + n as u64 * 0x2_0000
}

/// Code of the guest.
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
pub(crate) const CODE: u64 = RAM + 0x1000;
/// LPI configuration table: 64 KiB.
pub(crate) const CONFIGURATION: u64 = RAM + 0x2_0000;

/// Pending table of a vCPU, one of 16: 64 KiB.
pub(crate) const fn pending(vcpu: usize) -> u64 {
    RAM + 0x10_0000 + vcpu as u64 * 0x1_0000
}

/// Room for another table of 64 KiB.
pub(crate) const SPARE: u64 = RAM + 0x8_0000;

/// The tables of an ITS: 1 MiB each, of at most four.
const fn area(n: usize) -> u64 {
    RAM + 0x20_0000 + n as u64 * 0x10_0000
}

pub(crate) const QUEUE_BYTES: u64 = 0x1_0000;

pub(crate) const fn queue(n: usize) -> u64 {
    area(n)
}

pub(crate) const fn device_table(n: usize) -> u64 {
    area(n) + 0x1_0000
}

pub(crate) const fn collection_table(n: usize) -> u64 {
    area(n) + 0x2_0000
}

/// A level-2 device table, one of eight.
pub(crate) const fn level2(n: usize, index: u64) -> u64 {
    area(n) + 0x4_0000 + index * 0x1_0000
}

/// Interrupt translation table of a device, one of 64: 4 KiB.
pub(crate) const fn itt(n: usize, device: u32) -> u64 {
    area(n) + 0xc_0000 + device as u64 * 0x1000
}
