//! The record of accesses, faults on demand, and calls that make no sense.
//!
//! Source: none of the kernel's.
//!
//! Rule: every access is in the record once. No call panics.

use crate::common::*;
use proptest::prelude::*;
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::model::{Access, Buffer, Fault, HostStep, IstArg, Memory, Op, User, Value};
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, IntId, IstDevice, Mpidr, Vcpu};

#[test]
fn the_record_reads_as_the_calls_were() {
    let mut vm = created();
    let pcr = Attr::cpu_sysreg(Mpidr::new(0, 1, 2, 3), 0xce02);
    let _ = vm.has(AttrId::IST);
    let _ = vm.get(pcr);
    let _ = vm.set(Attr::nr_irqs(), 64);
    let _ = vm.set(Attr::irs_address(), IRS_ADDRESS);
    let _ = vm.command(Command::Init);
    let _ = vm.get(Attr::userspace_ppis());
    let _ = vm.set(Attr::irs(0x80), 1);
    let _ = vm.get(Attr::irs(0x80));
    let _ = vm.get(Attr::irs(0x1_0000));
    let _ = vm.set(pcr, 0x19);
    let _ = vm.save_ist(&mut [0; SPI_BYTES], None);
    let _ = vm.restore_ist(&[0; SPI_BYTES], Some(&[0; LPI_BYTES]));
    let _ = vm.ioctl(Op::Set, AttrId::from_raw(3, 0), User::Null);
    let lines: Vec<String> = vm.trace().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "has IST",
            "get ICC_PCR_EL1 of vCPU 0.1.2.3 -> EBUSY",
            "set NR_IRQS = 64",
            "set IRS address = 0x456700000",
            "set INIT",
            "get USERSPACE_PPIS = 0x8, 0x0",
            "set IRS_CR0 = 0x1",
            "get IRS_CR0 = 0x3",
            "get group 10 attribute 0x10000 -> ENXIO",
            "set ICC_PCR_EL1 of vCPU 0.1.2.3 = 0x19",
            "get IST spi 256 bytes, no lpi",
            "set IST spi 256 bytes, lpi 1024 bytes -> EINVAL",
            "set NR_IRQS -> EFAULT",
        ]
    );
    vm.clear_trace();
    assert_eq!(vm.trace(), []);
    let _ = vm.get(Attr::nr_irqs());
    let access = Access { op: Op::Get, id: Attr::nr_irqs().id(), value: Some(Value::U32(64)), result: Ok(()) };
    assert_eq!(vm.trace(), [access]);
}

#[test]
fn runs_and_hooks_are_no_accesses() {
    let mut vm = ready();
    vm.clear_trace();
    vm.run(vcpu_id(5), |guest| guest.irs_write32(0x80, 1)).unwrap();
    vm.set_spi_level(5, true).unwrap();
    vm.set_hwu(IntId::Spi(5), 1).unwrap();
    assert_eq!(vm.trace(), []);
}

#[test]
fn the_nth_access_fails_and_no_other() {
    for n in 0..6 {
        let mut vm = created();
        vm.set_fault(Fault::access(n, Errno::EINTR));
        let results = [
            vm.has(AttrId::IST),
            vm.set(Attr::nr_irqs(), 96),
            vm.get(Attr::nr_irqs()).map(|_| ()),
            vm.command(Command::Init),
            vm.save_ist(&mut [0; 384], None),
        ];
        let effect = |at: u32, result: Result<(), Errno>| if n == at { Err(Errno::EINTR) } else { result };
        // Without NR_IRQS the table has 32 entries; without INIT there is none.
        let saved = match n {
            1 => Err(Errno::EINVAL),
            3 => Err(Errno::EBUSY),
            _ => Ok(()),
        };
        assert_eq!(results, [effect(0, Ok(())), effect(1, Ok(())), effect(2, Ok(())), effect(3, Ok(())), effect(4, saved)], "{n}");
        assert_eq!(vm.trace().len(), 5);
    }
}

#[test]
fn an_attribute_fails_every_time() {
    let mut vm = ready();
    let cr0 = Attr::irs(0x80);
    vm.set_fault(Fault::attribute(cr0.id(), Errno::EIO));
    for _ in 0..2 {
        assert_eq!(vm.get(cr0), Err(Errno::EIO));
        assert_eq!(vm.set(cr0, 1), Err(Errno::EIO));
        assert_eq!(vm.has(cr0.id()), Ok(()));
        assert_eq!(vm.set(Attr::irs(0x84), 0x30), Ok(()));
    }
    vm.clear_faults();
    assert_eq!(vm.get(cr0), Ok(2), "the sets had no effect");
    assert_eq!(vm.get(Attr::irs(0x84)), Ok(0x30));
}

#[test]
fn faults_add_up_and_a_fault_comes_before_every_check() {
    let mut vm = ready();
    vm.set_fault(Fault::access(1, Errno::EPERM));
    vm.set_fault(Fault::access(0, Errno::ENOTTY));
    vm.set_fault(Fault::attribute(AttrId::IST, Errno::ENOMEM));
    vm.set_fault(Fault::not_quiesced(1));
    vm.set_fault(Fault::host(HostStep::SpiTable, Errno::ENXIO));
    let mut table = [0; SPI_BYTES];
    let seen: Vec<_> = (0..3).map(|_| vm.save_ist(&mut table, None)).collect();
    assert_eq!(seen[2], Err(Errno::ENOMEM));
    assert_eq!(seen[..2].iter().map(|result| result.is_err()).collect::<Vec<_>>(), [true, true]);
    vm.clear_faults();
    assert_eq!(vm.save_ist(&mut table, None), Ok(()));
}

fn memory<'a>(kind: u8, bytes: &'a mut [u8]) -> Memory<'a> {
    match kind % 4 {
        0 => Memory::Null,
        1 => Memory::Fault,
        2 => Memory::ReadOnly(bytes),
        _ => Memory::Bytes(bytes),
    }
}

/// One call of anything, with numbers from anywhere.
fn call(vm: &mut Vm, what: u8, a: u32, b: u64) {
    let id = match a % 3 {
        0 => IntId::Ppi(b as u32),
        1 => IntId::Spi(b as u32),
        _ => IntId::Lpi(b as u32),
    };
    let vcpu = vcpu_id(a % 512);
    let odd = b & 1 != 0;
    let (mut word, mut pair, mut half) = (b, [b, u64::from(a)], a);
    match what {
        0 => _ = vm.create_vcpu(Vcpu::with_default_mpidr(a % 512).unwrap()),
        1 => _ = vm.create_device(a % 18),
        2 => _ = vm.set(Attr::nr_irqs(), a),
        3 => _ = vm.set(Attr::irs_address(), b << 16),
        4 => _ = vm.command(Command::Init),
        5 => _ = vm.set(Attr::irs(a % 0x100 * 4), b),
        6 => _ = vm.get(Attr::irs(a)),
        7 => _ = vm.ioctl(Op::Set, AttrId::from_raw(a % 13, b), User::U64x2(&mut pair)),
        8 => _ = vm.ioctl(Op::Get, AttrId::from_raw(a % 13, b), User::U64(&mut word)),
        9 => _ = vm.ioctl(Op::Get, AttrId::from_raw(a % 13, b), User::U32(&mut half)),
        10 | 11 => {
            let (mut spi, mut lpi) = ([a as u8; 200], [b as u8; 3000]);
            let spi_size = [0, 128, 256, b][a as usize % 4];
            let lpi_size = [0, 1024, 2048, b][b as usize % 4];
            let spi = Buffer { memory: memory((a >> 8) as u8, &mut spi), size: spi_size };
            let lpi = Buffer { memory: memory((b >> 8) as u8, &mut lpi), size: lpi_size };
            let op = if what == 10 { Op::Get } else { Op::Set };
            _ = vm.ioctl(op, AttrId::IST, User::Ist(IstArg { spi, lpi }));
        }
        12 => _ = vm.plant_lpi_ist(a, &[0; 64]),
        13 => _ = vm.set_spi_level(a, odd),
        14 => _ = vm.set_ppi_level(vcpu, a, true),
        15 => _ = vm.drive_ppi(vcpu, a, odd),
        16 => _ = vm.set_hwu(id, a),
        17 => vm.hold_vcpu(vcpu, b & 7 == 0),
        18 => _ = (vm.spi(a), vm.entry(id), vm.replayed(), vm.trace()),
        _ => {
            let _ = vm.run(vcpu, |guest| {
                guest.irs_write32(a, b as u32);
                guest.irs_write64(a % 0x200, b);
                guest.irs_write32(0x190, a % 12);
                guest.irs_write64(0x180, b & 0xff_ffff);
                guest.icc_write(a as u16, b);
                guest.icc_write(0xc670 + a as u16 % 16, b);
                guest.enable_ppi(a, true);
                guest.pend_ppi(a, odd);
                guest.set_ppi_priority(a, b as u32);
                guest.cdpri(id, a);
                guest.cdaff(id, a as u16);
                guest.cdhm(id, odd);
                guest.cden(id);
                guest.cdpend(id, true);
                guest.enable_interface();
                guest.set_priority_mask(a);
                guest.acknowledge();
                guest.eoi();
                guest.deactivate(id);
                (guest.cdrcfg(id), guest.irs_read32(a), guest.irs_read64(a), guest.icc_read(a as u16))
            });
        }
    }
}

proptest! {
    #![proptest_config(crate::seeds::cases(200))]

    #[test]
    fn no_call_panics(
        ready_made in any::<bool>(),
        id_bits in any::<u32>(), min_lpi_id_bits in any::<u32>(), priority_bits in any::<u32>(), max_vcpus in any::<u32>(),
        calls in proptest::collection::vec((0..24_u8, prop_oneof![any::<u32>(), 0..64_u32], prop_oneof![any::<u64>(), 0..64_u64]), 0..60),
    ) {
        let host = Host { id_bits, min_lpi_id_bits, priority_bits, max_vcpus: max_vcpus % 600, ipa_bits: id_bits, pa_range: max_vcpus, ..Host::default() };
        let mut vm = if ready_made { ready() } else { Vm::new(host) };
        for (what, a, b) in calls {
            call(&mut vm, what, a, b);
        }
    }
}
