//! Creation, addresses, number of interrupts, initialisation, first run; which error comes first.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-init.c`, `vgic-kvm-device.c`, `vgic-v2.c`; Documentation/virt/kvm/devices/arm-vgic.rst.
//!
//! Rule: a row is a value and the kernel's answer to it.

use crate::common::{CPU, DIST, id, new_vm, vcpus};
use vgic_state::model::gicv2::{Device, Host, Vm};
use vgic_state::model::gicv3::{Behaviour, Kernel};
use vgic_state::model::{Fault, Op, User};
use vgic_state::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_V2 as V2, KVM_DEV_TYPE_ARM_VGIC_V3};
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, Mpidr, Vcpu, Vcpus};

fn with_vcpus(count: u32) -> Vm {
    let vm = Vm::new(Host::default());
    vcpus(count).iter().for_each(|vcpu| vm.create_vcpu(vcpu).unwrap());
    vm
}

fn device(count: u32) -> (Vm, Device) {
    let vm = with_vcpus(count);
    let gic = vm.create_device(V2).unwrap();
    (vm, gic)
}

#[test]
fn create_device_fails_in_the_order_of_the_kernel() {
    let vm = with_vcpus(1);
    assert_eq!(vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3).err(), Some(Errno::ENODEV));
    assert_eq!(vm.test_device(V2), Ok(()));
    vm.hold_vcpu(id(0), true);
    assert_eq!(vm.create_device(V2).err(), Some(Errno::EBUSY), "a vCPU is locked");
    vm.hold_vcpu(id(0), false);
    vm.create_device(V2).unwrap();
    assert_eq!(vm.create_device(V2).err(), Some(Errno::EEXIST));
    vm.hold_vcpu(id(0), true);
    assert_eq!(vm.create_device(V2).err(), Some(Errno::EBUSY), "the lock before the device that exists");

    let vm = with_vcpus(1);
    vm.run(id(0), |guest| assert_eq!(guest.dist_read32(8), 0, "no GIC")).unwrap();
    assert_eq!(vm.create_device(V2).err(), Some(Errno::EBUSY), "a vCPU has run");

    let mut host = Host::default();
    host.max_vcpus = 512;
    let vm = Vm::new(host);
    Vcpus::with_default_mpidrs(9).unwrap().iter().for_each(|vcpu| vm.create_vcpu(vcpu).unwrap());
    assert_eq!(vm.create_device(V2).err(), Some(Errno::E2BIG));

    host.gicv2 = false;
    assert_eq!(Vm::new(host).test_device(V2), Err(Errno::ENODEV));
}

#[test]
fn create_vcpu_fails_in_the_order_of_the_kernel() {
    let mut host = Host::default();
    host.max_vcpus = 512;
    let vm = Vm::new(host);
    let at = |n| Vcpu { id: id(n), mpidr: Mpidr::new(0, 0, 1, n as u8) };
    assert_eq!(vm.create_vcpu(at(300)), Ok(()), "before the device nobody knows of 8");
    let vm = Vm::new(host);
    let mut gic = vm.create_device(V2).unwrap();
    for (n, answer) in [(7, Ok(())), (8, Err(Errno::EINVAL)), (7, Err(Errno::EEXIST))] {
        assert_eq!(vm.create_vcpu(at(n)), answer, "{n}");
    }
    (0..7).for_each(|n| vm.create_vcpu(at(n)).unwrap());
    assert_eq!(vm.create_vcpu(at(7)), Err(Errno::EINVAL), "as many as can be, before the id that is taken");
    let vm = Vm::new(host);
    gic = vm.create_device(V2).unwrap_or(gic);
    gic.command(Command::Init).unwrap();
    assert_eq!(vm.create_vcpu(at(9)), Err(Errno::EBUSY), "initialised, before the id that is none");
}

#[test]
fn an_address_is_aligned_in_range_and_set_once() {
    let (_, mut gic) = device(1);
    let [dist, cpu] = [Attr::gicv2_dist_address(), Attr::gicv2_cpu_address()];
    assert_eq!((gic.get(dist), gic.get(cpu)), (Ok(u64::MAX), Ok(u64::MAX)));
    for (attr, address, answer) in [
        (dist, DIST + 0x800, Err(Errno::EINVAL)),
        (dist, !0xfff, Err(Errno::EINVAL)),
        (dist, 1 << 40, Err(Errno::E2BIG)),
        (dist, (1 << 40) - 0x1000, Ok(())),
        (dist, 7, Err(Errno::EEXIST)),
        (cpu, (1 << 40) - 0x1000, Err(Errno::E2BIG)),
        (cpu, 0, Ok(())),
        (Attr::dist_address(), DIST, Err(Errno::ENXIO)),
        (Attr::its_address(), DIST, Err(Errno::ENXIO)),
    ] {
        assert_eq!(gic.set(attr, address), answer, "{attr:?} {address:#x}");
    }
    assert_eq!((gic.get(dist), gic.get(cpu)), (Ok((1 << 40) - 0x1000), Ok(0)));
    assert_eq!(gic.get(Attr::redist_address()), Err(Errno::ENXIO));
    assert_eq!(gic.ioctl(Op::Set, Attr::redist_address().id(), User::Null), Err(Errno::EFAULT), "the value before the kind");
    assert_eq!(gic.ioctl(Op::Get, dist.id(), User::U32(&mut 0)), Err(Errno::EFAULT));
}

#[test]
fn the_number_of_interrupts_is_in_range_and_set_once() {
    let (_, mut gic) = device(1);
    assert_eq!(gic.get(Attr::nr_irqs()), Ok(32));
    for (count, answer) in [
        (32, Err(Errno::EINVAL)),
        (65, Err(Errno::EINVAL)),
        (1024, Err(Errno::EINVAL)),
        (992, Ok(())),
        (64, Err(Errno::EBUSY)),
        (63, Err(Errno::EINVAL)),
    ] {
        assert_eq!(gic.set(Attr::nr_irqs(), count), answer, "{count}");
    }
    assert_eq!(gic.get(Attr::nr_irqs()), Ok(992));
    assert_eq!(gic.ioctl(Op::Set, Attr::nr_irqs().id(), User::Fault), Err(Errno::EFAULT));
    let (_, mut gic) = device(1);
    gic.command(Command::Init).unwrap();
    gic.command(Command::Init).unwrap();
    assert_eq!((gic.get(Attr::nr_irqs()), gic.set(Attr::nr_irqs(), 64)), (Ok(256), Err(Errno::EBUSY)));
}

/// The vCPU that is named, the address of the value, the locks of vCPUs; then the register, which may be none.
#[test]
fn errors_of_an_access_come_in_the_order_of_the_kernel() {
    let (vm, gic) = device(2);
    let attr = |group, cpu: u64, offset: u64| AttrId::from_raw(group, cpu << 32 | offset);
    for group in [1, 2] {
        vm.hold_vcpu(id(1), true);
        for (op, cpu, user, answer) in [
            (Op::Set, 2, User::Null, Errno::EINVAL),
            (Op::Get, 2, User::Null, Errno::EINVAL),
            (Op::Has, 2, User::Null, Errno::EINVAL),
            (Op::Set, 1, User::Null, Errno::EFAULT),
            (Op::Get, 0, User::Null, Errno::EBUSY),
            (Op::Set, 0, User::U32(&mut 0), Errno::EBUSY),
        ] {
            assert_eq!(gic.ioctl(op, attr(group, cpu, 0), user), Err(answer), "{op} {group} {cpu}");
        }
        vm.hold_vcpu(id(1), false);
        assert_eq!(gic.ioctl(Op::Get, attr(group, 0, 0), User::Fault), Err(Errno::EFAULT));
        // What is no register reads 0, and takes anything.
        let mut value = 7;
        for offset in [0x40, 0x101, 0xff4] {
            assert_eq!(gic.ioctl(Op::Get, attr(group, 0, offset), User::U32(&mut value)), Ok(()));
            assert_eq!(value, 0);
            assert_eq!(gic.ioctl(Op::Set, attr(group, 0, offset), User::U32(&mut u32::MAX.clone())), Ok(()));
            assert_eq!(gic.ioctl(Op::Has, attr(group, 0, offset), User::Null), Err(Errno::ENXIO));
        }
    }
    // Bits above the number of the vCPU are not looked at.
    assert_eq!(gic.ioctl(Op::Has, AttrId::from_raw(1, 1 << 40 | 8), User::Null), Ok(()));
    for (id, answer) in [
        (Attr::gicv2_dist_address().id(), Ok(())),
        (Attr::gicv2_cpu_address().id(), Ok(())),
        (Attr::dist_address().id(), Err(Errno::ENXIO)),
        (Attr::nr_irqs().id(), Ok(())),
        (AttrId::INIT, Ok(())),
        (Command::SavePendingTables.id(), Err(Errno::ENXIO)),
        (AttrId::from_raw(7, 0), Err(Errno::ENXIO)),
        (Attr::gicv2_cpu(id(1), 0xdc).id(), Ok(())),
        (Attr::gicv2_cpu(id(1), 0xc).id(), Err(Errno::ENXIO)),
        (Attr::gicv2_cpu(id(1), 0x1000).id(), Ok(())),
        (Attr::gicv2_cpu(id(1), 0x1004).id(), Err(Errno::ENXIO)),
    ] {
        assert_eq!(gic.has(id), answer, "{id}");
    }
    for op in [Op::Get, Op::Set] {
        assert_eq!(gic.ioctl(op, AttrId::from_raw(7, 0), User::U32(&mut 0)), Err(Errno::ENXIO));
    }
    assert_eq!(gic.ioctl(Op::Set, Command::ItsReset.id(), User::Null), Err(Errno::ENXIO));
}

/// Registers of an interrupt come with the number of interrupts, which an access takes for 256 if nobody said.
#[test]
fn an_access_initialises_the_device() {
    let (vm, gic) = device(1);
    let spis = Attr::gicv2_dist(id(0), 0x104);
    assert_eq!(gic.has(spis.id()), Err(Errno::ENXIO));
    assert_eq!(gic.get(spis), Ok(0));
    assert_eq!((gic.has(spis.id()), gic.get(Attr::nr_irqs())), (Ok(()), Ok(256)));
    assert_eq!(gic.has(Attr::gicv2_dist(id(0), 0x120).id()), Err(Errno::ENXIO));
    assert_eq!(vm.create_vcpu(Vcpu::with_default_mpidr(1).unwrap()), Err(Errno::EBUSY));
    let (vm, gic) = device(1);
    assert_eq!(vm.set_spi_level(31, true), Err(Errno::EINVAL));
    assert_eq!(gic.get(Attr::nr_irqs()), Ok(32));
    vm.set_spi_level(40, true).unwrap();
    assert_eq!(gic.get(Attr::nr_irqs()), Ok(256));
    assert_eq!(vm.set_spi_level(256, true), Err(Errno::EINVAL));
}

#[test]
fn the_first_run_needs_addresses_that_do_not_overlap() {
    let (vm, _gic) = device(1);
    assert_eq!(vm.run(id(0), |_| ()), Err(Errno::ENXIO));
    assert!(vm.is_dead());
    assert_eq!((vm.run(id(0), |_| ()), vm.set_spi_level(32, true)), (Err(Errno::EIO), Err(Errno::EIO)));
    let (vm, mut gic) = device(1);
    gic.set(Attr::gicv2_dist_address(), DIST).unwrap();
    gic.set(Attr::gicv2_cpu_address(), DIST - 0x1000).unwrap();
    assert_eq!(vm.run(id(0), |_| ()), Err(Errno::EINVAL));
    let (vm, gic) = new_vm(Host::default(), 2, 64);
    assert_eq!(vm.run(id(2), |_| ()), Err(Errno::EBADF));
    let inside = vm.run(id(0), |_| (gic.get(Attr::gicv2_dist(id(1), 0)), vm.run(id(0), |_| ()))).unwrap();
    assert_eq!(inside, (Err(Errno::EBUSY), Err(Errno::EINTR)));
    assert_eq!(gic.get(Attr::gicv2_dist_address()), Ok(DIST));
    assert_eq!(gic.get(Attr::gicv2_cpu_address()), Ok(CPU));
}

#[test]
fn irq_line_refuses_what_is_no_spi_or_ppi() {
    let (vm, _gic) = new_vm(Host::default(), 2, 64);
    for (answer, expected) in [
        (vm.set_spi_level(31, true), Err(Errno::EINVAL)),
        (vm.set_spi_level(64, true), Err(Errno::EINVAL)),
        (vm.set_spi_level(63, true), Ok(())),
        (vm.set_ppi_level(id(2), 20, true), Err(Errno::EINVAL)),
        (vm.set_ppi_level(id(1), 15, true), Err(Errno::EINVAL)),
        (vm.set_ppi_level(id(1), 32, true), Err(Errno::EINVAL)),
        (vm.set_ppi_level(id(1), 31, true), Ok(())),
        (with_vcpus(1).set_spi_level(32, true), Err(Errno::ENXIO)),
        (with_vcpus(1).set_ppi_level(id(0), 20, true), Err(Errno::ENXIO)),
    ] {
        assert_eq!(answer, expected);
    }
}

/// An old kernel takes the number of a vCPU for its place.
#[test]
fn an_old_kernel_takes_a_vcpu_number_for_an_index() {
    for (kernel, by_id) in
        [(Kernel::V6_1, false), ("6.1.90".parse().unwrap(), false), (Kernel::V6_1_170, true), (Kernel::V7_3_4, true)]
    {
        assert_eq!(kernel.has(Behaviour::NamesGicv2VcpusById), by_id);
        let vm = Vm::new(Host::default().with_kernel(kernel));
        for n in [5, 2] {
            vm.create_vcpu(Vcpu::with_default_mpidr(n).unwrap()).unwrap();
        }
        let gic = vm.create_device(V2).unwrap();
        // The first byte of GICD_ITARGETSR0: the vCPU itself, by its id or by its place.
        let target = |n| gic.get(Attr::gicv2_dist(id(n), 0x800)).map(|word| word as u8);
        let answers = [0, 1, 2, 5].map(target);
        let none = Err(Errno::EINVAL);
        let [two, five] = if kernel.has(Behaviour::ShowsGicv2TargetsById) { [Ok(4), Ok(32)] } else { [Ok(2), Ok(1)] };
        assert_eq!(answers, if by_id { [none, none, two, five] } else { [five, two, none, none] });
        // A line is named in its own way, which no long-term line has changed.
        let line = |n| vm.set_ppi_level(id(n), 20, true).is_ok();
        let lines_by_id = kernel.has(Behaviour::NamesVcpusById);
        assert_eq!([0, 1, 2, 5].map(line), [!lines_by_id, !lines_by_id, lines_by_id, lines_by_id]);
    }
}

#[test]
fn a_fault_answers_an_access_and_is_recorded() {
    let (vm, mut gic) = new_vm(Host::default(), 1, 64);
    vm.set_fault(Fault::access(1, Errno::ENOMEM));
    vm.set_fault(Fault::attribute(Attr::nr_irqs().id(), Errno::EFAULT));
    assert_eq!(gic.get(Attr::nr_irqs()), Err(Errno::EFAULT));
    assert_eq!(gic.set(Attr::gicv2_cpu(id(0), 4), 9), Err(Errno::ENOMEM));
    vm.clear_faults();
    assert_eq!(gic.set(Attr::gicv2_cpu(id(0), 4), 9), Ok(()));
    assert_eq!(gic.get(Attr::gicv2_dist(id(0), 0x8)), Ok(0x4b00_343b));
    let lines: Vec<String> = vm.trace().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "get NR_IRQS -> EFAULT",
            "set GICC_PMR of vCPU 0 = 0x9 -> ENOMEM",
            "set GICC_PMR of vCPU 0 = 0x9",
            "get GICD_IIDR = 0x4b00343b",
        ]
    );
}
