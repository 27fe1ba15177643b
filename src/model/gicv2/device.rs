//! The descriptor of a device: all accesses to attributes, typed and raw, with armed faults and the record of accesses.
//!
//! Source: `virt/kvm/kvm_main.c`, `kvm_device_ioctl`, `kvm_ioctl_create_device`; `arch/arm64/kvm/vgic/vgic-init.c`,
//! `kvm_vgic_create`; Documentation/virt/kvm/api.rst, `KVM_GET_DEVICE_ATTR` and its siblings.
//!
//! Rule: an access is recorded once, whether it succeeded or not; a fault comes before any effect.

use super::attributes;
use super::state::{Dist, State};
use super::vm::Vm;
use crate::model::trace::{Access, Op};
use crate::model::user::User;
use crate::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V2;
use crate::uapi::vgic_v2::VGIC_V2_MAX_CPUS;
use crate::{Attr, AttrDevice, AttrId, Command, Errno, Word};

/// A descriptor of the GICv2 of a VM. A clone is the same device.
#[derive(Clone, Debug)]
pub struct Device {
    vm: Vm,
}

impl Vm {
    /// `KVM_CREATE_DEVICE` with the flag `KVM_CREATE_DEVICE_TEST`: whether the host offers the device. Creates nothing.
    ///
    /// # Errors
    ///
    /// - `EIO`: the VM is dead.
    /// - `ENODEV`: not the type of a GICv2, or the host has none. The model knows no other device.
    pub fn test_device(&self, type_: u32) -> Result<(), Errno> {
        self.lock().test_device(type_)
    }

    /// `KVM_CREATE_DEVICE`: creates the GICv2 of the VM, which can have one.
    ///
    /// # Errors
    ///
    /// In this order; Documentation/virt/kvm/api.rst, `KVM_CREATE_DEVICE`, and `vgic-init.c`:
    /// - `EIO`, `ENODEV`: as [`Vm::test_device`].
    /// - `EBUSY`: another thread has a vCPU locked.
    /// - `EEXIST`: the VM has a GICv2.
    /// - `EBUSY`: a vCPU has run.
    /// - `E2BIG`: the VM has more than 8 vCPUs.
    pub fn create_device(&self, type_: u32) -> Result<Device, Errno> {
        let mut state = self.lock();
        state.test_device(type_)?;
        state.lock_vcpus()?;
        if state.dist.exists {
            return Err(Errno::EEXIST);
        }
        if state.cpus.iter().any(|cpu| cpu.has_run) {
            return Err(Errno::EBUSY);
        }
        if state.cpus.len() > VGIC_V2_MAX_CPUS as usize {
            return Err(Errno::E2BIG);
        }
        state.dist = Dist { exists: true, ..Dist::default() };
        Ok(Device { vm: self.clone() })
    }
}

impl Device {
    /// The VM that the device belongs to.
    #[must_use]
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// `KVM_GET_DEVICE_ATTR`, `KVM_SET_DEVICE_ATTR` or `KVM_HAS_DEVICE_ATTR` with any attribute and any address.
    ///
    /// Unlike [`AttrDevice`], it takes arguments that are not well-formed: address 0, an address at which nothing is mapped, an object
    /// of another width.
    ///
    /// # Errors
    ///
    /// `EIO`: the VM is dead. Then as arm-vgic.rst says for the group, and `ENXIO` for a group that the device does not have.
    pub fn ioctl(&self, op: Op, id: AttrId, mut user: User<'_>) -> Result<(), Errno> {
        self.access(op, id, &mut user)
    }

    fn access(&self, op: Op, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
        let mut state = self.vm.lock();
        let result = state.log.intercept(op, id).and_then(|()| state.dispatch(op, id, user));
        let value = match op {
            Op::Set => user.value(),
            Op::Get if result.is_ok() => user.value(),
            Op::Get | Op::Has => None,
        };
        state.log.trace.push(Access { op, id, value, result });
        result
    }
}

impl State {
    fn test_device(&self, type_: u32) -> Result<(), Errno> {
        self.alive()?;
        if type_ == KVM_DEV_TYPE_ARM_VGIC_V2 && self.host.gicv2 { Ok(()) } else { Err(Errno::ENODEV) }
    }

    fn dispatch(&mut self, op: Op, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
        self.alive()?;
        match op {
            Op::Get => attributes::get(self, id, user),
            Op::Set => attributes::set(self, id, user),
            Op::Has => attributes::has(self, id),
        }
    }
}

impl AttrDevice for Device {
    fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno> {
        let mut value = W::from_ne_bytes([0; 16]);
        User::at(&mut value, |user| self.access(Op::Get, attr.id(), user))?;
        Ok(value)
    }

    fn set<W: Word>(&mut self, attr: Attr<W>, mut value: W) -> Result<(), Errno> {
        User::at(&mut value, |user| self.access(Op::Set, attr.id(), user))
    }

    fn has(&self, attr: AttrId) -> Result<(), Errno> {
        self.access(Op::Has, attr, &mut User::Null)
    }

    fn command(&mut self, command: Command) -> Result<(), Errno> {
        self.access(Op::Set, command.id(), &mut User::Null)
    }
}
