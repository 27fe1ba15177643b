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
    /// A VM without vCPUs and without a device. A number of `host` that is out of its range counts as the nearest in it.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Vm { state: Arc::new(Mutex::new(State::new(host))) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole whenever the lock is free, whatever happened to the thread that had it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host, with every number in its range.
    #[must_use]
    pub fn host(&self) -> Host {
        self.lock().host
    }

    /// `KVM_CREATE_VCPU`, and the affinity that user space gives the vCPU.
    ///
    /// # Errors
    ///
    /// In this order; Documentation/virt/kvm/api.rst, `KVM_CREATE_VCPU`, and `arm.c`:
    /// - `EIO`: the VM is dead.
    /// - `EINVAL`: as many vCPUs exist as the VM can have: 8 with a GICv2.
    /// - `EBUSY`: the GICv2 is initialised.
    /// - `EINVAL`: the id is not below that number.
    /// - `EEXIST`: the id is taken.
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

    /// Another thread takes the lock of a vCPU, as `KVM_RUN` and every other ioctl of a vCPU does, or gives it back. No effect for
    /// an id that no vCPU has.
    pub fn hold_vcpu(&self, id: VcpuId, held: bool) {
        for cpu in self.lock().cpus.iter_mut().filter(|cpu| cpu.vcpu.id == id) {
            cpu.held = held;
        }
    }

    /// Whether the VM is dead: every further ioctl gives `EIO`.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Arms a fault. Faults add up. Those of a GICv5 ([`Fault::NotQuiesced`], [`Fault::Host`]) have no effect.
    pub fn set_fault(&self, fault: Fault) {
        self.lock().log.arm(fault);
    }

    /// Disarms all faults.
    pub fn clear_faults(&self) {
        self.lock().log.disarm();
    }

    /// Every access to an attribute so far, in order.
    #[must_use]
    pub fn trace(&self) -> Vec<Access> {
        self.lock().log.trace.clone()
    }

    /// Forgets the accesses so far.
    pub fn clear_trace(&self) {
        self.lock().log.trace.clear();
    }
}
