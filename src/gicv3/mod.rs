//! A virtual GICv3 with any number of ITSes: which steps a save and a restore consist of.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst. The order as data, with the reason for each place:
//! `RESTORE_ORDER` and the register tables; in prose: `docs/restore-order.md`.
//!
//! Rule: [`judge`](crate::judge::gicv3) decides, without the device; then everything is written in the one order, and read back where KVM may drop a write
//! without an error.

mod access;
mod attach;
mod block;
mod contract;
mod el2;
mod flush;
mod lpis;
mod once;
mod preset;
mod replay;
mod restore;
mod save;
mod written;

pub use crate::judge::gicv3::{Target, TargetEl2, TargetVcpu};
pub use crate::state::gicv3::{
    AttributeValue, Attributes, CpuInterface, DistIdentity, DistState, El2, El2Identity, El2State, Gicv3State, InterruptBlock,
    ItsIdentity, ItsState, ItsUnit, RedistIdentity, RedistState, SpiBlock, VcpuState,
};
#[doc(hidden)]
pub use crate::state::gicv3::{NOT_STATE, has_icc};
pub use attach::Gicv3;
pub use preset::preset;
#[doc(hidden)]
pub use restore::{Phase, RESTORE_ORDER};
