//! A VM with KVM's virtual GICv2, as user space and as a guest see it.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst; `arch/arm64/kvm/vgic/`, Linux 6.1 to 7.3; Arm Generic Interrupt Controller
//! Architecture Specification, version 2.0 (IHI 0048), for the guest's side. Where none says what happens, a comment in the code says
//! what was chosen.
//!
//! Rule: user space goes through [`Device`], a guest through [`Guest`]; both act on the same state and nothing else does.
//!
//! What is modelled: the life of the device and of vCPUs, all attribute groups with their silent successes, the distributor with its
//! banked registers, SGIs with their sources, the CPU interface; differences between kernels
//! ([`Behaviour`](super::gicv3::Behaviour)). What is not: time, KVM's timers and PMU, irqfds, GICv2m.
//!
//! ```
//! use vgic_state::model::gicv2::{Host, Vm};
//! use vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V2;
//! use vgic_state::{Attr, AttrDevice, Command, Errno, VcpuId, Vcpus};
//!
//! let vcpus = Vcpus::with_default_mpidrs(2).unwrap();
//! let vm = Vm::new(Host::default());
//! for vcpu in vcpus.iter() {
//!     vm.create_vcpu(vcpu)?;
//! }
//! let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V2)?;
//! gic.set(Attr::gicv2_dist_address(), 0x800_0000)?;
//! gic.set(Attr::gicv2_cpu_address(), 0x801_0000)?;
//! gic.set(Attr::nr_irqs(), 64)?;
//! gic.command(Command::Init)?;
//!
//! // The guest on vCPU 1 sends SGI 5 to vCPU 0, which acknowledges it.
//! let [first, second] = [0, 1].map(|id| VcpuId::new(id).unwrap());
//! vm.run(first, |guest| {
//!     guest.dist_write32(0x000, 1); // GICD_CTLR
//!     guest.enable_interface();
//! })?;
//! vm.run(second, |guest| guest.dist_write32(0xf00, 1 << 16 | 5))?; // GICD_SGIR
//! assert_eq!(gic.get(Attr::gicv2_dist(first, 0xf24))?, 0x0000_0200); // GICD_SPENDSGIR1: SGI 5, from vCPU 1
//! assert_eq!(vm.run(first, |guest| guest.acknowledge())?, Some(1 << 10 | 5));
//! # Ok::<(), Errno>(())
//! ```
mod attributes;
mod cpu;
mod delivery;
mod device;
mod guest;
mod host;
mod irq;
mod lines;
mod regions;
mod registers;
mod run;
mod setup;
mod state;
mod vm;

pub use device::Device;
pub use guest::Guest;
pub use host::Host;
pub use vm::Vm;
