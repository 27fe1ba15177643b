//! Shadow memory: for the duration of a table command of an ITS, KVM's accesses to guest memory go to other memory.
//!
//! KVM reads and writes the tables of an ITS through the VM's memory slots. With every vCPU stopped, a slot can be deleted and created
//! again at the same guest addresses over memory of our own; afterwards the guest's memory is put back. What KVM wrote in between is
//! read from the shadow, and the guest's memory has never been touched.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_SET_USER_MEMORY_REGION`, `KVM_GET_DIRTY_LOG`.
//!
//! Rule: the guest's memory is back in its slots when the work is done, whatever happened to the work.

#[cfg(all(feature = "shadow", target_os = "linux"))]
mod kind;
#[cfg(all(feature = "shadow", target_os = "linux"))]
mod mapping;
#[cfg(all(feature = "shadow", target_os = "linux"))]
mod pagemap;
#[cfg(all(feature = "shadow", target_os = "linux"))]
mod region;
#[cfg(all(feature = "shadow", target_os = "linux"))]
mod shadowed;
#[cfg(all(feature = "shadow", target_os = "linux"))]
mod slots;
#[cfg(all(feature = "shadow", target_os = "linux"))]
mod window;

pub use crate::memory::{Divert, ShadowError, ShadowMemory, ShadowStep};
#[cfg(all(feature = "shadow", target_os = "linux"))]
pub use {
    kind::ShadowKind,
    shadowed::Shadowed,
    slots::{Backing, Memslot, Memslots, ShadowRegion},
    window::ShadowWindow,
};
