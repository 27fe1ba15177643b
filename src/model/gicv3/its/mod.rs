//! One ITS: registers, and what the guest has mapped.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`; Documentation/virt/kvm/devices/arm-vgic-its.rst; Arm Generic Interrupt Controller
//! Architecture Specification, GICv3, chapter on the ITS.
//!
//! Rule: mappings live here; guest memory is read and written by the commands and by SAVE and RESTORE, and by nothing else.

mod baser;
mod commands;
mod mappings;
mod msi;
mod registers;
mod restore;
mod save;
mod table;

pub use commands::{CommandError, Executed};
pub(super) use mappings::{Its, NOT_MAPPED};
pub(super) use registers::{Register, Run};
