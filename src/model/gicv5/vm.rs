//! The VM: creation of vCPUs and device, `KVM_RUN`, and the errors after which the VM is dead.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-init.c` and `vgic-v5.c`, Linux 7.4; Documentation/virt/kvm/devices/arm-vgic-v5.rst;
//! Documentation/virt/kvm/api.rst, `KVM_CREATE_VCPU`, `KVM_CREATE_DEVICE`, `KVM_RUN`.
//!
//! Rule: checks are in the kernel's order, so that of two errors the one that the kernel reports is reported.

use super::cpu::Cpu;
use super::device::{Device, Vgic};
use super::guest::Guest;
use super::host::Host;
use crate::model::fault::{Fault, Log};
use crate::model::shared::Shared;
use crate::model::trace::Access;
use crate::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V5;
use crate::{Errno, Vcpu, VcpuId, Vcpus};
use alloc::vec::Vec;

/// A VM with at most one virtual GICv5. The attributes of the device are the VM's own [`AttrDevice`](crate::AttrDevice).
#[derive(Debug)]
pub struct Vm {
    pub(super) host: Host,
    /// In the order of creation.
    pub(super) vcpus: Vec<VcpuState>,
    /// A thread is inside `KVM_CREATE_VCPU`.
    pub(super) creating: bool,
    /// What the number of vCPUs and their ids are below.
    limit: u32,
    pub(super) device: Option<Device>,
    pub(super) dead: bool,
    pub(super) log: Shared<Log>,
}

#[derive(Debug)]
pub(super) struct VcpuState {
    pub(super) vcpu: Vcpu,
    /// The guest's EL2 was asked for.
    pub(super) el2: bool,
    /// Another thread has the vCPU's lock.
    pub(super) held: bool,
    pub(super) has_run: bool,
    pub(super) cpu: Cpu,
}

impl Vm {
    /// A VM without vCPUs and without a device. A number in `host` that is out of its range is clamped to it.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Vm {
            host: host.in_range(),
            vcpus: Vec::new(),
            creating: false,
            limit: VcpuId::LIMIT,
            device: None,
            dead: false,
            log: Shared::default(),
        }
    }

    /// A VM with the vCPUs `vcpus` and a GICv5 that is neither configured nor initialised.
    ///
    /// # Errors
    ///
    /// As [`Vm::create_vcpu`] and [`Vm::create_device`].
    pub fn with_device(host: Host, vcpus: &Vcpus) -> Result<Self, Errno> {
        let mut vm = Vm::new(host);
        for vcpu in vcpus.iter() {
            vm.create_vcpu(vcpu)?;
        }
        vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V5)?;
        Ok(vm)
    }

    /// The host that the VM runs on, with every number clamped to its range.
    #[must_use]
    pub fn host(&self) -> Host {
        self.host
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
    /// - `EEXIST`: a vCPU has the id.
    /// - `EBUSY`: the device is initialised.
    /// - `EINVAL`: the id is not below the limit of a VM that has a GICv5, or was to have one: [`Vm::create_device`].
    pub fn create_vcpu(&mut self, vcpu: Vcpu) -> Result<(), Errno> {
        self.add_vcpu(vcpu, false)
    }

    /// [`Vm::create_vcpu`] with the feature `KVM_ARM_VCPU_HAS_EL2`: INIT of the GICv5 fails then.
    ///
    /// # Errors
    ///
    /// As [`Vm::create_vcpu`].
    pub fn create_el2_vcpu(&mut self, vcpu: Vcpu) -> Result<(), Errno> {
        self.add_vcpu(vcpu, true)
    }

    fn add_vcpu(&mut self, vcpu: Vcpu, el2: bool) -> Result<(), Errno> {
        self.alive()?;
        if self.vcpus.len() >= self.limit as usize {
            return Err(Errno::EINVAL);
        }
        if self.vcpus.iter().any(|other| other.vcpu.id == vcpu.id) {
            return Err(Errno::EEXIST);
        }
        if self.vgic().is_some() {
            return Err(Errno::EBUSY);
        }
        if vcpu.id.get() >= self.limit {
            return Err(Errno::EINVAL);
        }
        self.vcpus.push(VcpuState { vcpu, el2, held: false, has_run: false, cpu: Cpu::default() });
        Ok(())
    }

    /// `KVM_CREATE_DEVICE` with the flag `KVM_CREATE_DEVICE_TEST`: whether the host offers the device. Creates nothing.
    ///
    /// # Errors
    ///
    /// - `EIO`: the VM is dead.
    /// - `ENODEV`: not the type of a GICv5, or the host has none. The model knows no other device.
    pub fn test_device(&self, type_: u32) -> Result<(), Errno> {
        self.alive()?;
        if type_ != KVM_DEV_TYPE_ARM_VGIC_V5 || !self.host.gicv5 {
            return Err(Errno::ENODEV);
        }
        Ok(())
    }

    /// `KVM_CREATE_DEVICE`: creates the GICv5 of the VM, which can have one.
    ///
    /// # Errors
    ///
    /// In this order; Documentation/virt/kvm/api.rst, `KVM_CREATE_DEVICE`, and `vgic-init.c`:
    /// - `EIO`, `ENODEV`: as [`Vm::test_device`].
    /// - `EBUSY`: another thread is creating a vCPU, or has one locked.
    /// - `EEXIST`: the VM has a GIC.
    /// - `EBUSY`: a vCPU has run.
    /// - `E2BIG`: a `vcpu_id` is beyond the limit of the host. That limit holds for the VM's vCPUs from then on.
    pub fn create_device(&mut self, type_: u32) -> Result<(), Errno> {
        self.test_device(type_)?;
        if self.creating {
            return Err(Errno::EBUSY);
        }
        self.lock_vcpus()?;
        if self.device.is_some() {
            return Err(Errno::EEXIST);
        }
        if self.has_run() {
            return Err(Errno::EBUSY);
        }
        self.limit = self.host.max_vcpus;
        if self.vcpus.iter().any(|state| state.vcpu.id.get() >= self.limit) {
            return Err(Errno::E2BIG);
        }
        self.device = Some(Device::default());
        Ok(())
    }

    /// `KVM_RUN`: the vCPU executes `code` as its guest, then exits; gives what `code` returned.
    ///
    /// The first run of a vCPU clears enable, active and pending state of its PPIs that do not exist; other vCPUs keep theirs until they
    /// run. A VM without a device runs too, and its guest has no interrupt controller.
    ///
    /// # Errors
    ///
    /// In this order; `vgic-init.c` and `vgic-v5.c`. The last three are found by the first run, and the VM is dead
    /// after each of them:
    /// - `EBADF`: no such vCPU.
    /// - `EIO`: the VM is dead.
    /// - `EINTR`: another thread has the vCPU locked. KVM would wait; the model answers as if a signal ended the wait.
    /// - `EBUSY`: the device is not initialised.
    /// - `EINVAL`: user space restored `IRS_IST_BASER` as valid, and has not restored the interrupt state tables since.
    /// - `ENXIO`: the IRS has no address.
    pub fn run<R>(&mut self, id: VcpuId, code: impl FnOnce(&mut Guest<'_>) -> R) -> Result<R, Errno> {
        let state = self.vcpus.iter().find(|state| state.vcpu.id == id).ok_or(Errno::EBADF)?;
        self.alive()?;
        if state.held {
            return Err(Errno::EINTR);
        }
        if !state.has_run {
            self.map_resources().inspect_err(|_| self.dead = true)?;
        }
        let state = self.vcpus.iter_mut().find(|state| state.vcpu.id == id).ok_or(Errno::EBADF)?;
        let vgic = self.device.as_mut().and_then(|device| device.vgic.as_mut());
        if !state.has_run && vgic.is_some() {
            state.cpu.expose(self.host.ppis);
        }
        state.has_run = true;
        Ok(code(&mut Guest { host: self.host, id, cpu: &mut state.cpu, vgic }))
    }

    /// What the kernel looks at when a vCPU runs for the first time.
    fn map_resources(&self) -> Result<(), Errno> {
        let Some(device) = &self.device else { return Ok(()) };
        let vgic = device.vgic.as_ref().ok_or(Errno::EBUSY)?;
        if vgic.owed {
            return Err(Errno::EINVAL);
        }
        if device.irs_address.is_none() {
            return Err(Errno::ENXIO);
        }
        Ok(())
    }

    /// Locks a vCPU (`held`), as another thread does that is in `KVM_RUN` or any other ioctl of the vCPU, or unlocks it. No effect if no
    /// vCPU has the id.
    pub fn hold_vcpu(&mut self, id: VcpuId, held: bool) {
        for state in self.vcpus.iter_mut().filter(|state| state.vcpu.id == id) {
            state.held = held;
        }
    }

    /// Another thread is inside `KVM_CREATE_VCPU` (`creating`), or has left it without creating a vCPU. Meanwhile
    /// [`Vm::create_device`] fails with `EBUSY`.
    pub fn hold_creation(&mut self, creating: bool) {
        self.creating = creating;
    }

    /// Whether the VM is dead: every further ioctl fails with `EIO`.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Arms a fault, in addition to those that are armed; but a second [`Fault::NotQuiesced`] replaces the first.
    pub fn set_fault(&mut self, fault: Fault) {
        self.log.lock().arm(fault);
    }

    /// Disarms all faults.
    pub fn clear_faults(&mut self) {
        self.log.lock().disarm();
    }

    /// The record of accesses: every access to an attribute so far, in order.
    #[must_use]
    pub fn trace(&self) -> Vec<Access> {
        self.log.lock().trace.clone()
    }

    /// Empties the record of accesses.
    pub fn clear_trace(&mut self) {
        self.log.lock().trace.clear();
    }

    pub(super) fn alive(&self) -> Result<(), Errno> {
        if self.dead { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Tries to lock every vCPU.
    pub(super) fn lock_vcpus(&self) -> Result<(), Errno> {
        if self.vcpus.iter().any(|state| state.held) { Err(Errno::EBUSY) } else { Ok(()) }
    }

    pub(super) fn has_run(&self) -> bool {
        self.vcpus.iter().any(|state| state.has_run)
    }

    pub(super) fn vgic(&self) -> Option<&Vgic> {
        self.device.as_ref()?.vgic.as_ref()
    }

    pub(super) fn vgic_mut(&mut self) -> Option<&mut Vgic> {
        self.device.as_mut()?.vgic.as_mut()
    }
}
