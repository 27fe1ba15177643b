//! An entry of an interrupt state table.
//!
//! Source: Arm GICv5 specification, `L2_ISTE`.
//!
//! Rule: what follows the first four bytes is kept as it is.

use vgic_state::gicv5::Iste;

/// An entry of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: u32,
    pub(super) entry: Iste,
    /// The bytes behind the first four.
    pub(super) metadata: u128,
}
