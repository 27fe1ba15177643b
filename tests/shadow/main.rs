//! Shadow memory in the slots of a VM: a stub of KVM's slots that fails where it is told to, the model, and KVM itself.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_SET_USER_MEMORY_REGION`, `KVM_GET_DIRTY_LOG`.
//!
//! Rule: whatever happens in between, the guest's memory and its slots are compared with what they were.
#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

mod contents;
mod extra;
mod failures;
mod fake;
#[cfg(feature = "kvm")]
mod kvm;
mod model;
mod refusals;
