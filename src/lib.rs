//! Save and restore the interrupt controller that Linux KVM emulates for an Arm guest.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod attr;
mod errno;
#[cfg(feature = "model")]
pub mod model;
pub mod topology;
#[path = "../uapi/mod.rs"]
pub mod uapi;

pub use attr::{Attr, AttrDevice, AttrId, Command, Word};
pub use errno::Errno;
pub use topology::{IntId, LpiIdBits, Mpidr, SpiCount, TopologyError, Vcpu, VcpuId, Vcpus};
