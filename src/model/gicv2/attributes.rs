//! The attribute groups of a GICv2: which checks an access passes, in which order.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-kvm-device.c`, `vgic_v2_attr_regs_access`; `vgic-mmio-v2.c`, `vgic_v2_has_attr_regs`;
//! Documentation/virt/kvm/devices/arm-vgic.rst.
//!
//! Rule: first which vCPU is named, then the value comes in, then every vCPU is locked; then the device is initialised if it was not.

use super::cpu::Gicc;
use super::irq::PRIVATE_IRQS;
use super::registers::By;
use super::state::State;
use crate::model::gicv3::Behaviour;
use crate::model::user::User;
use crate::uapi::device::{
    KVM_DEV_ARM_VGIC_CTRL_INIT, KVM_DEV_ARM_VGIC_GRP_ADDR as ADDR, KVM_DEV_ARM_VGIC_GRP_CTRL as CTRL,
    KVM_DEV_ARM_VGIC_GRP_NR_IRQS as NR_IRQS,
};
use crate::uapi::vgic_v2::{
    KVM_DEV_ARM_VGIC_CPUID_MASK, KVM_DEV_ARM_VGIC_CPUID_SHIFT, KVM_DEV_ARM_VGIC_GRP_CPU_REGS as CPU_REGS,
    KVM_DEV_ARM_VGIC_GRP_DIST_REGS as DIST_REGS, KVM_VGIC_V2_ADDR_TYPE_CPU as CPU, KVM_VGIC_V2_ADDR_TYPE_DIST as DIST,
};
use crate::{AttrId, Errno};

const INIT: u64 = KVM_DEV_ARM_VGIC_CTRL_INIT as u64;

pub(super) fn get(state: &mut State, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
    let offset = id.attr() as u32;
    match id.group() {
        ADDR => user.write(state.address(id.attr())?),
        NR_IRQS => user.write(state.dist.nr_spis + PRIVATE_IRQS),
        DIST_REGS => {
            let vcpu = accessible(state, id, None)?;
            user.write(state.read_register(vcpu, offset, 4))
        }
        CPU_REGS => {
            let vcpu = accessible(state, id, None)?;
            let host = state.host;
            user.write(state.cpus.get(vcpu).map_or(0, |cpu| cpu.gicc.get(offset, &host)))
        }
        _ => Err(Errno::ENXIO),
    }
}

pub(super) fn set(state: &mut State, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
    let offset = id.attr() as u32;
    match (id.group(), id.attr()) {
        (ADDR, attr) => {
            let address = user.read()?;
            state.set_address(attr, address)
        }
        (NR_IRQS, _) => {
            let count = user.read()?;
            state.set_nr_irqs(count)
        }
        (CTRL, INIT) => {
            state.init();
            Ok(())
        }
        (DIST_REGS, _) => {
            let vcpu = accessible(state, id, Some(user))?;
            let value = user.read()?;
            state.write_register(vcpu, offset, 4, value, By::User)
        }
        (CPU_REGS, _) => {
            let vcpu = accessible(state, id, Some(user))?;
            let (value, host) = (user.read()?, state.host);
            if let Some(cpu) = state.cpus.get_mut(vcpu) {
                cpu.gicc.set(offset, value, &host);
            }
            Ok(())
        }
        _ => Err(Errno::ENXIO),
    }
}

pub(super) fn has(state: &State, id: AttrId) -> Result<(), Errno> {
    let offset = id.attr() as u32;
    let exists = match (id.group(), id.attr()) {
        (ADDR, DIST | CPU) | (NR_IRQS, _) | (CTRL, INIT) => true,
        (DIST_REGS, _) => named_vcpu(state, id).map(|_| state.implements(offset))?,
        (CPU_REGS, _) => named_vcpu(state, id).map(|_| Gicc::is_register(offset, &state.host))?,
        _ => false,
    };
    if exists { Ok(()) } else { Err(Errno::ENXIO) }
}

/// The vCPU that the attribute names. Linux 6.7 and 6.8 die of a number that no vCPU has; the model answers as those before and after.
fn named_vcpu(state: &State, id: AttrId) -> Result<usize, Errno> {
    let number = ((id.attr() & KVM_DEV_ARM_VGIC_CPUID_MASK) >> KVM_DEV_ARM_VGIC_CPUID_SHIFT) as u32;
    state.named_vcpu(number, Behaviour::NamesGicv2VcpusById)
}

/// What every access to a register passes; `incoming` is a value that KVM copies before it takes a lock.
fn accessible(state: &mut State, id: AttrId, incoming: Option<&User<'_>>) -> Result<usize, Errno> {
    let vcpu = named_vcpu(state, id)?;
    incoming.map_or(Ok(0), User::read::<u32>)?;
    state.lock_vcpus()?;
    state.init();
    Ok(vcpu)
}
