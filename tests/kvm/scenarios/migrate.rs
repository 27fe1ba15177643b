//! A guest with interrupts of every kind moves to another VM.

use super::{lpis, moved, populate, save};
use crate::layout;
use crate::log::Log;
use crate::memory::{assert_covered, changed, copy, overwrite};
use crate::program::{self, Devices, Event, Table};
use crate::rig::{Config, Rig};
use std::collections::BTreeSet;
use vgic_state::gicv3::{Gicv3State, InterruptBlock};
use vgic_state::image::Kind;
use vgic_state::uapi::vgic_v3::dist::{GICD_IGROUPR, GICD_IPRIORITYR, GICD_IROUTER, GICD_ISENABLER};
use vgic_state::uapi::vgic_v3::its::{GITS_CREADR, GITS_CTLR, GITS_CWRITER};
use vgic_state::{DynInterruptState, InterruptState};

pub(crate) fn a_vm_with_flat_tables_moves<R: Rig>(log: &mut Log) {
    moves::<R>(log, Config::default(), &Devices::FLAT);
}

pub(crate) fn a_vm_with_two_level_tables_moves<R: Rig>(log: &mut Log) {
    moves::<R>(log, Config { vcpus: 4, ..Config::default() }, &Devices::TWO_LEVELS);
}

/// Distances between DeviceIDs that do not fit into the field for them.
pub(crate) fn a_vm_with_wide_gaps_between_device_ids_moves<R: Rig>(log: &mut Log) {
    let devices = Devices { devices: 4, events: 32, first_id: 1, step: 21_000, table: Table::FlatWide };
    moves::<R>(log, Config::default(), &devices);
}

pub(crate) fn a_vm_with_several_its_moves<R: Rig>(log: &mut Log) {
    moves::<R>(log, Config { its: 3, ..Config::default() }, &Devices { devices: 9, ..Devices::FLAT });
}

pub(crate) fn a_vm_without_its_moves<R: Rig>(log: &mut Log) {
    moves::<R>(log, Config { vcpus: 4, its: 0, nr_irqs: 256, ..Config::default() }, &Devices::FLAT);
}

/// `vcpu_id`s with gaps: affinities of two levels.
pub(crate) fn vcpu_ids_with_gaps<R: Rig>(log: &mut Log) {
    moves::<R>(log, Config { vcpus: 3, id_step: 11, ..Config::default() }, &Devices { devices: 5, ..Devices::FLAT });
}

/// The target has run another guest: what that left is gone.
pub(crate) fn onto_a_used_vm<R: Rig>(log: &mut Log) {
    let config = Config::default();
    let mut source = R::new(config);
    let pending = populate(&mut source, &Devices::FLAT);
    let state = save(&mut source);

    let mut target = R::new(config);
    program::basics(&mut target);
    // Other DeviceIDs for the same LPIs, which are pending, and tables elsewhere.
    lpis(&mut target, &Devices::TWO_LEVELS);
    // Edge interrupts, after a reset.
    for intid in 32..config.nr_irqs {
        target.spi_line(intid, intid % 3 == 0).expect("SPI line");
    }
    log.value("entered", target.enter_handler(0));
    log.value("served", target.acknowledge(1).len());
    // Devices of the target are gone too.
    for intid in 32..config.nr_irqs {
        target.spi_line(intid, false).expect("SPI line");
    }
    overwrite(target.memory(), source.memory());
    target.gicv3().restore(&state).expect("restore");
    assert_same_after_flush(&mut source, &mut target, &state);
    assert_served(log, &state, &pending, &mut [&mut source, &mut target]);
}

/// A VMM that knows nothing but bytes.
pub(crate) fn a_state_moves_as_an_image<R: Rig>(log: &mut Log) {
    let config = Config { its: 2, ..Config::default() };
    let mut source = R::new(config);
    let pending = populate(&mut source, &Devices { devices: 5, ..Devices::FLAT });
    let vgic: &mut dyn DynInterruptState = source.gicv3();
    assert_eq!(vgic.kind(), Kind::Gicv3);
    let flushed = vgic.flush_tables().expect("flush");
    let mut image = vec![0; vgic.image_max(&flushed).expect("size")];
    let length = vgic.save_image(flushed, &mut image).expect("save");
    log.value("bytes", length);
    let image = &image[..length];

    let mut target = R::with_memory(config, copy(source.memory()));
    let vgic: &mut dyn DynInterruptState = target.gicv3();
    vgic.check_image(image).expect("check");
    vgic.restore_image(image).expect("restore");
    let state = Gicv3State::parse(image).expect("image");
    assert_same_after_flush(&mut source, &mut target, &state);
    assert_served(log, &state, &pending, &mut [&mut source, &mut target]);
}

/// vCPUs that are handling an interrupt: only a more urgent one gets through until they are done.
pub(crate) fn vcpus_that_handle_interrupts_move<R: Rig>(log: &mut Log) {
    let config = Config::default();
    let mut source = R::new(config);
    program::basics(&mut source);
    lpis(&mut source, &Devices { devices: 2, ..Devices::FLAT });
    // An SPI for each vCPU, more urgent than every LPI.
    source.set_dist(GICD_IGROUPR + 4, u32::MAX);
    source.set_dist(GICD_ISENABLER + 4, u32::MAX);
    for vcpu in 0..config.vcpus {
        source.set_dist(GICD_IROUTER + 8 * (40 + vcpu as u32), config.mpidr(vcpu).packed());
    }
    source.set_dist(GICD_IPRIORITYR + 40, 0x2020_2020);
    let handled: Vec<u32> = (0..config.vcpus).map(|vcpu| source.enter_handler(vcpu)).collect();
    log.value("handled", &handled);
    let mut target = moved(&mut source);
    for (vcpu, handled) in handled.into_iter().enumerate() {
        assert_eq!(target.acknowledge(vcpu), NONE, "none of the others is more urgent");
        let urgent = 40 + vcpu as u32;
        target.spi_line(urgent, true).expect("SPI line");
        assert_eq!(target.acknowledge(vcpu), [urgent]);
        assert_eq!(target.acknowledge(vcpu), NONE, "the handler goes on");
        target.leave_handler(vcpu, handled);
        source.leave_handler(vcpu, handled);
        let (mut one, mut two) = (source.acknowledge(vcpu), target.acknowledge(vcpu));
        one.sort_unstable();
        two.sort_unstable();
        assert_eq!(one, two);
        log.value("then", two);
    }
}

/// Commands that the ITS has not looked at, since it is not enabled, run on the target: on the tables that were restored, whenever it is
/// enabled.
pub(crate) fn commands_that_wait_run_on_the_target<R: Rig>(log: &mut Log) {
    let mut source = R::new(Config::default());
    program::basics(&mut source);
    program::enable_its(&mut source, 0, Table::Flat);
    program::map(&mut source, 0, &Devices { devices: 2, ..Devices::FLAT });
    source.set_its(0, GITS_CTLR, 0).expect("GITS_CTLR");
    let waiting = [
        program::mapd(77, 4, layout::itt(0, 40)),
        program::mapti(77, 5, program::FIRST_LPI + 0x100, program::collection(1)),
        program::invall(program::collection(1)),
    ];
    let cwriter = program::queue(&mut source, 0, &waiting);
    source.set_its(0, GITS_CWRITER, cwriter).expect("GITS_CWRITER");

    // A state in which it is enabled: the restore itself has them run.
    let mut state = save(&mut source);
    state.its[0].registers.ctlr |= 1;
    let mut target = R::with_memory(source.config(), copy(source.memory()));
    target.gicv3().restore(&state).expect("restore");
    assert_eq!(target.its_register(0, GITS_CREADR), cwriter);
    assert_eq!([target.msi(0, 77, 5), target.msi(0, 8, 0)], [Ok(1), Ok(1)]);

    let mut target = moved(&mut source);
    let creadr = target.its_register(0, GITS_CREADR);
    log.value("queue", (creadr, target.its_register(0, GITS_CWRITER), target.its_register(0, GITS_CTLR)));
    assert_eq!((creadr + 96, target.its_register(0, GITS_CTLR) & 1), (cwriter, 0));
    target.set_its(0, GITS_CTLR, 1).expect("GITS_CTLR");
    assert_eq!(target.its_register(0, GITS_CREADR), cwriter);
    assert_eq!(target.msi(0, 77, 5), Ok(1));
    assert_eq!(target.msi(0, 8, 0), Ok(1), "and what was mapped before still is");
    assert_eq!([target.acknowledge(0), target.acknowledge(1)], [[program::FIRST_LPI], [program::FIRST_LPI + 0x100]]);
}

fn moves<R: Rig>(log: &mut Log, config: Config, devices: &Devices) {
    let mut source = R::new(config);
    let pending = populate(&mut source, devices);
    let before = copy(source.memory());
    let flushed = source.gicv3().flush_tables().expect("flush");
    let written = flushed.written().to_vec();
    assert_covered(&before, source.memory(), &written);
    let state = source.gicv3().save(flushed).expect("save");
    log.state(&state);
    log.value("written by the flush", &written);
    log.memory(&source, &written);

    let mut target = R::with_memory(config, copy(source.memory()));
    let report = target.gicv3().restore(&state).expect("restore");
    assert_covered(source.memory(), target.memory(), &report.guest_memory_written);
    assert_same_after_flush(&mut source, &mut target, &state);
    // A guest whose vCPU ids have gaps does not run on such a kernel: its timers take an id for a place too, and the kernel warns.
    if !program::takes_id_for_index::<R>(config) {
        assert_served(log, &state, &pending, &mut [&mut source, &mut target]);
    }
}

/// Flushes and saves the target: its state and all of its memory are the source's.
fn assert_same_after_flush<R: Rig>(source: &mut R, target: &mut R, state: &Gicv3State) {
    let before = copy(target.memory());
    let flushed = target.gicv3().flush_tables().expect("flush");
    let written = flushed.written().to_vec();
    assert_covered(&before, target.memory(), &written);
    assert_eq!(&target.gicv3().save(flushed).expect("save"), state, "the state is that of the source");
    let changed = changed(source.memory(), target.memory());
    assert_eq!(changed.first(), None, "guest memory is that of the source");
}

/// Runs the guest everywhere: it is given exactly what was pending.
pub(super) fn assert_served<R: Rig>(log: &mut Log, state: &Gicv3State, lpis: &[Event], rigs: &mut [&mut R]) {
    for vcpu in 0..state.vcpus.len() {
        let expected = expected(state, lpis, vcpu);
        assert!(!expected.is_empty(), "a vCPU without an interrupt shows nothing");
        for rig in &mut *rigs {
            let served = rig.acknowledge(vcpu);
            let priorities: Vec<u8> = served.iter().map(|intid| priority(state, vcpu, *intid)).collect();
            assert!(priorities.is_sorted(), "the most urgent interrupt first: {served:?} {priorities:?}");
            let found: BTreeSet<u32> = served.iter().copied().collect();
            assert_eq!(found, expected, "vCPU {vcpu} is given the interrupts that were pending");
            assert_eq!(served.len(), expected.len(), "each of them once");
        }
        log.value("served", expected);
    }
}

const NONE: [u32; 0] = [];

/// The interrupts that a vCPU must be given: pending, enabled, of group 1, not active, and more urgent than the mask.
fn expected(state: &Gicv3State, lpis: &[Event], vcpu: usize) -> BTreeSet<u32> {
    let this = &state.vcpus[vcpu];
    let mut all = wires(&this.private, 0, |_| true);
    for spis in &state.spis {
        all.extend(wires(&spis.interrupts, spis.first, |n| spis.router[n] == this.vcpu.mpidr.packed()));
    }
    all.extend(lpis.iter().filter(|event| event.vcpu == vcpu && program::lpi_enabled(event.lpi)).map(|event| event.lpi));
    all.retain(|intid| u64::from(priority(state, vcpu, *intid)) < this.icc.pmr);
    all
}

fn wires(bank: &InterruptBlock, first: u32, goes_here: impl Fn(usize) -> bool) -> BTreeSet<u32> {
    let edge = |n: usize| bank.config[n / 16] >> (n % 16 * 2 + 1) & 1;
    let bit = |word: u32, n: usize| word >> n & 1;
    let pending = |n: usize| bit(bank.pending, n) | (bit(bank.level, n) & !edge(n));
    let signalled = |n: &usize| pending(*n) & bit(bank.enable, *n) & bit(bank.group, *n) & !bit(bank.active, *n) != 0;
    (0..32).filter(signalled).filter(|n| goes_here(*n)).map(|n| first + n as u32).collect()
}

fn priority(state: &Gicv3State, vcpu: usize, intid: u32) -> u8 {
    let of = |bank: &InterruptBlock| (bank.priority[intid as usize % 32 / 4] >> (intid % 4 * 8)) as u8;
    match intid {
        0..32 => of(&state.vcpus[vcpu].private),
        32..1020 => of(&state.spis[intid as usize / 32 - 1].interrupts),
        _ => program::lpi_priority(intid),
    }
}
