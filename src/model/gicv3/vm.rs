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
    /// A VM without vCPUs and without devices. A number in `host` that is out of its range is clamped to it.
    #[must_use]
    pub fn new(host: Host, memory: GuestMemoryMmap<()>) -> Self {
        Vm { state: Arc::new(Mutex::new(State::new(host, memory))) }
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

    /// `KVM_SET_USER_MEMORY_REGION` of every slot at once: replaces the guest memory of the VM. It may be empty.
    pub fn set_memory(&self, memory: GuestMemoryMmap<()>) {
        self.lock().ram.replace(memory);
    }

    /// The guest memory that the VM's slots map now.
    #[must_use]
    pub fn memory(&self) -> GuestMemoryMmap<()> {
        self.lock().ram.slots().clone()
    }

    /// `KVM_CREATE_VCPU`: creates a vCPU, with the affinity (MPIDR) that user space gives it.
    ///
    /// As in KVM, two vCPUs may have the same affinity; attributes then address the one that was created first.
    ///
    /// # Errors
    ///
    /// In this order; Documentation/virt/kvm/api.rst, `KVM_CREATE_VCPU`, and `vgic-init.c`:
    /// - `EIO`: the VM is dead.
    /// - `EINVAL`: as many vCPUs exist as the VM can have.
    /// - `EBUSY`: the GICv3 is initialised.
    /// - `EINVAL`: the id is not below the limit.
    /// - `EEXIST`: a vCPU has the id.
    /// - `EINVAL`: its redistributor would leave the address space or lie in another frame, or another vCPU has EL2.
    pub fn create_vcpu(&self, vcpu: Vcpu) -> Result<(), Errno> {
        self.add_vcpu(vcpu, false)
    }

    /// [`Vm::create_vcpu`] with the feature `KVM_ARM_VCPU_HAS_EL2`, on a host that was booted with `kvm-arm.mode=nested`.
    ///
    /// # Errors
    ///
    /// As [`Vm::create_vcpu`], and this one of `KVM_ARM_VCPU_INIT`, after which the VM does not have the vCPU:
    /// - `EINVAL`: the kernel cannot give a guest EL2, or the VM has a vCPU without EL2.
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

    /// Arms a fault for the accesses to all devices, in addition to those that are armed.
    /// [`Device::set_fault`](super::Device::set_fault) arms one for a single device.
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

    /// The record of accesses: every access to an attribute of any device so far, in order.
    #[must_use]
    pub fn trace(&self) -> Vec<Traced> {
        self.lock().trace.clone()
    }

    /// Empties the record of accesses.
    pub fn clear_trace(&self) {
        self.lock().trace.clear();
    }

    /// The record of ITS commands: every command that an ITS took from its queue so far, in order.
    #[must_use]
    pub fn commands(&self) -> Vec<Executed> {
        self.lock().commands.clone()
    }

    /// Empties the record of ITS commands.
    pub fn clear_commands(&self) {
        self.lock().commands.clear();
    }

    /// The ranges of guest physical addresses that the kernel wrote so far, ascending, adjacent ones joined. Writes of the guest are not
    /// included.
    #[must_use]
    pub fn written(&self) -> Vec<Range<u64>> {
        self.lock().ram.written()
    }

    /// Empties the record of what the kernel wrote.
    pub fn clear_written(&self) {
        self.lock().ram.forget_written();
    }
}
