//! A guest with interrupts of every kind moves to another VM.

use crate::log::Log;
use crate::program::{self, Devices, Event};
use crate::rig::{Config, Memory, Rig, fresh_memory};
use crate::{layout, rig};
use std::collections::BTreeSet;
use vgic_state::gicv3::{Bank, Gicv3State};
use vgic_state::{DynInterruptState, GuestRange, InterruptState};
use vm_memory::{Bytes, GuestAddress};

pub(crate) fn flat_tables<R: Rig>(log: &mut Log) {
    moves::<R>(log, Config { vcpus: 2, ..Config::default() }, &Devices::FLAT);
}

pub(crate) fn two_level_tables<R: Rig>(log: &mut Log) {
    moves::<R>(log, Config { vcpus: 4, ..Config::default() }, &Devices::TWO_LEVELS);
}

pub(crate) fn several_its<R: Rig>(log: &mut Log) {
    moves::<R>(log, Config { its: 3, ..Config::default() }, &Devices { devices: 9, ..Devices::FLAT });
}

pub(crate) fn without_its<R: Rig>(log: &mut Log) {
    moves::<R>(log, Config { vcpus: 4, its: 0, nr_irqs: 256, ..Config::default() }, &Devices::FLAT);
}

/// Programs a VM, lets interrupts arrive, and tells which LPIs are pending.
fn populate<R: Rig>(rig: &mut R, devices: &Devices) -> Vec<Event> {
    let config = rig.config();
    program::basics(rig);
    program::wires(rig);
    let mut pending = Vec::new();
    for n in 0..config.its {
        program::enable_its(rig, n, devices.two_levels);
        program::map(rig, n, devices);
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

fn moves<R: Rig>(log: &mut Log, config: Config, devices: &Devices) {
    let mut source = R::new(config);
    let pending = populate(&mut source, devices);
    let before = copy(source.memory());
    let written = source.gicv3().flush_tables().expect("flush");
    assert_covered(&before, source.memory(), &written);
    let state = source.gicv3().save().expect("save");
    log.state(&state);
    log.value("written by the flush", &written);
    log.memory(&source, &written);

    let mut target = R::with_memory(config, copy(source.memory()));
    let report = target.gicv3().restore(&state).expect("restore");
    assert_covered(source.memory(), target.memory(), &report.guest_memory_written);
    assert_same_after_flush(&mut source, &mut target, &state);

    for vcpu in 0..config.vcpus {
        let expected = expected(&state, &pending, vcpu);
        assert!(!expected.is_empty(), "a vCPU without an interrupt shows nothing");
        for rig in [&mut source, &mut target] {
            let served = rig.acknowledge(vcpu);
            let priorities: Vec<u8> = served.iter().map(|intid| priority(&state, vcpu, *intid)).collect();
            assert!(priorities.is_sorted(), "the most urgent interrupt first: {served:?} {priorities:?}");
            let found: BTreeSet<u32> = served.iter().copied().collect();
            assert_eq!(found, expected, "vCPU {vcpu} is given the interrupts that were pending");
            assert_eq!(served.len(), expected.len(), "each of them once");
        }
        log.value("served", expected);
    }
}

/// Flushes and saves the target: its state and all of its memory are the source's.
fn assert_same_after_flush<R: Rig>(source: &mut R, target: &mut R, state: &Gicv3State) {
    let before = copy(target.memory());
    let written = target.gicv3().flush_tables().expect("flush");
    assert_covered(&before, target.memory(), &written);
    assert_eq!(&target.gicv3().save().expect("save"), state, "the state is that of the source");
    let changed = changed(source.memory(), target.memory());
    assert_eq!(changed.first(), None, "guest memory is that of the source");
}

/// The interrupts that a vCPU must be given: pending, enabled, of group 1, not active, and more urgent than the mask.
fn expected(state: &Gicv3State, lpis: &[Event], vcpu: usize) -> BTreeSet<u32> {
    let this = &state.vcpus[vcpu];
    let mut all = wires(&this.private, 0, |_| true);
    for spis in &state.spis {
        all.extend(wires(&spis.bank, spis.first, |n| spis.router[n] == this.vcpu.mpidr.packed()));
    }
    all.extend(lpis.iter().filter(|event| event.vcpu == vcpu && program::lpi_enabled(event.lpi)).map(|event| event.lpi));
    all.retain(|intid| u64::from(priority(state, vcpu, *intid)) < this.icc.pmr);
    all
}

fn wires(bank: &Bank, first: u32, goes_here: impl Fn(usize) -> bool) -> BTreeSet<u32> {
    let edge = |n: usize| bank.config[n / 16] >> (n % 16 * 2 + 1) & 1;
    let bit = |word: u32, n: usize| word >> n & 1;
    let pending = |n: usize| bit(bank.pending, n) | (bit(bank.level, n) & !edge(n));
    let signalled = |n: &usize| pending(*n) & bit(bank.enable, *n) & bit(bank.group, *n) & !bit(bank.active, *n) != 0;
    (0..32).filter(signalled).filter(|n| goes_here(*n)).map(|n| first + n as u32).collect()
}

fn priority(state: &Gicv3State, vcpu: usize, intid: u32) -> u8 {
    let of = |bank: &Bank| (bank.priority[intid as usize % 32 / 4] >> (intid % 4 * 8)) as u8;
    match intid {
        0..32 => of(&state.vcpus[vcpu].private),
        32..1020 => of(&state.spis[intid as usize / 32 - 1].bank),
        _ => program::lpi_priority(intid),
    }
}

/// A copy of guest memory.
pub(crate) fn copy(memory: &Memory) -> Memory {
    let copy = fresh_memory();
    copy.write_slice(&bytes(memory), GuestAddress(layout::RAM)).expect("memory");
    copy
}

fn bytes(memory: &Memory) -> Vec<u8> {
    let mut bytes = vec![0; layout::RAM_BYTES];
    memory.read_slice(&mut bytes, GuestAddress(layout::RAM)).expect("memory");
    bytes
}

/// Addresses of bytes that differ.
fn changed(one: &rig::Memory, two: &rig::Memory) -> Vec<u64> {
    const PAGE: usize = 4096;
    let (one, two) = (bytes(one), bytes(two));
    let pages = one.chunks(PAGE).zip(two.chunks(PAGE)).enumerate().filter(|(_, (one, two))| one != two);
    pages
        .flat_map(|(page, (one, two))| {
            let first = layout::RAM + (page * PAGE) as u64;
            (first..).zip(one.iter().zip(two)).filter(|(_, (one, two))| one != two).map(|(address, _)| address)
        })
        .collect()
}

/// Every byte that changed is in a range that was reported.
pub(crate) fn assert_covered(before: &Memory, after: &Memory, ranges: &[GuestRange]) {
    for address in changed(before, after) {
        let covered = ranges.iter().any(|range| (range.start..range.end).contains(&address));
        assert!(covered, "{address:#x} changed, and is not reported in {ranges:?}");
    }
}
