//! The state of a virtual GICv2.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst.
//!
//! Rule: a register is defined once, in a register table or as a row of a block; everything else goes through these.

mod attributes;
pub(crate) mod block;
pub(crate) mod codec;
mod fields;
mod read;
mod registers;
mod state;

pub use block::{InterruptBlock, SpiBlock};
pub use registers::{CpuIdentity, CpuInterface, DistIdentity, DistState, NOT_STATE};
pub use state::{Gicv2State, VcpuState};
