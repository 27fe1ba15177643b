//! In-process models of KVM's virtual GIC devices, to run a test suite on any machine.
//!
//! Source: the kernel documents and files named in each device's module.
//!
//! Rule: nothing here knows a backend of this crate, so that a model cannot share a backend's mistake.
//!
//! A model answers device attributes as the kernel does, with its error numbers, and checks conditions in the kernel's order. For a test it
//! offers what a real device cannot: a guest that is a Rust closure, a [record](Access) of every access, and [faults](Fault) on demand.

// Its kernels are those of a GICv3.
#[cfg(feature = "vm-memory")]
pub mod gicv2;
#[cfg(feature = "vm-memory")]
pub mod gicv3;
pub mod gicv5;

mod fault;
mod shared;
mod trace;
mod user;

pub use fault::{Fault, HostStep};
pub use trace::{Access, Op, Value};
pub use user::{Buffer, IstArg, Memory, User};
