//! The model of KVM's GICv3 and ITS against the kernel's rules: registers, silent successes, commands, tables, pending state.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst; `arch/arm64/kvm/vgic/`, Linux 6.1 to 7.3.
//!
//! Rule: no two values in a test are the same by chance.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod commands;
mod common;
mod decoder;
mod dist;
mod documented;
mod el2;
mod groups;
mod guest;
mod icc;
mod its_registers;
mod kernels;
mod lifecycle;
mod pending;
mod record;
mod redist;
mod restore_checks;
mod save;
#[path = "../common/seeds.rs"]
mod seeds;
