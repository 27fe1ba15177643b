//! The model of KVM's GICv5 against the kernel's rules: every row of a list of checks is a test, and the order of two rows is shown by
//! breaking both.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst and `arch/arm64/kvm/vgic/`, Linux 7.4.
//!
//! Rule: no two values in a test are the same by chance.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod address;
mod common;
mod executed;
mod guest;
mod irs_access;
mod irs_values;
mod ist_restore;
mod ist_sanitise;
mod ist_save;
mod lifecycle;
mod lines;
mod migration;
mod record;
#[path = "../common/seeds.rs"]
mod seeds;
mod sysregs;
