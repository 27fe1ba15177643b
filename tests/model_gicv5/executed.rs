//! Rules that were settled by running the kernel's own code, where a reading of it had left a choice. One test for each.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-init.c`, `vgic-v5.c`, `vgic-v5-tables.c`, `vgic-irs-v5.c`, `vgic-kvm-device.c` and
//! `vgic-mmio.c`, Linux 7.4, compiled in user space over a host in memory. `tests/conversations` has what it answered.
//!
//! Rule: a test says the rule in its name, and fails if the model has it otherwise.

use crate::common::*;
use crate::guest::boot;
use vgic_state::model::gicv5::{Host, Spi, Vm};
use vgic_state::model::{Fault, HostStep, Op, User};
use vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V5 as V5;
use vgic_state::uapi::vgic_v5::icc::{SYS_ICC_PPI_ENABLER0_EL1, SYS_ICC_PPI_SACTIVER0_EL1, SYS_ICC_PPI_SPENDR0_EL1};
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, IntId, IstDevice, Vcpu};

const SPI_SELR: u32 = 0x108;
const SPI_CFGR: u32 = 0x114;
const HM_PENDING: u8 = 0b101;
const HM_ACTIVE: u8 = 0b110;

/// A table in which one entry has these low bits.
fn one_spi(spi: usize, bits: u8) -> [u8; SPI_BYTES] {
    let mut table = [0; SPI_BYTES];
    table[spi * 4] = bits;
    table
}

fn soft(spi: Spi) -> (bool, bool, bool) {
    (spi.level, spi.line, spi.latch)
}

// Row 1.
#[test]
fn spi_cfgr_changes_kvms_trigger_mode_alone_and_a_restore_makes_the_spi_edge() {
    let mut source = ready();
    source
        .run(vcpu_id(5), |guest| {
            guest.irs_write32(SPI_SELR, 30);
            guest.irs_write32(SPI_CFGR, 1);
            assert_eq!(guest.irs_read32(SPI_CFGR), 1);
        })
        .unwrap();
    source.set_spi_level(30, true).unwrap();
    let spi = source.spi(30).unwrap();
    assert_eq!((spi.entry, soft(spi)), (0b001, (true, true, false)), "Pending, and HM stays 0");
    let mut table = [0; SPI_BYTES];
    source.save_ist(&mut table, None).unwrap();
    assert_eq!(table, one_spi(30, 0b001));

    let mut target = ready();
    target.set(Attr::irs(SPI_SELR), 30).unwrap();
    target.restore_ist(&table, None).unwrap();
    assert_eq!(target.get(Attr::irs(SPI_CFGR)), Ok(0), "edge");
    assert_eq!(soft(target.spi(30).unwrap()), (false, false, true));

    // What a VMM can do that knows the SPI: HM set, Pending clear, and the line driven.
    let mut mended = ready();
    mended.restore_ist(&one_spi(30, 0b100), None).unwrap();
    for (level, entry) in [(true, 0b101), (false, 0b100)] {
        mended.set_spi_level(30, level).unwrap();
        assert_eq!(mended.entry(IntId::Spi(30)), Some(entry));
    }
}

// Row 2.
#[test]
fn a_restored_latch_of_a_level_spi_is_cleared_by_nothing() {
    let mut vm = ready();
    vm.restore_ist(&one_spi(12, HM_PENDING), None).unwrap();
    vm.run(vcpu_id(5), boot).unwrap();
    for level in [true, false] {
        vm.set_spi_level(12, level).unwrap();
        assert_eq!(vm.entry(IntId::Spi(12)), Some(0b101), "line {level}");
    }
    // Neither the end of the interrupt nor a guest that takes Pending away reaches KVM's latch: the next fall sets Pending again.
    vm.set_spi_level(12, true).unwrap();
    vm.run(vcpu_id(5), |guest| {
        guest.cdaff(IntId::Spi(12), 5);
        guest.cden(IntId::Spi(12));
        assert_eq!(guest.acknowledge(), Some(IntId::Spi(12)));
        guest.eoi();
        guest.deactivate(IntId::Spi(12));
        guest.cdpend(IntId::Spi(12), false);
        assert_eq!(guest.acknowledge(), None);
    })
    .unwrap();
    vm.set_spi_level(12, false).unwrap();
    assert_eq!(soft(vm.spi(12).unwrap()), (true, false, true));
    let again = vm.run(vcpu_id(5), |guest| guest.acknowledge());
    assert_eq!(again, Ok(Some(IntId::Spi(12))), "the line is low, and the guest sees it again");
}

// Row 3.
#[test]
fn ppis_that_do_not_exist_are_dropped_at_the_first_run_of_each_vcpu() {
    let mut vm = ready();
    let registers = [SYS_ICC_PPI_ENABLER0_EL1, SYS_ICC_PPI_SACTIVER0_EL1, SYS_ICC_PPI_SPENDR0_EL1];
    for (_, mpidr) in VCPUS {
        for instr in registers {
            vm.set(Attr::cpu_sysreg(mpidr, instr), u64::MAX).unwrap();
        }
    }
    let exposed = 1 << 3 | 1 << 23 | 1 << 27 | 1 << 30;
    for (ran, (id, _)) in VCPUS.iter().enumerate() {
        vm.run(vcpu_id(*id), |_| ()).unwrap();
        for (index, (_, mpidr)) in VCPUS.iter().enumerate() {
            for instr in registers {
                let expected = if index <= ran { exposed } else { u64::MAX };
                assert_eq!(vm.get(Attr::cpu_sysreg(*mpidr, instr)), Ok(expected), "vCPU {index}, {ran} ran last");
            }
        }
    }
}

// Row 4.
#[test]
fn a_failed_init_fixes_the_number_of_spis_and_knows_the_ppis_after_the_el2_check() {
    type Case = (fn(&mut Vm), Errno, u64);
    let cases: [Case; 3] = [
        (|_| (), Errno::ENODEV, 0),
        (|vm| vm.create_el2_vcpu(vcpu(0)).unwrap(), Errno::EINVAL, 0),
        (
            |vm| {
                vm.create_vcpu(vcpu(0)).unwrap();
                vm.set_fault(Fault::host(HostStep::Init, Errno::ENOMEM));
            },
            Errno::ENOMEM,
            1 << 3,
        ),
    ];
    for (prepare, errno, ppis) in cases {
        for (set, count) in [(None, 32), (Some(96), 96)] {
            let mut vm = Vm::new(Host::default());
            vm.create_device(V5).unwrap();
            prepare(&mut vm);
            if let Some(count) = set {
                vm.set(Attr::nr_irqs(), count).unwrap();
            }
            assert_eq!(vm.command(Command::Init), Err(errno));
            assert_eq!(vm.get(Attr::nr_irqs()), Ok(count), "{errno}");
            assert_eq!(vm.set(Attr::nr_irqs(), 64), Err(Errno::EBUSY), "{errno}");
            assert_eq!(vm.get(Attr::userspace_ppis()), Ok([ppis, 0]), "{errno}");
        }
    }
    let mut vm = created();
    vm.hold_creation(true);
    assert_eq!(vm.command(Command::Init), Err(Errno::EBUSY));
    assert_eq!(vm.get(Attr::nr_irqs()), Ok(0), "a vCPU being created is seen before the number");
}

// Row 5.
#[test]
fn bits_63_to_32_of_an_irs_attribute_do_not_matter() {
    let mut vm = ready();
    for high in [1, 1 << 31, u32::MAX] {
        let id = |offset: u32| AttrId::from_raw(10, u64::from(high) << 32 | u64::from(offset));
        assert_eq!(has(&mut vm, id(0)), Ok(()));
        assert_eq!(get64(&mut vm, id(0x14)), Ok(u64::from(SPIS)));
        assert_eq!(set64(&mut vm, id(SPI_SELR), u64::from(high & 0xff)), Ok(()));
        assert_eq!(vm.get(Attr::irs(SPI_SELR)), Ok(u64::from(high & 0xff)));
        assert_eq!(has(&mut vm, id(0x98)), Err(Errno::ENXIO), "no register");
        assert_eq!(has(&mut vm, id(0x184)), Err(Errno::EINVAL), "the middle of one");
    }
}

// Row 6.
#[test]
fn idr5_to_idr7_are_compared_without_the_bits_above_their_fields() {
    let mut vm = ready();
    for (offset, current, field) in [(0x14, SPIS, 25), (0x18, SPIS, 25), (0x1c, 0, 24)] {
        for bit in 0..32 {
            let expected = if bit < field { Err(Errno::EINVAL) } else { Ok(()) };
            assert_eq!(vm.set(Attr::irs(offset), u64::from(current ^ 1 << bit)), expected, "{offset:#x}, bit {bit}");
            assert_eq!(vm.get(Attr::irs(offset)), Ok(u64::from(current)));
        }
    }
}

// Row 7.
#[test]
fn id_bits_may_be_written_up_to_the_hosts_own_number() {
    let idr2 = |id_bits: u64| id_bits | 1 << 5 | 8 << 6;
    let mut vm = ready_on(Host { id_bits: 18, ..Host::default() });
    assert_eq!(vm.get(Attr::irs(0x8)), Ok(idr2(16)), "after INIT");
    assert_eq!(vm.set(Attr::irs(0x8), idr2(19)), Err(Errno::EINVAL));
    assert_eq!(vm.set(Attr::irs(0x8), idr2(18)), Ok(()));
    assert_eq!(vm.get(Attr::irs(0x8)), Ok(idr2(18)));
    // And then there can be so many LPIs.
    vm.set(Attr::irs(CFGR), 17).unwrap();
    vm.set(Attr::irs(BASER), BASER_VALID).unwrap();
    let mut lpi = vec![0; 4 << 17];
    lpi[(1 << 17) * 4 - 1] = 9;
    assert_eq!(vm.restore_ist(&[0; SPI_BYTES], Some(&lpi)), Ok(()));
    assert_eq!(vm.entry(IntId::Lpi((1 << 17) - 1)), Some(9 << 24));
}

// Row 8.
#[test]
fn an_id_that_exists_is_eexist_after_init_too_and_a_device_refused_for_an_id_limits_the_vcpus() {
    let mut vm = ready();
    for index in 0..VCPUS.len() {
        assert_eq!(vm.create_vcpu(vcpu(index)), Err(Errno::EEXIST));
        assert_eq!(vm.create_el2_vcpu(vcpu(index)), Err(Errno::EEXIST));
    }
    assert_eq!(vm.create_vcpu(Vcpu::with_default_mpidr(3).unwrap()), Err(Errno::EBUSY));

    let limited = |id| {
        let mut vm = Vm::new(Host { max_vcpus: 4, ..Host::default() });
        vm.create_vcpu(Vcpu::with_default_mpidr(id).unwrap()).unwrap();
        vm
    };
    let mut vm = limited(7);
    assert_eq!(vm.create_vcpu(Vcpu::with_default_mpidr(5).unwrap()), Ok(()), "beyond the limit, which is not in force yet");
    assert_eq!(vm.create_device(V5), Err(Errno::E2BIG));
    assert_eq!(vm.create_vcpu(Vcpu::with_default_mpidr(6).unwrap()), Err(Errno::EINVAL), "it is now");
    for id in [0, 3] {
        assert_eq!(vm.create_vcpu(Vcpu::with_default_mpidr(id).unwrap()), Ok(()));
    }
    assert_eq!(vm.create_vcpu(Vcpu::with_default_mpidr(1).unwrap()), Err(Errno::EINVAL), "four exist");
    assert_eq!(vm.create_vcpu(Vcpu::with_default_mpidr(7).unwrap()), Err(Errno::EINVAL), "which comes before the same id");
    // Another reason to refuse a device does nothing of the kind.
    let mut vm = limited(2);
    vm.hold_creation(true);
    assert_eq!(vm.create_device(V5), Err(Errno::EBUSY));
    assert_eq!(vm.create_vcpu(Vcpu::with_default_mpidr(6).unwrap()), Ok(()));
}

// Row 9.
#[test]
fn bad_pointers_of_a_redistributor_region_and_of_the_ppis() {
    let mut vm = ready();
    let region = AttrId::from_raw(0, 5);
    assert_eq!(vm.ioctl(Op::Get, region, User::Fault), Err(Errno::EFAULT));
    assert_eq!(vm.ioctl(Op::Get, region, User::U32(&mut 7)), Err(Errno::EFAULT), "4 of 8 bytes");
    assert_eq!(vm.ioctl(Op::Get, region, User::U64(&mut 7)), Err(Errno::ENXIO));
    for attr in [0, 1, 2, 3, 4, 7] {
        assert_eq!(vm.ioctl(Op::Get, AttrId::from_raw(0, attr), User::Fault), Err(Errno::ENXIO), "{attr}");
    }

    let ppis = Attr::userspace_ppis().id();
    let (mut half, mut word) = (0x1234, 0x1234);
    assert_eq!(vm.ioctl(Op::Get, ppis, User::U32(&mut half)), Err(Errno::EFAULT));
    assert_eq!(vm.ioctl(Op::Get, ppis, User::U64(&mut word)), Err(Errno::EFAULT));
    assert_eq!((half, word), (0x1234, 1 << 3), "a word that is mapped is written");
}

// Row 10.
#[test]
fn a_ppi_line_before_init_is_ebusy_whatever_it_names() {
    let mut vm = created();
    let drive = |vm: &mut Vm| [(5, 3), (4, 3), (5, 64), (5, 30)].map(|(id, ppi)| vm.set_ppi_level(vcpu_id(id), ppi, true));
    assert_eq!(drive(&mut vm), [Err(Errno::EBUSY); 4]);
    vm.command(Command::Init).unwrap();
    // The vCPU is named by its id: 5 was created first, 4 does not exist.
    assert_eq!(drive(&mut vm), [Ok(()), Err(Errno::EINVAL), Err(Errno::EINVAL), Err(Errno::EINVAL)]);
    let pending = VCPUS.map(|(_, mpidr)| vm.get(Attr::cpu_sysreg(mpidr, SYS_ICC_PPI_SPENDR0_EL1)).unwrap());
    assert_eq!(pending, [1 << 3, 0, 0]);
}

// Row 11.
#[test]
fn a_guest_reaches_either_half_of_a_64_bit_register() {
    let mut vm = ready();
    vm.run(vcpu_id(9), |guest| {
        guest.irs_write32(CFGR, BITS);
        guest.irs_write32(BASER + 4, 0xff00_0007);
        assert_eq!(guest.irs_read64(BASER), 7 << 32, "the low half stays, and ADDR ends at bit 55");
        guest.irs_write32(BASER, 0x9abc_de3e);
        assert_eq!(guest.irs_read64(BASER), 0x7_9abc_de00);
        assert_eq!((guest.irs_read32(BASER), guest.irs_read32(BASER + 4)), (0x9abc_de00, 7));
        assert_eq!(guest.cdrcfg(IntId::Lpi(0)), 1, "no table");
        guest.irs_write32(BASER, 0x9abc_de01);
        guest.cden(IntId::Lpi(255));
        assert_eq!(guest.cdrcfg(IntId::Lpi(255)), 0b10, "VALID made one");
        guest.irs_write32(BASER + 4, 5);
        guest.irs_write32(CFGR, 9);
        assert_eq!((guest.irs_read64(BASER), guest.irs_read32(CFGR)), (0x7_9abc_de01, BITS), "nothing changes while it is valid");
        guest.irs_write32(BASER, 0x40);
        assert_eq!((guest.irs_read64(BASER), guest.cdrcfg(IntId::Lpi(255))), (0x7_0000_0040, 1));
        // 64 bits at a 32-bit register are nothing, and neither is what is no register.
        guest.irs_write64(0x84, 0x15);
        assert_eq!((guest.irs_read64(0x84), guest.irs_read32(0x84)), (0, 0));
        for offset in [0x200, 0x204, 0x2c8, 0x304] {
            guest.irs_write32(offset, 0x5555_5555);
            assert_eq!(guest.irs_read32(offset), 0, "{offset:#x}");
        }
    })
    .unwrap();
}

// Row 12.
#[test]
fn a_timeout_of_the_spi_table_in_init_kills() {
    let mut vm = created();
    vm.set_fault(Fault::host(HostStep::MapSpi, Errno::ETIMEDOUT));
    assert_eq!(vm.command(Command::Init), Err(Errno::ETIMEDOUT));
    assert!(vm.is_dead());
    assert_eq!(vm.command(Command::Init), Err(Errno::EIO));
    assert_eq!(vm.get(Attr::nr_irqs()), Err(Errno::EIO));

    // The command for the VM itself can be tried again.
    let mut vm = created();
    vm.set_fault(Fault::host(HostStep::MapVm, Errno::ETIMEDOUT));
    assert_eq!(vm.command(Command::Init), Err(Errno::ETIMEDOUT));
    assert_eq!(vm.get(Attr::irs(CFGR)), Err(Errno::EBUSY));
    assert_eq!(vm.command(Command::Init), Ok(()));
}

// Row 13.
#[test]
fn a_restore_that_times_out_for_good_leaves_a_vm_that_cannot_run() {
    let spi = one_spi(7, 0b1001);
    let lpi = [0; LPI_BYTES];
    // How many times the command fails; whether the LPI table is left; what a second try gives.
    for (step, times, left, retry) in [
        (HostStep::UnmapVm, 1, false, Ok(())),
        (HostStep::UnmapVm, 2, true, Err(Errno::EBUSY)),
        (HostStep::MapVm, 1, false, Ok(())),
        (HostStep::MapVm, 2, false, Err(Errno::ENXIO)),
    ] {
        let mut vm = ready_for_lpis();
        for _ in 0..times {
            vm.set_fault(Fault::host(step, Errno::ETIMEDOUT));
        }
        assert_eq!(vm.restore_ist(&spi, Some(&lpi)), Err(Errno::ETIMEDOUT));
        assert_eq!(vm.entry(IntId::Lpi(0)), left.then_some(0), "{step:?}, {times} times");
        assert_eq!(vm.restore_ist(&spi, Some(&lpi)), retry, "{step:?}, {times} times");
        let run = vm.run(vcpu_id(5), |_| ());
        assert_eq!(run, if retry.is_ok() { Ok(()) } else { Err(Errno::EINVAL) }, "{step:?}, {times} times");
        assert_eq!(vm.is_dead(), retry.is_err());
    }
    // Without LPIs the tables are given back by the next restore.
    let mut vm = ready();
    for _ in 0..2 {
        vm.set_fault(Fault::host(HostStep::MapVm, Errno::ETIMEDOUT));
    }
    assert_eq!(vm.restore_ist(&spi, None), Err(Errno::ETIMEDOUT));
    assert_eq!(vm.restore_ist(&spi, None), Ok(()));
    assert_eq!(vm.replayed(), [IntId::Spi(7)]);
}

// Row 14.
#[test]
fn a_second_restore_without_pending_clears_the_latch_of_an_active_level_spi() {
    let mut vm = ready();
    for (bits, latch) in [(HM_PENDING, true), (HM_ACTIVE, false), (HM_PENDING | HM_ACTIVE, true), (0b100, false)] {
        vm.restore_ist(&one_spi(12, bits), None).unwrap();
        assert_eq!(soft(vm.spi(12).unwrap()), (true, false, latch), "{bits:#b}");
    }
}
