//! Save and restore the interrupt controller that Linux KVM emulates for an Arm guest.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod attr;
mod buffer;
mod errno;
mod error;
pub mod gicv5;
pub mod image;
pub mod interrupt_state;
#[cfg(all(feature = "kvm", target_os = "linux"))]
pub mod kvm;
#[cfg(feature = "model")]
pub mod model;
pub mod topology;
#[path = "../uapi/mod.rs"]
pub mod uapi;

pub use attr::{Attr, AttrDevice, AttrId, Command, IstDevice, Word};
pub use buffer::{BufferError, IstKind, IstSizes};
pub use errno::Errno;
pub use error::{AccessError, Applied, DeviceError, Error, Operation};
pub use interrupt_state::{DynInterruptState, GuestMemoryUse, InterruptState, Requirements};
pub use topology::{IntId, LpiIdBits, Mpidr, SpiCount, TopologyError, Vcpu, VcpuId, Vcpus};
