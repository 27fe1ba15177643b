//! `GRP_IRS_REGS`: which access is refused, and by which check first.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-kvm-device.c` and `vgic-irs-v5.c`, Linux 7.4.
//!
//! Rule: one row per condition of the kernel; pairs show which comes first.

use crate::common::*;
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::model::{Op, User};
use vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V5;
use vgic_state::uapi::vgic_v5::irs::{REGISTERS, REGISTERS_64};
use vgic_state::{Attr, AttrDevice, AttrId, Errno};

#[derive(Clone)]
struct Case {
    vcpus: bool,
    pointer: bool,
    held: bool,
    init: bool,
    ran: bool,
    address: bool,
    offset: u64,
    value: u64,
}

const GOOD: Case =
    Case { vcpus: true, pointer: true, held: false, init: true, ran: false, address: true, offset: 0x190, value: 0x9 };

fn access(op: Op, case: &Case) -> Result<(), Errno> {
    let mut vm = Vm::new(Host::default());
    vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V5).unwrap();
    if case.vcpus {
        for index in 0..VCPUS.len() {
            vm.create_vcpu(vcpu(index)).unwrap();
        }
    }
    if case.address {
        vm.set(Attr::irs_address(), IRS_ADDRESS).unwrap();
    }
    if case.init && case.vcpus {
        vm.command(vgic_state::Command::Init).unwrap();
    }
    // A VM that ran has an address; what has run comes before that anyway.
    if case.ran && case.vcpus && case.init && case.address {
        vm.run(vcpu_id(9), |_| ()).unwrap();
    }
    vm.hold_vcpu(vcpu_id(2), case.held);
    let mut value = case.value;
    let user = if case.pointer { User::U64(&mut value) } else { User::Fault };
    vm.ioctl(op, AttrId::from_raw(10, case.offset), user)
}

#[test]
fn get_checks_in_order() {
    let rows: &[Row<Case>] = &[
        ("no vCPU", |c| c.vcpus = false, Errno::EINVAL),
        ("vCPU locked", |c| c.held = true, Errno::EBUSY),
        ("not initialised", |c| c.init = false, Errno::EBUSY),
        ("no address", |c| c.address = false, Errno::ENXIO),
        ("unknown offset", |c| c.offset = 0x98, Errno::ENXIO),
        ("offset in the middle of a register", |c| c.offset = 0x192, Errno::EINVAL),
        ("bad pointer", |c| c.pointer = false, Errno::EFAULT),
    ];
    assert_order(&GOOD, rows, |case| access(Op::Get, case));
}

#[test]
fn get_works_after_a_run() {
    assert_eq!(access(Op::Get, &Case { ran: true, ..GOOD }), Ok(()));
}

#[test]
fn set_checks_in_order() {
    let rows: &[Row<Case>] = &[
        ("no vCPU", |c| c.vcpus = false, Errno::EINVAL),
        ("bad pointer", |c| c.pointer = false, Errno::EFAULT),
        ("vCPU locked", |c| c.held = true, Errno::EBUSY),
        ("not initialised", |c| c.init = false, Errno::EBUSY),
        ("a vCPU has run", |c| (c.ran, c.init, c.address) = (true, true, true), Errno::EBUSY),
        ("no address", |c| (c.address, c.ran) = (false, false), Errno::ENXIO),
        ("unknown offset", |c| c.offset = 0x98, Errno::ENXIO),
        ("offset in the middle of a register", |c| c.offset = 0x192, Errno::EINVAL),
        ("value that the register refuses", |c| (c.offset, c.value) = (0x4, 0x7_0000), Errno::EINVAL),
    ];
    assert_order(&GOOD, rows, |case| access(Op::Set, case));
}

#[test]
fn has_checks_in_order() {
    let rows: &[Row<Case>] = &[
        ("no vCPU", |c| c.vcpus = false, Errno::EINVAL),
        ("unknown offset", |c| c.offset = 0x1_0000, Errno::ENXIO),
        ("offset in the middle of a register", |c| c.offset = 0x184, Errno::EINVAL),
    ];
    assert_order(&GOOD, rows, |case| access(Op::Has, case));
    // None of these matters.
    let untouched = Case { pointer: false, held: true, init: false, address: false, ..GOOD };
    assert_eq!(access(Op::Has, &untouched), Ok(()));
}

#[test]
fn every_offset_of_the_frame() {
    let mut vm = ready();
    let mut known = 0;
    for offset in 0..0x1_0010 {
        let start = |size: u32| REGISTERS.iter().any(|(_, start)| *start as u32 == offset & !(size - 1));
        let is_64 = REGISTERS_64.contains(&(offset & !7));
        let expected = match (is_64, offset % 8, offset % 4) {
            (true, 0, _) => Ok(()),
            (true, ..) => Err(Errno::EINVAL),
            (false, _, 0) if start(4) => Ok(()),
            (false, ..) if start(4) => Err(Errno::EINVAL),
            (false, ..) => Err(Errno::ENXIO),
        };
        let id = Attr::irs(offset).id();
        assert_eq!(has(&mut vm, id), expected, "{offset:#x}");
        assert_eq!(get64(&mut vm, id).map(|_| ()), expected, "{offset:#x}");
        known += usize::from(expected.is_ok());
        if offset % 0x100 == 0 {
            vm.clear_trace();
        }
    }
    assert_eq!(known, REGISTERS.len());
    assert_eq!(has(&mut vm, AttrId::from_raw(10, 0x1_0000_0190)), Ok(()), "KVM looks at 32 bits of an offset");
}

#[test]
fn what_was_read_can_be_written_back() {
    for mut vm in [ready(), ready_for_lpis()] {
        for (name, offset) in REGISTERS {
            let attr = Attr::irs(*offset as u32);
            let value = vm.get(attr).unwrap();
            assert_eq!(vm.set(attr, value), Ok(()), "{name}");
            assert_eq!(vm.get(attr), Ok(value), "{name}");
        }
    }
}
