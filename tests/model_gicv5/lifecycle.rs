//! Creation, INIT, first run, death.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-init.c` and `vgic-v5.c`, Linux 7.4.
//!
//! Rule: one test per condition of the kernel; pairs show which comes first.

use crate::common::*;
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::model::{Fault, HostStep, Op, User};
use vgic_state::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_V3, KVM_DEV_TYPE_ARM_VGIC_V5 as V5};
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, IstDevice, Vcpu, Vcpus};

fn limited(max_vcpus: u32) -> Host {
    Host { max_vcpus, ..Host::default() }
}

fn is_send<T: Send>() {}

#[test]
fn a_vm_can_go_to_another_thread() {
    is_send::<Vm>();
}

#[test]
fn type_of_the_device() {
    let mut vm = Vm::new(Host::default());
    assert_eq!(vm.test_device(V5), Ok(()));
    // 15 is LoongArch's.
    for wrong in [15, 17, KVM_DEV_TYPE_ARM_VGIC_V3, u32::MAX] {
        assert_eq!(vm.test_device(wrong), Err(Errno::ENODEV), "{wrong}");
        assert_eq!(vm.create_device(wrong), Err(Errno::ENODEV), "{wrong}");
    }
    // The test made nothing.
    assert_eq!(vm.create_device(V5), Ok(()));
}

#[test]
fn host_without_gicv5() {
    let mut vm = Vm::new(Host { gicv5: false, ..Host::default() });
    assert_eq!(vm.test_device(V5), Err(Errno::ENODEV));
    assert_eq!(vm.create_device(V5), Err(Errno::ENODEV));
}

#[test]
fn create_device_checks_in_order() {
    #[derive(Clone)]
    struct Case {
        type_: u32,
        creating: bool,
        held: bool,
        twice: bool,
        ran: bool,
        max_vcpus: u32,
    }
    let good = Case { type_: V5, creating: false, held: false, twice: false, ran: false, max_vcpus: 512 };
    let rows: &[Row<Case>] = &[
        ("type", |c| c.type_ = 15, Errno::ENODEV),
        ("vCPU being created", |c| c.creating = true, Errno::EBUSY),
        ("vCPU locked", |c| c.held = true, Errno::EBUSY),
        ("second device", |c| c.twice = true, Errno::EEXIST),
        ("vCPU has run", |c| (c.ran, c.twice) = (true, false), Errno::EBUSY),
        ("vcpu_id beyond the host's limit", |c| (c.max_vcpus, c.twice) = (9, false), Errno::E2BIG),
    ];
    assert_order(&good, rows, |case| {
        let mut vm = Vm::new(limited(case.max_vcpus));
        for index in 0..VCPUS.len() {
            vm.create_vcpu(vcpu(index)).unwrap();
        }
        if case.twice {
            vm = ready();
        }
        if case.ran {
            vm.run(vcpu_id(2), |_| ()).unwrap();
        }
        vm.hold_creation(case.creating);
        vm.hold_vcpu(vcpu_id(9), case.held);
        vm.create_device(case.type_)
    });
}

#[test]
fn second_device_before_has_run() {
    let mut vm = ready();
    run_all(&mut vm);
    assert_eq!(vm.create_device(V5), Err(Errno::EEXIST));
}

#[test]
fn vcpus_may_come_before_and_after_the_device() {
    let mut vm = Vm::new(Host::default());
    vm.create_vcpu(vcpu(0)).unwrap();
    vm.create_device(V5).unwrap();
    vm.create_vcpu(vcpu(1)).unwrap();
    assert_eq!(vm.command(Command::Init), Ok(()));
}

#[test]
fn create_vcpu_checks_in_order() {
    // Before the device, only KVM's own limits count.
    let mut vm = Vm::new(limited(3));
    vm.create_vcpu(vcpu(2)).unwrap();
    assert_eq!(vm.create_vcpu(vcpu(2)), Err(Errno::EEXIST));

    let mut vm = Vm::new(limited(6));
    vm.create_device(V5).unwrap();
    assert_eq!(vm.create_vcpu(vcpu(2)), Err(Errno::EINVAL), "id 9, limit 6");
    assert_eq!(vm.create_vcpu(vcpu(0)), Ok(()), "id 5, limit 6");
    vm.command(Command::Init).unwrap();
    assert_eq!(vm.create_vcpu(vcpu(1)), Err(Errno::EBUSY));
    assert_eq!(vm.create_vcpu(vcpu(2)), Err(Errno::EBUSY), "initialised, before the limit of ids");
    assert_eq!(vm.create_vcpu(vcpu(0)), Err(Errno::EEXIST), "the same id, before initialised");

    let mut vm = Vm::new(limited(1));
    vm.create_device(V5).unwrap();
    vm.create_vcpu(Vcpu::with_default_mpidr(0).unwrap()).unwrap();
    vm.command(Command::Init).unwrap();
    assert_eq!(vm.create_vcpu(vcpu(1)), Err(Errno::EINVAL), "too many, before initialised");
}

#[test]
fn two_vcpus_may_share_an_affinity_and_the_first_is_reached() {
    let mut vm = Vm::new(Host::default());
    let first = vcpu(0);
    vm.create_vcpu(first).unwrap();
    vm.create_vcpu(Vcpu { id: vcpu_id(3), ..first }).unwrap();
    vm.create_device(V5).unwrap();
    vm.command(Command::Init).unwrap();
    vm.set(Attr::cpu_sysreg(first.mpidr, 0xce02), 17).unwrap();
    assert_eq!(vm.run(first.id, |guest| guest.icc_read(0xce02)), Err(Errno::ENXIO), "no address yet");

    let mut vm = Vm::new(Host::default());
    vm.create_vcpu(first).unwrap();
    vm.create_vcpu(Vcpu { id: vcpu_id(3), ..first }).unwrap();
    vm.create_device(V5).unwrap();
    vm.command(Command::Init).unwrap();
    vm.set(Attr::irs_address(), IRS_ADDRESS).unwrap();
    vm.set(Attr::cpu_sysreg(first.mpidr, 0xce02), 17).unwrap();
    assert_eq!(vm.run(first.id, |guest| guest.icc_read(0xce02)), Ok(17));
    assert_eq!(vm.run(vcpu_id(3), |guest| guest.icc_read(0xce02)), Ok(0));
}

#[test]
fn init_checks_its_conditions_in_order() {
    let mut vm = Vm::new(Host::default());
    vm.create_device(V5).unwrap();
    assert_eq!(vm.command(Command::Init), Err(Errno::ENODEV), "no vCPU");
    vm.hold_creation(true);
    assert_eq!(vm.command(Command::Init), Err(Errno::EBUSY), "vCPU being created, before no vCPU");
    vm.hold_creation(false);
    vm.create_el2_vcpu(vcpu(0)).unwrap();
    assert_eq!(vm.command(Command::Init), Err(Errno::EINVAL), "EL2");
    vm.hold_creation(true);
    assert_eq!(vm.command(Command::Init), Err(Errno::EBUSY), "vCPU being created, before EL2");
}

#[test]
fn init_twice_is_no_error() {
    let mut vm = ready();
    vm.set(Attr::irs(0x84), 0x15).unwrap();
    vm.hold_creation(true);
    assert_eq!(vm.command(Command::Init), Ok(()), "initialised, before vCPU being created");
    assert_eq!(vm.get(Attr::irs(0x84)), Ok(0x15), "and nothing is reset");
}

#[test]
fn init_needs_no_address_and_no_free_vcpu() {
    let mut vm = created();
    vm.hold_vcpu(vcpu_id(2), true);
    assert_eq!(vm.command(Command::Init), Ok(()));
}

#[test]
fn init_ignores_the_address_of_the_value() {
    let mut vm = created();
    assert_eq!(vm.ioctl(Op::Set, AttrId::INIT, User::Fault), Ok(()));
}

#[test]
fn init_that_failed_can_be_retried() {
    for (step, errno) in [
        (HostStep::Init, Errno::ENOMEM),
        (HostStep::Init, Errno::ENOSPC),
        (HostStep::Init, Errno::ETIMEDOUT),
        (HostStep::MapVm, Errno::ETIMEDOUT),
    ] {
        let mut vm = created();
        vm.set(Attr::nr_irqs(), 96).unwrap();
        vm.set_fault(Fault::host(step, errno));
        assert_eq!(vm.command(Command::Init), Err(errno));
        assert!(!vm.is_dead());
        let mut table = [0; 384];
        assert_eq!(vm.save_ist(&mut table, None), Err(Errno::EBUSY));
        assert_eq!(vm.command(Command::Init), Ok(()));
        assert_eq!(vm.get(Attr::nr_irqs()), Ok(96));
    }
}

fn dies(mut vm: Vm, errno: Errno) {
    assert_eq!(vm.run(vcpu_id(2), |_| panic!("no guest code runs")), Err(errno));
    assert!(vm.is_dead());
    assert_eq!(vm.run(vcpu_id(5), |_| ()), Err(Errno::EIO));
    assert_eq!(vm.get(Attr::nr_irqs()), Err(Errno::EIO));
    assert_eq!(vm.set(Attr::irs_address(), IRS_ADDRESS), Err(Errno::EIO));
    assert_eq!(vm.has(AttrId::IST), Err(Errno::EIO));
    assert_eq!(vm.command(Command::Init), Err(Errno::EIO));
    assert_eq!(vm.save_ist(&mut [0; SPI_BYTES], None), Err(Errno::EIO));
    assert_eq!(vm.restore_ist(&[0; SPI_BYTES], None), Err(Errno::EIO));
    assert_eq!(vm.set_spi_level(1, true), Err(Errno::EIO));
    assert_eq!(vm.set_ppi_level(vcpu_id(2), 3, true), Err(Errno::EIO));
    assert_eq!(vm.drive_ppi(vcpu_id(2), 27, true), Err(Errno::EIO));
    assert_eq!(vm.create_vcpu(Vcpu::with_default_mpidr(40).unwrap()), Err(Errno::EIO));
    assert_eq!(vm.test_device(V5), Err(Errno::EIO));
    assert_eq!(vm.create_device(V5), Err(Errno::EIO));
}

#[test]
fn first_run_uninitialised_kills() {
    dies(created(), Errno::EBUSY);
}

#[test]
fn first_run_uninitialised_with_address_kills() {
    let mut vm = created();
    vm.set(Attr::irs_address(), IRS_ADDRESS).unwrap();
    dies(vm, Errno::EBUSY);
}

#[test]
fn first_run_without_address_kills() {
    let mut vm = created();
    vm.command(Command::Init).unwrap();
    dies(vm, Errno::ENXIO);
}

#[test]
fn first_run_with_a_restore_owed_kills() {
    dies(ready_for_lpis(), Errno::EINVAL);
}

#[test]
fn a_restore_stays_owed_when_the_table_is_made_invalid_again() {
    let mut vm = ready_for_lpis();
    vm.set(Attr::irs(BASER), 0).unwrap();
    dies(vm, Errno::EINVAL);
}

#[test]
fn a_restore_without_lpis_pays_what_an_invalidated_table_owed() {
    let mut vm = ready_for_lpis();
    vm.set(Attr::irs(BASER), 0).unwrap();
    vm.restore_ist(&[0; SPI_BYTES], None).unwrap();
    run_all(&mut vm);
}

#[test]
fn no_restore_is_owed_without_a_valid_table() {
    let mut vm = ready();
    vm.set(Attr::irs(CFGR), 9).unwrap();
    vm.set(Attr::irs(BASER), BASER_VALID & !1).unwrap();
    run_all(&mut vm);
}

#[test]
fn a_paid_restore_lets_the_vm_run() {
    let mut vm = ready_for_lpis();
    vm.restore_ist(&[0; SPI_BYTES], Some(&[0; LPI_BYTES])).unwrap();
    run_all(&mut vm);
}

#[test]
fn run_of_a_vcpu_that_is_held_or_missing() {
    let mut vm = ready();
    vm.hold_vcpu(vcpu_id(2), true);
    assert_eq!(vm.run(vcpu_id(2), |_| ()), Err(Errno::EINTR));
    assert_eq!(vm.run(vcpu_id(5), |guest| guest.iaffid()), Ok(5), "another vCPU runs all the same");
    vm.hold_vcpu(vcpu_id(2), false);
    assert_eq!(vm.run(vcpu_id(2), |guest| guest.iaffid()), Ok(2));
    assert_eq!(vm.run(vcpu_id(3), |_| ()), Err(Errno::EBADF));
}

#[test]
fn without_a_device_a_vm_runs_and_has_no_attributes() {
    let mut vm = Vm::new(Host::default());
    vm.create_vcpu(vcpu(0)).unwrap();
    let seen = vm.run(vcpu_id(5), |guest| {
        guest.enable_interface();
        guest.cden(vgic_state::IntId::Spi(1));
        (guest.icc_read(0xce01), guest.irs_read32(0x40), guest.cdrcfg(vgic_state::IntId::Lpi(4)), guest.acknowledge())
    });
    assert_eq!(seen, Ok((0, 0, 0, None)));
    assert_eq!(vm.get(Attr::nr_irqs()), Err(Errno::EBADF));
    assert_eq!(vm.command(Command::Init), Err(Errno::EBADF));
    assert_eq!(vm.has(AttrId::INIT), Err(Errno::EBADF));
}

#[test]
fn vms_with_every_number_of_vcpus() {
    for count in [1, 2, 511, 512] {
        let vcpus = Vcpus::with_default_mpidrs(count).unwrap();
        let mut vm = Vm::with_device(Host::default(), &vcpus).unwrap();
        assert_eq!(vm.command(Command::Init), Ok(()));
    }
    let vcpus = Vcpus::with_default_mpidrs(4).unwrap();
    assert_eq!(Vm::with_device(limited(3), &vcpus).err(), Some(Errno::E2BIG));
}

#[test]
fn a_host_out_of_range_counts_as_the_nearest() {
    let host = Host {
        id_bits: 99,
        min_lpi_id_bits: 77,
        priority_bits: 0,
        pa_range: 200,
        ipa_bits: 64,
        max_vcpus: 9999,
        ..Host::default()
    };
    let host = Vm::new(host).host();
    assert_eq!((host.id_bits, host.min_lpi_id_bits, host.priority_bits), (24, 15, 1));
    assert_eq!((host.pa_range, host.ipa_bits, host.max_vcpus), (15, 52, 512));
    let host = Host { id_bits: 0, priority_bits: 6, ipa_bits: 0, ..Host::default() };
    let host = Vm::new(host).host();
    assert_eq!((host.id_bits, host.priority_bits, host.ipa_bits), (1, 5, 32));
}
