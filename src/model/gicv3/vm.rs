//! The VM: creation of vCPUs and devices, running, memory, faults and record.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-init.c`; `vgic-its.c`, `vgic_its_create`; Documentation/virt/kvm/api.rst, `KVM_CREATE_VCPU`,
//! `KVM_CREATE_DEVICE`, `KVM_RUN`, `KVM_SET_USER_MEMORY_REGION`.
//!
//! Rule: one lock for all state, held for one operation and never while guest code runs, so that other threads meet a running vCPU
//! as they would in KVM.

use super::cpu::Cpu;
use super::ctx::{Ctx, INITIAL_BASER};
use super::dist::Dist;
use super::irq::Irqs;
use super::its::{Executed, Its};
use super::ram::Ram;
use super::{Device, Guest, Host, Origin, Traced};
use crate::model::Fault;
use crate::model::fault::Log;
use crate::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V3};
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

#[derive(Debug)]
pub(super) struct State {
    pub(super) host: Host,
    pub(super) ram: Ram,
    /// In the order of creation.
    pub(super) cpus: Vec<Cpu>,
    pub(super) irqs: Irqs,
    pub(super) dist: Dist,
    /// One value for all vCPUs.
    pub(super) propbaser: u64,
    pub(super) has_its: bool,
    pub(super) its: Vec<Its>,
    pub(super) dead: bool,
    /// Faults of the VM, then those of single devices.
    pub(super) faults: Log,
    pub(super) device_faults: Vec<(Origin, Log)>,
    pub(super) trace: Vec<Traced>,
    pub(super) commands: Vec<Executed>,
}

impl Vm {
    /// A VM without vCPUs and without devices. A number of `host` that is out of its range counts as the nearest in it.
    #[must_use]
    pub fn new(host: Host, memory: GuestMemoryMmap<()>) -> Self {
        let state = State {
            host: host.in_range(),
            ram: Ram::new(memory),
            cpus: Vec::new(),
            irqs: Irqs::default(),
            dist: Dist::default(),
            propbaser: 0,
            has_its: false,
            its: Vec::new(),
            dead: false,
            faults: Log::default(),
            device_faults: Vec::new(),
            trace: Vec::new(),
            commands: Vec::new(),
        };
        Vm { state: Arc::new(Mutex::new(state)) }
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
    /// - `EINVAL`: its redistributor would leave the address space or lie in another frame.
    pub fn create_vcpu(&self, vcpu: Vcpu) -> Result<(), Errno> {
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
        let index = state.cpus.len();
        state.cpus.push(Cpu::new(vcpu, &state.host));
        if let Err(errno) = state.place_redistributor(index, index) {
            state.cpus.pop();
            return Err(errno);
        }
        state.irqs.add_vcpu(index);
        Ok(())
    }

    /// `KVM_CREATE_DEVICE` with the flag `KVM_CREATE_DEVICE_TEST`: only asks.
    ///
    /// # Errors
    ///
    /// - `EIO`: the VM is dead.
    /// - `ENODEV`: neither the type of a GICv3 nor of an ITS, or the host has none. The model knows no other device.
    pub fn test_device(&self, type_: u32) -> Result<(), Errno> {
        self.lock().test_device(type_)
    }

    /// `KVM_CREATE_DEVICE`: a GICv3 once, ITSes as many as wanted, in any order.
    ///
    /// # Errors
    ///
    /// In this order; Documentation/virt/kvm/api.rst, `KVM_CREATE_DEVICE`, and `vgic-init.c`:
    /// - `EIO`, `ENODEV`: as [`Vm::test_device`].
    /// - `EBUSY`: GICv3; a vCPU is locked by another thread.
    /// - `EEXIST`: GICv3; the VM has one.
    /// - `EBUSY`: GICv3; a vCPU has run.
    pub fn create_device(&self, type_: u32) -> Result<Device, Errno> {
        let mut state = self.lock();
        state.test_device(type_)?;
        let origin = if type_ == KVM_DEV_TYPE_ARM_VGIC_V3 {
            state.lock_vcpus()?;
            if state.dist.exists {
                return Err(Errno::EEXIST);
            }
            if state.cpus.iter().any(|cpu| cpu.has_run) {
                return Err(Errno::EBUSY);
            }
            state.dist = Dist::new(state.host.nassgicap);
            // vCPUs that exist get their redistributors with the address of the region.
            Origin::Gic
        } else {
            state.its.push(Its::new());
            (state.has_its, state.propbaser) = (true, INITIAL_BASER);
            Origin::Its(state.its.len() - 1)
        };
        Ok(Device::new(self.clone(), origin))
    }

    /// `KVM_RUN`: the vCPU executes `code` as its guest, and exits. Other threads may use the VM meanwhile; whatever needs the vCPU
    /// gives them `EBUSY`.
    ///
    /// # Errors
    ///
    /// In this order; `vgic-init.c` and `vgic-v3.c`. The last three are found by the first run, which kills the VM then; older
    /// kernels leave a VM without a working GIC:
    /// - `EBADF`: no such vCPU.
    /// - `EIO`: the VM is dead.
    /// - `EINTR`: another thread has the vCPU. KVM would wait; the model answers as if a signal ended the wait.
    /// - `ENXIO`: a redistributor or the distributor has no address.
    /// - `EINVAL`: the frames of distributor and redistributors overlap.
    /// - `EBUSY`: the GICv3 is not initialised.
    pub fn run<R>(&self, id: VcpuId, code: impl FnOnce(&mut Guest<'_>) -> R) -> Result<R, Errno> {
        let index = self.lock().enter(id)?;
        let running = Running { vm: self, index };
        let result = code(&mut Guest::new(self, id, index));
        drop(running);
        Ok(result)
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

    /// Arms a fault for the accesses to all devices; [`Device::set_fault`] does so for one. Faults add up. Those of a GICv5
    /// ([`Fault::NotQuiesced`], [`Fault::Host`]) have no effect.
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

/// A vCPU inside `KVM_RUN`, also when guest code panics.
struct Running<'a> {
    vm: &'a Vm,
    index: usize,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.vm.lock();
        state.irqs.prune();
        if let Some(cpu) = state.cpus.get_mut(self.index) {
            cpu.running = false;
        }
    }
}

impl State {
    pub(super) fn alive(&self) -> Result<(), Errno> {
        if self.dead { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Tries to lock every vCPU.
    pub(super) fn lock_vcpus(&self) -> Result<(), Errno> {
        if self.cpus.iter().any(Cpu::is_busy) { Err(Errno::EBUSY) } else { Ok(()) }
    }

    pub(super) fn index_of(&self, id: VcpuId) -> Option<usize> {
        self.cpus.iter().position(|cpu| cpu.vcpu.id == id)
    }

    fn test_device(&self, type_: u32) -> Result<(), Errno> {
        self.alive()?;
        match type_ {
            KVM_DEV_TYPE_ARM_VGIC_V3 if self.host.gicv3 => Ok(()),
            KVM_DEV_TYPE_ARM_VGIC_ITS if self.host.gicv3 && self.host.its => Ok(()),
            _ => Err(Errno::ENODEV),
        }
    }

    /// The part of `KVM_RUN` before the guest.
    fn enter(&mut self, id: VcpuId) -> Result<usize, Errno> {
        let index = self.index_of(id).ok_or(Errno::EBADF)?;
        self.alive()?;
        if self.cpus.get(index).is_none_or(Cpu::is_busy) {
            return Err(Errno::EINTR);
        }
        self.map_resources().inspect_err(|_| self.dead = true)?;
        let host_bits = self.host.pri_bits;
        if let Some(cpu) = self.cpus.get_mut(index) {
            (cpu.running, cpu.has_run) = (true, true);
            cpu.icc.load(host_bits);
        }
        self.irqs.prune();
        Ok(index)
    }

    pub(super) fn ctx(&mut self) -> Ctx<'_> {
        Ctx { host: self.host, ram: &mut self.ram, cpus: &mut self.cpus, irqs: &mut self.irqs, propbaser: self.propbaser }
    }

    /// An ITS, what it works with, and the record of its commands.
    pub(super) fn with_its<R>(
        &mut self,
        index: usize,
        work: impl FnOnce(&mut Its, &mut Ctx<'_>, &mut Vec<Executed>) -> R,
    ) -> Option<R> {
        let its = self.its.get_mut(index)?;
        let mut ctx =
            Ctx { host: self.host, ram: &mut self.ram, cpus: &mut self.cpus, irqs: &mut self.irqs, propbaser: self.propbaser };
        Some(work(its, &mut ctx, &mut self.commands))
    }
}
