//! Order of accesses, as a reviewer reads it.

use crate::common::{Config, copy, filled, fresh, memory, trace, vcpus};
use crate::save::Save as _;
use crate::snapshot::snapshot;
use vgic_state::gicv3::RESTORE_ORDER;
use vgic_state::{DynInterruptState, InterruptState};

fn small() -> Config {
    Config { vcpus: 1, nr_irqs: 64, ..Config::default() }
}

/// The 32 targets are alike.
fn shorten(trace: &str) -> String {
    let routers =
        |line: &&str| line.contains("GICD_IROUTER") && !line.contains("GICD_IROUTER32") && !line.contains("GICD_IROUTER63");
    trace.lines().filter(|line| !routers(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_save_accesses_registers_in_this_order() {
    let (vm, mut source) = filled(small());
    let flushed = source.flush_tables().expect("flush");
    vm.clear_trace();
    source.save(flushed).expect("save");
    snapshot!("gicv3_save", shorten(&trace(&vm)));
}

#[test]
fn a_flush_gives_its_commands_in_this_order() {
    let (vm, mut source) = filled(Config { its: 2, ..small() });
    let ranges = source.flush_tables().expect("flush");
    let ranges: String = ranges.written().iter().map(|range| format!("{range}\n")).collect();
    snapshot!("gicv3_flush", trace(&vm) + &ranges);
}

#[test]
fn a_restore_writes_in_this_order() {
    let (vm, mut source) = filled(small());
    let state = source.flush_and_save().expect("save");
    let (other, mut destination) = fresh(small(), copy(&vm.memory()));
    destination.restore(&state).expect("restore");
    snapshot!("gicv3_restore", shorten(&trace(&other)));
}

#[test]
fn the_phases_of_a_restore_have_this_order() {
    let text: String = RESTORE_ORDER.iter().map(|(phase, why)| format!("{phase:?}: {why}\n")).collect();
    snapshot!("gicv3_phases", text);
}

#[test]
fn a_check_accesses_nothing() {
    let (_, mut source) = filled(small());
    let state = source.flush_and_save().expect("save");
    let (vm, destination) = fresh(small(), memory());
    destination.check(&state).expect("check");
    assert_eq!(trace(&vm), "");
}

#[test]
fn work_is_linear_in_vcpus_and_interrupts() {
    let accesses = |vcpus, nr_irqs| {
        let (vm, mut gic) = fresh(Config { vcpus, nr_irqs, its: 1, ..Config::default() }, memory());
        let flushed = gic.flush_tables().expect("flush");
        vm.clear_trace();
        gic.save(flushed).expect("save");
        vm.trace().len()
    };
    let one = accesses(1, 64);
    assert_eq!(accesses(2, 64) - one, accesses(4, 64) - accesses(3, 64));
    assert_eq!(accesses(1, 96) - one, accesses(1, 992) - accesses(1, 960));
    // Distributor 4, 15 words of private interrupts, 9 registers of the CPU interface; 15 + 32 words for 32 SPIs; ITS 14. The 5 words of
    // the redistributor's own registers come from the flush.
    assert_eq!(one, 4 + 15 + 9 + 47 + 14);
    assert_eq!(vcpus(3).len(), 3);
}
