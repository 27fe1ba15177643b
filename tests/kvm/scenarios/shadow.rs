//! Tables in the image: guest memory is not written, whatever the guest has made of it.

use super::{lpis, populate};
use crate::layout;
use crate::log::Log;
use crate::memory::{changed, copy, overwrite};
use crate::program::{self, Devices, Event, Table};
use crate::rig::{Config, Memory, Rig};
use std::collections::BTreeMap;
use vgic_state::gicv3::Gicv3State;
use vgic_state::its::{LpiState, TableError};
use vgic_state::model::gicv3::Behaviour;
use vgic_state::report::{Problem, Refusal};
use vgic_state::shadow::ShadowKind;
use vgic_state::{ConfigurationPolicy, DynInterruptState, Error, InterruptState, TableStrategy};
use vm_memory::{Bytes, GuestAddress};

const COW: Config = Config {
    vcpus: 2,
    id_step: 1,
    nr_irqs: 128,
    its: 1,
    shadow: ShadowKind::CopyOnWrite,
    slots: 1,
    el2: false,
    maintenance_irq: 0,
};
const ZERO: Config = Config { shadow: ShadowKind::Zero, ..COW };

pub(crate) fn zero_shadow_flat<R: Rig>(log: &mut Log) {
    in_image::<R>(log, ZERO, &Devices::FLAT);
}

pub(crate) fn zero_shadow_two_levels<R: Rig>(log: &mut Log) {
    in_image::<R>(log, Config { vcpus: 4, ..ZERO }, &Devices::TWO_LEVELS);
}

pub(crate) fn copy_on_write_flat<R: Rig>(log: &mut Log) {
    in_image::<R>(log, COW, &Devices::FLAT);
}

pub(crate) fn copy_on_write_two_levels<R: Rig>(log: &mut Log) {
    in_image::<R>(log, Config { vcpus: 4, ..COW }, &Devices::TWO_LEVELS);
}

pub(crate) fn zero_shadow_several_its<R: Rig>(log: &mut Log) {
    in_image::<R>(log, Config { its: 3, ..ZERO }, &Devices { devices: 9, ..Devices::TWO_LEVELS });
}

/// The tables lie across them.
pub(crate) fn tables_that_lie_across_several_memslots<R: Rig>(log: &mut Log) {
    in_image::<R>(log, Config { slots: 3, its: 2, ..ZERO }, &Devices { devices: 12, ..Devices::FLAT });
    in_image::<R>(log, Config { slots: 3, its: 2, ..COW }, &Devices { devices: 12, ..Devices::TWO_LEVELS });
}

pub(crate) fn zero_shadow_wide_gaps<R: Rig>(log: &mut Log) {
    let devices = Devices { devices: 4, events: 32, first_id: 1, step: 21_000, table: Table::FlatWide };
    in_image::<R>(log, ZERO, &devices);
}

/// A save into the image and a restore from it, of a guest that has put other data where its tables were.
fn in_image<R: Rig>(log: &mut Log, config: Config, devices: &Devices) {
    let mut source = R::new(config);
    let pending = populate(&mut source, devices);
    let state = save_in_image(&mut source);
    assert_eq!(state.lpis.as_ref(), Some(&expected(config, devices, &pending)), "what was programmed");
    log.state(&state);

    // The level-1 device table included; all but the LPI configuration table.
    reuse_tables(source.memory());
    assert_eq!(save_in_image(&mut source), state, "the same, now that the guest's tables are gone");
    let image = state.to_image().expect("image");
    log.value("bytes", image.len());

    let mut target = R::with_memory(config, copy(source.memory()));
    let before = copy(target.memory());
    let report = target.gicv3().restore_image(&image).expect("restore");
    assert_eq!((report.findings.len(), report.guest_memory_written.len()), (0, 0), "{report:?}");
    assert_eq!(changed(&before, target.memory()).first(), None, "a restore from the image writes no guest memory");
    assert_eq!(save_in_image(&mut target), state, "the target has the same state");
    super::migrate::assert_served(log, &state, &pending, &mut [&mut source, &mut target]);
}

/// Saves, and compares all of guest memory.
fn save_in_image<R: Rig>(rig: &mut R) -> Gicv3State {
    let before = copy(rig.memory());
    let gicv3 = rig.gicv3();
    gicv3.options_mut().tables = TableStrategy::Image;
    assert!(!gicv3.requirements().expect("requirements").guest_memory.written_by_flush);
    let flushed = gicv3.flush_tables().expect("flush");
    assert_eq!(flushed.written(), [], "no guest memory is written");
    let image_max = gicv3.image_max(&flushed).expect("size");
    let state = gicv3.save(flushed).expect("save");
    assert_eq!(state.image_bytes(), image_max, "the size is known after the flush");
    assert_eq!(changed(&before, rig.memory()).first(), None, "not one byte of guest memory has changed");
    state
}

/// What a program has mapped and made pending.
fn expected(config: Config, devices: &Devices, pending: &[Event]) -> LpiState {
    use vgic_state::its::{Collection, Device, ItsMappings, LpiConfiguration, PendingLpis};
    let its = (0..config.its).map(|n| {
        let collections = (0..config.vcpus)
            .map(|vcpu| Collection { icid: program::collection(vcpu) as u16, target: Some(config.vcpu(vcpu).id.get()) });
        let mut found: BTreeMap<u32, Device> = BTreeMap::new();
        for (device, event) in devices.events(n, config.vcpus) {
            let new = || Device {
                id: event.device,
                itt: layout::itt(n, device),
                event_bits: devices.event_bits() as u32,
                events: vec![],
            };
            let icid = program::collection(event.vcpu) as u16;
            let event_of = vgic_state::its::Event { id: event.event, intid: event.lpi, icid };
            found.entry(event.device).or_insert_with(new).events.push(event_of);
        }
        ItsMappings { base: layout::its(n), collections: collections.collect(), devices: found.into_values().collect() }
    });
    let lpis = (0..config.its).flat_map(|n| devices.events(n, config.vcpus)).map(|(_, event)| event.lpi);
    let byte = |intid| program::lpi_priority(intid) | 2 | u8::from(program::lpi_enabled(intid));
    let pending_of = |vcpu: usize| {
        let intids = pending.iter().filter(|event| event.vcpu == vcpu).map(|event| event.lpi).collect();
        PendingLpis { vcpu: config.vcpu(vcpu), intids }
    };
    LpiState {
        its: its.collect(),
        configuration: lpis.map(|intid| LpiConfiguration { intid, byte: byte(intid) }).collect(),
        pending: (0..config.vcpus).map(pending_of).filter(|pending| !pending.intids.is_empty()).collect(),
    }
}

/// The guest has other data where its tables were: device tables of both levels, collection tables, ITTs, pending tables. Returns how
/// many bytes.
fn reuse_tables(memory: &Memory) -> u64 {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut fill = |start: u64, end: u64| {
        let words = (start..end).step_by(8).map(|_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        });
        let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        memory.write_slice(&bytes, GuestAddress(start)).expect("memory");
        end - start
    };
    // Pending tables, and everything of each ITS but its command queue.
    let mut bytes = fill(layout::pending(0), layout::pending(15));
    for n in 0..4 {
        bytes += fill(layout::device_table(n), layout::queue(n) + 0x10_0000);
    }
    bytes
}

/// A boot kernel maps devices; the kernel that resumes from hibernation has its own data in those pages, and never unmapped anything.
pub(crate) fn resumed_from_hibernation<R: Rig>(log: &mut Log) {
    let devices = Devices { devices: 64, events: 32, ..Devices::FLAT };
    let mut source = R::new(ZERO);
    let pending = populate(&mut source, &devices);
    reuse_tables(source.memory());
    let state = save_in_image(&mut source);
    let lpis = state.lpis.as_ref().expect("LPIs");
    log.value("devices", lpis.its[0].devices.len());

    // The other way, on a copy of the VM: KVM's own tables, in the middle of the guest's data.
    let mut victim = R::with_memory(ZERO, copy(source.memory()));
    victim.gicv3().restore(&state).expect("restore");
    let before = copy(victim.memory());
    victim.gicv3().options_mut().tables = TableStrategy::GuestMemory;
    let _ = victim.gicv3().flush_tables().expect("the kernel says success");
    let destroyed = changed(&before, victim.memory()).len();
    assert!(destroyed > 10_000, "{destroyed} bytes of the guest's data are destroyed");
    log.value("bytes that a flush into guest memory destroys", destroyed);

    let mut target = R::with_memory(ZERO, copy(source.memory()));
    let before = copy(target.memory());
    target.gicv3().restore_image(&state.to_image().expect("image")).expect("restore");
    assert_eq!(changed(&before, target.memory()).first(), None, "not one byte of guest memory has changed");
    super::migrate::assert_served(log, &state, &pending, &mut [&mut source, &mut target]);
}

/// The guest's level-1 device table is gone. Some kernels say success and save no device; others say `EINVAL`. The image has every
/// device; a flush into guest memory that verifies itself says which are lost.
pub(crate) fn level_1_table_gone<R: Rig>(log: &mut Log) {
    let config = Config { its: 2, ..ZERO };
    let devices = Devices { devices: 10, ..Devices::TWO_LEVELS };
    let mut rig = R::new(config);
    lpis_only(&mut rig, &devices);
    let whole = save_in_image(&mut rig);
    rig.gicv3().options_mut().tables = TableStrategy::GuestMemory;
    rig.gicv3().options_mut().verify_flush = true;
    let _ = rig.gicv3().flush_tables().expect("nothing is lost yet");

    // Of the second ITS, the tables of DeviceIDs from 8192 to 24575.
    for index in [1, 2] {
        rig.write(layout::device_table(1) + index * 8, 0);
    }
    assert_eq!(save_in_image(&mut rig), whole);
    rig.gicv3().options_mut().tables = TableStrategy::GuestMemory;
    match rig.gicv3().flush_tables() {
        Err(Error::Tables(error)) => {
            let TableError::Lost(lost) = *error else { panic!("{error}") };
            assert!(R::kernel().has(Behaviour::SaveSkipsDevicesWithoutEntry));
            let ids = (0..devices.devices).map(|n| devices.id(n)).filter(|id| (8192..24576).contains(id));
            assert_eq!((lost.its, lost.devices), (layout::its(1), ids.collect::<Vec<_>>()));
            assert_eq!((lost.collections, lost.stale), (vec![], vec![]));
        }
        Err(Error::Access(error)) => {
            assert!(!R::kernel().has(Behaviour::SaveSkipsDevicesWithoutEntry));
            assert_eq!((error.errno, error.its), (vgic_state::Errno::EINVAL, Some(layout::its(1))));
        }
        other => panic!("{other:?}"),
    }
    rig.gicv3().options_mut().verify_flush = false;
    log.value("without a look", rig.gicv3().flush_tables().map(|_| ()).map_err(|error| error.to_string()));
}

/// Sets LPIs up, without other interrupts.
fn lpis_only<R: Rig>(rig: &mut R, devices: &Devices) -> Vec<Event> {
    program::basics(rig);
    lpis(rig, devices)
}

/// The guest has put other data where its LPI configuration table was: the source works on, and the target is told, and does what the
/// VMM chose.
pub(crate) fn configuration_table_gone<R: Rig>(log: &mut Log) {
    let mut source = R::new(ZERO);
    let pending = lpis_only(&mut source, &Devices { devices: 3, ..Devices::FLAT });
    source.memory().write_slice(&[0; 0xe000], GuestAddress(layout::CONFIGURATION)).expect("memory");
    let state = save_in_image(&mut source);
    for (policy, works) in [(ConfigurationPolicy::Leave, false), (ConfigurationPolicy::Default(0xa3), true)] {
        let mut target = R::with_memory(ZERO, copy(source.memory()));
        target.gicv3().options_mut().lpi_configuration = policy;
        let report = target.gicv3().restore(&state).expect("restore");
        let told: Vec<_> = report.findings.iter().map(|finding| (finding.problem, finding.count)).collect();
        assert_eq!(told, [(Problem::ConfigurationNotCredible, 48)]);
        let mut served = target.acknowledge(0);
        served.sort_unstable();
        let all: Vec<u32> = pending.iter().filter(|event| event.vcpu == 0).map(|event| event.lpi).collect();
        assert_eq!(served, if works { all } else { vec![] });
        log.value("served", served);
    }
    let kept = source.acknowledge(0);
    assert!(!kept.is_empty(), "the kernel of the source still knows priority and enable");
}

/// Whatever fails on the way, the slots have the guest's memory again, and nothing in it has changed.
pub(crate) fn failures_at_every_step<R: Rig>(log: &mut Log) {
    for config in [ZERO, Config { slots: 2, its: 2, ..COW }] {
        let devices = Devices { devices: 4, ..Devices::TWO_LEVELS };
        let mut source = R::new(config);
        let pending = lpis_only(&mut source, &devices);
        let state = save_in_image(&mut source);
        let before = copy(source.memory());
        let failures = failing(&mut source, |rig| rig.gicv3().flush_tables().map(drop));
        assert_eq!(changed(&before, source.memory()).first(), None, "not one byte of guest memory has changed");
        log.value("failures of a flush", &failures);

        // Each restore into a VM of its own, as a VMM would have to.
        let mut failures = Vec::new();
        for operations in 0.. {
            let mut target = R::with_memory(config, copy(source.memory()));
            target.faults().fail_after(operations);
            let result = target.gicv3().restore(&state);
            let failed = target.faults().end();
            assert_eq!(changed(&before, target.memory()).len(), 0, "not one byte of guest memory has changed");
            assert_slots_are_back(&mut target);
            let Err(error) = result else {
                assert!(!failed);
                // The queue has moved on.
                assert_eq!(save_in_image(&mut target).lpis, state.lpis);
                break;
            };
            assert!(failed && error.can_retry_on_same_memory(), "{error}");
            failures.push(error.to_string());
        }
        log.value("failures of a restore", &failures);
        assert_slots_are_back(&mut source);
        assert_eq!(save_in_image(&mut source).lpis, state.lpis, "the source is as it was");
        assert!(!pending.is_empty());
    }
}

/// Lets each operation fail once, and returns what was said.
fn failing<R: Rig>(rig: &mut R, mut act: impl FnMut(&mut R) -> Result<(), Error>) -> Vec<String> {
    let mut said = Vec::new();
    for operations in 0.. {
        rig.faults().fail_after(operations);
        let result = act(rig);
        let failed = rig.faults().end();
        assert_slots_are_back(rig);
        match result {
            Ok(()) => {
                assert!(!failed);
                return said;
            }
            Err(error) => said.push(error.to_string()),
        }
    }
    unreachable!()
}

/// The kernel reads the guest's memory: an ITS command that only the guest's own queue has is found there.
fn assert_slots_are_back<R: Rig>(rig: &mut R) {
    use vgic_state::uapi::vgic_v3::its::{GITS_CREADR, GITS_CWRITER};
    let before = copy(rig.memory());
    if rig.its_register(0, vgic_state::uapi::vgic_v3::its::GITS_CTLR) & 1 == 0 {
        return;
    }
    let cwriter = program::queue(
        rig,
        0,
        &[program::mapd(4000, 2, layout::itt(0, 60)), program::mapti(4000, 1, 60_000, program::collection(0))],
    );
    rig.set_its(0, GITS_CWRITER, cwriter).expect("GITS_CWRITER");
    assert_eq!(rig.its_register(0, GITS_CREADR), cwriter);
    assert_eq!(rig.msi(0, 4000, 1), Ok(1), "the kernel has read the guest's queue");
    // As it was.
    let back = [[0x04 | 4000 << 32, 1, 0, 0], [0x08 | 4000 << 32, 1, 0, 0]];
    let cwriter = program::queue(rig, 0, &back);
    rig.set_its(0, GITS_CWRITER, cwriter).expect("GITS_CWRITER");
    assert_eq!(rig.msi(0, 4000, 1), Ok(0));
    overwrite(rig.memory(), &before);
}

/// A VM whose guest still runs is found out before its memory is diverted.
pub(crate) fn never_under_a_vcpu_that_runs<R: Rig>(log: &mut Log) {
    let mut rig = R::new(ZERO);
    lpis_only(&mut rig, &Devices { devices: 2, ..Devices::FLAT });
    rig.gicv3().options_mut().tables = TableStrategy::Image;
    rig.faults().fail_after(0);
    let error = rig.while_running(0, |rig| rig.gicv3().flush_tables().expect_err("a vCPU runs"));
    assert!(!rig.faults().end(), "no slot and no table was touched: {error}");
    log.value("error", error.to_string());
}

/// Tables on top of each other: the kernel's writes destroy each other, in the guest's memory and elsewhere. It is said.
pub(crate) fn tables_that_overlap<R: Rig>(log: &mut Log) {
    let mut rig = R::new(ZERO);
    lpis_only(&mut rig, &Devices { devices: 2, ..Devices::FLAT });
    let commands =
        [program::mapd(900, 4, layout::itt(0, 1)), program::mapti(900, 2, program::FIRST_LPI + 500, program::collection(0))];
    program::commands(&mut rig, 0, &commands);
    rig.gicv3().options_mut().tables = TableStrategy::Image;
    let error = rig.gicv3().flush_tables().expect_err("two devices with one ITT");
    log.value("error", error.to_string());
}

/// An ITT where the guest has no memory, but the shadow has some for its own level-2 device tables.
pub(crate) fn a_table_behind_memory<R: Rig>(log: &mut Log) {
    let mut rig = R::new(ZERO);
    lpis_only(&mut rig, &Devices { devices: 2, ..Devices::TWO_LEVELS });
    let behind = layout::RAM + layout::RAM_BYTES as u64;
    let commands = [program::mapd(900, 4, behind), program::mapti(900, 2, program::FIRST_LPI + 500, program::collection(0))];
    program::commands(&mut rig, 0, &commands);
    rig.gicv3().options_mut().tables = TableStrategy::Image;
    match rig.gicv3().flush_tables() {
        Err(Error::Tables(error)) => {
            let TableError::Outside { table, address } = *error else { panic!("{error}") };
            assert_eq!(address, behind);
            log.value("outside", table.to_string());
        }
        other => panic!("{other:?}"),
    }
}

/// Tables in a state that this VM has no memory for.
pub(crate) fn no_memory_for_tables<R: Rig>(log: &mut Log) {
    let mut source = R::new(ZERO);
    lpis_only(&mut source, &Devices { devices: 2, ..Devices::FLAT });
    let mut state = save_in_image(&mut source);
    let its = &mut state.lpis.as_mut().expect("LPIs").its[0];
    its.devices[1].itt = 0x9000_0000;
    let mut target = R::with_memory(ZERO, copy(source.memory()));
    target.faults().fail_after(0);
    match target.gicv3().restore(&state) {
        Err(Error::Refused(refusal)) => {
            assert!(matches!(*refusal, Refusal::Problem(_) | Refusal::Tables(_)));
            log.value("refused", refusal.to_string());
        }
        other => panic!("{other:?}"),
    }
    assert!(!target.faults().end(), "nothing was touched");
}

/// The most that an image must hold.
pub(crate) fn four_thousand_lpis<R: Rig>(log: &mut Log) {
    let devices = Devices { devices: 64, events: 64, first_id: 8, step: 16, table: Table::Flat };
    let mut source = R::new(Config { vcpus: 4, ..ZERO });
    let pending = lpis_only(&mut source, &devices);
    let state = save_in_image(&mut source);
    assert_eq!(state.lpis.as_ref().expect("LPIs").configuration.len(), 4096);
    let image = state.to_image().expect("image");
    assert!(image.len() < 48 << 10, "{} bytes", image.len());
    log.value("bytes of 4,096 LPIs, most of them pending", (image.len(), pending.len()));
}
