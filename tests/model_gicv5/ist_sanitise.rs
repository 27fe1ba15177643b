//! What a restore makes of the entries it is given.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5-tables.c`, Linux 7.4.
//!
//! Rule: Pending is replayed, HWU is dropped, all else is taken as it comes.

use crate::common::*;
use vgic_state::model::gicv5::Vm;
use vgic_state::{AttrDevice, Errno, IntId, IstDevice};

fn words<const N: usize>(entries: &[(usize, u32)]) -> [u8; N] {
    let mut table = [0; N];
    for (index, word) in entries {
        table[index * 4..index * 4 + 4].copy_from_slice(&word.to_le_bytes());
    }
    table
}

fn restored(spis: &[(usize, u32)], lpis: &[(usize, u32)]) -> Vm {
    let mut vm = ready_for_lpis();
    vm.restore_ist(&words::<SPI_BYTES>(spis), Some(&words::<LPI_BYTES>(lpis))).unwrap();
    vm
}

#[test]
fn each_bit_of_an_entry() {
    for bit in 0..32 {
        let word = 1 << bit;
        let vm = restored(&[(17, word)], &[(170, word)]);
        let kept = if bit == 9 || bit == 10 { 0 } else { word };
        assert_eq!(vm.entry(IntId::Spi(17)), Some(kept), "bit {bit}");
        assert_eq!(vm.entry(IntId::Lpi(170)), Some(kept), "bit {bit}");
        let replayed = if bit == 0 { vec![IntId::Spi(17), IntId::Lpi(170)] } else { vec![] };
        assert_eq!(vm.replayed(), replayed, "bit {bit}");
    }
}

#[test]
fn nothing_is_validated() {
    // Target 0xabcd does not exist, routing is one of many, reserved bits are set.
    let vm = restored(&[(1, 0xabcd_f9fe)], &[(2, 0xbcde_f9fc)]);
    assert_eq!(vm.entry(IntId::Spi(1)), Some(0xabcd_f9fe));
    assert_eq!(vm.entry(IntId::Lpi(2)), Some(0xbcde_f9fc));
}

#[test]
fn replay_is_in_order() {
    let vm = restored(&[(63, 0x9), (0, 0x1), (31, 0xd)], &[(200, 0x1), (255, 0x9), (0, 0xb)]);
    let spis = [0, 31, 63].map(IntId::Spi);
    let lpis = [0, 200, 255].map(IntId::Lpi);
    assert_eq!(vm.replayed(), [spis, lpis].concat());
}

#[test]
fn trigger_mode_and_latch_of_spis() {
    for (word, level, latch) in [
        (0b0000, false, false),
        (0b0001, false, true),
        (0b0010, false, false),
        (0b0011, false, true),
        (0b0100, true, false),
        (0b0101, true, true),
        (0b0110, true, false),
        (0b0111, true, true),
    ] {
        let vm = restored(&[(12, word)], &[]);
        let spi = vm.spi(12).unwrap();
        assert_eq!((spi.level, spi.latch, spi.line), (level, latch, false), "{word:#b}");
        assert_eq!(spi.entry, word);
    }
}

#[test]
fn the_latch_follows_each_restore() {
    let mut vm = ready();
    vm.restore_ist(&words::<SPI_BYTES>(&[(12, 0b101)]), None).unwrap();
    vm.restore_ist(&words::<SPI_BYTES>(&[(12, 0b110)]), None).unwrap();
    assert!(!vm.spi(12).unwrap().latch, "level, active, not pending");
    vm.restore_ist(&words::<SPI_BYTES>(&[(12, 0b100)]), None).unwrap();
    assert!(!vm.spi(12).unwrap().latch, "level, neither");
    vm.restore_ist(&words::<SPI_BYTES>(&[(12, 0b101)]), None).unwrap();
    vm.restore_ist(&words::<SPI_BYTES>(&[(12, 0b010)]), None).unwrap();
    assert!(!vm.spi(12).unwrap().latch, "edge follows Pending");
}

#[test]
fn save_of_what_was_restored_differs_in_hwu_alone() {
    let spis = [(5, 0x0007_1e0b), (50, 0x0002_2e0c)];
    let lpis = [(100, 0x0009_3609), (101, 0x0005_480e)];
    let vm = restored(&spis, &lpis);
    let (mut spi, mut lpi) = ([0; SPI_BYTES], [0; LPI_BYTES]);
    vm.save_ist(&mut spi, Some(&mut lpi)).unwrap();
    assert_eq!(spi, words(&spis.map(|(index, word)| (index, word & !0x600))));
    assert_eq!(lpi, words(&lpis.map(|(index, word)| (index, word & !0x600))));
}

#[test]
fn save_does_not_sanitise() {
    let mut vm = restored(&[(5, 0x8)], &[(6, 0x808)]);
    vm.set_hwu(IntId::Spi(5), 3).unwrap();
    vm.set_hwu(IntId::Lpi(6), 2).unwrap();
    let (mut spi, mut lpi) = ([0; SPI_BYTES], [0; LPI_BYTES]);
    vm.save_ist(&mut spi, Some(&mut lpi)).unwrap();
    assert_eq!((spi, lpi), (words(&[(5, 0x608)]), words(&[(6, 0xc08)])));
    assert_eq!(vm.set_hwu(IntId::Lpi(256), 1), Err(Errno::EINVAL));
    assert_eq!(vm.set_hwu(IntId::Ppi(3), 1), Err(Errno::EINVAL));
}

#[test]
fn a_table_is_planted_only_into_an_initialised_device() {
    let mut vm = created();
    assert_eq!(vm.plant_lpi_ist(8, &[0; LPI_BYTES]), Err(Errno::EBUSY));
    assert_eq!(vm.plant_spi_ist(&[0; SPI_BYTES]), Err(Errno::EBUSY));
    let mut vm = ready();
    for (bits, bytes) in [(7, 512), (17, 4 << 17), (40, 0), (u32::MAX, 0), (8, 1020), (8, 1028)] {
        assert_eq!(vm.plant_lpi_ist(bits, &vec![0; bytes]), Err(Errno::EINVAL), "{bits}, {bytes}");
    }
    assert_eq!(vm.plant_spi_ist(&[0; SPI_BYTES + 4]), Err(Errno::EINVAL));
    assert_eq!(vm.get(vgic_state::Attr::irs(BASER)), Ok(0));
    vm.plant_lpi_ist(8, &words::<LPI_BYTES>(&[(77, 0x0002_680b)])).unwrap();
    assert_eq!(vm.entry(IntId::Lpi(77)), Some(0x0002_680b));
    assert_eq!(vm.get(vgic_state::Attr::irs(CFGR)), Ok(8));
    assert_eq!(vm.get(vgic_state::Attr::irs(BASER)).map(|baser| baser & 1), Ok(1));
    // A table of a guest, not of a restore: the VM runs.
    run_all(&mut vm);
}
