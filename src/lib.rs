//! Save and restore the interrupt controller that Linux KVM emulates for an Arm guest: for snapshots, live update and live migration.
//!
//! A virtual machine monitor hands over the device and the vCPUs; it gets the state as a typed value or as the bytes of an image,
//! and back. Before a restore, everything is checked; an image that is refused leaves the device without a single access.
//!
//! - [`InterruptState`] and [`DynInterruptState`]: the contract, typed and as bytes.
//! - [`gicv2::Gicv2`]: the backend for a virtual GICv2.
//! - [`gicv5::Gicv5`]: the backend for a virtual GICv5 (Linux 7.4).
//! - [`gicv3::Gicv3`]: the backend for a virtual GICv3 with any number of ITSes.
#![cfg_attr(
    all(feature = "kvm", target_os = "linux"),
    doc = "- [`kvm::KvmDevice`]: the device behind KVM's file descriptor; [`kvm::probe`]: what a host offers."
)]
#![cfg_attr(feature = "model", doc = "- [`model`]: KVM's devices in the process, to run a test suite on any machine.")]
//!
//! # Example
//!
//! Migration of a guest with two vCPUs, on the model.
//!
#![cfg_attr(feature = "model", doc = "```")]
#![cfg_attr(not(feature = "model"), doc = "```ignore")]
//! use vgic_state::gicv5::{Gicv5, Gicv5State};
//! use vgic_state::model::gicv5::{Host, Vm};
//! use vgic_state::{DynInterruptState, SpiCount, Vcpus};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let vcpus = Vcpus::with_default_mpidrs(2)?;
//! # let vm = Vm::with_device(Host::default(), &vcpus)?;
//! // Source: vCPUs are stopped. The buffer is the VMM's own.
//! let mut source = Gicv5::initialise(vm, 0x0800_0000, SpiCount::new(64)?, vcpus)?;
//! let flushed = source.flush_tables()?;
//! let mut file = vec![0; source.image_max(&flushed)?];
//! let length = source.save_image(flushed, &mut file)?;
//! let image = &file[..length];
//!
//! // Destination: the image says what the VM must be like.
//! let state = Gicv5State::parse(image)?;
//! let vcpus = state.topology()?;
//! # let vm = Vm::with_device(Host::default(), &vcpus)?;
//! let mut destination = Gicv5::initialise(vm, 0x0800_0000, state.spi_count, vcpus)?;
//! let report = destination.restore_image(image)?;
//! // What was odd, and what was written.
//! eprint!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | what |
//! |---|---|---|
//! | `kvm` | yes | the device behind a file descriptor of KVM (Linux) |
//! | `vm-memory` | yes | guest memory of the crate vm-memory is read as it is; any other implements [`GuestMemoryRead`] |
//! | `shadow` | yes | ITS tables in the image, by way of shadow memory (Linux); needs `vm-memory` |
//! | `model` | | KVM's devices in the process; GICv3 and ITS with `vm-memory` |
//! | `serde` | | a state serialises as the bytes of its image |
//! | `cli` | | the tool `vgic-state` |
//!
//! Without `kvm`, `vm-memory` and `cli` the crate is `no_std` and needs `alloc`.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic"))]

extern crate alloc;

mod attr;
mod buffer;
mod errno;
mod error;
mod flushed;
pub mod forward;
pub mod gicv2;
pub mod gicv3;
pub mod gicv5;
pub mod image;
pub mod interrupt_state;
pub mod its;
pub mod judge;
#[cfg(all(feature = "kvm", target_os = "linux"))]
pub mod kvm;
mod memory;
#[cfg(feature = "model")]
pub mod model;
mod options;
mod registers;
pub mod report;
#[cfg(test)]
#[path = "../tests/common/seeds.rs"]
mod seeds;
pub mod shadow;
mod state;
mod topology;
#[path = "../uapi/mod.rs"]
pub mod uapi;

pub use attr::{Attr, AttrDevice, AttrId, AttributeError, Command, IstDevice, Operation, Word};
pub use buffer::{BufferError, IstKind, IstSizes};
pub use errno::Errno;
pub use error::{AccessError, Applied, DeviceError, Error, ReadBackError};
pub use flushed::Flushed;
pub use interrupt_state::{DynInterruptState, GuestMemoryUse, InterruptState, Requirements};
pub use memory::{GuestMemoryRead, GuestRange, NoGuestMemory};
pub use options::{ConfigurationPolicy, El2Policy, Options, TableStrategy};
#[doc(hidden)]
pub use registers::{Field, Meaning, Row};
pub use topology::{IntId, LpiIdBits, Mpidr, NrIrqs, SpiCount, SpiSet, TopologyError, Vcpu, VcpuId, VcpuNumbers, Vcpus};

/// The examples of the README.
#[cfg(all(doctest, feature = "kvm", feature = "vm-memory", target_os = "linux"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of `docs/embedding.md`.
#[cfg(all(doctest, feature = "kvm", feature = "vm-memory", target_os = "linux"))]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;

/// The examples of `docs/older-snapshots.md`.
#[cfg(all(doctest, feature = "kvm", target_os = "linux"))]
#[doc = include_str!("../docs/older-snapshots.md")]
struct OlderSnapshots;
