//! The attribute groups of a GICv3: which checks an access passes, in which order.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-kvm-device.c`; Documentation/virt/kvm/devices/arm-vgic-v3.rst.
//!
//! Rule: first which vCPU is named, then the value comes in, then every vCPU is locked, then the device must be initialised.

use super::behaviour::Behaviour;
use super::irq::{PRIVATE_IRQS, SGIS};
use super::registers::{By, Frame};
use super::state::State;
use crate::model::user::User;
use crate::uapi::device::{
    KVM_DEV_ARM_VGIC_CTRL_INIT, KVM_DEV_ARM_VGIC_GRP_ADDR as ADDR, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS as CPU_SYSREGS,
    KVM_DEV_ARM_VGIC_GRP_CTRL as CTRL, KVM_DEV_ARM_VGIC_GRP_NR_IRQS as NR_IRQS, KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK,
    KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT,
};
use crate::uapi::vgic_v3::dist::{GICD_IIDR, GICD_TYPER2};
use crate::uapi::vgic_v3::{
    KVM_DEV_ARM_VGIC_GRP_DIST_REGS as DIST_REGS, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO as LEVEL_INFO,
    KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ as MAINT_IRQ, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS as REDIST_REGS,
    KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_MASK, KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES,
    KVM_VGIC_V3_ADDR_TYPE_DIST as DIST, KVM_VGIC_V3_ADDR_TYPE_REDIST as REDIST,
    KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION as REDIST_REGION,
};
use crate::{AttrId, Errno};

const INIT: u64 = KVM_DEV_ARM_VGIC_CTRL_INIT as u64;
const SAVE_PENDING_TABLES: u64 = KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES as u64;
/// An address that was not set.
pub(super) const UNDEFINED: u64 = u64::MAX;
const REGION_INDEX: u64 = 0xfff;
const REGION_FLAGS: u64 = 0xf000;
const REGION_BASE: u64 = 0x000f_ffff_ffff_0000;
const REGION_COUNT: u32 = 52;

pub(super) fn get(state: &mut State, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
    match (id.group(), id.attr()) {
        (ADDR, attr) => {
            let address = state.address(attr, user)?;
            user.write(address)
        }
        (NR_IRQS, _) => user.write(state.dist.nr_spis + PRIVATE_IRQS),
        (CPU_SYSREGS, attr) => {
            let vcpu = accessible(state, id, None)?;
            let cpu = state.cpus.get(vcpu).ok_or(Errno::EINVAL)?;
            user.write(cpu.sysreg(instr(attr), &state.host)?)
        }
        (MAINT_IRQ, _) if state.host.kernel.has(Behaviour::HasMaintenanceIrq) => {
            if state.dist.initialised && !state.host.kernel.has(Behaviour::GivesMaintenanceIrqAfterInit) {
                return Err(Errno::EBUSY);
            }
            user.write(state.dist.maintenance)
        }
        (DIST_REGS | REDIST_REGS | LEVEL_INFO, _) => {
            let vcpu = accessible(state, id, None)?;
            user.write(state.read_attribute(id, vcpu)?)
        }
        _ => Err(Errno::ENXIO),
    }
}

pub(super) fn set(state: &mut State, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
    match (id.group(), id.attr()) {
        (ADDR, attr) => {
            let value = user.read()?;
            state.set_address(attr, value)
        }
        (NR_IRQS, _) => {
            let count = user.read()?;
            state.set_nr_irqs(count)
        }
        (CTRL, INIT) => state.init(),
        (CTRL, SAVE_PENDING_TABLES) => {
            state.lock_vcpus()?;
            if !state.dist.initialised {
                return Err(Errno::ENXIO);
            }
            state.ctx().save_pending_tables()
        }
        (CPU_SYSREGS, attr) => {
            // Here the value comes in last.
            let vcpu = accessible(state, id, None)?;
            let value = user.read()?;
            let host = state.host;
            state.cpus.get_mut(vcpu).ok_or(Errno::EINVAL)?.set_sysreg(instr(attr), value, &host)
        }
        (MAINT_IRQ, _) if state.host.kernel.has(Behaviour::HasMaintenanceIrq) => {
            let intid = user.read()?;
            if state.dist.initialised {
                return Err(Errno::EBUSY);
            }
            if !(SGIS..PRIVATE_IRQS).contains(&intid) {
                return Err(Errno::EINVAL);
            }
            state.dist.maintenance = intid;
            Ok(())
        }
        (DIST_REGS | REDIST_REGS | LEVEL_INFO, _) => {
            let vcpu = accessible(state, id, Some(user))?;
            let value = user.read()?;
            state.write_attribute(id, vcpu, value)
        }
        _ => Err(Errno::ENXIO),
    }
}

pub(super) fn has(state: &State, id: AttrId) -> Result<(), Errno> {
    let offset = id.attr() as u32;
    let exists = match (id.group(), id.attr()) {
        (ADDR, DIST | REDIST | REDIST_REGION) | (NR_IRQS, _) | (CTRL, INIT | SAVE_PENDING_TABLES) => true,
        (MAINT_IRQ, _) => state.host.kernel.has(Behaviour::HasMaintenanceIrq),
        (LEVEL_INFO, _) => offset & KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_MASK == 0,
        (DIST_REGS, _) => named_vcpu(state, id).map(|_| state.implements(Frame::Dist, offset))?,
        (REDIST_REGS, _) => named_vcpu(state, id).map(|_| state.implements(Frame::Redist, offset))?,
        // How many active priorities registers the vCPU has is not asked.
        (CPU_SYSREGS, attr) => {
            let vcpu = named_vcpu(state, id)?;
            state.cpus.get(vcpu).is_some_and(|cpu| cpu.has_sysreg(instr(attr), &state.host))
        }
        _ => false,
    };
    if exists { Ok(()) } else { Err(Errno::ENXIO) }
}

/// The register that the attribute names; KVM does not look at bits 31:16.
fn instr(attr: u64) -> u16 {
    (attr & KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK) as u16
}

/// The vCPU that the attribute names. The distributor is reached through the one that was created first.
fn named_vcpu(state: &State, id: AttrId) -> Result<usize, Errno> {
    let mpidr = (id.attr() >> KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT) as u32;
    let named = id.group() != DIST_REGS;
    state.cpus.iter().position(|cpu| !named || cpu.vcpu.mpidr.packed() == mpidr).ok_or(Errno::EINVAL)
}

/// What every access to a register passes; `incoming` is a value that KVM copies before it takes a lock.
fn accessible(state: &State, id: AttrId, incoming: Option<&User<'_>>) -> Result<usize, Errno> {
    let vcpu = named_vcpu(state, id)?;
    incoming.map_or(Ok(0), User::read::<u32>)?;
    state.lock_vcpus()?;
    let preset = id.group() == DIST_REGS && matches!(id.attr() as u32, GICD_IIDR | GICD_TYPER2);
    if !(state.dist.initialised || preset && state.host.kernel.has(Behaviour::PresetsBeforeInit)) {
        return Err(Errno::EBUSY);
    }
    Ok(vcpu)
}

impl State {
    fn read_attribute(&self, id: AttrId, vcpu: usize) -> Result<u32, Errno> {
        let offset = id.attr() as u32;
        Ok(match id.group() {
            DIST_REGS => self.read_register(Frame::Dist, vcpu, offset, 4, By::User) as u32,
            REDIST_REGS => self.read_register(Frame::Redist, vcpu, offset, 4, By::User) as u32,
            _ => {
                let mut levels = 0;
                for (bit, intid) in (0..32).zip(first_line(offset)?..) {
                    let irq = self.irqs.get(vcpu, intid).filter(|irq| intid >= SGIS && irq.level && irq.line);
                    levels |= u32::from(irq.is_some()) << bit;
                }
                levels
            }
        })
    }

    fn write_attribute(&mut self, id: AttrId, vcpu: usize, value: u32) -> Result<(), Errno> {
        let offset = id.attr() as u32;
        match id.group() {
            DIST_REGS => return self.write_register(Frame::Dist, vcpu, offset, 4, value.into(), By::User),
            REDIST_REGS => return self.write_register(Frame::Redist, vcpu, offset, 4, value.into(), By::User),
            _ => {
                for (bit, intid) in (0..32).zip(first_line(offset)?..).filter(|(_, intid)| *intid >= SGIS) {
                    // An edge interrupt takes the level too: its trigger mode may come later.
                    if value >> bit & 1 != 0 {
                        self.irqs.change(vcpu, intid, |irq| irq.line = true);
                    } else if let Some(irq) = self.irqs.get_mut(vcpu, intid) {
                        irq.line = false;
                    }
                }
            }
        }
        Ok(())
    }

    /// `KVM_GET_DEVICE_ATTR` of `GRP_ADDR`.
    fn address(&self, attr: u64, user: &User<'_>) -> Result<u64, Errno> {
        match attr {
            DIST => Ok(self.dist.address.unwrap_or(UNDEFINED)),
            REDIST => Ok(self.dist.regions.first().map_or(UNDEFINED, |region| region.base)),
            REDIST_REGION => {
                let asked: u64 = user.read()?;
                let index = (asked & REGION_INDEX) as u8;
                let region = self.dist.regions.iter().find(|region| region.index == index).ok_or(Errno::ENOENT)?;
                Ok(u64::from(index) | region.base | u64::from(region.count) << REGION_COUNT)
            }
            _ => Err(Errno::ENXIO),
        }
    }

    /// `KVM_SET_DEVICE_ATTR` of `GRP_ADDR`.
    fn set_address(&mut self, attr: u64, value: u64) -> Result<(), Errno> {
        match attr {
            DIST => self.set_dist_address(value),
            REDIST => self.add_redist_region(0, value, 0),
            REDIST_REGION => {
                let count = (value >> REGION_COUNT) as u32;
                if count == 0 || value & REGION_FLAGS != 0 {
                    return Err(Errno::EINVAL);
                }
                self.add_redist_region((value & REGION_INDEX) as u8, value & REGION_BASE, count)
            }
            _ => Err(Errno::ENXIO),
        }
    }
}

/// First of the 32 interrupts of a `LEVEL_INFO` attribute.
fn first_line(attr: u32) -> Result<u32, Errno> {
    let intid = attr & KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK;
    if attr & KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_MASK != 0 || !intid.is_multiple_of(32) {
        return Err(Errno::EINVAL);
    }
    Ok(intid)
}
