//! Commands that run as soon as their ITS is restored: writing `GITS_CTLR` with Enabled = 1 runs what is queued, at once.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_process_commands` and what it calls.
//!
//! Rule: each command is judged for itself, against the tables as they are; what one before it would have changed is not known.

use super::its_registers::QUEUE_MISALIGNED;
use super::tables::Judge;
use super::walk::{Budget, Spent};
use crate::its::command::{COMMAND_BYTES, CommandQueue, ItsCommand, RdBase, Unreadable, Version};
use crate::its::{ENTRY_BYTES, FIRST_LPI, Table, TableRange};
use crate::memory::{GuestMemoryRead, GuestRange};
use crate::report::{Place, Problem};
use crate::state::gicv3::{Gicv3State, ItsUnit};
use crate::uapi::vgic_v3::its::GITS_CTLR_ENABLE;

/// Judges what is queued in each ITS that is enabled. Each command is read once.
pub(super) fn queued(
    state: &Gicv3State,
    memory: &impl GuestMemoryRead,
    budget: &mut Budget,
    judge: &mut Judge<'_>,
) -> Result<(), Spent> {
    for its in state.its.iter().filter(|its| u64::from(its.registers.ctlr) & GITS_CTLR_ENABLE != 0) {
        let registers = &its.registers;
        // Registers that describe no queue have a finding of their own.
        let Ok(queue) = CommandQueue::new(registers.cbaser & !QUEUE_MISALIGNED, registers.creadr, registers.cwriter) else {
            continue;
        };
        let table = Table::Commands { its: its.base };
        let mut commands = queue.commands(memory, Version::V3);
        for address in queue.addresses() {
            // Paid before it is read.
            if budget.take(COMMAND_BYTES / ENTRY_BYTES) < COMMAND_BYTES / ENTRY_BYTES {
                return Err(Spent { table, address });
            }
            let Some(queued) = commands.next() else { break };
            let place = Place { table: Some(table), address: Some(queued.address), ..Place::default() };
            match queued.decoded {
                Ok(decoded) => {
                    if decoded.reserved.iter().any(|bits| *bits != 0) {
                        judge.report.add(Problem::ReservedBits, place);
                    }
                    command(&decoded.command, its, state, place, judge);
                }
                // KVM passes it by.
                Err(Unreadable::NoMemory { .. }) => judge.report.add(Problem::TableOutsideMemory, place),
                Err(Unreadable::Failed { .. }) => judge.report.add(Problem::TableNotRead, place),
                // KVM has no vLPIs for a guest: the commands of a GICv4 are none to it.
                Err(Unreadable::Unknown(_)) => judge.report.add(Problem::CommandUnknown, place),
            }
        }
    }
    Ok(())
}

fn command(command: &ItsCommand, its: &ItsUnit, state: &Gicv3State, place: Place, judge: &mut Judge<'_>) {
    let (device_ids, event_bits, icids) = judge.limits(its);
    let is_vcpu = |target: RdBase| target.get() < state.vcpus.len() as u64 || is_id(target, state);
    let accepted = match *command {
        ItsCommand::Mapd { device, valid: false, .. } => u64::from(device) < device_ids,
        ItsCommand::Mapd { device, size, itt, valid: true } => {
            let accepted = u64::from(device) < device_ids && u32::from(size) < event_bits;
            if accepted {
                // Where the kernel writes later on.
                let table = Table::Itt { its: its.base, device };
                judge.add_declared(TableRange { range: GuestRange::new(itt, ENTRY_BYTES << (size + 1)), table });
            }
            accepted
        }
        ItsCommand::Mapc { icid, rdbase, valid } => u64::from(icid) < icids && (!valid || is_vcpu(rdbase)),
        ItsCommand::Mapti { intid, icid, .. } => (FIRST_LPI..judge.intid_end).contains(&intid) && u64::from(icid) < icids,
        ItsCommand::Mapi { event, icid, .. } => (FIRST_LPI..judge.intid_end).contains(&event) && u64::from(icid) < icids,
        ItsCommand::Movall { rdbase1, rdbase2 } => is_vcpu(rdbase1) && is_vcpu(rdbase2),
        _ => true,
    };
    if !accepted {
        judge.report.add(Problem::CommandRefused, place);
    }
}

/// Whether a target is a `vcpu_id`.
fn is_id(target: RdBase, state: &Gicv3State) -> bool {
    state.vcpus.iter().any(|vcpu| u64::from(vcpu.vcpu.id.get()) == target.get())
}
