//! The attribute groups: which checks an access passes, in which order.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-kvm-device.c`, Linux 7.4; Documentation/virt/kvm/devices/arm-vgic-v5.rst.
//!
//! Rule: the typed attributes of [`AttrDevice`] and the raw ones of [`Vm::ioctl`] take the same path.

use super::device::Device;
use super::irs;
use super::ist::DEFAULT_SPIS;
use super::vm::{VcpuState, Vm};
use crate::model::trace::{Access, Op};
use crate::model::user::{Buffer, IstArg, User};
use crate::uapi::device::{
    KVM_DEV_ARM_VGIC_CTRL_INIT, KVM_DEV_ARM_VGIC_GRP_ADDR as ADDR, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS as CPU_SYSREGS,
    KVM_DEV_ARM_VGIC_GRP_CTRL as CTRL, KVM_DEV_ARM_VGIC_GRP_NR_IRQS as NR_IRQS, KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK,
};
use crate::uapi::vgic_v3::KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION;
use crate::uapi::vgic_v5::{
    KVM_DEV_ARM_VGIC_GRP_IRS_REGS as IRS_REGS, KVM_DEV_ARM_VGIC_GRP_IST as IST, KVM_DEV_ARM_VGIC_USERSPACE_PPIS,
    KVM_VGIC_V5_ADDR_TYPE_IRS, KVM_VGIC_V5_IRS_SIZE,
};
use crate::{Attr, AttrDevice, AttrId, Command, Errno, IstDevice, Word};

const MAX_SPIS: u32 = 1024;
const IRS_ALIGN: u64 = 0x1_0000;

const INIT: u64 = KVM_DEV_ARM_VGIC_CTRL_INIT as u64;
const USERSPACE_PPIS: u64 = KVM_DEV_ARM_VGIC_USERSPACE_PPIS as u64;

impl Vm {
    /// `KVM_GET_DEVICE_ATTR`, `KVM_SET_DEVICE_ATTR` or `KVM_HAS_DEVICE_ATTR` with any attribute and any address.
    ///
    /// Unlike [`AttrDevice`], it takes arguments that are not well-formed: address 0, an address at which nothing is mapped, sizes that
    /// differ from those of the buffers.
    ///
    /// ```
    /// use vgic_state::model::gicv5::{Host, Vm};
    /// use vgic_state::model::{Op, User};
    /// use vgic_state::{Attr, Errno, Vcpus};
    ///
    /// let mut vm = Vm::with_device(Host::default(), &Vcpus::with_default_mpidrs(1).unwrap())?;
    /// let nr_irqs = Attr::nr_irqs().id();
    /// // The address is looked at before the number.
    /// assert_eq!(vm.ioctl(Op::Set, nr_irqs, User::Null), Err(Errno::EFAULT));
    /// assert_eq!(vm.ioctl(Op::Set, nr_irqs, User::U32(&mut 33)), Err(Errno::EINVAL));
    /// # Ok::<(), Errno>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `EBADF`: the VM has no device. `EIO`: the VM is dead. Then as arm-vgic-v5.rst says for the group, and `ENXIO` for a group that
    /// a GICv5 does not have.
    pub fn ioctl(&mut self, op: Op, id: AttrId, mut user: User<'_>) -> Result<(), Errno> {
        match op {
            Op::Get => self.recorded_get(id, &mut user),
            Op::Set => self.recorded_set(id, &mut user),
            Op::Has => self.recorded_has(id),
        }
    }

    fn recorded_get(&self, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
        let result = self.intercept(Op::Get, id).and_then(|()| self.get_attr(id, user));
        let value = if result.is_ok() || matches!(user, User::Ist(_)) { user.value() } else { None };
        self.record(Access { op: Op::Get, id, value, result })
    }

    fn recorded_set(&mut self, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
        let result = self.intercept(Op::Set, id).and_then(|()| self.set_attr(id, user));
        self.record(Access { op: Op::Set, id, value: user.value(), result })
    }

    fn recorded_has(&self, id: AttrId) -> Result<(), Errno> {
        let result = self.intercept(Op::Has, id).and_then(|()| self.has_attr(id));
        self.record(Access { op: Op::Has, id, value: None, result })
    }

    fn intercept(&self, op: Op, id: AttrId) -> Result<(), Errno> {
        self.log.lock().intercept(op, id)
    }

    fn record(&self, access: Access) -> Result<(), Errno> {
        self.log.lock().trace.push(access);
        access.result
    }

    /// The descriptor of the device, and a VM that still answers.
    fn device(&self) -> Result<&Device, Errno> {
        let device = self.device.as_ref().ok_or(Errno::EBADF)?;
        self.alive()?;
        Ok(device)
    }

    fn get_attr(&self, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
        let device = self.device()?;
        match (id.group(), id.attr()) {
            (ADDR, KVM_VGIC_V5_ADDR_TYPE_IRS) => user.write(device.irs_address.unwrap_or(u64::MAX)),
            // KVM reads what a region of redistributors is asked for with, before it sees that there is none.
            (ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION) => user.read::<u64>().and(Err(Errno::ENXIO)),
            (NR_IRQS, _) => user.write(device.nr_spis),
            (CTRL, USERSPACE_PPIS) => user.write([device.userspace_ppis, 0]),
            (CPU_SYSREGS, attr) => {
                let state = self.vcpu_of(id)?;
                self.lock_vcpus()?;
                self.vgic().ok_or(Errno::EBUSY)?;
                user.write(state.cpu.get(instr(attr)).ok_or(Errno::ENOENT)?)
            }
            (IRS_REGS, attr) => {
                self.irs_exists()?;
                self.lock_vcpus()?;
                let vgic = self.vgic().ok_or(Errno::EBUSY)?;
                device.irs_address.ok_or(Errno::ENXIO)?;
                user.write(vgic.irs_get(irs::register(attr)?))
            }
            (IST, 0) => {
                self.lock_vcpus()?;
                self.vgic().ok_or(Errno::EBUSY)?.save(ist_arg(user)?, &self.log)
            }
            _ => Err(Errno::ENXIO),
        }
    }

    fn set_attr(&mut self, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
        self.device()?;
        match (id.group(), id.attr()) {
            (ADDR, attr) => self.set_address(attr, user.read()?),
            (NR_IRQS, _) => self.set_nr_spis(user.read()?),
            (CTRL, INIT) => self.init(),
            (CPU_SYSREGS, attr) => {
                self.vcpu_of(id)?;
                self.writable()?;
                let value = user.read()?;
                self.vcpu_of_mut(id)?.cpu.set(instr(attr), value).ok_or(Errno::ENOENT)
            }
            (IRS_REGS, attr) => {
                self.irs_exists()?;
                let value = user.read()?;
                self.writable()?;
                self.device()?.irs_address.ok_or(Errno::ENXIO)?;
                let register = irs::register(attr)?;
                let host = self.host;
                self.vgic_mut().ok_or(Errno::EBUSY)?.irs_set(register, value, &host)
            }
            (IST, 0) => {
                self.writable()?;
                let arg = ist_arg(user)?;
                let vgic = self.device.as_mut().and_then(|device| device.vgic.as_mut()).ok_or(Errno::EBUSY)?;
                vgic.restore(arg, &mut self.log.lock(), &mut self.dead)
            }
            _ => Err(Errno::ENXIO),
        }
    }

    fn has_attr(&self, id: AttrId) -> Result<(), Errno> {
        self.device()?;
        match (id.group(), id.attr()) {
            (ADDR, KVM_VGIC_V5_ADDR_TYPE_IRS) | (NR_IRQS, _) | (CTRL, INIT | USERSPACE_PPIS) | (IST, 0) => Ok(()),
            (CPU_SYSREGS, attr) => {
                let state = self.vcpu_of(id)?;
                state.cpu.get(instr(attr)).map(|_| ()).ok_or(Errno::ENXIO)
            }
            (IRS_REGS, attr) => {
                self.irs_exists()?;
                irs::register(attr).map(|_| ())
            }
            _ => Err(Errno::ENXIO),
        }
    }

    /// KVM reaches the IRS through the vCPU that was created first.
    fn irs_exists(&self) -> Result<(), Errno> {
        if self.vcpus.is_empty() { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// What every write of state needs: no vCPU busy, the device initialised, no vCPU that ever ran.
    fn writable(&self) -> Result<(), Errno> {
        self.lock_vcpus()?;
        if self.vgic().is_none() || self.has_run() {
            return Err(Errno::EBUSY);
        }
        Ok(())
    }

    fn vcpu_of(&self, id: AttrId) -> Result<&VcpuState, Errno> {
        self.vcpus.iter().find(|state| Some(state.vcpu.mpidr) == id.mpidr()).ok_or(Errno::EINVAL)
    }

    fn vcpu_of_mut(&mut self, id: AttrId) -> Result<&mut VcpuState, Errno> {
        self.vcpus.iter_mut().find(|state| Some(state.vcpu.mpidr) == id.mpidr()).ok_or(Errno::EINVAL)
    }

    fn set_address(&mut self, attr: u64, address: u64) -> Result<(), Errno> {
        if attr != KVM_VGIC_V5_ADDR_TYPE_IRS {
            return Err(Errno::ENXIO);
        }
        let limit = 1_u64 << self.host.ipa_bits;
        let device = self.device.as_mut().ok_or(Errno::EBADF)?;
        if device.irs_address.is_some() {
            return Err(Errno::EEXIST);
        }
        if !address.is_multiple_of(IRS_ALIGN) {
            return Err(Errno::EINVAL);
        }
        let end = address.checked_add(KVM_VGIC_V5_IRS_SIZE).ok_or(Errno::EINVAL)?;
        if address >= limit || end > limit {
            return Err(Errno::E2BIG);
        }
        device.irs_address = Some(address);
        Ok(())
    }

    fn set_nr_spis(&mut self, count: u32) -> Result<(), Errno> {
        if !(DEFAULT_SPIS..=MAX_SPIS).contains(&count) || !count.is_multiple_of(32) {
            return Err(Errno::EINVAL);
        }
        let device = self.device.as_mut().ok_or(Errno::EBADF)?;
        if device.vgic.is_some() || device.nr_spis != 0 {
            return Err(Errno::EBUSY);
        }
        device.nr_spis = count;
        Ok(())
    }
}

/// The register that the attribute names; KVM does not look at bits 31:16.
fn instr(attr: u64) -> u16 {
    (attr & KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK) as u16
}

/// Copies in the argument of `GRP_IST`.
fn ist_arg<'u, 'a>(user: &'u mut User<'a>) -> Result<&'u mut IstArg<'a>, Errno> {
    match user {
        User::Null => Err(Errno::EINVAL),
        User::Ist(arg) => Ok(arg),
        // 32 bytes: no other object is that long.
        User::Fault | User::U32(_) | User::U64(_) | User::U64x2(_) => Err(Errno::EFAULT),
    }
}

impl AttrDevice for Vm {
    fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno> {
        let mut value = W::from_ne_bytes([0; 16]);
        User::at(&mut value, |user| self.recorded_get(attr.id(), user))?;
        Ok(value)
    }

    fn set<W: Word>(&mut self, attr: Attr<W>, mut value: W) -> Result<(), Errno> {
        User::at(&mut value, |user| self.recorded_set(attr.id(), user))
    }

    fn has(&self, attr: AttrId) -> Result<(), Errno> {
        self.recorded_has(attr)
    }

    fn command(&mut self, command: Command) -> Result<(), Errno> {
        self.recorded_set(command.id(), &mut User::Null)
    }
}

impl IstDevice for Vm {
    fn save_ist(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Errno> {
        let lpi = lpi.map_or(Buffer::NONE, Buffer::bytes);
        self.recorded_get(AttrId::IST, &mut User::Ist(IstArg { spi: Buffer::bytes(spi), lpi }))
    }

    fn restore_ist(&mut self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), Errno> {
        let lpi = lpi.map_or(Buffer::NONE, Buffer::read_only);
        self.recorded_set(AttrId::IST, &mut User::Ist(IstArg { spi: Buffer::read_only(spi), lpi }))
    }
}
