//! `GRP_CPU_SYSREGS`.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v5.c` and `vgic-kvm-device.c`, Linux 7.4.
//!
//! Rule: one row per condition of the kernel; pairs show which comes first. No value is refused.

use crate::common::*;
use vgic_state::model::{Op, User};
use vgic_state::uapi::vgic_v5::icc::*;
use vgic_state::{Attr, AttrDevice, AttrId, Errno, Mpidr};

/// 0.1.2.3 of vCPU 5, and a register of it.
fn id(mpidr: u64, instr: u64) -> AttrId {
    AttrId::from_raw(6, mpidr << 32 | instr)
}

#[derive(Clone)]
struct Case {
    mpidr: u64,
    instr: u64,
    held: bool,
    init: bool,
    ran: bool,
    pointer: bool,
}

const GOOD: Case = Case { mpidr: 0x0001_0203, instr: 0xce02, held: false, init: true, ran: false, pointer: true };

fn access(op: Op, case: &Case) -> Result<(), Errno> {
    let mut vm = if case.init { ready() } else { created() };
    if case.ran && case.init {
        // Another vCPU than the one that is accessed.
        vm.run(vcpu_id(9), |_| ()).unwrap();
    }
    vm.hold_vcpu(vcpu_id(2), case.held);
    let mut value = 0x1b;
    let user = if case.pointer { User::U64(&mut value) } else { User::Null };
    vm.ioctl(op, id(case.mpidr, case.instr), user)
}

#[test]
fn get_checks_in_order() {
    let rows: &[Row<Case>] = &[
        ("affinity of no vCPU", |c| c.mpidr = 0x0001_0204, Errno::EINVAL),
        ("vCPU locked", |c| c.held = true, Errno::EBUSY),
        ("not initialised", |c| c.init = false, Errno::EBUSY),
        ("unknown register", |c| c.instr = 0xce03, Errno::ENOENT),
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
        ("affinity of no vCPU", |c| c.mpidr = 5, Errno::EINVAL),
        ("vCPU locked", |c| c.held = true, Errno::EBUSY),
        ("not initialised", |c| c.init = false, Errno::EBUSY),
        ("a vCPU has run", |c| (c.ran, c.init) = (true, true), Errno::EBUSY),
        ("bad pointer", |c| c.pointer = false, Errno::EFAULT),
        ("unknown register", |c| c.instr = 0xc655, Errno::ENOENT),
    ];
    assert_order(&GOOD, rows, |case| access(Op::Set, case));
}

#[test]
fn has_checks_in_order() {
    let rows: &[Row<Case>] = &[
        ("affinity of no vCPU", |c| c.mpidr = 0x0100_0203, Errno::EINVAL),
        ("unknown register", |c| c.instr = 0xc680, Errno::ENXIO),
    ];
    assert_order(&GOOD, rows, |case| access(Op::Has, case));
    assert_eq!(access(Op::Has, &Case { held: true, init: false, pointer: false, ..GOOD }), Ok(()));
}

#[test]
fn exactly_26_registers() {
    let mut vm = ready();
    let known: Vec<u64> = (0..0x1_0000).filter(|instr| has(&mut vm, id(0x0001_0203, *instr)).is_ok()).collect();
    let expected: Vec<u64> = REGISTERS.iter().map(|(_, instr)| *instr).collect();
    assert_eq!(known, expected);
    assert_eq!(known.len(), 26);
    for instr in known {
        assert_eq!(get64(&mut vm, id(0x0001_0203, instr)).map(|_| ()), Ok(()));
        assert_eq!(set64(&mut vm, id(0x0001_0203, instr), u64::MAX), Ok(()));
    }
    // Bits 31:16 are not looked at.
    assert_eq!(get64(&mut vm, id(0x0001_0203, 0xce02 | 0x55 << 16)), Ok(0x1f));
}

#[test]
fn what_registers_keep() {
    let mut vm = ready();
    for (_, mpidr) in VCPUS {
        for (name, instr) in REGISTERS {
            let kept = match *instr as u16 {
                SYS_ICC_ICSR_EL1 => 0xffff_0000_f83f,
                SYS_ICC_PPI_ENABLER0_EL1 | SYS_ICC_PPI_SACTIVER0_EL1 | SYS_ICC_PPI_SPENDR0_EL1 => u64::MAX,
                SYS_ICC_PPI_PRIORITYR0_EL1..=SYS_ICC_PPI_PRIORITYR7_EL1 => 0x1f1f_1f1f_1f1f_1f1f,
                SYS_ICC_APR_EL1 => 0xffff_ffff,
                SYS_ICC_CR0_EL1 => 0b111,
                SYS_ICC_PCR_EL1 => 0x1f,
                _ => 0,
            };
            let attr = Attr::cpu_sysreg(mpidr, *instr as u16);
            let reset = if *instr as u16 == SYS_ICC_CR0_EL1 { 0b110 } else { 0 };
            assert_eq!(vm.get(attr), Ok(reset), "{name}");
            vm.set(attr, u64::MAX).unwrap();
            assert_eq!(vm.get(attr), Ok(kept), "{name}");
            vm.set(attr, 0).unwrap();
            assert_eq!(vm.get(attr), Ok(reset), "{name}: the value itself, not bits to set");
        }
    }
}

#[test]
fn each_vcpu_and_register_has_its_own_value() {
    let mut vm = ready();
    let value = |index: usize, register: usize| (0x0101_0101_0101_0101 * (1 + index as u64)) ^ (register as u64) << 2;
    let modelled = |instr: u64| !matches!(instr as u16, 0xc657 | 0xc66b | 0xc66f | 0xc678..=0xc67f | 0xce00..);
    for (index, (_, mpidr)) in VCPUS.iter().enumerate() {
        for (register, (_, instr)) in REGISTERS.iter().enumerate().filter(|(_, (_, instr))| modelled(*instr)) {
            vm.set(Attr::cpu_sysreg(*mpidr, *instr as u16), value(index, register)).unwrap();
        }
    }
    for (index, (_, mpidr)) in VCPUS.iter().enumerate() {
        for (register, (name, instr)) in REGISTERS.iter().enumerate().filter(|(_, (_, instr))| modelled(*instr)) {
            let mask = match *instr as u16 {
                SYS_ICC_ICSR_EL1 => 0xffff_0000_f83f,
                0xc670.. => 0x1f1f_1f1f_1f1f_1f1f,
                _ => u64::MAX,
            };
            assert_eq!(vm.get(Attr::cpu_sysreg(*mpidr, *instr as u16)), Ok(value(index, register) & mask), "{name}");
        }
    }
}

#[test]
fn vcpus_are_named_by_affinity_not_by_id() {
    let vm = ready();
    for id in [0, 2, 5, 9] {
        assert_eq!(vm.get(Attr::cpu_sysreg(Mpidr::from_packed(id), 0xce02)), Err(Errno::EINVAL), "{id}");
    }
}

#[test]
fn first_run_drops_ppis_that_do_not_exist() {
    let mut vm = ready();
    let all = [SYS_ICC_PPI_ENABLER0_EL1, SYS_ICC_PPI_SACTIVER0_EL1, SYS_ICC_PPI_SPENDR0_EL1];
    for (_, mpidr) in VCPUS {
        for instr in all {
            vm.set(Attr::cpu_sysreg(mpidr, instr), u64::MAX).unwrap();
        }
        vm.set(Attr::cpu_sysreg(mpidr, SYS_ICC_PPI_PRIORITYR1_EL1), 0x0706_0504_0302_0100).unwrap();
    }
    run_all(&mut vm);
    for (_, mpidr) in VCPUS {
        for instr in all {
            assert_eq!(vm.get(Attr::cpu_sysreg(mpidr, instr)), Ok(1 << 3 | 1 << 23 | 1 << 27 | 1 << 30));
        }
        assert_eq!(vm.get(Attr::cpu_sysreg(mpidr, SYS_ICC_PPI_PRIORITYR1_EL1)), Ok(0x0706_0504_0302_0100), "priorities stay");
    }
}
