//! The descriptor of a device: all accesses to attributes, typed and raw, with armed faults and the record of accesses.
//!
//! Source: `virt/kvm/kvm_main.c`, `kvm_device_ioctl`, `kvm_ioctl_create_device`; Documentation/virt/kvm/api.rst,
//! `KVM_GET_DEVICE_ATTR` and its siblings.
//!
//! Rule: an access is recorded once, whether it succeeded or not; a fault comes before any effect.

use super::dist::Dist;
use super::fields::INITIAL_BASER;
use super::its::Its;
use super::state::State;
use super::trace::{Origin, Traced};
use super::vm::Vm;
use super::{gic_attributes, its_attributes};
use crate::model::fault::{Fault, Log};
use crate::model::trace::{Access, Op};
use crate::model::user::User;
use crate::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V3};
use crate::{Attr, AttrDevice, AttrId, Command, Errno, Word};

/// A descriptor of the GICv3 or of one ITS of a VM. A clone is the same device.
#[derive(Clone, Debug)]
pub struct Device {
    vm: Vm,
    origin: Origin,
}

impl Vm {
    /// `KVM_CREATE_DEVICE` with the flag `KVM_CREATE_DEVICE_TEST`: whether the host offers the device. Creates nothing.
    ///
    /// # Errors
    ///
    /// - `EIO`: the VM is dead.
    /// - `ENODEV`: neither the type of a GICv3 nor of an ITS, or the host has none. The model knows no other device.
    pub fn test_device(&self, type_: u32) -> Result<(), Errno> {
        self.lock().test_device(type_)
    }

    /// `KVM_CREATE_DEVICE`: creates the GICv3, of which a VM can have one, or an ITS, of which it can have any number. The order is free.
    ///
    /// # Errors
    ///
    /// In this order; Documentation/virt/kvm/api.rst, `KVM_CREATE_DEVICE`, and `vgic-init.c`:
    /// - `EIO`, `ENODEV`: as [`Vm::test_device`].
    /// - `EBUSY`: GICv3; another thread has a vCPU locked.
    /// - `EEXIST`: GICv3; the VM has a GICv3.
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
        Ok(Device { vm: self.clone(), origin })
    }
}

impl Device {
    /// Which device of its VM it is.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The VM that the device belongs to.
    #[must_use]
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// Arms a fault for the accesses to this device alone. Accesses to other devices do not count for [`Fault::Access`].
    pub fn set_fault(&self, fault: Fault) {
        let mut state = self.vm.lock();
        match state.device_faults.iter_mut().find(|(origin, _)| *origin == self.origin) {
            Some((_, log)) => log.arm(fault),
            None => {
                let mut log = Log::default();
                log.arm(fault);
                state.device_faults.push((self.origin, log));
            }
        }
    }

    /// `KVM_GET_DEVICE_ATTR`, `KVM_SET_DEVICE_ATTR` or `KVM_HAS_DEVICE_ATTR` with any attribute and any address.
    ///
    /// Unlike [`AttrDevice`], it takes arguments that are not well-formed: address 0, an address at which nothing is mapped, an object
    /// of another width.
    ///
    /// ```
    /// use vgic_state::model::gicv3::{Host, Vm};
    /// use vgic_state::model::{Op, User};
    /// use vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V3;
    /// use vgic_state::{Attr, Errno};
    /// use vm_memory::GuestMemoryMmap;
    ///
    /// let vm = Vm::new(Host::default(), GuestMemoryMmap::new());
    /// let gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3)?;
    /// let nr_irqs = Attr::nr_irqs().id();
    /// // The address is looked at before the number.
    /// assert_eq!(gic.ioctl(Op::Set, nr_irqs, User::Null), Err(Errno::EFAULT));
    /// assert_eq!(gic.ioctl(Op::Set, nr_irqs, User::U32(&mut 1024)), Err(Errno::EINVAL));
    /// # Ok::<(), Errno>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `EIO`: the VM is dead. Then as arm-vgic-v3.rst and arm-vgic-its.rst say for the group, and `ENXIO` for a group that the
    /// device does not have.
    pub fn ioctl(&self, op: Op, id: AttrId, mut user: User<'_>) -> Result<(), Errno> {
        self.access(op, id, &mut user)
    }

    fn access(&self, op: Op, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
        let mut state = self.vm.lock();
        let result = state.intercept(self.origin, op, id).and_then(|()| self.dispatch(&mut state, op, id, user));
        let value = match op {
            Op::Set => user.value(),
            Op::Get if result.is_ok() => user.value(),
            Op::Get | Op::Has => None,
        };
        state.trace.push(Traced { device: self.origin, access: Access { op, id, value, result } });
        result
    }

    fn dispatch(&self, state: &mut State, op: Op, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
        state.alive()?;
        match (self.origin, op) {
            (Origin::Gic, Op::Get) => gic_attributes::get(state, id, user),
            (Origin::Gic, Op::Set) => gic_attributes::set(state, id, user),
            (Origin::Gic, Op::Has) => gic_attributes::has(state, id),
            (Origin::Its(index), Op::Get) => its_attributes::get(state, index, id, user),
            (Origin::Its(index), Op::Set) => its_attributes::set(state, index, id, user),
            (Origin::Its(_), Op::Has) => its_attributes::has(id),
        }
    }
}

impl State {
    fn test_device(&self, type_: u32) -> Result<(), Errno> {
        self.alive()?;
        match type_ {
            KVM_DEV_TYPE_ARM_VGIC_V3 if self.host.gicv3 => Ok(()),
            KVM_DEV_TYPE_ARM_VGIC_ITS if self.host.gicv3 && self.host.its => Ok(()),
            _ => Err(Errno::ENODEV),
        }
    }

    /// The answer that a fault gives to an access. Every log counts it.
    fn intercept(&mut self, origin: Origin, op: Op, id: AttrId) -> Result<(), Errno> {
        let mut answer = self.faults.intercept(op, id);
        for (_, log) in self.device_faults.iter_mut().filter(|(of, _)| *of == origin) {
            answer = answer.and(log.intercept(op, id));
        }
        answer
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
