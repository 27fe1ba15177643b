//! A virtual GICv5: which steps a save and a restore consist of, in what order, and why.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, save and restore sequences. The order as data, with the reason for each
//! place: the register tables; in prose: `docs/restore-order.md`.
//!
//! Rule: [`judge`](crate::judge::gicv5) decides, without the device; then everything is written in the one order.

mod access;
mod attach;
mod contract;
mod level;
mod ppis;
mod replay;
mod tables;

pub use crate::judge::gicv5::Target;
pub use crate::state::gicv5::{CpuInterface, Gicv5State, IrsIdentity, IrsState, Ist, IstError, Iste, VcpuState};
#[doc(hidden)]
pub use crate::state::gicv5::{IRS_NOT_STATE, Idr0, Idr1, Idr2, IstBaser, IstCfgr};
pub use attach::Gicv5;
