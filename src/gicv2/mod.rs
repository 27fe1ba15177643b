//! A virtual GICv2: which steps a save and a restore consist of, in what order, and why.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst; `arch/arm64/kvm/vgic/vgic-mmio-v2.c`. The order as data, with the reason for
//! each place: `RESTORE_ORDER` and the register tables; in prose: `docs/restore-order.md`.
//!
//! Rule: [`judge`](crate::judge::gicv2) decides, without the device; then everything is written in the one order, and read back where
//! KVM may drop a write without an error.

mod access;
mod attach;
mod contract;
mod replay;
mod restore;
mod save;

pub use crate::judge::gicv2::{Target, TargetVcpu};
#[doc(hidden)]
pub use crate::state::gicv2::NOT_STATE;
pub use crate::state::gicv2::{
    CpuIdentity, CpuInterface, DistIdentity, DistState, Gicv2State, InterruptBlock, SpiBlock, VcpuState,
};
pub use attach::Gicv2;
#[doc(hidden)]
pub use restore::{Phase, RESTORE_ORDER};
