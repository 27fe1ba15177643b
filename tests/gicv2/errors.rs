//! Each access fails once: the error names it, and says what was done before.

use crate::common::{attached, full_state, id, new_vm, trace, vcpus};
use crate::snapshot::snapshot;
use vgic_state::gicv2::Gicv2;
use vgic_state::model::Fault;
use vgic_state::model::gicv2::Host;
use vgic_state::{Attr, AttrDevice, DynInterruptState, Errno, Error, InterruptState};

#[test]
fn a_failed_access_of_a_restore_is_reported_with_what_was_done() {
    let state = full_state(2, 64);
    let (vm, mut gic) = attached(Host::default(), 2, 64);
    gic.restore(&state).expect("restore");
    let accesses = vm.trace();
    let mut sets = 0;
    for (n, access) in accesses.iter().enumerate() {
        let (vm, mut gic) = attached(Host::default(), 2, 64);
        vm.set_fault(Fault::access(n as u32, Errno::EBUSY));
        let error = gic.restore(&state).expect_err("a fault");
        let Error::Access(access_error) = &error else { panic!("{error}") };
        assert_eq!((access_error.attr, access_error.errno), (access.id, Errno::EBUSY), "{n}");
        let applied = error.applied().expect("in a restore");
        assert_eq!(applied.done, sets, "{n}: {error}");
        assert!(error.can_retry_on_same_memory());
        // A step is done once it was read back.
        let reads_back = accesses.get(n + 1).is_some_and(|next| next.id == access.id && next.op == vgic_state::model::Op::Get);
        if access.op == vgic_state::model::Op::Get || !reads_back {
            sets += 1;
        }
        assert_eq!(vm.trace().len(), n + 1, "nothing goes on behind an error");
    }
    assert_eq!(sets, accesses.iter().filter(|access| access.op == vgic_state::model::Op::Set).count());
}

#[test]
fn a_failed_access_of_a_save_or_of_an_attach_is_reported() {
    let (vm, mut gic) = attached(Host::default(), 2, 64);
    let flushed = gic.flush_tables().expect("flush");
    gic.save(flushed).expect("save");
    let accesses = vm.trace();
    for (n, access) in accesses.iter().enumerate() {
        vm.set_fault(Fault::access(n as u32, Errno::EBUSY));
        let flushed = gic.flush_tables().expect("flush");
        let Err(Error::Access(error)) = gic.save(flushed) else { panic!("{n}") };
        assert_eq!((error.attr, error.errno, error.applied), (access.id, Errno::EBUSY, None));
    }
    let (vm, device) = new_vm(Host::default(), 2, 64);
    Gicv2::attach(device.clone(), vcpus(2)).expect("attach");
    for n in 0..vm.trace().len() {
        vm.set_fault(Fault::access(n as u32, Errno::EBUSY));
        assert!(matches!(Gicv2::attach(device.clone(), vcpus(2)), Err(Error::Access(_))), "{n}");
    }
}

#[test]
fn messages_name_register_vcpu_and_meaning() {
    let state = full_state(2, 64);
    let mut text = String::new();
    let mut say = |error: Error| text.push_str(&format!("{error}\n"));
    let faults = [
        (Attr::gicv2_dist(id(0), 0x008), Errno::EINVAL),
        (Attr::gicv2_dist(id(0), 0x000), Errno::EBUSY),
        (Attr::gicv2_dist(id(1), 0x200), Errno::ENXIO),
        (Attr::gicv2_dist(id(1), 0xf20), Errno::EBUSY),
        (Attr::gicv2_cpu(id(1), 0x0d0), Errno::EBUSY),
        (Attr::gicv2_cpu(id(0), 0x004), Errno::EINVAL),
    ];
    for (attr, errno) in faults {
        let (vm, mut gic) = attached(Host::default(), 2, 64);
        vm.set_fault(Fault::attribute(attr.id(), errno));
        say(gic.restore(&state).expect_err("a fault"));
        let flushed = gic.flush_tables().expect("flush");
        say(gic.save(flushed).expect_err("a fault"));
    }
    // A vCPU runs.
    let (vm, mut gic) = attached(Host::default(), 2, 64);
    vm.hold_vcpu(id(1), true);
    say(gic.restore(&state).expect_err("busy"));
    let flushed = gic.flush_tables().expect("flush");
    say(gic.save(flushed).expect_err("busy"));
    // What another controller had flushed.
    let (_, device) = new_vm(Host::default(), 1, 64);
    say(Gicv2::attach(device, vcpus(2)).expect_err("another number"));
    let (_, mut other) = attached(Host::default(), 1, 64);
    let mut too_short = vec![0; 100];
    let flushed = other.flush_tables().expect("flush");
    say(other.save_image(flushed, &mut too_short).expect_err("too short"));
    snapshot!("gicv2_error_messages", text);
}

/// KVM accepted the write of a register, and did not do it.
#[test]
fn gicd_iidr_is_written_first_so_that_kvm_keeps_groups() {
    let (vm, mut device) = new_vm(Host::default(), 1, 64);
    device.set(Attr::gicv2_dist(id(0), 0x084), 5).unwrap();
    assert_eq!(device.get(Attr::gicv2_dist(id(0), 0x084)), Ok(0), "until GICD_IIDR is written");
    let mut gic = Gicv2::attach(device, vcpus(1)).expect("attach");
    vm.clear_trace();
    gic.restore(&full_state(1, 64)).expect("restore");
    assert!(trace(&vm).starts_with("set GICD_IIDR = 0x4b00343b\nget GICD_IIDR = 0x4b00343b\nset GICD_CTLR = 0x1\n"));
}
