//! The strongest property: save, restore into a fresh device, save again, equal.

use crate::common::{attached, full_state, id, new_vm, vcpus};
use crate::save::{Save as _, SaveImage as _};
use vgic_state::gicv2::{Gicv2, Gicv2State};
use vgic_state::model::gicv2::Host;
use vgic_state::model::gicv3::Kernel;
use vgic_state::report::Problem;
use vgic_state::{Attr, AttrDevice, DynInterruptState, Error, InterruptState, Vcpu, VcpuId, Vcpus};

/// A level interrupt that is pending comes back as a latch: the same in the registers.
#[test]
fn another_value_in_every_register() {
    for kernel in Kernel::ALL {
        for (count, nr_irqs) in [(1, 64), (3, 96), (8, 992)] {
            let state = full_state(count, nr_irqs);
            let host = Host::default().with_kernel(kernel);
            let (vm, mut source) = attached(host, count, nr_irqs);
            source.restore(&state).expect("restore");
            assert_eq!(source.flush_and_save().expect("save"), state, "{kernel:?}");
            let mut image = vec![0; source.requirements().expect("requirements").image_max];
            assert_eq!(source.flush_and_save_image(&mut image), Ok(image.len()));
            assert_eq!(Gicv2State::parse(&image).as_ref(), Ok(&state));
            assert_eq!(state.to_image().as_ref(), Ok(&image));

            let (_, mut destination) = attached(host, count, nr_irqs);
            let mut destination: Box<dyn DynInterruptState> = {
                destination.options_mut().refuse_at = None;
                Box::new(destination)
            };
            assert_eq!(destination.check_image(&image), destination.restore_image(&image));
            let mut again = vec![0; image.len()];
            assert_eq!(destination.flush_and_save_image(&mut again), Ok(image.len()));
            assert_eq!(again, image);
            assert!(!vm.is_dead());
        }
    }
}

/// What a device had before does not shine through.
#[test]
fn into_a_device_that_was_used() {
    let (_, mut gic) = attached(Host::default(), 3, 96);
    gic.restore(&full_state(3, 96)).expect("restore");
    let mut other = full_state(3, 96);
    for block in other.spis.iter_mut().map(|spis| &mut spis.interrupts).chain(other.vcpus.iter_mut().map(|vcpu| &mut vcpu.private))
    {
        for word in block.group.iter_mut().chain(&mut block.enable).chain(&mut block.pending).chain(&mut block.active) {
            *word = !*word;
        }
        block.priority = block.priority.map(|word| !word & 0xf8f8_f8f8);
    }
    for vcpu in &mut other.vcpus {
        vcpu.sgi_sources = vcpu.sgi_sources.map(|word| !word & 0x0707_0707);
        let pending = (0..16).filter(|sgi| vcpu.sources_of(*sgi) != 0).fold(0, |bits, sgi| bits | 1 << sgi);
        vcpu.private.pending = [vcpu.private.pending[0] & 0xffff_0000 | pending];
    }
    gic.restore(&other).expect("restore");
    assert_eq!(gic.flush_and_save().expect("save"), other);
}

/// vCPUs with other ids and in another order of creation: each keeps its own number as a target.
#[test]
fn vcpus_are_saved_by_their_ids() {
    let ids = Vcpus::from_ids([5, 2, 7]).unwrap();
    let device = |order: [u32; 3]| {
        let vm = vgic_state::model::gicv2::Vm::new(Host::default());
        order.into_iter().for_each(|n| vm.create_vcpu(Vcpu::with_default_mpidr(n).unwrap()).unwrap());
        let mut gic = vm.create_device(vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V2).unwrap();
        gic.set(Attr::nr_irqs(), 64).unwrap();
        Gicv2::attach(gic, ids.clone()).expect("attach")
    };
    let mut source = device([5, 2, 7]);
    for (n, vcpu) in ids.iter().enumerate() {
        source.gic_mut().set(Attr::gicv2_cpu(vcpu.id, 4), 10 + n as u32).unwrap();
    }
    let state = source.flush_and_save().expect("save");
    assert_eq!(
        state.vcpus.iter().map(|vcpu| (vcpu.vcpu.id, vcpu.gicc.pmr, vcpu.private.targets[0])).collect::<Vec<_>>(),
        [(id(2), 10, 0x0404_0404), (id(5), 11, 0x2020_2020), (id(7), 12, 0x8080_8080)]
    );
    // The order of creation numbers the targets of SPIs, and no register has it.
    for order in [[5, 2, 7], [2, 5, 7]] {
        let mut target = device(order);
        target.restore(&state).expect("restore");
        assert_eq!(target.flush_and_save().expect("save"), state);
    }
}

/// The guest acknowledges what was pending, in the order of priorities, and goes on where it was.
#[test]
fn a_guest_goes_on_after_a_restore() {
    let (vm, mut source) = attached(Host::default(), 2, 64);
    let set_up = |guest: &mut vgic_state::model::gicv2::Guest<'_>| {
        guest.dist_write32(0x000, 1);
        guest.enable_interface();
        guest.dist_write32(0x104, u32::MAX);
        guest.dist_write32(0x100, u32::MAX);
        for n in 0..8 {
            guest.dist_write32(0x820 + 4 * n, 0x0101_0101);
            guest.dist_write32(0x420 + 4 * n, 0xa0a0_a0a0);
        }
        guest.dist_write32(0xc08, 0xaaaa_aa80); // INTIDs 32 to 34 level
        guest.dist_write8(0x420 + 8, 0x40); // INTID 40
    };
    vm.run(id(0), set_up).unwrap();
    vm.run(id(1), |guest| guest.enable_interface()).unwrap();
    vm.set_spi_level(40, true).unwrap();
    vm.set_spi_level(50, true).unwrap();
    assert_eq!(vm.run(id(0), |guest| guest.acknowledge()), Ok(Some(40)));
    vm.set_spi_level(33, true).unwrap();
    vm.set_ppi_level(id(0), 27, true).unwrap();
    vm.run(id(1), |guest| guest.dist_write32(0xf00, 1 << 16 | 9)).unwrap();
    let state = source.flush_and_save().expect("save");

    let (other, mut destination) = attached(Host::default(), 2, 64);
    let report = destination.restore(&state).expect("restore");
    assert_eq!(report.to_string(), "line to drive: PPI 11 of vCPU 0\nlines to drive: SPI 1\n");
    other.set_spi_level(33, true).unwrap();
    other.set_ppi_level(id(0), 27, true).unwrap();
    assert_eq!(destination.flush_and_save().expect("save"), state);
    let acknowledged = |vm: &vgic_state::model::gicv2::Vm| {
        vm.run(id(0), |guest| {
            assert_eq!(guest.running_priority(), 0x40);
            guest.eoi(40);
            std::iter::from_fn(|| guest.acknowledge().inspect(|iar| guest.eoi(*iar))).take(5).collect::<Vec<_>>()
        })
        .unwrap()
    };
    let expected = [1 << 10 | 9, 27, 27, 27, 27];
    assert_eq!(
        (acknowledged(&vm), acknowledged(&other)),
        (expected.to_vec(), expected.to_vec()),
        "a line that stays high comes again"
    );
    // A line that falls before its interrupt was taken: the latch that stands for it after a restore is taken once.
    for (vm, expected) in [(vm, vec![50]), (other, vec![33, 50])] {
        vm.set_ppi_level(id(0), 27, false).unwrap();
        vm.set_spi_level(33, false).unwrap();
        let rest = vm.run(id(0), |guest| {
            std::iter::from_fn(|| guest.acknowledge().inspect(|iar| guest.eoi(*iar))).take(5).collect::<Vec<_>>()
        });
        assert_eq!(rest, Ok(expected));
    }
}

/// The line that a VMM does not drive again comes once, by its latch, and no more.
#[test]
fn a_line_that_is_not_driven_again() {
    let (_, mut source) = attached(Host::default(), 1, 64);
    let mut state = source.flush_and_save().expect("save");
    state.spis[0].interrupts.config = [0, 0];
    state.spis[0].interrupts.pending = [0x8000_0000];
    state.spis[0].interrupts.enable = [0x8000_0000];
    state.dist.ctlr = 1;
    (state.vcpus[0].gicc.ctlr, state.vcpus[0].gicc.pmr) = (1, 0x1f);
    let (vm, mut destination) = attached(Host::default(), 1, 64);
    let report = destination.restore(&state).expect("restore");
    assert_eq!((report.level_spis.iter().collect::<Vec<_>>(), report.level_ppis), (vec![31], vec![]));
    let acknowledged = vm
        .run(id(0), |guest| std::iter::from_fn(|| guest.acknowledge().inspect(|iar| guest.eoi(*iar))).take(9).collect::<Vec<_>>());
    assert_eq!(acknowledged, Ok(vec![63]));
}

/// A kernel that cannot take a revision back shows its own: an error, or a finding.
#[test]
fn a_revision_that_the_kernel_does_not_apply_is_refused() {
    let mut state = full_state(1, 64);
    state.identity.iidr = 0x4b00_243b;
    for (kernel, applies) in [(Kernel::V6_12_74, false), (Kernel::V6_12_118, true)] {
        let host = Host::default().with_kernel(kernel);
        let (_, mut gic) = attached(host, 1, 64);
        if applies {
            gic.restore(&state).expect("restore");
            assert_eq!(gic.flush_and_save().expect("save"), state);
            continue;
        }
        let error = gic.restore(&state).unwrap_err();
        assert!(matches!(error, Error::ReadBack(_)));
        assert_eq!(error.to_string(), "set GICD_IIDR: 0x4b00243b was written, 0x4b00343b reads back; nothing is done yet");
        let (_, mut gic) = attached(host, 1, 64);
        gic.options_mut().accept_newer_revision = true;
        let report = gic.restore(&state).expect("restore");
        assert_eq!(report.find(Problem::NewerRevision).map(|finding| finding.count), Some(1));
    }
}

/// Active priorities that the host has no register for.
#[test]
fn a_host_with_fewer_priority_bits_is_refused() {
    let mut state = full_state(1, 64);
    state.vcpus[0].gicc.apr3 = 0x8000_0000;
    let (_, mut gic) = attached(Host::default().with_pri_bits(7), 1, 64);
    gic.restore(&state).expect("restore");
    assert_eq!(gic.flush_and_save().expect("save"), state);
    let (_, mut gic) = attached(Host::default(), 1, 64);
    let error = gic.restore(&state).unwrap_err().to_string();
    assert!(error.starts_with("set GICC_APR3 of vCPU 0: 0x80000000 was written, 0x0 reads back; "), "{error}");
    assert!(error.ends_with("the last one GICC_APR2 of vCPU 0: discard this VM"), "{error}");
}

/// By reference, as a VMM has it.
#[test]
fn a_device_is_lent() {
    let (_, mut device) = new_vm(Host::default(), 2, 64);
    let state = Gicv2::attach(&mut device, vcpus(2)).expect("attach").flush_and_save().expect("save");
    let mut gic = Gicv2::attach(&mut device, vcpus(2)).expect("attach");
    gic.restore(&state).expect("restore");
    assert_eq!(gic.target().nr_irqs.get(), 64);
    let _: &mut vgic_state::model::gicv2::Device = gic.into_gic();
    assert_eq!(device.get(Attr::gicv2_dist(VcpuId::new(1).unwrap(), 8)), Ok(0x4b00_343b));
}
