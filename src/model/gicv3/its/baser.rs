//! `GITS_BASER`: address and size of a table of an ITS.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `BASER_ADDRESS`, `INITIAL_BASER_VALUE`, `vgic_its_check_id`.
//!
//! Rule: pure functions of values.

use crate::uapi::vgic_v3::its::{GITS_BASER_INDIRECT, GITS_BASER_SIZE, GITS_BASER_VALID};

pub(super) const VALID: u64 = GITS_BASER_VALID;
pub(super) const INDIRECT: u64 = GITS_BASER_INDIRECT;
/// Bytes of a table page, the only size that KVM has.
pub(super) const PAGE: u64 = 0x1_0000;
/// Type, entry size, page size and memory attributes of a table that was never set.
const INITIAL_BASER: u64 = 3 << 59 | 1 << 10 | 2 << 8 | 7 << 48;
pub(super) const INITIAL_DEVICE_BASER: u64 = INITIAL_BASER | 1 << 56;
pub(super) const INITIAL_COLLECTION_BASER: u64 = INITIAL_BASER | 4 << 56;

/// Address of a table: bits 51:48 are in bits 15:12 of the register.
pub(super) fn address(baser: u64) -> u64 {
    baser & 0x0000_ffff_ffff_0000 | (baser >> 12 & 0xf) << 48
}

pub(super) fn table_bytes(baser: u64) -> u64 {
    ((baser & GITS_BASER_SIZE) + 1) * PAGE
}
