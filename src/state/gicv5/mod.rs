//! The state of a virtual GICv5.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst.
//!
//! Rule: a register is defined once, in a register table; everything else goes through the table.

pub(crate) mod codec;
mod fields;
pub(crate) mod ist;
mod registers;
mod state;

pub(crate) use fields::ICC_CR0_ONES;
pub use fields::{Idr0, Idr1, Idr2, IstBaser, IstCfgr, Iste};
pub use ist::{Ist, IstError};
pub use registers::{CpuInterface, IRS_NOT_STATE, IrsIdentity, IrsState};
pub use state::{Gicv5State, VcpuState};
