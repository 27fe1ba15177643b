//! Order of accesses, as a reviewer reads it.

use crate::common::{attached, full_state, trace};
use crate::save::Save as _;
use crate::snapshot::snapshot;
use vgic_state::gicv2::RESTORE_ORDER;
use vgic_state::model::gicv2::Host;
use vgic_state::{DynInterruptState, InterruptState};

#[test]
fn a_save_reads_in_this_order() {
    let (vm, mut gic) = attached(Host::default(), 1, 64);
    gic.restore(&full_state(1, 64)).expect("restore");
    let flushed = gic.flush_tables().expect("flush");
    vm.clear_trace();
    gic.save(flushed).expect("save");
    snapshot!("gicv2_save", trace(&vm));
}

#[test]
fn a_restore_writes_in_this_order() {
    let (vm, mut gic) = attached(Host::default(), 1, 64);
    gic.restore(&full_state(1, 64)).expect("restore");
    snapshot!("gicv2_restore", trace(&vm));
}

#[test]
fn each_phase_of_a_restore_has_its_reason() {
    let text: String = RESTORE_ORDER.iter().map(|(phase, why)| format!("{phase:?}: {why}\n")).collect();
    snapshot!("gicv2_phases", text);
}

#[test]
fn a_check_accesses_nothing() {
    let (vm, gic) = attached(Host::default(), 2, 64);
    gic.check(&full_state(2, 64)).expect("check");
    gic.requirements().expect("requirements");
    assert_eq!(trace(&vm), "");
}

#[test]
fn work_is_linear_in_vcpus_and_interrupts() {
    let accesses = |vcpus, nr_irqs| {
        let (vm, mut gic) = attached(Host::default(), vcpus, nr_irqs);
        gic.flush_and_save().expect("save");
        vm.trace().len()
    };
    let one = accesses(1, 64);
    assert_eq!(accesses(2, 64) - one, accesses(4, 64) - accesses(3, 64));
    assert_eq!(accesses(1, 96) - one, accesses(1, 992) - accesses(1, 960));
    // Distributor 3, 22 words of 32 interrupts, twice; 9 registers of the CPU interface, 4 words of senders.
    assert_eq!(one, 3 + 22 + 22 + 9 + 4);
}
