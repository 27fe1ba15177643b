//! Save and restore the interrupt controller that Linux KVM emulates for an Arm guest: for snapshots, live update and live migration.
//!
//! For the author of a virtual machine monitor (VMM). The VMM creates the devices, stops vCPUs and moves guest memory; the crate turns the
//! state of the controller into the bytes of an image, or into a typed value, and back.
//!
//! # Save, check, restore
//!
//! | | call | what it does |
//! |---|---|---|
//! | attach | [`Gicv3::attach`](gicv3::Gicv3::attach), [`Gicv5::attach`](gicv5::Gicv5::attach), [`Gicv2::attach`](gicv2::Gicv2::attach) | lends the devices, which are initialised, to a backend for one operation; reads what the devices are |
//! | save | [`flush_tables`](DynInterruptState::flush_tables) | has KVM write the tables of ITSes: into guest memory, or for the image ([`TableStrategy`]) |
//! | | [`image_max`](DynInterruptState::image_max) | tells the size of the buffer |
//! | | [`save_image`](DynInterruptState::save_image) | writes the image into the buffer, and returns its length |
//! | check | [`check_image`](DynInterruptState::check_image) | tells whether this VM can take an image, and what is wrong with the image; does not access the device |
//! | restore | [`restore_image`](DynInterruptState::restore_image) | checks, then writes. Returns a [`Report`](report::Report): findings, guest memory that was written, lines to drive |
//!
//! These methods are those of [`DynInterruptState`], the same for every controller. [`InterruptState`] has [`save`](InterruptState::save),
//! [`check`](InterruptState::check) and [`restore`](InterruptState::restore) of a typed state instead of an image. What the VMM must do
//! before each call is in [`interrupt_state`]; what it decides is in [`Options`]. A refused image leaves the device without a single
//! access.
//!
//! # Where to find what
//!
//! - [`gicv2`], [`gicv3`], [`gicv5`]: the backend and the state of each controller.
#![cfg_attr(
    all(feature = "kvm", target_os = "linux"),
    doc = "- [`kvm`]: the device behind a file descriptor of KVM; [`kvm::probe`] tells which controllers a host offers."
)]
#![cfg_attr(feature = "model", doc = "- [`model`]: models of KVM's devices in the process, to run a test suite on any machine.")]
//! - [`report`]: findings, their severities, and reasons of refusals; [`judge`]: the same without a device.
//! - [`shadow`]: memory slots, for ITS tables in the image.
//! - [`image`]: which controller an image is of, and how long it is.
//! - [`its`]: ITS tables and commands as data; [`forward`]: a filter of commands in front of a real ITS.
//! - [`uapi`]: constants of the kernel's interface, by their C names.
//!
//! # Example
//!
//! A guest with two vCPUs and a GICv5 migrates, on the model.
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
//! | `vm-memory` | yes | guest memory of the crate vm-memory implements [`GuestMemoryRead`]; a VMM implements it for any other, without a feature |
//! | `shadow` | yes | ITS tables in the image, by way of shadow memory (Linux); needs `vm-memory` |
//! | `model` | | KVM's devices in the process; GICv3 and ITS with `vm-memory` |
//! | `serde` | | a state serialises as the bytes of its image |
//! | `cli` | | the tool `vgic-state` |
//! | `std` | | the CPU's own instructions for checksums; `kvm`, `vm-memory` and `cli` bring it |
//!
//! Without `std`, and so without `kvm`, `vm-memory` and `cli`, the crate is `no_std` and needs `alloc`.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic"))]

extern crate alloc;

mod attr;
mod buffer;
mod device;
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

pub use attr::{Attr, AttrId, AttributeError, Command, Operation, Word};
pub use buffer::{BufferError, IstKind, IstSizes};
pub use device::{AttrDevice, IstDevice};
pub use errno::Errno;
pub use error::{AccessError, Applied, DeviceError, Error, ReadBackError};
pub use flushed::Flushed;
pub use interrupt_state::{DynInterruptState, GuestMemoryUse, InterruptState, Requirements};
pub use memory::{GuestMemoryRead, GuestRange, MemoryError, NoGuestMemory};
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
