//! Interrupt lines that user space drives.
//!
//! Source: `arch/arm64/kvm/arm.c`, `kvm_vm_ioctl_irq_line`, Linux 7.4.
//!
//! Rule: SPIs count from 0; a level interrupt follows its line, an edge interrupt its rises.

use crate::common::*;
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::uapi::vgic_v5::icc::SYS_ICC_PPI_SPENDR0_EL1;
use vgic_state::{Attr, AttrDevice, Command, Errno, IntId, IstDevice};

const PENDING: u32 = 1;

fn pending(vm: &Vm, spi: u32) -> bool {
    vm.entry(IntId::Spi(spi)).unwrap() & PENDING != 0
}

fn pending_ppis(vm: &Vm, index: usize) -> u64 {
    vm.get(Attr::cpu_sysreg(VCPUS[index].1, SYS_ICC_PPI_SPENDR0_EL1)).unwrap()
}

#[test]
fn an_spi_line_is_checked_in_order() {
    let mut vm = Vm::new(Host::default());
    assert_eq!(vm.set_spi_level(0, true), Err(Errno::ENXIO), "no device");
    let mut vm = created();
    assert_eq!(vm.set_spi_level(0, true), Err(Errno::EBUSY), "not initialised");
    assert_eq!(vm.set_spi_level(4000, true), Err(Errno::EBUSY), "not initialised, before no such SPI");
    let mut vm = ready();
    for (spi, result) in [(0, Ok(())), (63, Ok(())), (64, Err(Errno::EINVAL)), (u32::MAX, Err(Errno::EINVAL))] {
        assert_eq!(vm.set_spi_level(spi, true), result, "{spi}");
    }
}

#[test]
fn a_ppi_line_is_checked_in_order() {
    let mut vm = Vm::new(Host::default());
    assert_eq!(vm.set_ppi_level(vcpu_id(5), 3, true), Err(Errno::ENXIO), "no device");
    let mut vm = created();
    assert_eq!(vm.set_ppi_level(vcpu_id(5), 3, true), Err(Errno::EBUSY), "not initialised");
    vm.command(Command::Init).unwrap();
    for ppi in [0, 2, 4, 23, 27, 30, 63, 64, 67, 1 << 29 | 3, u32::MAX] {
        assert_eq!(vm.set_ppi_level(vcpu_id(5), ppi, true), Err(Errno::EINVAL), "{ppi}");
    }
    assert_eq!(vm.set_ppi_level(vcpu_id(4), 3, true), Err(Errno::EINVAL), "no such vCPU");
    assert_eq!(vm.set_ppi_level(vcpu_id(9), 3, true), Ok(()));
}

#[test]
fn an_edge_stays_pending_when_its_line_falls() {
    let mut vm = ready();
    vm.set_spi_level(13, false).unwrap();
    assert!(!pending(&vm, 13));
    vm.set_spi_level(13, true).unwrap();
    vm.set_spi_level(13, false).unwrap();
    assert!(pending(&vm, 13), "stays until it is acknowledged");
    assert!(vm.spi(13).unwrap().latch);
    assert!(!pending(&vm, 14) && !pending(&vm, 45));
}

#[test]
fn a_level_is_pending_as_long_as_its_line_is_high() {
    let mut vm = ready();
    let mut table = [0; SPI_BYTES];
    table[13 * 4] = 0b100;
    vm.restore_ist(&table, None).unwrap();
    for level in [true, false, true, true, false, false] {
        vm.set_spi_level(13, level).unwrap();
        assert_eq!((pending(&vm, 13), vm.spi(13).unwrap().line), (level, level));
    }
}

#[test]
fn a_restored_level_spi_stays_pending_until_its_guest_takes_that_away() {
    let mut vm = ready();
    let mut table = [0; SPI_BYTES];
    table[13 * 4] = 0b101;
    vm.restore_ist(&table, None).unwrap();
    assert!(pending(&vm, 13) && !vm.spi(13).unwrap().line, "the line itself is in no attribute");
    // The line is low already, and stays so.
    vm.set_spi_level(13, false).unwrap();
    assert!(pending(&vm, 13));
    vm.run(vcpu_id(2), |guest| guest.deactivate(IntId::Spi(13))).unwrap();
    assert!(pending(&vm, 13), "the end of an interrupt is not its line");
    vm.run(vcpu_id(2), |guest| guest.cdpend(IntId::Spi(13), false)).unwrap();
    assert!(!pending(&vm, 13));
}

#[test]
fn a_restored_level_spi_survives_a_pulse_of_its_line() {
    let mut vm = ready();
    let mut table = [0; SPI_BYTES];
    table[29 * 4] = 0b101;
    vm.restore_ist(&table, None).unwrap();
    for level in [true, false] {
        vm.set_spi_level(29, level).unwrap();
        assert!(pending(&vm, 29), "KVM's latch holds it");
    }
    vm.run(vcpu_id(2), |guest| guest.deactivate(IntId::Spi(29))).unwrap();
    assert!(pending(&vm, 29) && vm.spi(29).unwrap().latch, "and nothing but a restore lets it go");
}

#[test]
fn ppis_per_vcpu() {
    let mut vm = ready();
    vm.set_ppi_level(vcpu_id(9), 3, true).unwrap();
    vm.set_ppi_level(vcpu_id(9), 3, false).unwrap();
    vm.drive_ppi(vcpu_id(2), 27, true).unwrap();
    assert_eq!([0, 1, 2].map(|index| pending_ppis(&vm, index)), [0, 1 << 27, 1 << 3], "an edge stays, a level is there");
    vm.drive_ppi(vcpu_id(2), 27, false).unwrap();
    assert_eq!(pending_ppis(&vm, 1), 0, "a level goes");
    for ppi in [3, 4, 64] {
        assert_eq!(vm.drive_ppi(vcpu_id(2), ppi, true), Err(Errno::EINVAL), "{ppi}");
    }
    assert_eq!(vm.drive_ppi(vcpu_id(7), 27, true), Err(Errno::EINVAL));
}
