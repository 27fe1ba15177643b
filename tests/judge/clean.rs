//! What a guest and KVM make has no finding.

use crate::common::{Config, filled};
use crate::rig::*;
use crate::save::Save as _;
use vgic_state::DynInterruptState;
use vgic_state::judge::{self, Limits, Ranges};
use vgic_state::model::gicv3::{Host, Kernel};
use vgic_state::report::Problem::*;
use vgic_state::report::{Report, Severity};

#[test]
fn flat_and_indirect_one_its_and_several() {
    for (its, indirect) in [(1, false), (1, true), (3, false), (3, true)] {
        let report = subject(its, indirect).audit();
        assert_eq!(report.to_string(), "", "{its} ITSes, indirect: {indirect}");
        assert_eq!((report.max_severity(), report.queued.len()), (None, 0));
    }
}

#[test]
fn wide_gaps_the_first_and_the_last_ids() {
    const PROGRAMS: [Program; 5] = [
        &[],
        &[(0, 1, 0, &[])],
        &[(0, 1, 0, &[(0, 8192, 7)]), (65535, 1, 0x1000, &[(1, 12000, 8)])],
        // 16383 is the greatest distance that an entry holds; exactly so far, one more, one less; over the end of a level-2 table.
        &[(10, 1, 0, &[(0, 8192, 7)]), (16393, 1, 0x1000, &[]), (32777, 1, 0x2000, &[]), (49159, 1, 0x3000, &[(1, 8193, 7)])],
        // The greatest ITT, from its first to its last event.
        &[(8191, 1, 0xa000, &[]), (8192, 2, 0xa100, &[(3, 8200, 8)]), (9000, 12, 0, &[(0, 8201, 7), (4095, 8202, 8)])],
    ];
    for program in PROGRAMS {
        for indirect in [false, true] {
            assert_eq!(programmed(1, indirect, program).audit().to_string(), "", "{program:?}, indirect: {indirect}");
        }
    }
}

#[test]
fn a_state_without_lpis_and_one_without_its() {
    for its in [0, 1] {
        let (_, mut gic) = crate::common::fresh(Config { its, ..Config::default() }, crate::common::memory());
        let state = gic.flush_and_save().expect("save");
        let report = judge::gicv3::problems(&state, &vgic_state::NoGuestMemory, &Ranges::default(), &Limits::default());
        assert_eq!(report.to_string(), "", "nothing is set up, nothing is looked at");
    }
}

#[test]
fn everything_in_use() {
    let (vm, mut gic) = filled(Config { its: 2, vcpus: 4, ..Config::default() });
    let _ = gic.flush_tables().expect("flush");
    let ranges = Ranges::new([vgic_state::GuestRange::new(0x4000_0000, 16 << 20)].into(), [].into());
    let report = judge::gicv3::problems(&gic.flush_and_save().expect("save"), &vm.memory(), &ranges, &Limits::default());
    assert_eq!(report.to_string(), "");
}

/// A guest maps, is flushed, unmaps a device, an event and collections, and is flushed again.
fn flushed_twice(kernel: Kernel) -> Report {
    let (vm, mut gic) = running(Host { kernel, ..Host::default() }, 1, false, DEFAULT);
    run(&vm, &mut gic, &[mapc(9), mapc(10)]);
    assert_eq!(flushed(&vm, &mut gic).audit().to_string(), "");
    let discard = [0x0f | 3 << 32, 17, 0, 0];
    let unmapd = [0x08 | 40000 << 32, 0, 0, 0];
    run(&vm, &mut gic, &[discard, unmapd, [0x09, 0, 9, 0], [0x09, 0, 10, 0]]);
    flushed(&vm, &mut gic).audit()
}

fn mapc(icid: u64) -> [u64; 4] {
    [0x09, 0, VALID | icid, 0]
}

#[test]
fn what_a_guest_unmaps_between_two_flushes_is_no_reason_to_refuse_it() {
    // The end of the collection table overwrites one collection of two, and nobody clears the pending bit of an LPI that is gone.
    let report = flushed_twice(Kernel::V7_3);
    assert_eq!(problems(&report), [CollectionBehindEnd, PendingUnmapped]);
    assert!(report.max_severity() < Some(Severity::DEFAULT_THRESHOLD));
}

#[test]
fn before_november_2024_kvm_leaves_devices_and_events_behind() {
    let report = flushed_twice(Kernel::V6_1);
    assert_eq!(problems(&report), [EntryBehindChain, CollectionBehindEnd, PendingUnmapped]);
    assert_eq!(report.find(EntryBehindChain).expect("found").count, 2, "device 40000, event 17 of device 3");
}
