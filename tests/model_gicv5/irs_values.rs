//! `GRP_IRS_REGS`: what registers read, keep and refuse.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-irs-v5.c`, Linux 7.4.
//!
//! Rule: every register's value after INIT is here as a number.

use crate::common::*;
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V5;
use vgic_state::uapi::vgic_v5::irs::REGISTERS;
use vgic_state::{Attr, AttrDevice, Errno, IstDevice, Vcpu};

const IDR0: u32 = 0x0;
const IDR1: u32 = 0x4;
const IDR2: u32 = 0x8;

/// The registers that do not read as 0 on a host with PA range 5, 5 priority bits, 8 to 16 ID bits, for 3 vCPUs, the greatest id 9,
/// and 64 SPIs.
const AFTER_INIT: &[(u32, u64)] = &[
    (0x0000, 0x15),
    (0x0004, 0x43_0003),
    (0x0008, 0x230),
    (0x0014, 64),
    (0x0018, 64),
    (0x0040, 0x04b0_043b),
    (0x0080, 0x2),
    (0x00c4, 0x1),
    (0x0108, 0x00ff_ffff),
    (0x010c, 0x1),
    (0x0118, 0x1),
    (0x0140, 0xffff),
    (0x0144, 0x1),
    (0x0194, 0x1),
    (0xffbc, 0x4770_5a19),
    (0xffd0, 0x04),
    (0xffe0, 0x4b),
    (0xffe4, 0xb0),
    (0xffe8, 0x0b),
    (0xfff0, 0x0d),
    (0xfff4, 0xf0),
    (0xfff8, 0x05),
    (0xfffc, 0xb1),
];

#[test]
fn values_after_init() {
    let vm = ready();
    for (name, offset) in REGISTERS {
        let expected = AFTER_INIT.iter().find(|(at, _)| u64::from(*at) == *offset).map_or(0, |(_, value)| *value);
        assert_eq!(vm.get(Attr::irs(*offset as u32)), Ok(expected), "{name}");
    }
}

#[test]
fn id_registers_follow_the_host() {
    let host = Host { id_bits: 20, min_lpi_id_bits: 6, priority_bits: 3, pa_range: 6, ..Host::default() };
    let vm = ready_on(host);
    assert_eq!(vm.get(Attr::irs(IDR0)), Ok(0x19));
    assert_eq!(vm.get(Attr::irs(IDR1)), Ok(0x23_0003));
    assert_eq!(vm.get(Attr::irs(IDR2)), Ok(16 | 1 << 5 | 6 << 6), "16 bits of the host's 20");
    let vm = ready_on(Host { id_bits: 11, ..host });
    assert_eq!(vm.get(Attr::irs(IDR2)), Ok(11 | 1 << 5 | 6 << 6));
}

#[test]
fn iaffid_bits_follow_the_greatest_id() {
    for (ids, bits) in [(&[0][..], 1), (&[1], 1), (&[2], 2), (&[0, 3], 2), (&[4], 3), (&[0, 255], 8), (&[256], 9), (&[511], 9)] {
        let mut vm = Vm::new(Host::default());
        for id in ids {
            vm.create_vcpu(Vcpu::with_default_mpidr(*id).unwrap()).unwrap();
        }
        vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V5).unwrap();
        vm.set(Attr::irs_address(), IRS_ADDRESS).unwrap();
        vm.command(vgic_state::Command::Init).unwrap();
        let idr1 = vm.get(Attr::irs(IDR1)).unwrap();
        assert_eq!((idr1 >> 16 & 0xf) + 1, bits, "{ids:?}");
        assert_eq!(idr1 & 0xffff, ids.len() as u64, "{ids:?}");
    }
}

#[test]
fn values_that_no_host_has_are_refused() {
    for (offset, value, why) in [
        (IDR0, 0x14, "secure domain"),
        (IDR0, 0x16, "EL3's domain"),
        (IDR0, 0x17, "realm domain"),
        (IDR0, 0x15 | 1 << 6, "VIRT"),
        (IDR0, 0x15 | 1 << 7, "ONE_N"),
        (IDR0, 0x15 | 1 << 8, "VIRT_ONE_N"),
        (IDR0, 0x15 | 1 << 9, "SETLPI"),
        (IDR0, 0x15 | 1 << 10, "MEC"),
        (IDR0, 0x15 | 1 << 11, "MPAM"),
        (IDR0, 0x15 | 1 << 12, "SWE"),
        (IDR1, 0x42_0003, "fewer IAFFID bits"),
        (IDR1, 0x44_0003, "more IAFFID bits"),
        (IDR1, 0x53_0003, "more priority bits than the host"),
        (IDR2, 0x210, "no LPIs"),
        (IDR2, 0x230 | 1 << 10, "two-level tables"),
        (IDR2, 0x230 | 1 << 14, "metadata"),
        (IDR2, 0x230 | 3 << 15, "metadata size"),
        (IDR2, 17 | 1 << 5 | 8 << 6, "more ID bits than the host"),
        (IDR2, 16 | 1 << 5 | 7 << 6, "a lower minimum than the host's"),
        (IDR2, 9 | 1 << 5 | 10 << 6, "minimum above maximum"),
        (0x14, 96, "SPI_RANGE"),
        (0x18, 32, "SPI_IRS_RANGE"),
        (0x1c, 1, "SPI_BASE"),
    ] {
        let mut vm = ready();
        let before = vm.get(Attr::irs(offset)).unwrap();
        assert_eq!(vm.set(Attr::irs(offset), value), Err(Errno::EINVAL), "{why}");
        assert_eq!(vm.get(Attr::irs(offset)), Ok(before), "{why}");
        assert_eq!(vm.set(Attr::irs(offset), before | 0xabcd_0000_0000), Ok(()), "{why}: the upper half does not matter");
        assert_eq!(vm.get(Attr::irs(offset)), Ok(before), "{why}");
    }
}

#[test]
fn a_register_keeps_the_bits_that_kvm_keeps() {
    for (offset, value, kept, why) in [
        (IDR0, 0xabcd_003d, 0xabcd_003d, "PA_RANGE and IRSID unchecked"),
        (IDR0, 0x15 | 7 << 13, 0x15, "reserved bits"),
        (IDR1, 0x33_00ff, 0x33_0003, "fewer priority bits; PE_CNT is the VM's own"),
        (IDR1, 0x03_0000, 0x03_0003, "one priority bit"),
        (IDR2, 12 | 1 << 5 | 9 << 6, 12 | 1 << 5 | 9 << 6, "narrower ID bits"),
        (IDR2, 0x230 | 5 << 11, 0x230 | 5 << 11, "IST_L2SZ unchecked"),
        (0x0c, 0x1111, 0, "IDR3"),
        (0x10, 0x2222, 0, "IDR4"),
        (0x40, 0x3333, 0x04b0_043b, "IIDR"),
        (0x44, 0x4444, 0, "AIDR"),
        (0x80, 0x1, 0x3, "CR0"),
        (0x80, 0xfffe, 0x2, "CR0 without IRSEN"),
        (0x84, u64::MAX, 0xf5ff, "CR1 without VMT_WA and VPET_WA"),
        (0xc0, 1 << 31, 0, "SYNCR"),
        (0x108, 0x0012_3456, 0x0012_3456, "SPI_SELR"),
        (0x10c, 3, 1, "SPI_DOMAINR"),
        (0x114, 1, 0, "SPI_CFGR"),
        (0x140, 0x9876, 0x9876, "PE_SELR"),
        (0x180, 0xffff_ffff_ffff_fffe, 0x00ff_ffff_ffff_ffc0, "IST_BASER"),
        (0x190, u64::MAX, 0x1_01ff, "IST_CFGR, legal or not"),
        (0x300, u64::MAX, 0, "SAVE_VMR"),
        (0x3d0, u64::MAX, 0, "SWERR_SYNDROMER1"),
        (0xffbc, 0, 0x4770_5a19, "DEVARCH"),
    ] {
        let mut vm = ready();
        assert_eq!(vm.set(Attr::irs(offset), value), Ok(()), "{why}");
        assert_eq!(vm.get(Attr::irs(offset)), Ok(kept), "{why}");
    }
}

#[test]
fn spi_cfgr_cannot_be_restored() {
    let mut vm = ready();
    vm.set(Attr::irs(0x108), 33).unwrap();
    vm.set(Attr::irs(0x114), 1).unwrap();
    assert_eq!(vm.get(Attr::irs(0x114)), Ok(0));
    assert!(!vm.spi(33).unwrap().level);
    // It comes with the table: HM of the entry.
    let mut table = [0; SPI_BYTES];
    table[33 * 4] = 0b100;
    vm.restore_ist(&table, None).unwrap();
    assert_eq!(vm.get(Attr::irs(0x114)), Ok(1));
    vm.set(Attr::irs(0x108), 34).unwrap();
    assert_eq!(vm.get(Attr::irs(0x114)), Ok(0));
    vm.set(Attr::irs(0x108), 64).unwrap();
    assert_eq!(vm.get(Attr::irs(0x114)), Ok(0), "no such SPI");
}

#[test]
fn pe_cr0_follows_the_selection() {
    let mut vm = ready();
    for (pe, dps) in [(5, 1), (2, 1), (9, 1), (0, 0), (3, 0), (0xffff, 0)] {
        vm.set(Attr::irs(0x140), pe).unwrap();
        assert_eq!(vm.get(Attr::irs(0x148)), Ok(dps), "{pe}");
        assert_eq!(vm.get(Attr::irs(0x144)), Ok(1), "{pe}");
    }
}

#[test]
fn ist_registers_are_free_until_the_table_exists() {
    let mut vm = ready_for_lpis();
    for (cfgr, baser) in [(9, 0x7_0000_0041), (0x1_01ff, 0), (u64::from(BITS), BASER_VALID)] {
        vm.set(Attr::irs(CFGR), cfgr).unwrap();
        vm.set(Attr::irs(BASER), baser).unwrap();
        assert_eq!((vm.get(Attr::irs(CFGR)), vm.get(Attr::irs(BASER))), (Ok(cfgr), Ok(baser)));
    }
    vm.restore_ist(&[0; SPI_BYTES], Some(&[0; LPI_BYTES])).unwrap();
    for (offset, value, why) in [
        (CFGR, 9, "LPI_ID_BITS"),
        (CFGR, 8 | 1 << 5, "L2SZ"),
        (CFGR, 8 | 1 << 7, "ISTSZ"),
        (CFGR, 8 | 1 << 16, "STRUCTURE"),
        (BASER, BASER_VALID & !1, "VALID"),
        (BASER, BASER_VALID + 0x40, "ADDR"),
    ] {
        assert_eq!(vm.set(Attr::irs(offset), value), Err(Errno::EINVAL), "{why}");
    }
    // The same, in the bits that are kept.
    assert_eq!(vm.set(Attr::irs(CFGR), 0xffff_0000_0000 | 8 | 1 << 9), Ok(()));
    assert_eq!(vm.set(Attr::irs(BASER), BASER_VALID | 0x3e | 1 << 56), Ok(()));
    assert_eq!((vm.get(Attr::irs(CFGR)), vm.get(Attr::irs(BASER))), (Ok(8), Ok(BASER_VALID)));
}
