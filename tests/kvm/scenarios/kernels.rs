//! What kernels do differently: each behaviour that the model has for some of them, seen on the kernel.
//!
//! Source: [`Behaviour`].
//!
//! Rule: what is asserted follows from the behaviour of the kernel that runs; a kernel that does not do what the table of behaviours
//! says fails here.

use super::{moved, save};
use crate::layout;
use crate::log::Log;
use crate::memory::{changed, copy};
use crate::program::{self, Devices, Event, Table};
use crate::rig::{BeforeInit, Config, Rig};
use vgic_state::TableStrategy;
use vgic_state::model::gicv3::Behaviour;
use vgic_state::report::Refusal;
use vgic_state::uapi::vgic_v3::dist::{GICD_CTLR, GICD_ICACTIVER, GICD_IGROUPR, GICD_ISACTIVER, GICD_ISENABLER, GICD_ISPENDR};
use vgic_state::uapi::vgic_v3::its::{GITS_BASER, GITS_CTLR};
use vgic_state::uapi::vgic_v3::redist::{GICR_CTLR, GICR_IGROUPR0, GICR_IPRIORITYR0, GICR_ISPENDR0};
use vgic_state::{AttrDevice, Command, DynInterruptState, Errno, Error, InterruptState, VcpuNumbers};

const DEVICES: Devices = Devices { devices: 2, events: 4, first_id: 8, step: 8, table: Table::Flat };

fn has<R: Rig>(behaviour: Behaviour) -> bool {
    R::kernel().has(behaviour)
}

fn set_up<R: Rig>(config: Config) -> R {
    let mut rig = R::new(config);
    program::basics(&mut rig);
    program::enable_its(&mut rig, 0, DEVICES.table);
    program::map(&mut rig, 0, &DEVICES);
    rig
}

fn event(device: u32, event: u32) -> Event {
    let all = DEVICES.events(0, 1).find(|(n, found)| (*n, found.event) == (device, event));
    all.expect("event").1
}

/// Devices and events that an ITS has, as tables in an image tell.
fn mapped<R: Rig>(rig: &mut R) -> Vec<(u32, Vec<u32>)> {
    rig.gicv3().options_mut().tables = TableStrategy::Image;
    let flushed = rig.gicv3().flush_tables().expect("flush");
    let lpis = rig.gicv3().save(flushed).expect("save").lpis.expect("LPIs");
    rig.gicv3().options_mut().tables = TableStrategy::GuestMemory;
    let devices = lpis.its[0].devices.iter();
    devices.map(|device| (device.id, device.events.iter().map(|event| event.id).collect())).collect()
}

/// What can be asked before `INIT`.
pub(crate) fn what_can_be_asked_before_init<R: Rig>(log: &mut Log) {
    let asked = R::before_init();
    log.value("before INIT", &asked);
    let BeforeInit { iidr, typer2, maintenance_irq, maintenance_irq_value, no_spi } = asked;
    let presets = has::<R>(Behaviour::PresetsBeforeInit);
    assert_eq!((iidr, typer2), if presets { (Ok(0x4b00_343b), Ok(())) } else { (Err(Errno::EBUSY), Err(Errno::EBUSY)) });
    assert_eq!(maintenance_irq.is_ok(), has::<R>(Behaviour::HasMaintenanceIrq));
    let after = if has::<R>(Behaviour::GivesMaintenanceIrqAfterInit) { Ok(0) } else { Err(Errno::EBUSY) };
    assert_eq!(maintenance_irq_value, if maintenance_irq.is_ok() { [Ok(0), after] } else { [Err(Errno::ENXIO); 2] });
    let first = has::<R>(Behaviour::IrqLineNeedsInitFirst);
    assert_eq!(no_spi, Err(if first { Errno::EBUSY } else { Errno::EINVAL }));
}

/// A vCPU with as many active interrupts as list registers: whether it is given one that is pending, and that a restore changes nothing.
pub(crate) fn active_interrupts_and_list_registers<R: Rig>(log: &mut Log) {
    let mut source = R::new(Config { its: 0, ..Config::default() });
    program::basics(&mut source);
    for offset in [GICD_IGROUPR, GICD_ISENABLER] {
        source.set_dist(offset + 4, u32::MAX);
    }
    // SPIs 32 to 35, of the first vCPU as all are, and 40 pends.
    source.set_dist(GICD_ISACTIVER + 4, 0xf);
    source.set_dist(GICD_ISPENDR + 4, 1 << 8);
    let mut target = moved(&mut source);
    let expected = if has::<R>(Behaviour::PendingBeforeActive) { vec![40] } else { vec![] };
    for rig in [&mut source, &mut target] {
        let served = rig.acknowledge(0);
        assert_eq!(served, expected);
        log.value("with four active", served);
        // One is deactivated.
        rig.set_dist(GICD_ICACTIVER + 4, 1);
        let served = rig.acknowledge(0);
        assert_eq!(served.len() + expected.len(), 1, "then it is given");
        log.value("with three active", served);
    }
}

/// More interrupts that pend than list registers, of which those that come first are of group 0, which the vCPU has not enabled: the
/// guest of an older kernel is given none of those behind, before a restore as after it. What random conversations found (seed 5006).
pub(crate) fn pending_interrupts_and_list_registers<R: Rig>(log: &mut Log) {
    let mut source = R::new(Config { its: 0, ..Config::default() });
    program::basics(&mut source);
    // Group 1: SGIs 11 and 14. All of one priority.
    source.set_redist(0, GICR_IGROUPR0, 1 << 11 | 1 << 14);
    source.set_redist(0, GICR_ISPENDR0, 1 << 3 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 11 | 1 << 14);
    let mut target = moved(&mut source);
    for rig in [&mut source, &mut target] {
        let served = rig.acknowledge(0);
        if has::<R>(Behaviour::DisabledGroupsLast) {
            assert_eq!(served, [11, 14]);
            log.value("of group 1", served);
            continue;
        }
        assert!(served.is_empty(), "{served:?}");
        log.value("with four of group 0 first", served);
        // Its priority is now the highest one.
        rig.set_redist(0, GICR_IPRIORITYR0, 0x0808_0808);
        rig.set_redist(0, GICR_IPRIORITYR0 + 4, 0x0808_0808);
        rig.set_redist(0, GICR_IPRIORITYR0 + 8, 0x0008_0808);
        rig.set_redist(0, GICR_IPRIORITYR0 + 12, 0x0808_0808);
        let served = rig.acknowledge(0);
        assert_eq!(served, [11]);
        log.value("of the highest priority", served);
        // One fewer.
        rig.set_redist(0, GICR_ISPENDR0, 1 << 3 | 1 << 7 | 1 << 9 | 1 << 14);
        let served = rig.acknowledge(0);
        assert_eq!(served, [14]);
        log.value("with three of group 0", served);
    }
}

/// A guest maps an LPI that has an event already.
pub(crate) fn one_lpi_for_two_events<R: Rig>(log: &mut Log) {
    let mut rig = set_up::<R>(Config::default());
    let Event { device, lpi, .. } = event(0, 1);
    program::commands(&mut rig, 0, &[program::mapd(900, 2, layout::itt(0, 9))]);
    program::commands(&mut rig, 0, &[program::mapti(900, 3, lpi, program::collection(0))]);
    let second = rig.msi(0, 900, 3);
    assert_eq!(second, Ok(i32::from(!has::<R>(Behaviour::OneEventForAnLpi))), "the second event");
    assert_eq!(rig.msi(0, device, 1), Ok(1));
    log.value("mapped", mapped(&mut rig));
    log.value("served", (rig.acknowledge(0), rig.acknowledge(1)));
    // It can have the LPI when the first one has given it back.
    program::commands(&mut rig, 0, &[discard(device, 1), program::mapti(900, 3, lpi, program::collection(0))]);
    assert_eq!(rig.msi(0, 900, 3), Ok(1));
    log.value("served", (rig.acknowledge(0), rig.acknowledge(1)));
}

/// `MOVALL` from one vCPU to another, and LPIs of a third.
pub(crate) fn whose_lpis_are_moved<R: Rig>(log: &mut Log) {
    let config = Config { vcpus: 3, ..Config::default() };
    let mut rig = set_up::<R>(config);
    for n in 0..3 {
        assert_eq!(rig.msi(0, DEVICES.id(0), n), Ok(1));
    }
    // From the first one to the second, which runs last: an LPI that is on a vCPU's list leaves it when that vCPU runs.
    program::commands(&mut rig, 0, &[[0x0e, 0, 0, 1 << 16]]);
    let served = [2, 0, 1].map(|vcpu| rig.acknowledge(vcpu).iter().filter(|intid| **intid >= 8192).count());
    assert_eq!(served, if has::<R>(Behaviour::MovallKeepsOthers) { [1, 0, 2] } else { [0, 0, 3] });
    log.value("served", served);
}

/// A VMM that says that its kernel takes the order of creation for the number of a vCPU: nothing is saved or restored under numbers that
/// another kernel takes otherwise.
pub(crate) fn vcpus_numbered_by_their_creation<R: Rig>(log: &mut Log) {
    let config = Config { vcpus: 3, id_step: 2, ..Config::default() };
    let mut source = set_up::<R>(config);
    let state = save(&mut source);
    let mut target = R::with_memory(config, copy(source.memory()));
    let (before, ctlr) = (copy(target.memory()), target.dist(GICD_CTLR));
    let refused = Error::from(Refusal::VcpuNumber { vcpu: config.vcpu(1), place: 1 });
    log.add(refused.to_string());
    target.gicv3().options_mut().vcpu_numbers = VcpuNumbers::CreationOrder;
    let gicv3 = target.gicv3();
    assert_eq!(gicv3.check(&state).map(drop), Err(refused.clone()));
    assert_eq!(gicv3.restore(&state).map(drop), Err(refused.clone()));
    assert_eq!(gicv3.flush_tables().map(drop), Err(refused));
    assert_eq!(changed(&before, target.memory()).first(), None);
    assert_ne!(ctlr, state.dist.ctlr);
    assert_eq!(target.dist(GICD_CTLR), ctlr, "nothing is written");
    // Not told, only a kernel that shows that it means the id.
    target.gicv3().options_mut().vcpu_numbers = VcpuNumbers::NotTold;
    let gicv3 = target.gicv3();
    if has::<R>(Behaviour::HasMaintenanceIrq) {
        gicv3.check(&state).expect("check");
    } else {
        let refused = Error::from(Refusal::VcpuNumbersNotTold { vcpu: config.vcpu(1), place: 1 });
        log.add(refused.to_string());
        assert_eq!(gicv3.check(&state).map(drop), Err(refused.clone()));
        assert_eq!(gicv3.restore(&state).map(drop), Err(refused.clone()));
        assert_eq!(gicv3.flush_tables().map(drop), Err(refused));
        assert_eq!(changed(&before, target.memory()).first(), None);
        assert_eq!(target.dist(GICD_CTLR), ctlr, "nothing is written");
    }
    // Told otherwise, the state goes where it came from.
    target.gicv3().options_mut().vcpu_numbers = VcpuNumbers::VcpuId;
    target.gicv3().restore(&state).expect("restore");
    // Nor does it matter where there is no ITS.
    let mut without = R::new(Config { its: 0, ..config });
    without.gicv3().options_mut().vcpu_numbers = VcpuNumbers::NotTold;
    let state = save(&mut without);
    without.gicv3().check(&state).expect("check");
    // Numbers that are both are nobody's problem.
    let mut dense = set_up::<R>(Config { id_step: 1, ..config });
    dense.gicv3().options_mut().vcpu_numbers = VcpuNumbers::CreationOrder;
    let state = save(&mut dense);
    dense.gicv3().check(&state).expect("check");
}

/// The LPIs of a vCPU are disabled while one of them is pending.
pub(crate) fn lpis_that_are_disabled<R: Rig>(log: &mut Log) {
    const VCPU: usize = 1;
    let mut rig = set_up::<R>(Config::default());
    let Event { device, lpi, .. } = event(0, 1);
    assert_eq!(rig.msi(0, device, 1), Ok(1));
    rig.set_redist(VCPU, GICR_CTLR, 0);
    rig.gicv3().gic_mut().command(Command::SavePendingTables).expect("SAVE_PENDING_TABLES");
    let bits = rig.read(layout::pending(VCPU) + u64::from(lpi / 64 * 8));
    let forgotten = has::<R>(Behaviour::DisablingForgetsPendingLpis);
    assert_eq!(bits, if forgotten { 0 } else { 1 << (lpi % 64) });
    // Enabled, the kernel reads the table.
    rig.set_redist(VCPU, GICR_CTLR, 1);
    let served = rig.acknowledge(VCPU);
    assert_eq!(served, if forgotten { vec![] } else { vec![lpi] });
    log.value("served", (bits, served));
}

/// A guest unmaps a collection that has events. A kernel whose host crashes then is not asked: `crash::unmapped_collection` is.
pub(crate) fn an_event_without_collection<R: Rig>(log: &mut Log) {
    if !has::<R>(Behaviour::SavesEventsWithoutCollection) {
        return;
    }
    let mut source = set_up::<R>(Config::default());
    unmap_collection(&mut source);
    let state = save(&mut source);
    let itt = layout::itt(0, 0);
    log.memory(&source, &[vgic_state::GuestRange::new(itt, 4 * 8)]);
    assert_eq!([0, 2].map(|event| source.read(itt + 8 * event)), [0, 0], "cleared");
    let next = source.read(itt + 8) >> 48;
    assert_eq!(next, if has::<R>(Behaviour::DistancesPassOverUnmapped) { 2 } else { 1 });
    let mut target = R::with_memory(source.config(), copy(source.memory()));
    let report = target.gicv3().restore(&state).expect("restore");
    let codes: Vec<&str> = report.findings.iter().map(|finding| finding.problem.code()).collect();
    // A distance to an event that was not saved.
    let expected: &[&str] = if has::<R>(Behaviour::DistancesPassOverUnmapped) { &[] } else { &["event-not-saved"] };
    assert_eq!(codes, expected);
    assert_eq!([0, 1].map(|event| target.msi(0, DEVICES.id(0), event)), [Ok(0), Ok(1)]);
    log.value("mapped", mapped(&mut target));
}

/// Events 0 and 2 of each device lose their collection.
pub(crate) fn unmap_collection<R: Rig>(rig: &mut R) {
    program::commands(rig, 0, &[[0x09, 0, program::collection(0), 0]]);
}

/// A device table that moves to another place while the ITS is disabled.
pub(crate) fn a_table_that_changes_its_place<R: Rig>(log: &mut Log) {
    let mut rig = set_up::<R>(Config::default());
    rig.set_its(0, GITS_CTLR, 0).expect("GITS_CTLR");
    let baser = rig.its_register(0, GITS_BASER);
    for (value, place) in [(baser, "the same place"), (baser - layout::device_table(0) + layout::SPARE, "another place")] {
        rig.set_its(0, GITS_BASER, value).expect("GITS_BASER0");
        rig.set_its(0, GITS_CTLR, 1).expect("GITS_CTLR");
        let delivered = rig.msi(0, DEVICES.id(0), 1);
        let gone = place == "another place" && has::<R>(Behaviour::ChangedBaserFreesMappings);
        assert_eq!(delivered, Ok(i32::from(!gone)), "{place}");
        rig.set_its(0, GITS_CTLR, 0).expect("GITS_CTLR");
        log.value(place, (delivered, mapped(&mut rig)));
    }
}

/// Entries of an event and a device that the guest unmaps after a save.
pub(crate) fn what_is_unmapped_between_two_saves<R: Rig>(log: &mut Log) {
    let mut rig = set_up::<R>(Config::default());
    save(&mut rig);
    let entries = [layout::itt(0, 0) + 3 * 8, layout::device_table(0) + u64::from(DEVICES.id(1)) * 8];
    assert!(entries.iter().all(|entry| rig.read(*entry) != 0));
    program::commands(&mut rig, 0, &[discard(DEVICES.id(0), 3), [0x08 | u64::from(DEVICES.id(1)) << 32, 0, 0, 0]]);
    let cleared = entries.map(|entry| rig.read(entry) == 0);
    assert_eq!(cleared, [has::<R>(Behaviour::ClearsUnmappedEntries); 2]);
    log.value("cleared", cleared);
    let mut target = moved(&mut rig);
    log.value("mapped", mapped(&mut target));
}

fn discard(device: u32, event: u32) -> program::Command {
    [0x0f | u64::from(device) << 32, event.into(), 0, 0]
}
