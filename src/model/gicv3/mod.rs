//! A VM with KVM's virtual GICv3 and its ITSes, as user space and as a guest see them, over guest memory of vm-memory.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst; `arch/arm64/kvm/vgic/`, Linux 6.1 to 7.3; Arm
//! Generic Interrupt Controller Architecture Specification, GICv3 and GICv4 (IHI 0069), for the guest's side. Where none says what
//! happens, a comment in the code says what was chosen.
//!
//! Rule: user space goes through [`Device`], a guest through [`Guest`]; both act on the same state and nothing else does.
//!
//! What is modelled: the life of devices and vCPUs, all attribute groups with their silent successes, the distributor, the
//! redistributors and the CPU interface, LPIs with their tables in guest memory, the ITS commands that KVM executes, and the tables
//! of ABI revision 0; [differences between kernels](Behaviour). What is not: time, KVM's timers and PMU, irqfds, GICv2 on GICv3,
//! maintenance interrupts. Of a nested guest: what its virtual CPU interface does with the list registers.
//!
//! ```
//! use vgic_state::model::gicv3::{Host, Vm};
//! use vgic_state::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V3};
//! use vgic_state::{Attr, AttrDevice, Command, Errno, Vcpus};
//! use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
//!
//! const RAM: u64 = 0x4000_0000;
//! let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(RAM), 2 << 20)]).unwrap();
//! let vm = Vm::new(Host::default(), memory.clone());
//! let vcpu = Vcpus::with_default_mpidrs(1).unwrap().iter().next().unwrap();
//! vm.create_vcpu(vcpu)?;
//! let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3)?;
//! gic.set(Attr::dist_address(), 0x800_0000)?;
//! gic.set(Attr::redist_address(), 0x80a_0000)?;
//! gic.command(Command::Init)?;
//! let mut its = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_ITS)?;
//! its.set(Attr::its_address(), 0x808_0000)?;
//!
//! // LPI 8192 is enabled, with priority 0xa0. A guest sets up LPIs and the ITS, and maps event 3 of device 5 to it.
//! memory.write_obj(0xa1_u8, GuestAddress(RAM + 0x10000)).unwrap();
//! vm.run(vcpu.id, |guest| {
//!     guest.enable_interface();
//!     guest.dist_write32(0x0, 0x2); // GICD_CTLR.EnableGrp1
//!     guest.redist_write64(vcpu.id, 0x70, RAM + 0x10000 | 0xf); // GICR_PROPBASER
//!     guest.redist_write64(vcpu.id, 0x78, RAM + 0x20000); // GICR_PENDBASER
//!     guest.redist_write32(vcpu.id, 0x0, 1); // GICR_CTLR.EnableLPIs
//!     guest.its_write64(0, 0x100, 1 << 63 | RAM + 0x30000); // GITS_BASER0: devices
//!     guest.its_write64(0, 0x108, 1 << 63 | RAM + 0x40000); // GITS_BASER1: collections
//!     guest.its_write64(0, 0x80, 1 << 63 | RAM + 0x50000); // GITS_CBASER
//!     guest.its_write32(0, 0x0, 1); // GITS_CTLR.Enabled
//!     let commands: [[u64; 4]; 3] = [
//!         [0x09, 0, 1 << 63 | 7, 0],            // MAPC: collection 7 to vCPU 0
//!         [5 << 32 | 0x08, 4, 1 << 63 | RAM, 0], // MAPD: device 5, 5 bits of EventID
//!         [5 << 32 | 0x0a, 8192 << 32 | 3, 7, 0], // MAPTI
//!     ];
//!     for (address, word) in (RAM + 0x50000..).step_by(8).zip(commands.as_flattened()) {
//!         guest.write_memory(address, &word.to_le_bytes()).unwrap();
//!     }
//!     guest.its_write64(0, 0x88, 96); // GITS_CWRITER
//! })?;
//!
//! assert_eq!(vm.signal_msi(0x808_0000 + 0x10040, 5, 3), Ok(1));
//! // Pending state goes to guest memory, then the tables.
//! gic.command(Command::SavePendingTables)?;
//! its.command(Command::ItsSaveTables)?;
//! assert_eq!(vm.trace().last().unwrap().to_string(), "its0 command SAVE_TABLES");
//! // Bit 8192 of the pending table; the translation entry at the index of its EventID.
//! assert_eq!(memory.read_obj::<u8>(GuestAddress(RAM + 0x20000 + 1024)).unwrap(), 1);
//! assert_eq!(memory.read_obj::<u64>(GuestAddress(RAM + 3 * 8)).unwrap(), 8192 << 16 | 7);
//! assert_eq!(vm.run(vcpu.id, |guest| guest.acknowledge())?, Some(8192));
//! # Ok::<(), Errno>(())
//! ```
mod behaviour;
mod cpu;
mod ctx;
mod delivery;
mod device;
mod dist;
mod el2;
mod fields;
mod gic_attributes;
mod guest;
mod host;
mod icc;
mod inspect;
mod irq;
mod its;
mod its_attributes;
mod kernel;
mod lines;
mod nested;
mod ram;
mod regions;
mod registers;
mod run;
mod setup;
#[cfg(all(feature = "shadow", target_os = "linux"))]
mod slots;
mod state;
mod trace;
mod vm;

pub use behaviour::Behaviour;
pub use device::Device;
pub use guest::Guest;
pub use host::Host;
pub use inspect::{Lpi, MappedCollection, MappedDevice, MappedEvent, Mappings};
pub use its::{CommandError, Executed};
pub use kernel::{Kernel, UnknownKernel};
#[cfg(all(feature = "shadow", target_os = "linux"))]
pub use slots::Slots;
pub use trace::{Origin, Traced};
pub use vm::Vm;
