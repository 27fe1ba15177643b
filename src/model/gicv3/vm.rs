//! The VM: creation of vCPUs, memory, faults and record.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-init.c`; Documentation/virt/kvm/api.rst, `KVM_CREATE_VCPU`, `KVM_SET_USER_MEMORY_REGION`.
//!
//! Rule: one lock for all state, held for one operation and never while guest code runs, so that other threads meet a running vCPU
//! as they would in KVM.

use super::behaviour::Behaviour;
use super::cpu::Cpu;
use super::host::Host;
use super::its::Executed;
use super::state::State;
use super::trace::Traced;
use crate::model::fault::Fault;
use crate::{Errno, Vcpu, VcpuId};
use core::fmt;
use core::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vm_memory::GuestMemoryMmap;

/// A VM that can have a GICv3 and ITSes. A clone is the same VM.
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
    /// A VM without vCPUs and without devices. A number of `host` that is out of its range counts as the nearest in it.
    #[must_use]
    pub fn new(host: Host, memory: GuestMemoryMmap<()>) -> Self {
        Vm { state: Arc::new(Mutex::new(State::new(host, memory))) }
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

    /// `KVM_SET_USER_MEMORY_REGION` of every slot at once: guest memory is another from now on, or none.
    pub fn set_memory(&self, memory: GuestMemoryMmap<()>) {
        self.lock().ram.replace(memory);
    }

    /// The guest memory that the slots have now.
    #[must_use]
    pub fn memory(&self) -> GuestMemoryMmap<()> {
        self.lock().ram.slots().clone()
    }

    /// `KVM_CREATE_VCPU`, and the affinity that user space gives the vCPU.
    ///
    /// Two vCPUs may have one affinity, as in KVM; attributes then reach the one that was created first.
    ///
    /// # Errors
    ///
    /// In this order; Documentation/virt/kvm/api.rst, `KVM_CREATE_VCPU`, and `vgic-init.c`:
    /// - `EIO`: the VM is dead.
    /// - `EINVAL`: as many vCPUs exist as the VM can have.
    /// - `EBUSY`: the GICv3 is initialised.
    /// - `EINVAL`: the id is not below the limit.
    /// - `EEXIST`: the id is taken.
    /// - `EINVAL`: its redistributor would leave the address space or lie in another frame, or another vCPU has EL2.
    pub fn create_vcpu(&self, vcpu: Vcpu) -> Result<(), Errno> {
        self.add_vcpu(vcpu, false)
    }

    /// [`Vm::create_vcpu`] with the feature `KVM_ARM_VCPU_HAS_EL2`, on a host that was started for it (`kvm-arm.mode=nested`).
    ///
    /// # Errors
    ///
    /// As [`Vm::create_vcpu`], and of `KVM_ARM_VCPU_INIT`, before the VM has the vCPU:
    /// - `EINVAL`: the kernel has no EL2 for a guest; or the VM has a vCPU with other features. So it is the other way.
    pub fn create_el2_vcpu(&self, vcpu: Vcpu) -> Result<(), Errno> {
        self.add_vcpu(vcpu, true)
    }

    fn add_vcpu(&self, vcpu: Vcpu, el2: bool) -> Result<(), Errno> {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.alive()?;
        if state.cpus.len() >= state.host.max_vcpus as usize {
            return Err(Errno::EINVAL);
        }
        if state.dist.initialised {
            return Err(Errno::EBUSY);
        }
        if vcpu.id.get() >= state.host.max_vcpus {
            return Err(Errno::EINVAL);
        }
        if state.cpus.iter().any(|cpu| cpu.vcpu.id == vcpu.id) {
            return Err(Errno::EEXIST);
        }
        let differs = state.cpus.iter().any(|cpu| cpu.el2.is_some() != el2);
        if el2 && !state.host.kernel.has(Behaviour::RunsGuestsWithEl2) || differs {
            return Err(Errno::EINVAL);
        }
        let index = state.cpus.len();
        state.cpus.push(Cpu::new(vcpu, el2, &state.host));
        if let Err(errno) = state.place_redistributor(index, index) {
            state.cpus.pop();
            return Err(errno);
        }
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

    /// Arms a fault for the accesses to all devices; [`Device::set_fault`](super::Device::set_fault) does so for one. Several may be armed.
    /// Those of a GICv5 ([`Fault::NotQuiesced`], [`Fault::Host`]) have no effect.
    pub fn set_fault(&self, fault: Fault) {
        self.lock().faults.arm(fault);
    }

    /// Disarms all faults, those of single devices as well.
    pub fn clear_faults(&self) {
        let mut state = self.lock();
        state.faults.disarm();
        state.device_faults.clear();
    }

    /// Every access to an attribute of any device so far, in order.
    #[must_use]
    pub fn trace(&self) -> Vec<Traced> {
        self.lock().trace.clone()
    }

    /// Forgets the accesses so far.
    pub fn clear_trace(&self) {
        self.lock().trace.clear();
    }

    /// Every command that an ITS took from its queue so far, in order.
    #[must_use]
    pub fn commands(&self) -> Vec<Executed> {
        self.lock().commands.clone()
    }

    /// Forgets the commands so far.
    pub fn clear_commands(&self) {
        self.lock().commands.clear();
    }

    /// Ranges of guest physical addresses that the kernel wrote, in order, joined where they touch. What a guest wrote itself is
    /// not among them.
    #[must_use]
    pub fn written(&self) -> Vec<Range<u64>> {
        self.lock().ram.written()
    }

    /// Forgets the writes so far.
    pub fn clear_written(&self) {
        self.lock().ram.forget_written();
    }
}
