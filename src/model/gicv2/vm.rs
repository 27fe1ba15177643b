//! The VM: creation of vCPUs, faults and record.
//!
//! Source: `arch/arm64/kvm/arm.c`, `kvm_arch_vcpu_precreate`; Documentation/virt/kvm/api.rst, `KVM_CREATE_VCPU`.
//!
//! Rule: one lock for all state, held for one operation and never while guest code runs, so that other threads meet a running vCPU
//! as they would in KVM.

use super::cpu::Cpu;
use super::host::Host;
use super::state::State;
use crate::model::fault::Fault;
use crate::model::trace::Access;
use crate::uapi::vgic_v2::VGIC_V2_MAX_CPUS;
use crate::{Errno, Vcpu, VcpuId};
use core::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A VM that can have a GICv2. A clone is the same VM.
#[derive(Clone)]
pub struct Vm {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(f)
    }
}

impl Vm {
    /// A VM without vCPUs and without a device. A number in `host` that is out of its range is clamped to it.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Vm { state: Arc::new(Mutex::new(State::new(host))) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole whenever the lock is free, whatever happened to the thread that had it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host that the VM runs on, with every number clamped to its range.
    #[must_use]
    pub fn host(&self) -> Host {
        self.lock().host
    }

    /// `KVM_CREATE_VCPU`: creates a vCPU, with the affinity (MPIDR) that user space gives it.
    ///
    /// # Errors
    ///
    /// In this order; Documentation/virt/kvm/api.rst, `KVM_CREATE_VCPU`, and `arm.c`:
    /// - `EIO`: the VM is dead.
    /// - `EINVAL`: as many vCPUs exist as the VM can have: 8 with a GICv2.
    /// - `EBUSY`: the GICv2 is initialised.
    /// - `EINVAL`: the id is not below that number.
    /// - `EEXIST`: a vCPU has the id.
    pub fn create_vcpu(&self, vcpu: Vcpu) -> Result<(), Errno> {
        let mut state = self.lock();
        state.alive()?;
        let limit = if state.dist.exists { VGIC_V2_MAX_CPUS } else { state.host.max_vcpus };
        if state.cpus.len() >= limit as usize {
            return Err(Errno::EINVAL);
        }
        if state.dist.initialised {
            return Err(Errno::EBUSY);
        }
        if vcpu.id.get() >= limit {
            return Err(Errno::EINVAL);
        }
        if state.index_of(vcpu.id).is_some() {
            return Err(Errno::EEXIST);
        }
        let index = state.cpus.len();
        state.cpus.push(Cpu::new(vcpu));
        state.irqs.add_vcpu(index);
        Ok(())
    }

    /// Locks a vCPU (`held`), as another thread does that is in `KVM_RUN` or any other ioctl of the vCPU, or unlocks it. No effect if no
    /// vCPU has the id.
    pub fn hold_vcpu(&self, id: VcpuId, held: bool) {
        for cpu in self.lock().cpus.iter_mut().filter(|cpu| cpu.vcpu.id == id) {
            cpu.held = held;
        }
    }

    /// Whether the VM is dead: every further ioctl fails with `EIO`.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Arms a fault, in addition to those that are armed. Those of a GICv5 ([`Fault::NotQuiesced`], [`Fault::Host`]) have no effect.
    pub fn set_fault(&self, fault: Fault) {
        self.lock().log.arm(fault);
    }

    /// Disarms all faults.
    pub fn clear_faults(&self) {
        self.lock().log.disarm();
    }

    /// The record of accesses: every access to an attribute so far, in order.
    #[must_use]
    pub fn trace(&self) -> Vec<Access> {
        self.lock().log.trace.clone()
    }

    /// Empties the record of accesses.
    pub fn clear_trace(&self) {
        self.lock().log.trace.clear();
    }
}
