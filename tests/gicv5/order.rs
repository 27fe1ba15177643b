//! Order of accesses, as a reviewer reads it.

use crate::common::{filled, fresh, trace, vcpus};
use crate::save::Save as _;
use crate::save::SaveImage as _;
use crate::snapshot::snapshot;
use vgic_state::{DynInterruptState, InterruptState, Vcpus};

#[test]
fn an_initialisation_accesses_the_device_in_this_order() {
    let vm = vgic_state::model::gicv5::Vm::with_device(Default::default(), &vcpus(1)).expect("VM");
    let gic = vgic_state::gicv5::Gicv5::initialise(vm, 0x0800_0000, Default::default(), vcpus(1)).expect("device");
    snapshot!("gicv5_initialise", trace(&gic));
}

#[test]
fn a_save_accesses_registers_in_this_order() {
    let mut source = filled(&vcpus(1), 32, Some(8));
    source.flush_and_save().expect("save");
    snapshot!("gicv5_save", trace(&source));
}

#[test]
fn an_image_is_saved_with_the_same_accesses_as_a_state() {
    let mut source = filled(&vcpus(2), 32, Some(8));
    source.flush_and_save().expect("save");
    let typed = trace(&source);
    source.device_mut().clear_trace();
    let mut image = vec![0; 1 << 20];
    source.flush_and_save_image(&mut image).expect("save");
    assert_eq!(trace(&source), typed);
}

#[test]
fn a_restore_writes_in_this_order() {
    let state = filled(&vcpus(1), 32, Some(8)).flush_and_save().expect("save");
    let mut destination = fresh(&vcpus(1), 32);
    destination.restore(&state).expect("restore");
    snapshot!("gicv5_restore", trace(&destination));
}

#[test]
fn requirements_ask_for_what_the_guest_can_change_and_no_more() {
    let source = filled(&vcpus(1), 32, Some(8));
    let requirements = source.requirements().expect("requirements");
    snapshot!("gicv5_requirements", format!("{requirements:#?}\n{}", trace(&source)));
}

#[test]
fn a_check_accesses_nothing() {
    let state = filled(&vcpus(1), 32, Some(8)).flush_and_save().expect("save");
    let destination = fresh(&vcpus(1), 32);
    destination.check(&state).expect("check");
    assert_eq!(trace(&destination), "");
}

#[test]
fn work_is_linear_in_vcpus() {
    let accesses = |count| {
        let mut source = filled(&Vcpus::with_default_mpidrs(count).expect("vCPUs"), 32, None);
        source.flush_and_save().expect("save");
        source.device().trace().len()
    };
    // 12 IRS registers and the tables; 26 registers for each vCPU.
    assert_eq!([1, 2, 64, 512].map(accesses), [39, 65, 13 + 64 * 26, 13 + 512 * 26]);
}
