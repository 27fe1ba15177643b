//! Set of `GRP_IST`: which call is refused, and what a call that failed leaves.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5.c` and `vgic-v5-tables.c`, Linux 7.4; arm-vgic-v5.rst, `GRP_IST`.
//!
//! Rule: one row per condition of the kernel; pairs show which comes first.

use crate::common::*;
use crate::ist_save::At;
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::model::{Buffer, Fault, HostStep, IstArg, Memory, Op, User};
use vgic_state::{Attr, AttrDevice, AttrId, Errno, IntId, IstDevice};

#[derive(Clone)]
struct Case {
    attr: u64,
    held: bool,
    init: bool,
    ran: bool,
    argument: At,
    spi: At,
    spi_size: u64,
    cfgr: u64,
    lpi: At,
    lpi_size: u64,
    /// An LPI table was restored before.
    exists: bool,
    host: Option<(HostStep, Errno)>,
}

const WITH_LPIS: Case = Case {
    attr: 0,
    held: false,
    init: true,
    ran: false,
    argument: At::Good,
    spi: At::Good,
    spi_size: 256,
    cfgr: BITS as u64,
    lpi: At::Good,
    lpi_size: 1024,
    exists: false,
    host: None,
};

fn restore(case: &Case) -> Result<(), Errno> {
    let mut vm = if case.init { ready() } else { created() };
    let (mut spi, mut lpi) = ([0; SPI_BYTES], [0; LPI_BYTES]);
    if case.ran && case.init {
        run_all(&mut vm);
    } else if case.init {
        vm.set(Attr::irs(CFGR), case.cfgr).unwrap();
        vm.set(Attr::irs(BASER), BASER_VALID).unwrap();
    }
    if case.exists && case.init && !case.ran && case.cfgr == u64::from(BITS) {
        vm.restore_ist(&spi, Some(&lpi)).unwrap();
    }
    vm.hold_vcpu(vcpu_id(2), case.held);
    if let Some((step, errno)) = case.host {
        vm.set_fault(Fault::host(step, errno));
    }
    let user = match case.argument {
        At::Null => User::Null,
        At::Good => User::Ist(IstArg {
            spi: Buffer { memory: case.spi.memory(&mut spi), size: case.spi_size },
            lpi: Buffer { memory: case.lpi.memory(&mut lpi), size: case.lpi_size },
        }),
        At::Bad | At::Short => User::Fault,
    };
    vm.ioctl(Op::Set, AttrId::from_raw(11, case.attr), user)
}

#[test]
fn restore_checks_in_order() {
    let rows: &[Row<Case>] = &[
        ("1: attribute not 0", |c| c.attr = 3, Errno::ENXIO),
        ("2: vCPU locked", |c| c.held = true, Errno::EBUSY),
        ("3: not initialised", |c| c.init = false, Errno::EBUSY),
        ("4: a vCPU has run", |c| (c.ran, c.init) = (true, true), Errno::EBUSY),
        ("5: address 0", |c| c.argument = At::Null, Errno::EINVAL),
        ("5: structure unreadable", |c| c.argument = At::Bad, Errno::EFAULT),
        ("6: SPI address 0", |c| c.spi = At::Null, Errno::EINVAL),
        ("6: SPI size wrong", |c| c.spi_size = 128, Errno::EINVAL),
        ("8 of save: IST_CFGR illegal", |c| c.cfgr = 8 | 2 << 7, Errno::EINVAL),
        ("9 of save: LPI address 0", |c| c.lpi = At::Null, Errno::EINVAL),
        ("9 of save: LPI size wrong", |c| c.lpi_size = 512, Errno::EINVAL),
        ("7: an LPI table exists", |c| c.exists = true, Errno::EBUSY),
        ("8: no memory", |c| (c.host, c.exists) = (Some((HostStep::AllocateLpi, Errno::ENOMEM)), false), Errno::ENOMEM),
        ("8: table not made valid", |c| c.host = Some((HostStep::MapLpi, Errno::ETIMEDOUT)), Errno::ETIMEDOUT),
        ("9: VM not made invalid", |c| c.host = Some((HostStep::UnmapVm, Errno::ETIMEDOUT)), Errno::ETIMEDOUT),
        ("10: no SPI table", |c| c.host = Some((HostStep::SpiTable, Errno::ENXIO)), Errno::ENXIO),
        ("10: bad page of the SPI buffer", |c| (c.spi, c.host) = (At::Bad, None), Errno::EFAULT),
        ("11: no LPI table", |c| (c.host, c.spi) = (Some((HostStep::LpiTable, Errno::ENOMEM)), At::Good), Errno::ENOMEM),
        ("11: bad page of the LPI buffer", |c| (c.lpi, c.host) = (At::Short, None), Errno::EFAULT),
        ("12: VM not made valid", |c| (c.host, c.lpi) = (Some((HostStep::MapVm, Errno::ETIMEDOUT)), At::Good), Errno::ETIMEDOUT),
    ];
    assert_order(&WITH_LPIS, rows, restore);
}

#[test]
fn lpis_before_the_registers() {
    let mut vm = ready();
    assert_eq!(vm.restore_ist(&[0; SPI_BYTES], Some(&[0; LPI_BYTES])), Err(Errno::EINVAL));
    assert_eq!(vm.entry(IntId::Lpi(0)), None);
}

#[test]
fn twice_with_lpis_is_refused_and_twice_without_is_not() {
    let mut vm = ready_for_lpis();
    let mut spi = [0; SPI_BYTES];
    vm.restore_ist(&spi, Some(&[0; LPI_BYTES])).unwrap();
    assert_eq!(vm.restore_ist(&spi, Some(&[0; LPI_BYTES])), Err(Errno::EBUSY));
    assert_eq!(vm.restore_ist(&spi, None), Err(Errno::EINVAL), "sizes, before the table that exists");

    let mut vm = ready();
    vm.restore_ist(&spi, None).unwrap();
    spi[7 * 4 + 1] = 0x58;
    vm.restore_ist(&spi, None).unwrap();
    assert_eq!(vm.entry(IntId::Spi(7)), Some(0x5800));
}

#[test]
fn one_vcpu_that_ran_is_enough() {
    let mut vm = ready();
    vm.run(vcpu_id(9), |_| ()).unwrap();
    assert_eq!(vm.restore_ist(&[0; SPI_BYTES], None), Err(Errno::EBUSY));
}

#[test]
fn every_width_of_lpi_ids() {
    let host = Host { min_lpi_id_bits: 3, ..Host::default() };
    for bits in 3..=16 {
        let mut vm = ready_on(host);
        vm.set(Attr::irs(CFGR), bits).unwrap();
        vm.set(Attr::irs(BASER), BASER_VALID).unwrap();
        let table: Vec<u8> = (0..1_u32 << bits).flat_map(|lpi| (lpi << 16 | 8).to_le_bytes()).collect();
        vm.restore_ist(&[0; SPI_BYTES], Some(&table)).unwrap();
        let last = (1 << bits) - 1;
        assert_eq!(vm.entry(IntId::Lpi(last)), Some(last << 16 | 8));
        assert_eq!(vm.entry(IntId::Lpi(last + 1)), None);
        let mut saved = vec![0; table.len()];
        vm.save_ist(&mut [0; SPI_BYTES], Some(&mut saved)).unwrap();
        assert_eq!(saved, table);
    }
}

#[test]
fn narrowed_id_registers_bind_the_table() {
    let mut vm = ready_for_lpis();
    vm.set(Attr::irs(0x8), 12 | 1 << 5 | 9 << 6).unwrap();
    assert_eq!(vm.restore_ist(&[0; SPI_BYTES], Some(&[0; LPI_BYTES])), Err(Errno::EINVAL), "8 bits, minimum 9");
    vm.set(Attr::irs(CFGR), 13).unwrap();
    assert_eq!(vm.restore_ist(&[0; SPI_BYTES], Some(&[0; 4 << 13])), Err(Errno::EINVAL), "13 bits, maximum 12");
    vm.set(Attr::irs(CFGR), 12).unwrap();
    assert_eq!(vm.restore_ist(&[0; SPI_BYTES], Some(&[0; 4 << 12])), Ok(()));
}

/// SPI 4 pending, level, enabled; SPI 40 edge, enabled, priority 6.
fn two_spis() -> [u8; SPI_BYTES] {
    let mut spi = [0; SPI_BYTES];
    spi[16] = 0b1101;
    spi[160..162].copy_from_slice(&0x3008_u16.to_le_bytes());
    spi
}

/// A restore that failed, and what is left of it: entries of SPI 4 and 40, whether SPI 4 is a level interrupt.
fn left_by(vm: &mut Vm, spi: Memory<'_>, lpi: Memory<'_>) -> (Errno, u32, u32, bool) {
    let arg = IstArg { spi: Buffer { memory: spi, size: 256 }, lpi: Buffer { memory: lpi, size: 1024 } };
    let errno = vm.ioctl(Op::Set, AttrId::IST, User::Ist(arg)).unwrap_err();
    assert_eq!(vm.entry(IntId::Lpi(0)), None, "no LPI table is left");
    assert_eq!(vm.replayed(), [], "nothing is made pending");
    assert_eq!(vm.get(Attr::irs(BASER)), Ok(BASER_VALID), "registers stay");
    (errno, vm.entry(IntId::Spi(4)).unwrap(), vm.entry(IntId::Spi(40)).unwrap(), vm.spi(4).unwrap().level)
}

#[test]
fn a_restore_that_fails_leaves_what_the_kernel_would() {
    let (spi, lpi) = (two_spis(), [0x0f; LPI_BYTES]);
    let written = (0b1100, 0x3008, true);
    type Case<'a> = (&'a str, Option<Fault>, &'a [u8], &'a [u8], Errno, (u32, u32, bool));
    let cases: [Case<'_>; 7] = [
        ("allocation", Some(Fault::host(HostStep::AllocateLpi, Errno::ENOMEM)), &spi, &lpi, Errno::ENOMEM, (0, 0, false)),
        ("mapping, no timeout", Some(Fault::host(HostStep::MapLpi, Errno::EINVAL)), &spi, &lpi, Errno::EINVAL, (0, 0, false)),
        ("VM stays mapped", Some(Fault::host(HostStep::UnmapVm, Errno::ETIMEDOUT)), &spi, &lpi, Errno::ETIMEDOUT, (0, 0, false)),
        ("SPI buffer ends after SPI 4", None, &spi[..20], &lpi, Errno::EFAULT, (0b1100, 0, true)),
        ("LPI buffer ends", None, &spi, &lpi[..1020], Errno::EFAULT, written),
        ("no host LPI table", Some(Fault::host(HostStep::LpiTable, Errno::ENXIO)), &spi, &lpi, Errno::ENXIO, written),
        ("VM stays unmapped", Some(Fault::host(HostStep::MapVm, Errno::ETIMEDOUT)), &spi, &lpi, Errno::ETIMEDOUT, written),
    ];
    for (why, fault, spi_bytes, lpi_bytes, errno, (spi_4, spi_40, level)) in cases {
        let mut vm = ready_for_lpis();
        if let Some(fault) = fault {
            vm.set_fault(fault);
        }
        let left = left_by(&mut vm, Memory::ReadOnly(spi_bytes), Memory::ReadOnly(lpi_bytes));
        assert_eq!(left, (errno, spi_4, spi_40, level), "{why}");
        assert!(!vm.is_dead(), "{why}");
        // All of it can be tried again, and then the VM runs.
        vm.restore_ist(&spi, Some(&lpi)).unwrap();
        assert_eq!(vm.entry(IntId::Spi(4)), Some(0b1101), "{why}");
        run_all(&mut vm);
    }
}

#[test]
fn a_failed_restore_stays_owed() {
    let mut vm = ready_for_lpis();
    vm.set_fault(Fault::host(HostStep::MapVm, Errno::ETIMEDOUT));
    assert_eq!(vm.restore_ist(&[0; SPI_BYTES], Some(&[0; LPI_BYTES])), Err(Errno::ETIMEDOUT));
    assert_eq!(vm.run(vcpu_id(5), |_| ()), Err(Errno::EINVAL));
    assert!(vm.is_dead());
}

#[test]
fn a_timeout_of_the_lpi_table_kills() {
    let mut vm = ready_for_lpis();
    vm.set_fault(Fault::host(HostStep::MapLpi, Errno::ETIMEDOUT));
    assert_eq!(vm.restore_ist(&[0; SPI_BYTES], Some(&[0; LPI_BYTES])), Err(Errno::ETIMEDOUT));
    assert!(vm.is_dead());
    assert_eq!(vm.get(Attr::irs(CFGR)), Err(Errno::EIO));
    assert_eq!(vm.restore_ist(&[0; SPI_BYTES], Some(&[0; LPI_BYTES])), Err(Errno::EIO));
}
