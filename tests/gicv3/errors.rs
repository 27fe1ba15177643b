//! What is said when the kernel refuses or drops a write, and where things stop.

use crate::common::{Config, copy, filled, fresh, its_base, memory, trace};
use crate::save::Save as _;
use crate::save::SaveImage as _;
use crate::snapshot::snapshot;
use vgic_state::gicv3::{Gicv3, Gicv3State};
use vgic_state::model::Fault;
use vgic_state::model::gicv3::{Behaviour, Host, Kernel};
use vgic_state::report::Problem;
use vgic_state::{
    AccessError, Attr, AttrDevice, AttrId, BufferError, Command, DynInterruptState, Errno, Error, InterruptState, NoGuestMemory,
    Operation,
};

fn config() -> Config {
    Config { vcpus: 2, nr_irqs: 64, its: 2, ..Config::default() }
}

fn state(config: Config) -> (Gicv3State, crate::common::Memory) {
    let (vm, mut source) = filled(config);
    (source.flush_and_save().expect("save"), vm.memory())
}

fn access_error(error: Error) -> AccessError {
    match error {
        Error::Access(error) => *error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_restore_that_fails_at_any_step_names_it_and_stops_there() {
    let (state, memory) = state(config());
    let (vm, mut destination) = fresh(config(), copy(&memory));
    destination.restore(&state).expect("restore");
    let steps = vm.trace();
    let tables = steps.iter().position(|access| access.access.id == Command::ItsRestoreTables.id()).expect("tables");
    let (mut named_its, mut retries) = (0, 0);

    // Each register of a kind is like the others: every step of the ITS part, every third of the rest.
    let (start, end) = (tables.saturating_sub(40), steps.len());
    for k in (0..start).step_by(3).chain(start..end) {
        let (vm, mut destination) = fresh(config(), copy(&memory));
        vm.set_fault(Fault::access(k as u32, Errno::ENOSPC));
        let error = access_error(destination.restore(&state).expect_err("fault"));
        let step = steps[k].access;
        assert_eq!((error.attr, error.errno), (step.id, Errno::ENOSPC));
        let seen: Vec<AttrId> = vm.trace().iter().map(|access| access.access.id).collect();
        let expected: Vec<AttrId> = steps[..=k].iter().map(|access| access.access.id).collect();
        assert_eq!(seen, expected);

        let applied = error.applied.expect("how far it came");
        assert_eq!(applied.memory_consumed, k >= tables, "step {k}");
        assert_eq!(applied.can_retry_on_same_memory(), k < tables);
        retries += usize::from(applied.can_retry_on_same_memory());
        assert_eq!(Error::from(error.clone()).can_retry_on_same_memory(), k < tables);
        // The register says which ITS it belongs to.
        let line = steps[k].to_string();
        let expected = ["its0", "its1"].iter().position(|name| line.starts_with(name)).map(its_base);
        assert_eq!(error.its, expected, "{line}");
        named_its += usize::from(error.its.is_some());
    }
    assert!(named_its > 20 && retries > 20);
}

#[test]
fn a_failed_restore_can_be_tried_again_on_the_same_memory_until_tables_are_read() {
    let (state, memory) = state(config());
    let (vm, mut destination) = fresh(config(), memory.clone());
    vm.set_fault(Fault::attribute(Attr::its(0x80).id(), Errno::ENOMEM));
    let error = access_error(destination.restore(&state).expect_err("fault"));
    assert!(error.applied.expect("progress").can_retry_on_same_memory());
    assert!(vm.written().is_empty());
    let (_, mut again) = fresh(config(), memory);
    again.restore(&state).expect("restore");
    assert_eq!(again.flush_and_save().expect("save"), state);
}

#[test]
fn a_save_and_a_flush_that_fail_name_the_register() {
    let (vm, mut source) = filled(config());
    source.flush_and_save().expect("save");
    // Those of the ITSes are the last ones.
    let all = vm.trace().len() as u32;
    for k in [0, 3, 30, 60, 90, 120, 140, all - 14, all - 1] {
        let (vm, mut source) = filled(config());
        vm.set_fault(Fault::access(k, Errno::EBUSY));
        let error = access_error(source.flush_and_save().expect_err("fault"));
        let last = vm.trace().pop().expect("access");
        assert_eq!((error.operation, error.attr, error.errno, error.applied), (Operation::Get, last.access.id, Errno::EBUSY, None));
        assert_eq!(vm.trace().len() as u32, k + 1);
        let line = last.to_string();
        let its = ["its0", "its1"].iter().position(|name| line.starts_with(name)).map(its_base);
        assert_eq!(error.its, its, "{line}");
    }
    // Two words of the VM, three of each vCPU, twelve registers of each ITS; then the commands.
    for (k, its) in [(32, None), (33, Some(its_base(0))), (34, Some(its_base(1)))] {
        let (vm, mut source) = filled(config());
        vm.set_fault(Fault::access(k, Errno::EACCES));
        let error = access_error(source.flush_tables().expect_err("fault"));
        assert_eq!((error.operation, error.its, error.errno), (Operation::Set, its, Errno::EACCES));
    }
}

#[test]
fn a_vcpu_that_runs() {
    let (vm, mut source) = filled(config());
    let first = source.target().vcpus.iter().next().expect("vCPU");
    vm.hold_vcpu(first.id, true);
    for error in [source.flush_and_save().expect_err("busy"), source.flush_tables().expect_err("busy")] {
        assert_eq!(access_error(error).errno, Errno::EBUSY);
    }
}

#[test]
fn errors_name_register_vcpu_value_and_meaning() {
    let (state, memory) = state(config());
    let mut text = String::new();
    let mut add = |what: &str, error: Error| text.push_str(&format!("{what}:\n  {error}\n"));

    let (vm, mut destination) = fresh(config(), copy(&memory));
    vm.set_fault(Fault::attribute(Attr::its(0x108).id(), Errno::EBUSY));
    add("an ITS register", destination.restore(&state).expect_err("fault"));

    let (_, mut destination) = fresh(config(), crate::common::Memory::from_ranges(&[]).unwrap_or_default());
    add("no memory under a table", destination.restore(&state).expect_err("no memory"));
    destination.options_mut().refuse_at = None;
    add("no memory under a table, without an audit", destination.restore(&state).expect_err("no memory"));

    let (vm, mut source) = filled(config());
    vm.set_fault(Fault::attribute(Command::ItsSaveTables.id(), Errno::EACCES));
    add("a forwarded LPI", source.flush_tables().expect_err("fault"));

    let old = Host { kernel: Kernel::V6_1, ..Host::default() };
    let mut older = state.clone();
    older.identity.iidr = older.identity.iidr & !0xf000 | 0x2000;
    let (_, mut destination) = fresh(Config { host: old, ..config() }, copy(&memory));
    add("a revision that an old kernel ignores", destination.restore(&older).expect_err("dropped"));

    let elsewhere = Gicv3::attach(
        {
            let (_, gic) = filled(config());
            gic.into_parts().0
        },
        Vec::new(),
        NoGuestMemory,
        crate::common::vcpus(3),
    );
    add("a vCPU that the VM does not have", elsewhere.expect_err("no such vCPU"));

    snapshot!("gicv3_error_messages", text);
}

#[test]
fn a_write_that_the_kernel_drops_is_found_out() {
    let (mut state, memory) = state(config());
    state.identity.iidr = state.identity.iidr & !0xf000 | 0x2000;
    for kernel in Kernel::ALL {
        let host = Host { kernel, ..Host::default() };
        let (_, mut destination) = fresh(Config { host, ..config() }, copy(&memory));
        match destination.restore(&state) {
            Ok(_) => {
                assert!(kernel.has(Behaviour::AppliesImplementationRevision));
                assert_eq!(destination.flush_and_save().expect("save").identity.iidr, state.identity.iidr);
            }
            Err(Error::ReadBack(error)) => {
                assert!(!kernel.has(Behaviour::AppliesImplementationRevision));
                assert_eq!((error.attr, error.written), (Attr::dist(0x8).id(), state.identity.iidr.into()));
                assert!(Error::ReadBack(error.clone()).can_retry_on_same_memory());
                assert_eq!(error.applied.last, None, "the first step");

                // The VMM may go on with the newer one.
                let mut destination = destination.with_options(vgic_state::Options::default().with_accept_newer_revision(true));
                let report = destination.restore(&state).expect("accepted");
                assert_eq!(report.findings.iter().map(|finding| finding.problem).collect::<Vec<_>>(), [Problem::NewerRevision]);
                assert_eq!(destination.flush_and_save().expect("save").spis, state.spis);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_guest_of_a_host_without_gicv4_1_on_one_that_has_it() {
    use vgic_state::gicv3::preset;
    use vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V3;
    let config = Config { its: 0, ..config() };
    let state = fresh(config, memory()).1.flush_and_save().expect("save");
    for kernel in Kernel::ALL {
        let host = Host { kernel, nassgicap: true, ..Host::default() };
        assert!(matches!(fresh(Config { host, ..config }, memory()).1.check(&state), Err(Error::Refused(_))));

        let vm = vgic_state::model::gicv3::Vm::new(host, memory());
        for vcpu in crate::common::vcpus(2).iter() {
            vm.create_vcpu(vcpu).expect("vCPU");
        }
        let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3).expect("GICv3");
        assert_eq!(preset(&mut gic, &state.identity), Ok(kernel.has(Behaviour::PresetsBeforeInit)));
        gic.set(Attr::nr_irqs(), 64).expect("NR_IRQS");
        gic.set(Attr::dist_address(), 0x0800_0000).expect("address");
        gic.set(Attr::redist_address(), 0x0810_0000).expect("address");
        gic.command(Command::Init).expect("INIT");
        let mut gic = Gicv3::attach(gic, vec![], NoGuestMemory, crate::common::vcpus(2)).expect("attach");
        assert_eq!(gic.restore(&state).is_ok(), kernel.has(Behaviour::PresetsBeforeInit));
    }
}

#[test]
fn vcpus_and_itses_that_are_not_those_of_the_vm() {
    use vgic_state::{DeviceError, Mpidr, Vcpu, VcpuId, Vcpus};
    let attach = |its: &[usize], vcpus: Vec<Vcpu>| {
        let (_, gic) = fresh(config(), memory());
        let its = its.iter().map(|n| gic.its()[*n].clone()).collect();
        Gicv3::attach(gic.gic().clone(), its, memory(), Vcpus::new(vcpus).expect("vCPUs")).map(drop)
    };
    let all: Vec<Vcpu> = crate::common::vcpus(2).iter().collect();
    let device = |error: DeviceError| Err(Error::from(error));
    assert_eq!(attach(&[0, 1], all.clone()), Ok(()));
    assert_eq!(attach(&[], all.clone()), device(DeviceError::ItsMissing { lpis: true, given: 0 }));
    assert_eq!(attach(&[0, 0], all.clone()), device(DeviceError::ItsTwice { base: its_base(0) }));
    // The model gives each redistributor a place of its own and marks the last of all, and the last before a gap.
    let renamed = Vcpu { id: VcpuId::new(100).expect("id"), ..all[0] };
    match attach(&[0, 1], vec![renamed, all[1]]) {
        Err(Error::Device(error)) => assert!(matches!(*error, DeviceError::OtherVcpu { vcpu, .. } if vcpu == renamed)),
        other => panic!("{other:?}"),
    }
    let elsewhere = Vcpu { mpidr: Mpidr::new(0, 9, 9, 9), ..all[0] };
    assert_eq!(access_error(attach(&[0, 1], vec![elsewhere, all[1]]).expect_err("affinity")).errno, Errno::EINVAL);

    let four = Config { vcpus: 4, its: 0, ..config() };
    let (_, gic) = fresh(four, memory());
    let last = 1 << 4;
    let without_last: Vec<Vcpu> =
        gic.target().per_vcpu.iter().filter(|vcpu| vcpu.redist.typer & last == 0).map(|vcpu| vcpu.vcpu).collect();
    if !without_last.is_empty() {
        let attached = Gicv3::attach(gic.gic().clone(), vec![], NoGuestMemory, Vcpus::new(without_last).expect("vCPUs"));
        assert_eq!(attached.map(drop), device(DeviceError::LastVcpuMissing));
    }
    let its = fresh(config(), memory()).1.its()[0].clone();
    let given = Gicv3::attach(gic.gic().clone(), vec![its], memory(), crate::common::vcpus(4));
    assert_eq!(given.map(drop), device(DeviceError::ItsMissing { lpis: false, given: 1 }));
}

#[test]
fn a_flush_that_fails_has_asked_before_the_kernel_wrote() {
    let (vm, mut source) = filled(config());
    vm.set_fault(Fault::attribute(Attr::its(0x100).id(), Errno::EBUSY));
    source.flush_tables().expect_err("fault");
    assert_eq!(vm.written(), []);
}

#[test]
fn an_image_buffer_that_is_too_small() {
    let (_, mut source) = filled(config());
    let needed = source.requirements().expect("requirements").image_max;
    let found = needed - 1;
    assert_eq!(source.flush_and_save_image(&mut vec![0; found]), Err(Error::Buffer(BufferError::ImageTooSmall { needed, found })));
    let state = source.flush_and_save().expect("save");
    assert_eq!(state.encode(&mut vec![0; found]), Err(Error::Buffer(BufferError::ImageTooSmall { needed, found })));
    assert_eq!(source.flush_and_save_image(&mut vec![0; needed]), Ok(needed));
}

#[test]
fn a_fresh_device_is_not_changed_by_attaching() {
    let (vm, gic) = fresh(config(), memory());
    let (devices, its, _) = gic.into_parts();
    drop(Gicv3::attach(devices, its, memory(), crate::common::vcpus(2)).expect("attach"));
    assert!(trace(&vm).lines().all(|line| line.contains("get ")), "{}", trace(&vm));
}
