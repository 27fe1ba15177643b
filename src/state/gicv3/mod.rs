//! The state of a virtual GICv3 and its ITSes.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst.
//!
//! Rule: a register is defined once, in a register table; everything else goes through the table.

mod attributes;
pub(crate) mod block;
pub(crate) mod codec;
mod el2;
mod fields;
pub(crate) mod layout;
pub(crate) mod read;
mod registers;
mod state;

pub use attributes::{AttributeValue, Attributes};
pub use block::{InterruptBlock, SpiBlock};
pub(crate) use el2::maintenance_irq;
pub use el2::{El2, El2Identity, El2State};
pub use registers::{
    CpuInterface, DistIdentity, DistState, ItsIdentity, ItsState, NOT_STATE, RedistIdentity, RedistState, has_icc,
};
pub use state::{Gicv3State, ItsUnit, VcpuState};
