//! A VM with KVM's virtual GICv5, as user space and as a guest see it.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst and `arch/arm64/kvm/vgic/`, Linux 7.4; Arm Generic Interrupt Controller
//! Architecture Specification, GICv5, for the guest's side. `tests/conversations` holds the model to what the kernel's own code
//! answers; where the architecture leaves a choice to the hardware, a comment in the code says so.
//!
//! Rule: user space goes through [`Vm::ioctl`], a guest through [`Guest`]; both act on the same state and nothing else does.
//!
//! What is modelled: the life of the device and its vCPUs, all attribute groups, the host's tables behind the interrupt state, lines
//! that user space drives, and the guest's registers and system instructions. What is not: time (a command of the host is done at
//! once, unless a [fault](crate::model::Fault) says otherwise), memory of the guest, timers and PMU beyond their interrupt line.
//!
//! ```
//! use vgic_state::model::gicv5::{Host, Vm};
//! use vgic_state::{Attr, AttrDevice, Command, Errno, IntId, IstDevice, Vcpus};
//!
//! let vcpus = Vcpus::with_default_mpidrs(2).unwrap();
//! let mut vm = Vm::with_device(Host::default(), &vcpus)?;
//! vm.set(Attr::irs_address(), 0x1000_0000)?;
//! vm.set(Attr::nr_irqs(), 64)?;
//! vm.command(Command::Init)?;
//!
//! // A guest on the second vCPU enables SPI 40 for itself; a device raises the line.
//! let second = vcpus.iter().nth(1).unwrap().id;
//! vm.run(second, |guest| {
//!     guest.irs_write32(0x80, 1); // IRS_CR0.IRSEN
//!     guest.enable_interface();
//!     guest.set_priority_mask(31);
//!     guest.cdpri(IntId::Spi(40), 9);
//!     guest.cdaff(IntId::Spi(40), 1);
//!     guest.cden(IntId::Spi(40));
//! })?;
//! vm.set_spi_level(40, true)?;
//!
//! // Pending, enabled, priority 9, for IAFFID 1: bits 0, 3, 15:11 and 31:16 of the entry.
//! let mut table = [0; 64 * 4];
//! vm.save_ist(&mut table, None)?;
//! assert_eq!(table[160..164], 0x0001_4809_u32.to_le_bytes());
//! assert_eq!(vm.run(second, |guest| guest.acknowledge())?, Some(IntId::Spi(40)));
//!
//! // A restore is for a VM that never ran.
//! assert_eq!(vm.restore_ist(&table, None), Err(Errno::EBUSY));
//! assert_eq!(vm.trace().last().unwrap().to_string(), "set IST spi 256 bytes, no lpi -> EBUSY");
//! # Ok::<(), Errno>(())
//! ```

mod attributes;
mod cpu;
mod device;
mod guest;
mod hooks;
mod host;
mod init;
mod instructions;
mod irs;
mod ist;
mod lines;
mod mmio;
mod transfer;
mod vm;

pub use guest::Guest;
pub use host::Host;
pub use ist::Spi;
pub use vm::Vm;
