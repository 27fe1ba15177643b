//! The ITS of a GICv3 as the architecture has it and as KVM lays out its tables: data, without a device.
//!
//! Source: Arm IHI 0069, "Interrupt Translation Service"; Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0".
//!
//! Rule: nothing here trusts an address or a count that a guest wrote.

pub(crate) mod build;
pub mod command;
mod entry;
mod error;
#[cfg(test)]
mod fake;
pub(crate) mod geometry;
pub(crate) mod read;
pub(crate) mod scan;
mod state;
mod table;
#[cfg(test)]
mod tests;

pub use entry::{Cte, Dte, Ite, Level1};
pub use error::{Lost, Mapping, TableError};
pub use state::{Collection, Device, Event, ItsMappings, LpiConfiguration, LpiState, PendingLpis};
pub use table::{Table, TableRange};

use crate::uapi::bits;
use crate::uapi::vgic_v3::its::GITS_BASER_SIZE;

/// Bytes of an entry of any table of ABI revision 0.
#[doc(hidden)]
pub const ENTRY_BYTES: u64 = 8;
/// Bytes of a page of a table in `GITS_BASER`, and of a level-2 device table: KVM has no other size.
#[doc(hidden)]
pub const PAGE_BYTES: u64 = 0x1_0000;
/// Entries of such a page.
#[doc(hidden)]
pub const PAGE_ENTRIES: u64 = PAGE_BYTES / ENTRY_BYTES;
/// The first INTID that is an LPI.
#[doc(hidden)]
pub const FIRST_LPI: u32 = 8192;

/// The address in a `GITS_BASER` with pages of 64 KiB: bits `[51:48]` are in `[15:12]`.
#[doc(hidden)]
#[must_use]
pub const fn baser_address(baser: u64) -> u64 {
    (baser & bits(47, 16)) | (baser & bits(15, 12)) << 36
}

/// Bytes of the table in a `GITS_BASER`.
#[doc(hidden)]
#[must_use]
pub const fn baser_bytes(baser: u64) -> u64 {
    ((baser & GITS_BASER_SIZE) + 1) * PAGE_BYTES
}

#[cfg(test)]
mod register_tests {
    #[test]
    fn addresses_above_48_bits() {
        assert_eq!(super::baser_address(0x8000_1234_5678_a2ff), 0x000a_1234_5678_0000);
    }
}
