//! A guest: SGIs, priorities, groups, levels, EOI modes.
//!
//! Source: Arm IHI 0048; `arch/arm64/kvm/vgic/vgic-v2.c`, `vgic-mmio-v2.c`.

use crate::common::{id, new_vm};
use vgic_state::model::gicv2::{Device, Guest, Host, Vm};
use vgic_state::uapi::vgic_v2::cpu::*;
use vgic_state::{Attr, AttrDevice};

/// SPIs 32 to 35 enabled for vCPU 0, all groups signalled.
fn ready(count: u32) -> (Vm, Device) {
    let (vm, gic) = new_vm(Host::default(), count, 64);
    for n in 0..count {
        vm.run(id(n), |guest| {
            guest.dist_write32(0x000, 1);
            guest.enable_interface();
            guest.dist_write32(0x104, 0xf);
            guest.dist_write32(0x820, 0x0101_0101);
        })
        .unwrap();
    }
    (vm, gic)
}

fn run<R>(vm: &Vm, n: u32, code: impl FnOnce(&mut Guest<'_>) -> R) -> R {
    vm.run(id(n), code).unwrap()
}

#[test]
fn sgis_come_once_for_each_sender() {
    let (vm, gic) = ready(3);
    for sender in [2, 1] {
        run(&vm, sender, |guest| guest.dist_write32(0xf00, 1 << 16 | 4));
    }
    run(&vm, 0, |guest| {
        assert_eq!(guest.vcpu_id(), id(0));
        assert_eq!(guest.dist_read8(0xf24), 0b110);
        assert_eq!(guest.cpu_read32(GICC_HPPIR), 1 << 10 | 4);
        assert_eq!(guest.acknowledge(), Some(1 << 10 | 4), "the lowest sender first");
        assert_eq!((guest.dist_read8(0xf24), guest.running_priority()), (0b100, 0));
        assert_eq!(guest.acknowledge(), None, "active");
        guest.eoi(1 << 10 | 4);
        assert_eq!(guest.acknowledge(), Some(2 << 10 | 4));
        guest.eoi(2 << 10 | 4);
        assert_eq!((guest.acknowledge(), guest.running_priority()), (None, 0xff));
        // GICD_ISPENDR and GICD_ICPENDR do nothing to an SGI here, GICD_SPENDSGIR does.
        guest.dist_write32(0x200, 1);
        assert_eq!(guest.dist_read32(0x200), 0);
        guest.dist_write8(0xf20, 0b100);
        guest.dist_write32(0x280, 1);
        assert_eq!(guest.acknowledge(), Some(2 << 10));
    });
    run(&vm, 1, |guest| guest.dist_write32(0xf00, 2 << 24 | 15));
    assert_eq!(gic.get(Attr::gicv2_dist(id(1), 0xf2c)), Ok(0x0200_0000));
    run(&vm, 1, |guest| guest.dist_write32(0xf00, 3 << 24 | 14));
    assert_eq!(run(&vm, 1, |guest| guest.acknowledge()), Some(1 << 10 | 15));
}

#[test]
fn priority_mask_and_binary_point_decide_what_is_acknowledged() {
    let (vm, _gic) = ready(1);
    run(&vm, 0, |guest| {
        for (n, priority) in [0xa0, 0x80, 0x88, 0xf0].into_iter().enumerate() {
            guest.dist_write8(0x420 + n as u32, priority);
        }
        guest.dist_write32(0xc08, 0xaa);
    });
    [32, 33, 34, 35].into_iter().for_each(|intid| vm.set_spi_level(intid, true).unwrap());
    run(&vm, 0, |guest| {
        guest.cpu_write32(GICC_PMR, 0xa4);
        assert_eq!(guest.cpu_read32(GICC_PMR), 0xa0, "five bits");
        assert_eq!(guest.acknowledge(), Some(33));
        assert_eq!((guest.acknowledge(), guest.cpu_read32(GICC_RPR)), (None, 0x80));
        guest.eoi(33);
        assert_eq!(guest.acknowledge(), Some(34));
        guest.eoi(34);
        assert_eq!(guest.acknowledge(), None, "masked");
        guest.cpu_write32(GICC_PMR, 0xff);
        assert_eq!(guest.acknowledge(), Some(32));
    });
    vm.set_spi_level(33, true).unwrap();
    run(&vm, 0, |guest| {
        assert_eq!(guest.acknowledge(), Some(33), "a higher priority preempts");
        assert_eq!(guest.cpu_read32(GICC_APR), 1 << 16 | 1 << 20);
        guest.eoi(33);
        guest.eoi(32);
        // Binary point 7: one level for all.
        guest.cpu_write32(GICC_BPR, 7);
        assert_eq!(guest.acknowledge(), Some(35));
    });
    vm.set_spi_level(33, false).unwrap();
    vm.set_spi_level(33, true).unwrap();
    assert_eq!(run(&vm, 0, |guest| (guest.cpu_read32(GICC_BPR), guest.acknowledge())), (7, None));
}

#[test]
fn an_interrupt_is_acknowledged_through_the_register_of_its_group() {
    let (vm, _gic) = ready(1);
    run(&vm, 0, |guest| {
        guest.dist_write32(0x084, 1);
        guest.dist_write32(0xc08, 0xaa);
        guest.cpu_write32(GICC_CTLR, 0x3);
    });
    vm.set_spi_level(32, true).unwrap();
    run(&vm, 0, |guest| {
        assert_eq!(guest.cpu_read32(GICC_IAR), 1022);
        assert_eq!(guest.cpu_read32(GICC_AIAR), 32);
        guest.cpu_write32(GICC_AEOIR, 32);
        guest.cpu_write32(GICC_CTLR, 0x7);
    });
    vm.set_spi_level(32, true).unwrap();
    run(&vm, 0, |guest| {
        assert_eq!(guest.cpu_read32(GICC_IAR), 32);
        guest.eoi(32);
        guest.cpu_write32(GICC_CTLR, 0x5);
    });
    vm.set_spi_level(32, true).unwrap();
    vm.set_spi_level(33, true).unwrap();
    run(&vm, 0, |guest| {
        assert_eq!(guest.cpu_read32(GICC_IAR), 33, "group 1 is off");
        assert_eq!(guest.cpu_read32(GICC_AIAR), 1023);
    });
}

#[test]
fn a_level_interrupt_is_pending_while_its_line_is_high() {
    let (vm, gic) = ready(1);
    let pending = || gic.get(Attr::gicv2_dist(id(0), 0x204)).unwrap();
    run(&vm, 0, |guest| guest.dist_write32(0xc08, 0));
    vm.set_spi_level(32, true).unwrap();
    assert_eq!(run(&vm, 0, |guest| guest.acknowledge()), Some(32));
    assert_eq!(pending(), 1, "the line is high");
    run(&vm, 0, |guest| guest.eoi(32));
    assert_eq!(run(&vm, 0, |guest| guest.acknowledge()), Some(32), "again");
    vm.set_spi_level(32, false).unwrap();
    run(&vm, 0, |guest| {
        guest.eoi(32);
        assert_eq!(guest.acknowledge(), None);
        // A latch goes with the deactivation, not with the acknowledge.
        guest.dist_write32(0x204, 1);
        guest.cpu_write32(GICC_CTLR, 0x201);
        assert_eq!(guest.acknowledge(), Some(32));
        guest.eoi(32);
        assert_eq!((guest.running_priority(), guest.dist_read32(0x304), guest.dist_read32(0x204)), (0xff, 1, 1));
        guest.cpu_write32(GICC_DIR, 32);
        assert_eq!((guest.dist_read32(0x304), guest.dist_read32(0x204)), (0, 0));
    });
}

#[test]
fn an_spi_goes_to_its_lowest_target() {
    let (vm, _gic) = ready(3);
    run(&vm, 0, |guest| guest.dist_write8(0x820, 0b110));
    vm.set_spi_level(32, true).unwrap();
    let acknowledged = [0, 2, 1].map(|n| run(&vm, n, |guest| guest.acknowledge()));
    assert_eq!(acknowledged, [None, None, Some(32)]);
}
