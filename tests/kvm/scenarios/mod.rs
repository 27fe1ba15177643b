//! What must hold, on every kernel.

pub(crate) mod audit;
pub(crate) mod ends;
pub(crate) mod errors;
pub(crate) mod kernels;
pub(crate) mod migrate;
pub(crate) mod nested;
pub(crate) mod peers;
pub(crate) mod registers;
pub(crate) mod shadow;

use crate::program::{self, Devices, Event};
use crate::rig::Rig;
use crate::save::Save as _;
use crate::{layout, memory};
use vgic_state::InterruptState;
use vgic_state::gicv3::Gicv3State;

/// Programs a VM, lets interrupts arrive, and tells which LPIs are pending.
pub(crate) fn populate<R: Rig>(rig: &mut R, devices: &Devices) -> Vec<Event> {
    program::basics(rig);
    program::wires(rig);
    lpis(rig, devices)
}

/// Programs the ITSes, lets LPIs arrive, and tells which.
fn lpis<R: Rig>(rig: &mut R, devices: &Devices) -> Vec<Event> {
    let config = rig.config();
    let mut pending = Vec::new();
    for n in 0..config.its {
        program::enable_its(rig, n, devices.table);
        program::map(rig, n, devices);
        // What a guest hands over need not be clean: the flush ends the table here.
        rig.write(layout::collection_table(n) + 8 * config.vcpus as u64, u64::MAX);
        for (device, event) in devices.events(n, config.vcpus).filter(|(_, event)| (event.lpi + event.lpi / 7) % 5 != 0) {
            // A whole device without a pending interrupt.
            if device != 3 {
                assert_eq!(rig.msi(n, event.device, event.event), Ok(1), "an event that is mapped is delivered");
                pending.push(event);
            }
        }
    }
    pending
}

/// Flushes tables, and saves.
fn save<R: Rig>(rig: &mut R) -> Gicv3State {
    rig.gicv3().flush_and_save().expect("save")
}

/// A new VM with the state of this one and a copy of its memory.
fn moved<R: Rig>(source: &mut R) -> R {
    let state = save(source);
    let mut target = R::with_memory(source.config(), memory::copy(source.memory()));
    target.gicv3().restore(&state).expect("restore");
    target
}
