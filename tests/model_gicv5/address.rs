//! `GRP_ADDR`, `GRP_NR_IRQS`, `GRP_CTRL`, and groups of other GICs.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-kvm-device.c`, Linux 7.4; Documentation/virt/kvm/devices/arm-vgic-v5.rst.
//!
//! Rule: one test per condition of the kernel; pairs show which comes first.

use crate::common::*;
use vgic_state::model::gicv5::Host;
use vgic_state::model::{Op, User};
use vgic_state::{Attr, AttrDevice, AttrId, Errno, IstDevice};

const ADDRESS: AttrId = Attr::irs_address().id();
const NR_IRQS: AttrId = Attr::nr_irqs().id();
const PPIS: AttrId = Attr::userspace_ppis().id();

#[test]
fn address_set_checks_in_order() {
    #[derive(Clone)]
    struct Case {
        null: bool,
        attr: u64,
        twice: bool,
        address: u64,
    }
    let good = Case { null: false, attr: 6, twice: false, address: 0x12_3450_0000 };
    let rows: &[Row<Case>] = &[
        ("bad pointer", |c| c.null = true, Errno::EFAULT),
        ("type of another GIC", |c| c.attr = 4, Errno::ENXIO),
        ("set before", |c| c.twice = true, Errno::EEXIST),
        ("not 64 KiB aligned, and beyond", |c| c.address = 0xff_ffff_8000, Errno::EINVAL),
        ("wraps", |c| c.address = 0xffff_ffff_ffff_0000, Errno::EINVAL),
        ("starts beyond the guest's physical addresses", |c| c.address = 1 << 40, Errno::E2BIG),
        ("ends beyond them", |c| c.address = (1 << 40) - 0x1_0000, Errno::E2BIG),
    ];
    assert_order(&good, rows, |case| {
        let mut vm = created();
        if case.twice {
            vm.set(Attr::irs_address(), IRS_ADDRESS).unwrap();
        }
        let mut address = case.address;
        let user = if case.null { User::Null } else { User::U64(&mut address) };
        vm.ioctl(Op::Set, AttrId::from_raw(0, case.attr), user)
    });
}

#[test]
fn the_irs_address_is_the_only_one() {
    let mut vm = created();
    for attr in [0, 1, 2, 3, 4, 5, 7, 6 | 1 << 32] {
        let id = AttrId::from_raw(0, attr);
        assert_eq!(has(&mut vm, id), Err(Errno::ENXIO), "{attr}");
        assert_eq!(get64(&mut vm, id), Err(Errno::ENXIO), "{attr}");
        assert_eq!(set64(&mut vm, id, IRS_ADDRESS), Err(Errno::ENXIO), "{attr}");
    }
    assert_eq!(has(&mut vm, ADDRESS), Ok(()));
}

#[test]
fn address_reads_back() {
    let mut vm = created();
    assert_eq!(vm.get(Attr::irs_address()), Ok(u64::MAX));
    assert_eq!(vm.ioctl(Op::Get, ADDRESS, User::Null), Err(Errno::EFAULT));
    assert_eq!(vm.ioctl(Op::Get, AttrId::from_raw(0, 4), User::Null), Err(Errno::ENXIO));
    vm.set(Attr::irs_address(), IRS_ADDRESS).unwrap();
    assert_eq!(vm.get(Attr::irs_address()), Ok(IRS_ADDRESS));
    assert_eq!(vm.set(Attr::irs_address(), IRS_ADDRESS), Err(Errno::EEXIST), "not even the same again");
}

#[test]
fn the_irs_address_is_aligned_and_inside_the_address_space() {
    for (ipa_bits, address, result) in [
        (40, 0, Ok(())),
        (40, (1 << 40) - 0x2_0000, Ok(())),
        (36, (1 << 36) - 0x2_0000, Ok(())),
        (36, 1 << 36, Err(Errno::E2BIG)),
        (52, (1 << 52) - 0x1_0000, Err(Errno::E2BIG)),
        (40, u64::MAX, Err(Errno::EINVAL)),
    ] {
        let mut vm = created_on(Host { ipa_bits, ..Host::default() });
        assert_eq!(vm.set(Attr::irs_address(), address), result, "{address:#x}");
    }
}

#[test]
fn address_can_be_set_after_init() {
    let mut vm = created();
    vm.command(vgic_state::Command::Init).unwrap();
    assert_eq!(vm.set(Attr::irs_address(), IRS_ADDRESS), Ok(()));
}

#[test]
fn nr_irqs_set_checks_in_order() {
    #[derive(Clone)]
    struct Case {
        null: bool,
        count: u32,
        twice: bool,
        init: bool,
    }
    let good = Case { null: false, count: 96, twice: false, init: false };
    let rows: &[Row<Case>] = &[
        ("bad pointer", |c| c.null = true, Errno::EFAULT),
        ("below 32", |c| c.count = 31, Errno::EINVAL),
        ("above 1024", |c| c.count = 1056, Errno::EINVAL),
        ("no multiple of 32", |c| c.count = 100, Errno::EINVAL),
        ("set before", |c| c.twice = true, Errno::EBUSY),
        ("initialised", |c| c.init = true, Errno::EBUSY),
    ];
    assert_order(&good, rows, |case| {
        let mut vm = created();
        if case.twice {
            vm.set(Attr::nr_irqs(), 64).unwrap();
        }
        if case.init {
            vm.command(vgic_state::Command::Init).unwrap();
        }
        let mut count = case.count;
        let user = if case.null { User::Null } else { User::U32(&mut count) };
        vm.ioctl(Op::Set, NR_IRQS, user)
    });
}

#[test]
fn nr_irqs_reads_back() {
    let mut vm = created();
    assert_eq!(vm.get(Attr::nr_irqs()), Ok(0), "before set and INIT");
    vm.command(vgic_state::Command::Init).unwrap();
    assert_eq!(vm.get(Attr::nr_irqs()), Ok(32), "the default");
    for count in [32, 64, 992, 1024] {
        let mut vm = created();
        vm.set(Attr::nr_irqs(), count).unwrap();
        assert_eq!(vm.get(Attr::nr_irqs()), Ok(count));
        vm.command(vgic_state::Command::Init).unwrap();
        assert_eq!(vm.get(Attr::nr_irqs()), Ok(count));
        assert_eq!(vm.save_ist(&mut vec![0; count as usize * 4], None), Ok(()));
    }
    assert_eq!(vm.ioctl(Op::Get, NR_IRQS, User::Fault), Err(Errno::EFAULT));
    // The attribute number does not matter.
    let mut count = 0;
    assert_eq!(vm.ioctl(Op::Get, AttrId::from_raw(3, 8), User::U32(&mut count)), Ok(()));
    assert_eq!(count, 32);
}

#[test]
fn control_attributes_are_init_and_userspace_ppis() {
    let mut vm = created();
    for id in [AttrId::INIT, PPIS] {
        assert_eq!(has(&mut vm, id), Ok(()));
    }
    assert_eq!(get64(&mut vm, AttrId::INIT), Err(Errno::ENXIO));
    assert_eq!(vm.ioctl(Op::Set, PPIS, User::U64x2(&mut [8, 0])), Err(Errno::ENXIO));
    // 3 saves the pending tables of a GICv3.
    for attr in [1, 2, 3, 4, 6] {
        let id = AttrId::from_raw(4, attr);
        assert_eq!(has(&mut vm, id), Err(Errno::ENXIO));
        assert_eq!(get64(&mut vm, id), Err(Errno::ENXIO));
        assert_eq!(set64(&mut vm, id, 11), Err(Errno::ENXIO));
    }
}

#[test]
fn userspace_ppis_are_told_after_init() {
    let mut vm = created();
    assert_eq!(vm.get(Attr::userspace_ppis()), Ok([0, 0]), "before INIT");
    vm.command(vgic_state::Command::Init).unwrap();
    assert_eq!(vm.get(Attr::userspace_ppis()), Ok([1 << 3, 0]));
    assert_eq!(vm.ioctl(Op::Get, PPIS, User::Null), Err(Errno::EFAULT));
    assert_eq!(vm.ioctl(Op::Get, PPIS, User::U64(&mut 1)), Err(Errno::EFAULT), "8 of 16 bytes");
}

#[test]
fn groups_of_other_gics() {
    let mut vm = ready();
    for group in [1, 2, 5, 7, 8, 9, 12, u32::MAX] {
        let id = AttrId::from_raw(group, 0);
        assert_eq!(has(&mut vm, id), Err(Errno::ENXIO), "{group}");
        assert_eq!(get64(&mut vm, id), Err(Errno::ENXIO), "{group}");
        assert_eq!(set64(&mut vm, id, 13), Err(Errno::ENXIO), "{group}");
    }
}

#[test]
fn objects_of_another_width() {
    let mut vm = created();
    // A wider object takes and gives its first bytes, a narrower one is never overrun.
    let mut wide = 0xaaaa_bbbb_cccc_dddd;
    vm.ioctl(Op::Get, NR_IRQS, User::U64(&mut wide)).unwrap();
    let mut bytes = 0xaaaa_bbbb_cccc_dddd_u64.to_ne_bytes();
    bytes[..4].copy_from_slice(&0_u32.to_ne_bytes());
    assert_eq!(wide.to_ne_bytes(), bytes);
    let mut narrow = 0x1234_5678;
    assert_eq!(vm.ioctl(Op::Get, ADDRESS, User::U32(&mut narrow)), Err(Errno::EFAULT));
    assert_eq!(narrow, 0x1234_5678);
    assert_eq!(vm.ioctl(Op::Set, ADDRESS, User::U32(&mut narrow)), Err(Errno::EFAULT));
    let mut pair = [IRS_ADDRESS, 0x7_7777_0000];
    assert_eq!(vm.ioctl(Op::Set, ADDRESS, User::U64x2(&mut pair)), Ok(()));
    assert_eq!(vm.get(Attr::irs_address()), Ok(IRS_ADDRESS));
}
