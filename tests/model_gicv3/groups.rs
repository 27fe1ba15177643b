//! The order of the checks that an access passes, group by group.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-kvm-device.c`, `vgic_v3_attr_regs_access`; `vgic-its.c`, `vgic_its_attr_regs_access`.
//!
//! Rule: of two conditions that are broken, the kernel's answer is that of the first.

use crate::common::*;
use vgic_state::model::gicv3::Kernel;
use vgic_state::model::{Op, User};
use vgic_state::uapi::vgic_v3::icc::{SYS_ICC_AP1R3_EL1, SYS_ICC_PMR_EL1};
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, Mpidr};

const NOBODY: Mpidr = Mpidr::new(0, 3, 2, 1);

/// Registers of each group, of a vCPU that exists and of one that does not.
fn registers(mpidr: Mpidr) -> [AttrId; 4] {
    [
        Attr::dist(0x104).id(),
        Attr::redist(mpidr, 0x10100).id(),
        Attr::line_levels(mpidr, 32).id(),
        Attr::cpu_sysreg(mpidr, SYS_ICC_PMR_EL1).id(),
    ]
}

#[test]
fn registers_of_the_gic() {
    let rig = created(0);
    for (id, nobody) in registers(VCPUS[1].1).into_iter().zip(registers(NOBODY)) {
        let dist = id == nobody;
        // No such vCPU comes before everything; the distributor is nobody's.
        for op in [Op::Get, Op::Set] {
            let answer = if dist && op == Op::Get {
                Err(Errno::EBUSY)
            } else if dist {
                Err(Errno::EFAULT)
            } else {
                Err(Errno::EINVAL)
            };
            assert_eq!(rig.gic.ioctl(op, nobody, User::Null), answer, "{op} {nobody}");
        }
        // A value comes in before the lock, but for a system register, where it comes last.
        let sysreg = id.group() == 6;
        let null = if sysreg { Errno::EBUSY } else { Errno::EFAULT };
        assert_eq!(rig.gic.ioctl(Op::Set, id, User::Null), Err(null), "{id}");
        assert_eq!(rig.gic.ioctl(Op::Get, id, User::Null), Err(Errno::EBUSY), "not initialised, {id}");
    }
    let mut rig = ready(0);
    for id in registers(VCPUS[1].1) {
        rig.vm.hold_vcpu(vcpu(2).id, true);
        assert_eq!(rig.gic.ioctl(Op::Get, id, User::U64(&mut 0)), Err(Errno::EBUSY), "a vCPU is locked, {id}");
        assert_eq!(rig.gic.ioctl(Op::Set, id, User::U64(&mut 0)), Err(Errno::EBUSY), "a vCPU is locked, {id}");
        // What does not look at state needs no lock.
        assert_eq!(rig.gic.has(id), Ok(()), "{id}");
        rig.vm.hold_vcpu(vcpu(2).id, false);
        assert_eq!(rig.gic.ioctl(Op::Get, id, User::Fault), Err(Errno::EFAULT), "{id}");
        assert_eq!(rig.gic.ioctl(Op::Set, id, User::Fault), Err(Errno::EFAULT), "{id}");
        // Four bytes are enough but for a system register.
        let short = if id.group() == 6 { Err(Errno::EFAULT) } else { Ok(()) };
        assert_eq!(rig.gic.ioctl(Op::Get, id, User::U32(&mut 0)), short, "{id}");
    }
    rig.vm.hold_vcpu(vcpu(0).id, true);
    assert_eq!(rig.gic.command(Command::SavePendingTables), Err(Errno::EBUSY));
    assert_eq!(created(0).gic.command(Command::SavePendingTables), Err(Errno::ENXIO), "not initialised");
}

#[test]
fn line_levels_are_asked_for_by_32_interrupts() {
    let rig = ready(0);
    for (attr, answer) in [
        (32, Ok(())),
        (96, Ok(())),
        (992, Ok(())),
        (1, Err(Errno::EINVAL)),
        (48, Err(Errno::EINVAL)),
        (32 | 1 << 10, Err(Errno::EINVAL)),
    ] {
        let id = AttrId::from_raw(7, u64::from(VCPUS[0].1.packed()) << 32 | attr);
        assert_eq!(rig.gic.ioctl(Op::Get, id, User::U32(&mut 0)), answer, "{attr:#x}");
        let has = if attr >> 10 == 0 { Ok(()) } else { Err(Errno::ENXIO) };
        assert_eq!(rig.gic.has(id), has, "{attr:#x}");
    }
    // A level of an SPI belongs to no vCPU, yet one must be named.
    assert_eq!(rig.gic.get(Attr::line_levels(NOBODY, 32)), Err(Errno::EINVAL));
}

#[test]
fn registers_of_an_its() {
    let mut rig = created(1);
    let its = &mut rig.its[0];
    // Alignment is that of the architecture's width, and comes first.
    for (offset, answer) in [
        (0x2, Err(Errno::EINVAL)),
        (0xc, Err(Errno::EINVAL)),
        (0x84, Err(Errno::EINVAL)),
        (0x4, Err(Errno::ENXIO)),
        (0x8, Err(Errno::ENXIO)),
        (0xffd4, Err(Errno::ENXIO)),
    ] {
        assert_eq!(its.get(Attr::its(offset)), answer, "{offset:#x}, no address yet");
    }
    for (offset, answer) in [(0x2, Err(Errno::EINVAL)), (0x84, Err(Errno::EINVAL)), (0x140, Err(Errno::ENXIO)), (0x138, Ok(()))] {
        assert_eq!(its.has(Attr::its(offset).id()), answer, "{offset:#x}");
    }
    assert_eq!(its.ioctl(Op::Set, Attr::its(0x84).id(), User::Null), Err(Errno::EFAULT), "the value before the alignment");
    assert_eq!(its.ioctl(Op::Set, Attr::its(0x4).id(), User::U32(&mut 0)), Err(Errno::EFAULT), "64 bits, even for 32");
    rig.vm.hold_vcpu(vcpu(1).id, true);
    assert_eq!(rig.its[0].get(Attr::its(0x84)), Err(Errno::EINVAL), "the alignment before the lock");
    assert_eq!(rig.its[0].get(Attr::its(0x140)), Err(Errno::EBUSY), "the lock before the address and the register");
    for command in [Command::ItsSaveTables, Command::ItsRestoreTables, Command::ItsReset] {
        assert_eq!(rig.its[0].command(command), Err(Errno::EBUSY), "{command:?}");
    }
    assert_eq!(rig.its[0].command(Command::Init), Ok(()));
    rig.vm.hold_vcpu(vcpu(1).id, false);
    for command in [Command::ItsSaveTables, Command::ItsRestoreTables, Command::ItsReset] {
        assert_eq!(rig.its[0].command(command), Ok(()), "{command:?} without an address: nothing is valid");
    }
    let rig = ready(1);
    assert_eq!(rig.its[0].get(Attr::its(0x140)), Err(Errno::ENXIO));
    assert_eq!(rig.its[0].ioctl(Op::Get, Attr::its(0x8).id(), User::Null), Err(Errno::EFAULT));
}

#[test]
fn what_there_is() {
    let rig = ready(1);
    for (id, has) in [
        (Attr::dist(0x100).id(), true),
        (Attr::dist(0x104).id(), true),
        (Attr::dist(0x10c).id(), false),
        (Attr::dist(0x102).id(), false),
        (Attr::dist(0xe00).id(), false),
        (Attr::dist(0x6004).id(), true),
        (Attr::dist(0x62f8).id(), true),
        (Attr::dist(0x6300).id(), false),
        (Attr::redist(VCPUS[0].1, 0x10).id(), false),
        (Attr::redist(VCPUS[0].1, 0x14).id(), true),
        (Attr::redist(VCPUS[0].1, 0x10104).id(), false),
        (Attr::cpu_sysreg(VCPUS[0].1, SYS_ICC_PMR_EL1).id(), true),
        // Whether the vCPU has so many priority bits is not asked.
        (Attr::cpu_sysreg(VCPUS[0].1, SYS_ICC_AP1R3_EL1).id(), true),
        (Attr::cpu_sysreg(VCPUS[0].1, 0xc668).id(), false),
        (Attr::nr_irqs().id(), true),
        (Attr::dist_address().id(), true),
        (Attr::redist_region().id(), true),
        (Attr::its_address().id(), false),
        (Command::SavePendingTables.id(), true),
        (Command::ItsReset.id(), false),
    ] {
        assert_eq!(rig.gic.has(id), if has { Ok(()) } else { Err(Errno::ENXIO) }, "{id}");
    }
    assert_eq!(rig.gic.has(Attr::redist(NOBODY, 0).id()), Err(Errno::EINVAL));
    for (command, has) in [(Command::Init, true), (Command::ItsSaveTables, true), (Command::SavePendingTables, false)] {
        assert_eq!(rig.its[0].has(command.id()), if has { Ok(()) } else { Err(Errno::ENXIO) }, "{command:?}");
    }
}

#[test]
fn the_maintenance_interrupt_is_a_ppi_set_before_init() {
    let id = AttrId::from_raw(9, 0);
    let set = |rig: &Rig, mut value: u32| rig.gic.ioctl(Op::Set, id, User::U32(&mut value));
    let rig = created(0);
    for (value, answer) in [(15, Err(Errno::EINVAL)), (32, Err(Errno::EINVAL)), (27, Ok(()))] {
        assert_eq!(set(&rig, value), answer, "{value}");
    }
    let mut value = 0;
    assert_eq!(rig.gic.ioctl(Op::Get, id, User::U32(&mut value)), Ok(()));
    assert_eq!(value, 27);
    assert_eq!(set(&ready(0), 15), Err(Errno::EBUSY), "initialised, before the value");
    assert_eq!(set(&created_with(on(Kernel::V6_12_118), 0, new_memory()), 27), Err(Errno::ENXIO), "no such group");
}
