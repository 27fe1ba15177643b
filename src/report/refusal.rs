//! Why a VM cannot take a state.
//!
//! Rule: a refusal says what was expected and what was found. The device was not accessed.

use super::Finding;
use crate::AttrId;
use crate::its::TableError;
use crate::topology::{NrIrqs, SpiCount, Vcpu};
use alloc::boxed::Box;

/// A state that cannot be restored on this device. The device was not accessed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The VM lacks a vCPU that the state has, by both names.
    #[error("the state has {vcpu}, the VM does not")]
    VcpuMissing {
        /// The vCPU of the state.
        vcpu: Vcpu,
    },
    /// The VM has a vCPU that the state lacks, by both names.
    #[error("the VM has {vcpu}, the state does not")]
    VcpuUnexpected {
        /// The vCPU of the VM.
        vcpu: Vcpu,
    },
    /// A vCPU has the same id in the VM and in the state and different affinities, or the same affinity and different ids.
    #[error("the state has {found}, the VM {expected}: an id and an affinity that belong together must stay together")]
    VcpuNames {
        /// The vCPU of the VM.
        expected: Vcpu,
        /// The vCPU of the state.
        found: Vcpu,
    },
    /// The state has a vCPU twice, or two with one name.
    #[error("the state has {first} and {second}: each id and each affinity must be there once")]
    VcpuTwice {
        /// A vCPU of the state.
        first: Vcpu,
        /// Another one, or the same again.
        second: Vcpu,
    },
    /// The host's kernel takes the place of a vCPU in the order of creation for its number
    /// ([`Options::vcpu_numbers`](crate::Options::vcpu_numbers)), and its `vcpu_id` is another.
    #[error("this kernel takes the order of creation for the number of a vCPU, and {vcpu} is number {place} of it")]
    VcpuNumber {
        /// The first such vCPU.
        vcpu: Vcpu,
        /// Its place, from 0.
        place: usize,
    },
    /// The VM has an ITS and a `vcpu_id` that is not the vCPU's place in the order of creation, and neither the VMM
    /// ([`Options::vcpu_numbers`](crate::Options::vcpu_numbers)) nor the kernel says which of the two an ITS takes for the number of a
    /// vCPU. Kernels from Linux 6.15 on show that it is the `vcpu_id`.
    #[error(
        "{vcpu} is number {place} in the order of creation: the VMM must tell which of the two this kernel takes (vcpu_numbers)"
    )]
    VcpuNumbersNotTold {
        /// The first such vCPU.
        vcpu: Vcpu,
        /// Its place, from 0.
        place: usize,
    },
    /// The number of SPIs differs.
    #[error("the state has {found} SPIs, the device {expected}", found = found.get(), expected = expected.get())]
    SpiCount {
        /// SPIs of the device.
        expected: SpiCount,
        /// SPIs of the state.
        found: SpiCount,
    },
    /// The number of interrupts of a GICv3 differs.
    #[error("the state has {found} interrupts, the device {expected}", found = found.get(), expected = expected.get())]
    NrIrqs {
        /// Interrupts of the device.
        expected: NrIrqs,
        /// Interrupts of the state.
        found: NrIrqs,
    },
    /// The number of ITSes differs.
    #[error("the state has {found} ITSes, the VM {expected}")]
    ItsCount {
        /// ITSes of the VM.
        expected: usize,
        /// ITSes of the state.
        found: usize,
    },
    /// The VM lacks an ITS that the state has.
    #[error("the state has an ITS at {base:#x}, the VM does not")]
    ItsMissing {
        /// Guest physical address.
        base: u64,
    },
    /// The vCPUs of the state have EL2 (nested virtualization); those of the VM have not, or its kernel does not show it.
    #[error("the state has EL2 of its vCPUs, the VM's vCPUs have none that the kernel shows")]
    El2Missing,
    /// The vCPUs of the VM have EL2, and those of the state have not.
    #[error("the vCPUs of the VM have EL2, the state has none of it")]
    El2Unexpected,
    /// The maintenance interrupt differs, which is fixed before `INIT`.
    #[error("the maintenance interrupt of the state has INTID {found}, that of the VM {expected} (MAINT_IRQ)")]
    MaintenanceIrq {
        /// INTID of the device.
        expected: u32,
        /// INTID of the state.
        found: u32,
    },
    /// An identification register that the target cannot honour.
    #[error("{register}.{field} is {found}, the device has {expected}: {rule}")]
    Identity {
        /// The register.
        register: AttrId,
        /// The field, by its Arm name.
        field: &'static str,
        /// The value of the device.
        expected: u64,
        /// The value of the state.
        found: u64,
        /// What the kernel accepts.
        rule: &'static str,
    },
    /// The state has the tables in it, and the backend was given guest memory that cannot be diverted.
    #[error("the state has tables in it: the backend needs the memory slots of the VM to restore it")]
    NoShadow,
    /// The tables that the state has in it need guest memory where this VM has none, or none that can be read.
    #[error(transparent)]
    Tables(TableError),
    /// Something is wrong with the state itself, and it is as bad as the threshold of the VMM or worse, or accepted by none.
    #[error("{}, {}: {_0}", _0.severity(), _0.problem.code())]
    Problem(Box<Finding>),
}
