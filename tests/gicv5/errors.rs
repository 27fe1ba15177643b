//! What is said when the kernel refuses, and where things stop.

use crate::common::{filled, fresh, trace, vcpus};
use crate::save::Save as _;
use crate::save::SaveImage as _;
use crate::snapshot::snapshot;
use vgic_state::Options;
use vgic_state::gicv5::{Gicv5, Gicv5State};
use vgic_state::model::gicv5::Vm;
use vgic_state::model::{Fault, HostStep};
use vgic_state::{
    AccessError, Attr, AttrId, BufferError, DeviceError, DynInterruptState, Errno, Error, InterruptState, IstKind, Operation,
    SpiCount, TopologyError,
};

fn access_error(error: Error) -> AccessError {
    match error {
        Error::Access(error) => *error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_restore_that_fails_at_any_step_names_it_and_stops_there() {
    let vcpus = vcpus(2);
    let state = filled(&vcpus, 32, Some(8)).flush_and_save().expect("save");
    let mut destination = fresh(&vcpus, 32);
    destination.restore(&state).expect("restore");
    let steps: Vec<AttrId> = destination.device().trace().iter().map(|access| access.id).collect();
    // Two gets before the first write.
    assert_eq!(steps.len(), 2 + 12 + 1 + 2 * 26);
    for (k, step) in steps[..2].iter().enumerate() {
        let mut destination = fresh(&vcpus, 32);
        destination.device_mut().set_fault(Fault::access(k as u32, Errno::ENOSPC));
        let error = access_error(destination.restore(&state).expect_err("fault"));
        assert_eq!((error.operation, error.attr, error.errno, error.applied), (Operation::Get, *step, Errno::ENOSPC, None));
        assert_eq!(destination.device().trace().len(), k + 1);
    }

    for (k, step) in steps[2..].iter().enumerate() {
        let mut destination = fresh(&vcpus, 32);
        destination.device_mut().set_fault(Fault::access(k as u32 + 2, Errno::ENOSPC));
        let error = access_error(destination.restore(&state).expect_err("fault"));
        assert_eq!((error.operation, error.attr, error.errno), (Operation::Set, *step, Errno::ENOSPC));
        let applied = error.applied.expect("how far it came");
        assert_eq!((applied.done, applied.total), (k, steps.len() - 2));
        assert_eq!(applied.last, k.checked_sub(1).map(|last| steps[2 + last]));
        // Every step until then as in a restore that succeeds, then the refused one, then nothing.
        let seen: Vec<AttrId> = destination.device().trace().iter().map(|access| access.id).collect();
        assert_eq!(seen, steps[..=k + 2]);

        let text = error.to_string();
        assert!(text.contains(&step.to_string()) && text.contains("ENOSPC"), "{text}");
        assert!(text.ends_with(if k == 0 { "nothing is done yet" } else { "discard this VM" }), "{text}");
    }
}

#[test]
fn a_save_that_fails_at_any_step_names_it_and_stops_there() {
    let vcpus = vcpus(2);
    let mut source = filled(&vcpus, 32, Some(8));
    source.flush_and_save().expect("save");
    let steps: Vec<AttrId> = source.device().trace().iter().map(|access| access.id).collect();

    for by_image in [false, true] {
        for (k, step) in steps.iter().enumerate() {
            let mut source = filled(&vcpus, 32, Some(8));
            source.device_mut().set_fault(Fault::access(k as u32, Errno::EIO));
            let error = if by_image {
                source.flush_and_save_image(&mut vec![0; 1 << 16]).expect_err("fault")
            } else {
                source.flush_and_save().expect_err("fault")
            };
            let error = access_error(error);
            assert_eq!((error.operation, error.attr, error.errno), (Operation::Get, *step, Errno::EIO));
            assert_eq!(error.applied, None);
            assert_eq!(source.device().trace().len(), k + 1);
        }
    }
}

#[test]
fn a_device_that_cannot_be_set_up_or_attached_to_says_at_which_step() {
    for k in 0..10 {
        let mut vm = Vm::with_device(Default::default(), &vcpus(1)).expect("VM");
        vm.set_fault(Fault::access(k, Errno::ENOMEM));
        let error = Gicv5::initialise(&mut vm, 0x0800_0000, SpiCount::MIN, vcpus(1)).expect_err("fault");
        let last = vm.trace().last().copied().expect("access");
        let error = access_error(error);
        assert_eq!((vm.trace().len(), error.attr, error.errno), (k as usize + 1, last.id, Errno::ENOMEM));
    }
}

#[test]
fn vcpus_that_are_not_those_of_the_vm() {
    let (two, three) = (vcpus(2), vcpus(3));
    let given = |vm: &vgic_state::Vcpus, given: &vgic_state::Vcpus| {
        let vm = Vm::with_device(Default::default(), vm).expect("VM");
        Gicv5::initialise(vm, 0x0800_0000, SpiCount::MIN, given.clone()).expect_err("another set of vCPUs")
    };
    assert_eq!(given(&three, &two), Error::from(DeviceError::Vcpus { device: 3, given: 2 }));
    assert_eq!(given(&two, &three), Error::from(DeviceError::Vcpus { device: 2, given: 3 }));
    // As many, with the same affinities and other ids: 0 and 1 for 0 and 3.
    let narrow = two.iter().zip(0..).map(|(vcpu, id)| vgic_state::Vcpu { id: vgic_state::VcpuId::new(id).expect("id"), ..vcpu });
    let narrow = vgic_state::Vcpus::new(narrow).expect("vCPUs");
    assert_eq!(given(&two, &narrow), Error::from(DeviceError::VcpuIds { device: 2, needed: 1, greatest: 1 }));
    // As many, with other affinities: the device does not know one of them.
    let other = vgic_state::Vcpus::with_default_mpidrs(2).expect("vCPUs");
    let error = access_error(given(&two, &other));
    assert_eq!((error.operation, error.errno), (Operation::Has, Errno::EINVAL));
    assert_eq!(error.attr.mpidr(), other.iter().next().map(|vcpu| vcpu.mpidr));
    assert!(error.to_string().contains("no vCPU has this affinity"), "{error}");
}

#[test]
fn a_failed_initialisation_can_be_tried_again() {
    let mut vm = Vm::with_device(Default::default(), &vcpus(1)).expect("VM");
    vm.set_fault(Fault::host(HostStep::Init, Errno::ENOSPC));
    let error = Gicv5::initialise(&mut vm, 0x0800_0000, SpiCount::MAX, vcpus(1)).expect_err("fault");
    assert_eq!(access_error(error).attr, AttrId::INIT);
    let gic = Gicv5::initialise(&mut vm, 0x0800_0000, SpiCount::MAX, vcpus(1)).expect("the second time");
    assert_eq!(gic.target().spi_count, SpiCount::MAX);
    // Another address or number of SPIs than the device has is an error as ever.
    let error = Gicv5::initialise(&mut vm, 0x0900_0000, SpiCount::MAX, vcpus(1)).expect_err("address");
    assert_eq!(error.to_string(), "set IRS address to 0x9000000: EEXIST (already set); it is 0x8000000");
    assert_eq!((access_error(error.clone()).attr, access_error(error).errno), (Attr::irs_address().id(), Errno::EEXIST));
    let error = Gicv5::initialise(&mut vm, 0x0800_0000, SpiCount::MIN, vcpus(1)).expect_err("SPIs");
    assert_eq!(error.to_string(), "set NR_IRQS to 0x20: EBUSY (already set, or the device is already initialised); it is 0x400");
    let error = access_error(error);
    assert_eq!((error.attr, error.errno, error.value, error.present), (Attr::nr_irqs().id(), Errno::EBUSY, Some(32), Some(1024)));
}

#[test]
fn errors_name_register_vcpu_value_and_meaning() {
    let (one, state) = (vcpus(1), filled(&vcpus(1), 32, Some(8)).flush_and_save().expect("save"));
    let vcpu = one.iter().next().expect("vCPU");
    let mut text = String::new();
    let mut add = |what: &str, error: Error| text.push_str(&format!("{what}:\n  {error}\n"));

    let mut destination = fresh(&one, 32);
    destination.device_mut().set_fault(Fault::access(16, Errno::EBUSY));
    add("CPU interface register", destination.restore(&state).expect_err("fault"));

    let mut destination = fresh(&one, 32);
    destination.device_mut().set_fault(Fault::attribute(Attr::irs(0).id(), Errno::EINVAL));
    add("first register", destination.restore(&state).expect_err("fault"));

    let mut destination = fresh(&one, 32);
    destination.device_mut().set_fault(Fault::host(HostStep::LpiTable, Errno::ENOMEM));
    add("tables, half-way", destination.restore(&state).expect_err("fault"));

    let mut destination = fresh(&one, 32);
    destination.device_mut().run(vcpu.id, |_| ()).expect("run");
    add("a VM that has run", destination.restore(&state).expect_err("has run"));

    let mut source = filled(&one, 32, Some(8));
    source.device_mut().set_fault(Fault::not_quiesced(9));
    add("never quiet", source.flush_and_save().expect_err("fault"));

    let mut source = filled(&one, 32, Some(8));
    source.device_mut().hold_vcpu(vcpu.id, true);
    add("a vCPU that runs", source.flush_and_save().expect_err("busy"));

    let vm = Vm::with_device(Default::default(), &one).expect("VM");
    add("not initialised", Gicv5::attach(vm, one.clone()).expect_err("not initialised"));

    let vm = Vm::with_device(Default::default(), &one).expect("VM");
    add("address", Gicv5::initialise(vm, 0x1234, SpiCount::MIN, one.clone()).expect_err("not aligned"));

    snapshot!("gicv5_error_messages", text);
}

#[test]
fn every_error_number_has_a_meaning_where_the_kernel_documents_one() {
    let vcpu = vcpus(1).iter().next().expect("vCPU");
    let attrs = [
        AttrId::IST,
        Attr::irs(0x190).id(),
        Attr::cpu_sysreg(vcpu.mpidr, 0xce02).id(),
        Attr::nr_irqs().id(),
        Attr::irs_address().id(),
        AttrId::INIT,
    ];
    let errnos =
        [Errno::EBUSY, Errno::EINVAL, Errno::ENXIO, Errno::ENOENT, Errno::EEXIST, Errno::E2BIG, Errno::ENODEV, Errno::ENOSPC];
    let mut text = String::new();
    let mut destination = fresh(&vcpus(1), 32);
    destination.device_mut().set_fault(Fault::access(3, Errno::EBUSY));
    let state = filled(&vcpus(1), 32, Some(8)).flush_and_save().expect("save");
    let applied = access_error(destination.restore(&state).expect_err("fault")).applied.expect("how far it came");
    for (stage, attached, applied) in [("setting up", false, None), ("attached", true, None), ("half-way", true, Some(applied))] {
        text.push_str(&format!("{stage}:\n"));
        for attr in attrs {
            for operation in [Operation::Get, Operation::Set] {
                for errno in errnos {
                    let mut error = AccessError::new(operation, attr, errno);
                    (error.attached, error.applied) = (attached, applied);
                    if !error.meaning().is_empty() {
                        text.push_str(&format!("  {operation} {attr}: {errno} ({})\n", error.meaning()));
                    }
                }
            }
        }
    }
    for errno in
        [Errno::EFAULT, Errno::ENOMEM, Errno::EIO, Errno::ENOTTY, Errno::ETIMEDOUT, Errno::EBADF, Errno::EPERM, Errno::EACCES]
    {
        let error = AccessError::new(Operation::Get, Attr::nr_irqs().id(), errno);
        text.push_str(&format!("{error}\n"));
    }
    snapshot!("gicv5_errno_meanings", text);
    let unknown = AccessError::new(Operation::Get, AttrId::IST, Errno::from_raw(-71));
    assert_eq!(unknown.to_string(), "get IST: EPROTO (KVM documents no such answer here)");
}

#[test]
fn a_vm_that_is_not_quiet_is_tried_again_as_often_as_asked() {
    for (disturbances, retries, saved) in [(0, 0, true), (1, 0, false), (3, 3, true), (4, 3, false), (7, 7, true)] {
        let mut options = Options::default();
        options.retries = retries;
        let mut source = filled(&vcpus(1), 32, Some(8)).with_options(options);
        let expected = source.flush_and_save().ok();
        source.device_mut().clear_trace();
        source.device_mut().set_fault(Fault::not_quiesced(disturbances));
        let result = source.flush_and_save();
        let attempts = source.device().trace().iter().filter(|access| access.id == AttrId::IST).count() as u32;
        assert_eq!(attempts, (disturbances + 1).min(u32::from(retries) + 1));
        match result {
            Ok(state) => assert_eq!((saved, Some(state)), (true, expected)),
            Err(error) => {
                assert!(!saved);
                assert_eq!(
                    (access_error(error.clone()).errno, access_error(error).attempts),
                    (Errno::EBUSY, u32::from(retries) + 1)
                );
            }
        }
    }
}

#[test]
fn other_errors_of_a_save_surface_at_once() {
    let mut source = filled(&vcpus(1), 32, Some(8));
    source.device_mut().set_fault(Fault::host(HostStep::SpiTable, Errno::ETIMEDOUT));
    let error = access_error(source.flush_and_save().expect_err("fault"));
    assert_eq!((error.errno, error.attempts), (Errno::ETIMEDOUT, 1));
}

#[test]
fn buffers_are_compared_before_the_kernel_sees_a_pointer() {
    use BufferError::{Missing, Overlap, Superfluous, TooLarge, TooSmall};
    let with_lpis = filled(&vcpus(1), 64, Some(8));
    let without = filled(&vcpus(1), 64, None);
    let (table, expected) = (IstKind::Spi, 256);
    let cases: [(&Gicv5<Vm>, usize, Option<usize>, BufferError); 9] = [
        (&with_lpis, 255, Some(1024), TooSmall { table, expected, found: 255 }),
        (&with_lpis, 0, Some(1024), TooSmall { table, expected, found: 0 }),
        (&with_lpis, 260, Some(1024), TooLarge { table, expected, found: 260 }),
        (&with_lpis, 256, Some(1020), TooSmall { table: IstKind::Lpi, expected: 1024, found: 1020 }),
        (&with_lpis, 256, Some(1025), TooLarge { table: IstKind::Lpi, expected: 1024, found: 1025 }),
        (&with_lpis, 256, None, Missing { expected: 1024 }),
        (&without, 256, Some(1024), Superfluous { found: 1024 }),
        (&without, 256, Some(0), Superfluous { found: 0 }),
        (&without, 128, None, TooSmall { table, expected, found: 128 }),
    ];
    for (gic, spi, lpi, expected) in cases {
        let mut spi = vec![0; spi];
        let mut lpi = lpi.map(|bytes| vec![0; bytes]);
        assert_eq!(gic.save_ists(&mut spi, lpi.as_deref_mut()), Err(Error::Buffer(expected)));
        let error = gic.ist_sizes().expect("sizes").check(&spi, lpi.as_deref()).expect_err("the same");
        assert_eq!(error, expected);
        assert!(gic.device().trace().iter().all(|access| access.id != AttrId::IST), "{}", trace(gic));
    }

    let mut destination = fresh(&vcpus(1), 64);
    for (offset, value) in [(0x190, 8), (0x180, 0x4001)] {
        vgic_state::AttrDevice::set(destination.device_mut(), Attr::irs(offset), value).expect("register");
    }
    let area = [0; 2048];
    for (spi, lpi) in [(0, 0), (0, 255), (1023, 0), (300, 100)] {
        let result = destination.restore_ists(&area[spi..spi + 256], Some(&area[lpi..lpi + 1024]));
        assert_eq!(result, Err(Error::Buffer(Overlap)));
    }
    assert!(destination.device().trace().iter().all(|access| access.id != AttrId::IST));
    destination.restore_ists(&area[1024..1280], Some(&area[..1024])).expect("side by side is no overlap");
}

#[test]
fn an_image_buffer_that_is_too_small_is_refused_before_the_tables_are_saved() {
    for coding in [vgic_state::image::IstCoding::Raw, vgic_state::image::IstCoding::Sparse] {
        let mut options = Options::default();
        options.ist_coding = coding;
        let mut source = filled(&vcpus(2), 32, Some(8)).with_options(options);
        let needed = source.requirements().expect("requirements").image_max;
        source.device_mut().clear_trace();
        for found in [0, 1, 31, 128, needed / 2, needed - 1] {
            let error = source.flush_and_save_image(&mut vec![0; found]).expect_err("too small");
            assert_eq!(error, Error::Buffer(BufferError::ImageTooSmall { needed, found }));
        }
        assert!(source.device().trace().iter().all(|access| access.id != AttrId::IST));
        source.flush_and_save_image(&mut vec![0; needed]).expect("exactly enough");
        let state = source.flush_and_save().expect("save");
        assert_eq!(
            state.encode(&mut vec![0; needed - 1], coding),
            Err(Error::Buffer(BufferError::ImageTooSmall { needed, found: needed - 1 }))
        );
    }
}

#[test]
fn numbers_of_spis() {
    let refused = |found| (found, Err(TopologyError::SpiCount { found }));
    for (count, expected) in [
        refused(0),
        refused(1),
        refused(31),
        refused(33),
        refused(1023),
        refused(1056),
        refused(u32::MAX),
        (32, Ok(128)),
        (64, Ok(256)),
        (992, Ok(3968)),
        (1024, Ok(4096)),
    ] {
        assert_eq!(SpiCount::new(count).map(SpiCount::ist_bytes), expected);
        assert_eq!(SpiCount::try_from(count).map(SpiCount::get), expected.map(|_| count));
    }
    assert_eq!(SpiCount::default().get(), 32);
}

#[test]
fn a_backend_takes_the_number_of_spis_from_a_device_that_is_set_up() {
    for spis in [32, 96, 1024] {
        let vm = fresh(&vcpus(1), spis).into_device();
        let attached = Gicv5::attach(vm, vcpus(1)).expect("attach");
        assert_eq!(attached.target().spi_count.get(), spis);
        assert_eq!(attached.ist_sizes().expect("sizes").spi, spis as usize * 4);
    }
}

/// A device that answers what no kernel does.
#[derive(Debug)]
struct Lying {
    vm: Vm,
    attr: AttrId,
    value: u64,
}

impl vgic_state::AttrDevice for Lying {
    fn get<W: vgic_state::Word>(&self, attr: Attr<W>) -> Result<W, Errno> {
        if attr.id() != self.attr {
            return self.vm.get(attr);
        }
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.value.to_ne_bytes());
        Ok(W::from_ne_bytes(bytes))
    }

    fn set<W: vgic_state::Word>(&mut self, attr: Attr<W>, value: W) -> Result<(), Errno> {
        self.vm.set(attr, value)
    }

    fn has(&self, attr: AttrId) -> Result<(), Errno> {
        self.vm.has(attr)
    }

    fn command(&mut self, command: vgic_state::Command) -> Result<(), Errno> {
        self.vm.command(command)
    }
}

impl vgic_state::IstDevice for Lying {
    fn save_ist(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Errno> {
        self.vm.save_ist(spi, lpi)
    }

    fn restore_ist(&mut self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), Errno> {
        self.vm.restore_ist(spi, lpi)
    }
}

#[test]
fn a_device_that_reports_the_impossible_is_not_believed() {
    let lie = |attr: AttrId, value| {
        let device = Lying { vm: filled(&vcpus(1), 32, Some(8)).into_device(), attr, value };
        Gicv5::attach(device, vcpus(1)).and_then(|mut gic| gic.flush_and_save()).expect_err("impossible")
    };
    for (attr, value) in [
        (Attr::nr_irqs().id(), 33),
        (Attr::nr_irqs().id(), 0xffff_ffff),
        (Attr::irs(0x190).id(), 17),
        (Attr::irs(0x190).id(), 31),
        (Attr::irs(0x84).id(), 1 << 32),
    ] {
        match lie(attr, value) {
            Error::Device(error) if let DeviceError::Impossible { attr: named, value: found, .. } = *error => {
                assert_eq!((named, found), (attr, value));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_device_can_be_lent() {
    let mut vm = filled(&vcpus(1), 32, Some(8)).into_device();
    let state: Gicv5State<'static> = Gicv5::attach(&mut vm, vcpus(1)).expect("attach").flush_and_save().expect("save");
    let mut other = fresh(&vcpus(1), 32).into_device();
    Gicv5::attach(&mut other, vcpus(1)).expect("attach").restore(&state).expect("restore");
    assert_eq!(Gicv5::attach(&mut other, vcpus(1)).expect("attach").flush_and_save().expect("save"), state);
    vgic_state::AttrDevice::has(&&mut other, AttrId::IST).expect("has");
}
