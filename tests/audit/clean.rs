//! What a guest and KVM make has no finding.

use crate::common::{Config, filled};
use crate::rig::{Program, programmed, subject};
use vgic_state::audit::{self, Limits, Ranges};
use vgic_state::{DynInterruptState, InterruptState};

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
        let state = gic.save().expect("save");
        let report = audit::gicv3(&state, &vgic_state::NoGuestMemory, &Ranges::default(), &Limits::default());
        assert_eq!(report.to_string(), "", "nothing is set up, nothing is looked at");
    }
}

#[test]
fn everything_in_use() {
    let (vm, mut gic) = filled(Config { its: 2, vcpus: 4, ..Config::default() });
    gic.flush_tables().expect("flush");
    let ranges = Ranges::new([vgic_state::GuestRange::new(0x4000_0000, 16 << 20)].into(), [].into());
    let report = audit::gicv3(&gic.save().expect("save"), &vm.memory(), &ranges, &Limits::default());
    assert_eq!(report.to_string(), "");
}
