//! Creation, addresses, number of interrupts, INIT, first run.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-init.c`, `vgic-kvm-device.c`, `vgic-mmio-v3.c`;
//! Documentation/virt/kvm/devices/arm-vgic-v3.rst.
//!
//! Rule: a row is a value and the kernel's answer to it.

use crate::common::*;
use vgic_state::model::gicv3::{Device, Host, Vm};
use vgic_state::model::{Op, User};
use vgic_state::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V2, KVM_DEV_TYPE_ARM_VGIC_V3};
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, Vcpu, VcpuId};

const V3: u32 = KVM_DEV_TYPE_ARM_VGIC_V3;
const ITS: u32 = KVM_DEV_TYPE_ARM_VGIC_ITS;

fn empty(host: Host) -> Vm {
    Vm::new(host, new_memory())
}

#[test]
fn a_vm_creates_the_devices_of_its_host_in_order() {
    let vm = empty(Host::default());
    vm.create_vcpu(vcpu(0)).unwrap();
    assert_eq!(vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V2).err(), Some(Errno::ENODEV));
    assert_eq!(vm.test_device(V3), Ok(()));
    // An ITS needs no GICv3 yet, and there can be several.
    vm.create_device(ITS).unwrap();
    vm.hold_vcpu(vcpu(0).id, true);
    assert_eq!(vm.create_device(V3).err(), Some(Errno::EBUSY), "a vCPU is locked");
    vm.create_device(ITS).unwrap();
    vm.hold_vcpu(vcpu(0).id, false);
    vm.create_device(V3).unwrap();
    assert_eq!(vm.create_device(V3).err(), Some(Errno::EEXIST));
    vm.hold_vcpu(vcpu(0).id, true);
    assert_eq!(vm.create_device(V3).err(), Some(Errno::EBUSY), "the lock before the device that exists");

    let vm = empty(Host::default());
    vm.create_vcpu(vcpu(0)).unwrap();
    vm.run(vcpu(0).id, |guest| assert_eq!(guest.dist_read32(0), 0, "no GIC")).unwrap();
    assert_eq!(vm.create_device(V3).err(), Some(Errno::EBUSY), "a vCPU has run");

    let none = Host { gicv3: false, ..Host::default() };
    assert_eq!((empty(none).test_device(V3), empty(none).test_device(ITS)), (Err(Errno::ENODEV), Err(Errno::ENODEV)));
    assert_eq!(empty(Host { its: false, ..Host::default() }).test_device(ITS), Err(Errno::ENODEV));
}

#[test]
fn a_vcpu_is_refused_by_number_id_and_initialised_device() {
    let vm = empty(Host { max_vcpus: 4, ..Host::default() });
    let at = |id: u32| Vcpu { id: VcpuId::new(id).unwrap(), mpidr: vcpu(0).mpidr };
    for (id, answer) in [(3, Ok(())), (3, Err(Errno::EEXIST)), (4, Err(Errno::EINVAL)), (0, Ok(())), (1, Ok(())), (2, Ok(()))] {
        assert_eq!(vm.create_vcpu(at(id)), answer, "{id}");
    }
    assert_eq!(vm.create_vcpu(at(3)), Err(Errno::EINVAL), "as many as can be, before the id that is taken");
    let rig = ready(0);
    assert_eq!(rig.vm.create_vcpu(at(5)), Err(Errno::EBUSY), "initialised, before the id that is taken");
}

#[test]
fn frame_addresses_are_aligned_inside_and_set_once() {
    let limit = 1_u64 << 40;
    let rows = |size: u64| {
        [
            (0x1000, Err(Errno::EINVAL)),
            (0xffff_ffff_ffff_0000, Err(Errno::EINVAL)),
            (limit, Err(Errno::E2BIG)),
            (limit - size + 0x1_0000, Err(Errno::E2BIG)),
            (limit - size, Ok(())),
            (0x1000, Err(Errno::EEXIST)),
        ]
    };
    let mut rig = created(1);
    assert_eq!(rig.gic.get(Attr::dist_address()), Ok(u64::MAX));
    assert_eq!(rig.its[0].get(Attr::its_address()), Ok(u64::MAX));
    for (address, answer) in rows(0x1_0000) {
        // One frame: the row that goes beyond by one frame is the limit itself.
        assert_eq!(rig.gic.set(Attr::dist_address(), address), answer, "{address:#x}");
    }
    for (address, answer) in rows(0x2_0000) {
        assert_eq!(rig.its[0].set(Attr::its_address(), address), answer, "{address:#x}");
    }
    assert_eq!(rig.its[0].get(Attr::its_address()), Ok(limit - 0x2_0000));
    // Three redistributors, and the distributor at the end of the address space.
    for (address, answer) in [
        (0x1000, Err(Errno::EINVAL)),
        (limit, Err(Errno::E2BIG)),
        (limit - 0x4_0000, Err(Errno::EINVAL)),
        (limit - 0x7_0000, Ok(())),
        (limit - 0x7_0000, Err(Errno::EEXIST)),
    ] {
        assert_eq!(rig.gic.set(Attr::redist_address(), address), answer, "{address:#x}");
    }
    assert_eq!(rig.gic.set(Attr::redist_region(), 1 << 52 | 0x1000_0000), Err(Errno::EINVAL), "mixed");
    // Not an address of the other device.
    assert_eq!(rig.gic.set(Attr::its_address(), 0), Err(Errno::ENXIO));
    assert_eq!(rig.its[0].set(Attr::dist_address(), 0), Err(Errno::ENODEV));
}

fn region(gic: &Device, index: u64) -> Result<u64, Errno> {
    let mut value = index;
    gic.ioctl(Op::Get, Attr::redist_region().id(), User::U64(&mut value)).map(|()| value)
}

#[test]
fn redistributor_regions_follow_each_other_without_overlap() {
    let mut rig = created(0);
    let of = |count: u64, base: u64, flags: u64, index: u64| count << 52 | base | flags << 12 | index;
    for (value, answer) in [
        (of(0, 0xa0_0000, 0, 0), Err(Errno::EINVAL)),
        (of(1, 0xa0_0000, 1, 0), Err(Errno::EINVAL)),
        (of(1, 0xa0_0000, 0, 1), Err(Errno::EINVAL)),
        (of(1, 1 << 40, 0, 0), Err(Errno::E2BIG)),
        (of(1, 0xa0_0000, 0, 0), Ok(())),
        (of(1, 0xd0_0000, 0, 0), Err(Errno::EINVAL)),
        (of(2, 0xa1_0000, 0, 1), Err(Errno::EINVAL)),
        (of(2, 0xc0_0000, 0, 1), Ok(())),
    ] {
        assert_eq!(rig.gic.set(Attr::redist_region(), value), answer, "{value:#x}");
    }
    assert_eq!(rig.gic.get(Attr::redist_address()), Ok(0xa0_0000), "the first");
    assert_eq!(rig.gic.set(Attr::redist_address(), 0x1000_0000), Err(Errno::EINVAL), "mixed");
    assert_eq!(region(&rig.gic, 1), Ok(of(2, 0xc0_0000, 0, 1)));
    assert_eq!(region(&rig.gic, 2), Err(Errno::ENOENT));
    rig.gic.command(Command::Init).unwrap();
    // GICR_TYPER.Last where a region ends.
    for ((_, mpidr), last) in VCPUS.into_iter().zip([true, false, true]) {
        assert_eq!(rig.gic.get(Attr::redist(mpidr, 0x8)).unwrap() & 0x10 != 0, last, "{mpidr}");
    }
}

/// `GICR_TYPER.Last` is not where another region goes on.
#[test]
fn redistributor_regions_that_touch() {
    let mut rig = created(0);
    for value in [1 << 52 | 0xa0_0000, 2 << 52 | 0xa2_0000 | 1] {
        rig.gic.set(Attr::redist_region(), value).unwrap();
    }
    rig.gic.command(Command::Init).unwrap();
    for ((_, mpidr), last) in VCPUS.into_iter().zip([false, false, true]) {
        assert_eq!(rig.gic.get(Attr::redist(mpidr, 0x8)).unwrap() & 0x10 != 0, last, "{mpidr}");
    }
}

#[test]
fn number_of_interrupts() {
    let mut rig = created(0);
    assert_eq!(rig.gic.get(Attr::nr_irqs()), Ok(32), "none but the private ones");
    // 1024 is what the document allows; the kernel does not.
    for count in [0, 32, 63, 65, 1008, 1023, 1024, 1056] {
        assert_eq!(rig.gic.set(Attr::nr_irqs(), count), Err(Errno::EINVAL), "{count}");
    }
    assert_eq!(rig.gic.set(Attr::nr_irqs(), 992), Ok(()));
    assert_eq!(rig.gic.set(Attr::nr_irqs(), 65), Err(Errno::EINVAL), "the value before the state");
    assert_eq!(rig.gic.set(Attr::nr_irqs(), 992), Err(Errno::EBUSY));
    assert_eq!(rig.gic.get(Attr::nr_irqs()), Ok(992));

    let mut rig = created(0);
    rig.gic.command(Command::Init).unwrap();
    assert_eq!(rig.gic.get(Attr::nr_irqs()), Ok(256), "the default");
    assert_eq!(rig.gic.set(Attr::nr_irqs(), 64), Err(Errno::EBUSY));
    assert_eq!(rig.gic.get(Attr::dist(4)).unwrap() & 0x1f, 7, "GICD_TYPER.ITLinesNumber");
}

#[test]
fn init_needs_no_lock_and_may_be_repeated() {
    let mut rig = created(1);
    rig.vm.hold_vcpu(vcpu(1).id, true);
    assert_eq!(rig.gic.command(Command::Init), Ok(()), "needs no vCPU's lock");
    assert_eq!(rig.gic.command(Command::Init), Ok(()), "again");
    assert_eq!(rig.its[0].command(Command::Init), Ok(()));
    let vm = empty(Host::default());
    assert_eq!(vm.create_device(V3).unwrap().command(Command::Init), Ok(()), "without a vCPU, whatever the document says");
}

#[test]
fn a_first_run_without_addresses_kills_the_vm() {
    let (first, second) = (vcpu(0).id, vcpu(1).id);
    assert_eq!(created(0).vm.run(VcpuId::new(6).unwrap(), |_| ()), Err(Errno::EBADF));
    let mut rig = created(0);
    rig.gic.command(Command::Init).unwrap();
    assert_eq!(rig.vm.run(first, |_| ()), Err(Errno::ENXIO), "no addresses");
    assert!(rig.vm.is_dead());
    assert_eq!(rig.gic.get(Attr::nr_irqs()), Err(Errno::EIO));
    assert_eq!(rig.vm.run(first, |_| ()), Err(Errno::EIO));

    let mut rig = created(0);
    rig.gic.set(Attr::redist_address(), REDIST).unwrap();
    rig.gic.set(Attr::dist_address(), REDIST + 0x2_0000).unwrap();
    assert_eq!(rig.vm.run(first, |_| ()), Err(Errno::EINVAL), "the distributor lies in a redistributor, before INIT");
    let mut rig = created(0);
    rig.gic.set(Attr::dist_address(), DIST).unwrap();
    rig.gic.set(Attr::redist_address(), REDIST).unwrap();
    assert_eq!(rig.vm.run(first, |_| ()), Err(Errno::EBUSY), "not initialised");

    let mut rig = ready(1);
    rig.vm.hold_vcpu(first, true);
    assert_eq!(rig.vm.run(first, |_| ()), Err(Errno::EINTR));
    rig.vm.hold_vcpu(first, false);
    // While one runs, others can run, and nothing that locks every vCPU can be done. All of it works again afterwards.
    let (vm, mut gic) = (rig.vm.clone(), rig.gic.clone());
    let (register, save) = (Attr::dist(0), Command::ItsSaveTables);
    rig.vm
        .run(first, |_| {
            assert_eq!(vm.run(second, |guest| guest.vcpu_id()), Ok(second));
            assert_eq!(vm.run(first, |_| ()), Err(Errno::EINTR));
            assert_eq!((gic.get(register), gic.set(register, 0)), (Err(Errno::EBUSY), Err(Errno::EBUSY)));
            assert_eq!(rig.its[0].command(save), Err(Errno::EBUSY));
        })
        .unwrap();
    assert_eq!((gic.get(register).is_ok(), rig.its[0].command(save)), (true, Ok(())));
    // A guest that panics leaves its vCPU.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| vm.run(first, |_| panic!("guest"))));
    assert!(panicked.is_err() && gic.get(register).is_ok());
}

#[test]
fn groups_that_are_not_there() {
    let rig = ready(1);
    for (device, groups) in [(&rig.gic, [2, 8, 10, 99]), (&rig.its[0], [1, 3, 5, 6])] {
        for group in groups {
            let id = AttrId::from_raw(group, 0);
            for op in [Op::Get, Op::Set, Op::Has] {
                assert_eq!(device.ioctl(op, id, User::Null), Err(Errno::ENXIO), "{op} {id}");
            }
        }
    }
    assert_eq!(rig.its[0].ioctl(Op::Get, Command::ItsReset.id(), User::Null), Err(Errno::ENXIO), "a command cannot be read");
}
