//! The attribute groups of an ITS: which checks an access passes, in which order.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_set_attr`, `vgic_its_attr_regs_access`, `vgic_its_ctrl`;
//! Documentation/virt/kvm/devices/arm-vgic-its.rst.
//!
//! Rule: a register is 64 bits wide to user space, whatever the architecture says.

use super::behaviour::Behaviour;
use super::dist::check_range;
use super::gic_attributes::UNDEFINED;
use super::its::{Register, Run};
use super::state::State;
use crate::model::user::User;
use crate::uapi::device::{KVM_DEV_ARM_VGIC_CTRL_INIT, KVM_DEV_ARM_VGIC_GRP_ADDR as ADDR, KVM_DEV_ARM_VGIC_GRP_CTRL as CTRL};
use crate::uapi::vgic_v3::{
    KVM_DEV_ARM_ITS_CTRL_RESET, KVM_DEV_ARM_ITS_RESTORE_TABLES, KVM_DEV_ARM_ITS_SAVE_TABLES,
    KVM_DEV_ARM_VGIC_GRP_ITS_REGS as ITS_REGS, KVM_VGIC_ITS_ADDR_TYPE, KVM_VGIC_V3_ITS_SIZE,
};
use crate::{AttrId, Errno};

const INIT: u64 = KVM_DEV_ARM_VGIC_CTRL_INIT as u64;
const SAVE_TABLES: u64 = KVM_DEV_ARM_ITS_SAVE_TABLES as u64;
const RESTORE_TABLES: u64 = KVM_DEV_ARM_ITS_RESTORE_TABLES as u64;
const RESET: u64 = KVM_DEV_ARM_ITS_CTRL_RESET as u64;

pub(super) fn get(state: &mut State, index: usize, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
    match (id.group(), id.attr()) {
        (ADDR, KVM_VGIC_ITS_ADDR_TYPE) => {
            let its = state.its.get(index).ok_or(Errno::EBADF)?;
            user.write(its.address.unwrap_or(UNDEFINED))
        }
        (ADDR, _) => Err(Errno::ENODEV),
        (ITS_REGS, offset) => {
            let register = register(state, index, offset)?;
            let its = state.its.get(index).ok_or(Errno::EBADF)?;
            user.write(its.read(register, offset))
        }
        _ => Err(Errno::ENXIO),
    }
}

pub(super) fn set(state: &mut State, index: usize, id: AttrId, user: &mut User<'_>) -> Result<(), Errno> {
    match (id.group(), id.attr()) {
        (ADDR, KVM_VGIC_ITS_ADDR_TYPE) => {
            let address: u64 = user.read()?;
            let ipa_bits = state.host.ipa_bits;
            let its = state.its.get_mut(index).ok_or(Errno::EBADF)?;
            if its.address.is_some() {
                return Err(Errno::EEXIST);
            }
            // That no other frame is there is not checked.
            check_range(address, KVM_VGIC_V3_ITS_SIZE, ipa_bits)?;
            its.address = Some(address);
            Ok(())
        }
        (ADDR, _) => Err(Errno::ENODEV),
        (ITS_REGS, offset) => {
            let value: u64 = user.read()?;
            let register = register(state, index, offset)?;
            let written = state.with_its(index, |its, ctx, log| {
                if its.user_write(register, value, ctx)? == Run::Queue {
                    its.process_commands(index, ctx, log);
                }
                Ok(())
            });
            written.unwrap_or(Err(Errno::EBADF))
        }
        // Nothing to do.
        (CTRL, INIT) => Ok(()),
        (CTRL, command) => {
            state.lock_vcpus()?;
            let done = state.with_its(index, |its, ctx, _| match command {
                SAVE_TABLES => its.save_tables(ctx),
                RESTORE_TABLES => its.restore_tables(ctx),
                RESET => {
                    its.reset(ctx);
                    Ok(())
                }
                _ if !ctx.host.kernel.has(Behaviour::RefusesUnknownItsCommands) => Ok(()),
                _ => Err(Errno::ENXIO),
            });
            let done = done.unwrap_or(Err(Errno::EBADF));
            // What crashes a host.
            state.dead |= done == Err(Errno::EIO);
            done
        }
        _ => Err(Errno::ENXIO),
    }
}

pub(super) fn has(id: AttrId) -> Result<(), Errno> {
    match (id.group(), id.attr()) {
        (ADDR, KVM_VGIC_ITS_ADDR_TYPE) | (CTRL, INIT | SAVE_TABLES | RESTORE_TABLES | RESET) => Ok(()),
        (ITS_REGS, offset) => Register::of_user(offset)?.map(|_| ()).ok_or(Errno::ENXIO),
        _ => Err(Errno::ENXIO),
    }
}

/// What every access to a register passes.
fn register(state: &State, index: usize, offset: u64) -> Result<Register, Errno> {
    let register = Register::of_user(offset)?;
    state.lock_vcpus()?;
    state.its.get(index).and_then(|its| its.address).ok_or(Errno::ENXIO)?;
    register.ok_or(Errno::ENXIO)
}
