//! Guests: configuration and delivery.
//!
//! Source: Arm Generic Interrupt Controller Architecture Specification, GICv5; `arch/arm64/kvm/vgic/vgic-irs-v5.c`, Linux 7.4.
//!
//! Rule: a state is made by guest code, and judged by guest code or by the attributes.

use crate::common::*;
use vgic_state::IntId::{Lpi, Ppi, Spi};
use vgic_state::model::gicv5::{Guest, Host};
use vgic_state::uapi::vgic_v5::icc::*;
use vgic_state::{Attr, AttrDevice, IntId, IstDevice};

/// What an operating system does first.
pub(crate) fn boot(guest: &mut Guest<'_>) {
    guest.irs_write32(0x80, 1);
    guest.enable_interface();
    guest.set_priority_mask(0x1f);
}

pub(crate) fn configure(guest: &mut Guest<'_>, id: IntId, priority: u32, iaffid: u16) {
    guest.cdpri(id, priority);
    guest.cdaff(id, iaffid);
    guest.cden(id);
}

pub(crate) fn lpi_table(guest: &mut Guest<'_>) {
    guest.irs_write32(CFGR, BITS);
    guest.irs_write64(BASER, BASER_VALID);
}

/// Acknowledges and ends everything that is signalled, in order.
pub(crate) fn drain(guest: &mut Guest<'_>) -> Vec<IntId> {
    core::iter::from_fn(|| {
        let id = guest.acknowledge()?;
        guest.eoi();
        guest.deactivate(id);
        Some(id)
    })
    .take(100)
    .collect()
}

#[test]
fn priority_order_over_all_kinds() {
    let mut vm = ready();
    let order = vm.run(vcpu_id(2), |guest| {
        boot(guest);
        lpi_table(guest);
        for (id, priority) in [(Spi(9), 12), (Lpi(200), 4), (Spi(41), 4), (Lpi(7), 30), (Lpi(100), 5)] {
            configure(guest, id, priority, 2);
            guest.cdpend(id, true);
        }
        guest.enable_ppi(3, true);
        guest.set_ppi_priority(3, 5);
        guest.pend_ppi(3, true);
        drain(guest)
    });
    // Of equal priorities PPIs, SPIs, LPIs.
    assert_eq!(order, Ok(vec![Spi(41), Lpi(200), Ppi(3), Lpi(100), Spi(9), Lpi(7)]));
}

#[test]
fn what_keeps_an_interrupt_back() {
    type Setting = fn(&mut Guest<'_>);
    let settings: [(&str, Setting, Option<IntId>); 12] = [
        ("nothing", |_| (), Some(Spi(21))),
        ("not pending", |guest| guest.cdpend(Spi(21), false), None),
        ("disabled", |guest| guest.cddis(Spi(21)), None),
        ("for another vCPU", |guest| guest.cdaff(Spi(21), 5), None),
        ("masked", |guest| guest.set_priority_mask(13), None),
        ("not masked", |guest| guest.set_priority_mask(14), Some(Spi(21))),
        ("interface off", |guest| guest.disable_interface(), None),
        ("IRS off", |guest| guest.irs_write32(0x80, 0), None),
        ("same priority running", |guest| guest.icc_write(SYS_ICC_APR_EL1, 1 << 14), None),
        ("higher priority running", |guest| guest.icc_write(SYS_ICC_APR_EL1, 1 << 3 | 1 << 20), None),
        ("lower priority running", |guest| guest.icc_write(SYS_ICC_APR_EL1, 1 << 15), Some(Spi(21))),
        (
            "active",
            |guest| {
                guest.acknowledge();
                guest.eoi();
                guest.cdpend(Spi(21), true);
            },
            None,
        ),
    ];
    for (why, set, expected) in settings {
        let mut vm = ready();
        let seen = vm.run(vcpu_id(2), |guest| {
            boot(guest);
            configure(guest, Spi(21), 14, 2);
            guest.cdpend(Spi(21), true);
            set(guest);
            guest.acknowledge()
        });
        assert_eq!(seen, Ok(expected), "{why}");
    }
}

#[test]
fn preemption_and_running_priority() {
    let mut vm = ready();
    vm.run(vcpu_id(9), |guest| {
        boot(guest);
        for (spi, priority) in [(1, 20), (2, 11), (3, 2)] {
            configure(guest, Spi(spi), priority, 9);
        }
        for (spi, apr) in [(1, 1 << 20), (2, 1 << 20 | 1 << 11), (3, 1 << 20 | 1 << 11 | 1 << 2)] {
            guest.cdpend(Spi(spi), true);
            assert_eq!(guest.acknowledge(), Some(Spi(spi)));
            assert_eq!(guest.icc_read(SYS_ICC_APR_EL1), apr);
        }
        for apr in [1 << 20 | 1 << 11, 1 << 20, 0, 0] {
            guest.eoi();
            assert_eq!(guest.icc_read(SYS_ICC_APR_EL1), apr, "the highest priority ends first");
        }
    })
    .unwrap();
}

#[test]
fn edge_and_level_handling() {
    let mut vm = ready();
    vm.run(vcpu_id(5), |guest| {
        boot(guest);
        lpi_table(guest);
        for (id, level) in [(Spi(6), false), (Lpi(60), true)] {
            configure(guest, id, 8, 5);
            guest.cdhm(id, level);
            guest.cdpend(id, true);
            assert_eq!(guest.acknowledge(), Some(id));
            // Enabled 1, Pending 2, Active 4, HM 5, Priority, IAFFID.
            let expected = 5 << 32 | 8 << 11 | u64::from(level) << 5 | 1 << 4 | u64::from(level) << 2 | 1 << 1;
            assert_eq!(guest.cdrcfg(id), expected);
            assert_eq!(guest.icc_read(SYS_ICC_ICSR_EL1), expected);
            guest.eoi();
            guest.deactivate(id);
            assert_eq!(guest.acknowledge(), level.then_some(id), "a level interrupt comes again");
            guest.eoi();
        }
    })
    .unwrap();
}

#[test]
fn level_spi_follows_its_line() {
    let mut vm = ready();
    vm.run(vcpu_id(5), |guest| {
        boot(guest);
        guest.irs_write32(0x108, 22);
        guest.irs_write32(0x114, 1);
        assert_eq!(guest.irs_read32(0x114), 1);
        // The register tells KVM alone; the hardware is told by the handling mode.
        guest.cdhm(Spi(22), true);
        configure(guest, Spi(22), 3, 5);
    })
    .unwrap();
    vm.set_spi_level(22, true).unwrap();
    let twice = vm.run(vcpu_id(5), |guest| [guest.acknowledge(), guest.acknowledge()]);
    assert_eq!(twice, Ok([Some(Spi(22)), None]));
    vm.run(vcpu_id(5), |guest| {
        guest.eoi();
        guest.deactivate(Spi(22));
        assert_eq!(guest.acknowledge(), Some(Spi(22)), "the line is still high");
    })
    .unwrap();
    vm.set_spi_level(22, false).unwrap();
    vm.run(vcpu_id(5), |guest| {
        guest.eoi();
        guest.deactivate(Spi(22));
        assert_eq!(guest.acknowledge(), None);
    })
    .unwrap();
}

#[test]
fn registers_of_a_guest() {
    let mut vm = ready();
    vm.run(vcpu_id(9), |guest| {
        // Selections are valid or not, and the guest sees it.
        assert_eq!((guest.irs_read32(0x118), guest.irs_read32(0x144)), (1, 1));
        guest.irs_write32(0x108, 63);
        guest.irs_write32(0x140, 5);
        assert_eq!((guest.irs_read32(0x118), guest.irs_read32(0x144), guest.irs_read32(0x148)), (3, 7, 1));
        guest.irs_write32(0x108, 64);
        guest.irs_write32(0x114, 1);
        assert_eq!(guest.irs_read32(0x114), 0, "no such SPI");
        guest.irs_write32(0x84, 0xffff_ffff);
        assert_eq!(guest.irs_read32(0x84), 0xf5ff);
        // Not writable by a guest, or not there.
        for offset in [0x0, 0x4, 0x8, 0x14, 0x40, 0x44, 0x148, 0xc0, 0xffbc, 0x98, 0x1_0000, u32::MAX] {
            let before = guest.irs_read32(offset);
            guest.irs_write32(offset, 0x8123_4567);
            assert_eq!(guest.irs_read32(offset), before, "{offset:#x}");
        }
        // 64 bits at a 32-bit register, and a table of a width that is not offered: nothing, to the last bit.
        guest.irs_write64(CFGR, 8);
        assert_eq!((guest.irs_read64(CFGR), guest.irs_read32(CFGR)), (0, 0));
        guest.irs_write32(BASER, 0xffff_ffc1);
        assert_eq!((guest.irs_read64(BASER), guest.irs_read32(BASER)), (0, 0));
        assert_eq!(guest.irs_read32(0x81), 0);
        assert_eq!(guest.iaffid(), 9);
    })
    .unwrap();
    assert_eq!(vm.get(Attr::irs(0x118)), Ok(1), "user space does not see V");
    vm.set(Attr::irs(0x140), 2).unwrap_err();
    assert_eq!(vm.get(Attr::irs(0x144)), Ok(1), "nor ONLINE");
}

#[test]
fn life_of_the_lpi_table() {
    let mut vm = ready();
    vm.run(vcpu_id(2), |guest| {
        // A width that is not offered makes no table.
        guest.irs_write32(CFGR, 7);
        guest.irs_write64(BASER, BASER_VALID);
        assert_eq!(guest.irs_read64(BASER), 0);
        assert_eq!(guest.cdrcfg(Lpi(0)), 1, "F: no such interrupt");
        lpi_table(guest);
        assert_eq!(guest.irs_read64(BASER), BASER_VALID);
        guest.cden(Lpi(255));
        guest.cden(Lpi(256));
        assert_eq!((guest.cdrcfg(Lpi(255)), guest.cdrcfg(Lpi(256))), (0b10, 1));
        // Nothing changes while it exists.
        guest.irs_write32(CFGR, 10);
        guest.irs_write64(BASER, BASER_VALID + 0x4_0000);
        assert_eq!((guest.irs_read32(CFGR), guest.irs_read64(BASER)), (BITS, BASER_VALID));
        assert_eq!(guest.cdrcfg(Lpi(255)), 0b10);
    })
    .unwrap();
    let mut lpi = [0; LPI_BYTES];
    vm.save_ist(&mut [0; SPI_BYTES], Some(&mut lpi)).unwrap();
    assert_eq!(lpi[1020], 0b1000);
    vm.run(vcpu_id(2), |guest| {
        guest.irs_write64(BASER, 0);
        assert_eq!(guest.cdrcfg(Lpi(255)), 1);
        guest.irs_write32(CFGR, 9);
        guest.irs_write64(BASER, BASER_VALID);
        assert_eq!(guest.cdrcfg(Lpi(255)), 0, "a new table is empty");
        assert_eq!(guest.cdrcfg(Lpi(511)), 0);
    })
    .unwrap();
    assert_eq!(vm.save_ist(&mut [0; SPI_BYTES], Some(&mut [0; 2048])), Ok(()));
}

#[test]
fn ppis_of_a_guest() {
    let mut vm = ready();
    vm.drive_ppi(vcpu_id(5), 27, true).unwrap();
    vm.run(vcpu_id(5), |guest| {
        boot(guest);
        guest.icc_write(SYS_ICC_PPI_ENABLER0_EL1, u64::MAX);
        assert_eq!(guest.icc_read(SYS_ICC_PPI_ENABLER0_EL1), 1 << 3 | 1 << 23 | 1 << 27 | 1 << 30, "those that exist");
        guest.icc_write(SYS_ICC_PPI_PRIORITYR3_EL1, 0x0808_0808_0808_0808);
        assert_eq!(guest.icc_read(SYS_ICC_PPI_PRIORITYR3_EL1), 0x0008_0000_0800_0000);
        guest.set_ppi_priority(3, 9);
        guest.icc_write(SYS_ICC_PPI_SPENDR0_EL1, u64::MAX);
        assert_eq!(guest.icc_read(SYS_ICC_PPI_SPENDR0_EL1), 1 << 3 | 1 << 27, "a line cannot be written");
        assert_eq!(guest.acknowledge(), Some(Ppi(27)));
        assert_eq!(guest.icc_read(SYS_ICC_PPI_SACTIVER0_EL1), 1 << 27);
        guest.eoi();
        assert_eq!(guest.acknowledge(), Some(Ppi(3)));
        assert_eq!(guest.icc_read(SYS_ICC_PPI_SPENDR0_EL1), 1 << 27, "the edge is taken, the line is still high");
        guest.eoi();
        guest.deactivate(Ppi(27));
        assert_eq!(guest.icc_read(SYS_ICC_PPI_SACTIVER0_EL1), 1 << 3);
        guest.icc_write(SYS_ICC_PPI_SACTIVER0_EL1, 1 << 30 | 1 << 31);
        assert_eq!(guest.icc_read(SYS_ICC_PPI_SACTIVER0_EL1), 1 << 3 | 1 << 30, "bits that are 0 leave others");
        guest.pend_ppi(3, true);
        guest.pend_ppi(3, false);
        guest.pend_ppi(27, false);
        assert_eq!(guest.icc_read(SYS_ICC_PPI_SPENDR0_EL1), 1 << 27);
        // System instructions are for SPIs and LPIs.
        guest.cdpend(Ppi(3), true);
        assert_eq!((guest.icc_read(SYS_ICC_PPI_SPENDR0_EL1), guest.cdrcfg(Ppi(3))), (1 << 27, 1));
    })
    .unwrap();
}

#[test]
fn priorities_have_the_bits_of_the_irs() {
    let mut vm = ready();
    vm.set(Attr::irs(0x4), 0x13_0003).unwrap();
    vm.run(vcpu_id(5), |guest| {
        guest.cdpri(Spi(50), 0x1f);
        assert_eq!(guest.cdrcfg(Spi(50)), 0x18 << 11, "2 of 5 bits");
    })
    .unwrap();
}

#[test]
fn hardware_use_bits() {
    for (hwu, left) in [(true, [1, 2, 3]), (false, [0, 0, 0])] {
        let mut vm = ready_on(Host { hwu, ..Host::default() });
        vm.run(vcpu_id(5), |guest| {
            boot(guest);
            for spi in [30, 31, 32] {
                configure(guest, Spi(spi), 4, 5);
                guest.cdpend(Spi(spi), true);
            }
            assert_eq!(drain(guest), [30, 31, 32].map(Spi));
        })
        .unwrap();
        assert_eq!([30, 31, 32].map(|spi| vm.entry(Spi(spi)).unwrap() >> 9 & 3), left);
    }
}
