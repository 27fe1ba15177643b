//! Registers as user space reads and writes them.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v2.c`, `vgic-mmio.c`.
//!
//! Rule: a row is a register, what is written, and what it reads then.

use crate::common::{PRIORITIES, id, new_vm};
use vgic_state::model::gicv2::{Device, Host};
use vgic_state::model::gicv3::{Behaviour, Kernel};
use vgic_state::{Attr, AttrDevice, Errno};

fn dist(gic: &Device, cpu: u32, offset: u32) -> u32 {
    gic.get(Attr::gicv2_dist(id(cpu), offset)).unwrap()
}

fn write(gic: &mut Device, cpu: u32, offset: u32, value: u32) {
    gic.set(Attr::gicv2_dist(id(cpu), offset), value).unwrap();
}

#[test]
fn registers_of_a_new_vm_have_these_values() {
    let (_, gic) = new_vm(Host::default(), 3, 96);
    for (offset, value) in [
        (0x000, 0),
        (0x004, 2 << 5 | 2),
        (0x008, 0x4b00_343b),
        (0x080, 0),
        (0x100, 0xffff),
        (0x180, 0xffff),
        (0x104, 0),
        (0x200, 0),
        (0x300, 0),
        (0x400, 0),
        (0x800, 0x0202_0202),
        (0x81c, 0x0202_0202),
        (0x820, 0),
        (0xc00, 0xaaaa_aaaa),
        (0xc04, 0),
        (0xc08, 0xaaaa_aaaa),
        (0xf00, 0),
        (0xf10, 0),
        (0xf20, 0),
        (0xfe8, 0),
    ] {
        assert_eq!(dist(&gic, 1, offset), value, "{offset:#x}");
    }
    for (offset, value) in [(0x00, 0), (0x04, 0), (0x08, 0), (0x1c, 0), (0xd0, 0), (0xdc, 0), (0xfc, 0x04b2_043b), (0x0c, 0)] {
        assert_eq!(gic.get(Attr::gicv2_cpu(id(2), offset)), Ok(value), "{offset:#x}");
    }
}

#[test]
fn registers_keep_these_bits_of_a_write() {
    let (_, mut gic) = new_vm(Host::default(), 3, 96);
    let own = 0x4b00_343b;
    for (offset, value, kept) in [
        (0x000, u32::MAX, 1),
        (0x004, u32::MAX, 2 << 5 | 2),
        // Groups are fixed until GICD_IIDR is written.
        (0x080, 0x1234_5678, 0),
        (0x084, 0x1234_5678, 0),
        (0x008, own, own),
        (0x080, 0x1234_5678, 0x1234_5678),
        (0x084, 0x8765_4321, 0x8765_4321),
        (0x104, 0x00ff_00ff, 0x00ff_00ff),
        (0x104, 0xf000_0000, 0xf0ff_00ff),
        (0x184, 0x000f_000f, 0xf0f0_00f0),
        (0x204, 0x0000_0101, 0x0000_0101),
        (0x204, 0x8000_0000, 0x8000_0101),
        (0x284, 0x0000_0001, 0x8000_0100),
        (0x304, 0x0001_8000, 0x0001_8000),
        (0x384, 0x0000_8000, 0x0001_0000),
        (0x420, u32::MAX, PRIORITIES),
        (0x820, u32::MAX, 0x0707_0707),
        (0x800, u32::MAX, 0x0202_0202),
        (0xc08, u32::MAX, 0xaaaa_aaaa),
        (0xc08, 0x0000_0002, 0x0000_0002),
        (0xc00, 0, 0xaaaa_aaaa),
        (0xc04, u32::MAX, 0),
        (0xf28, 0x0002_0001, 0x0002_0001),
        (0xf28, 0x0100_0004, 0x0102_0005),
        (0xf18, 0x0000_00ff, 0x0102_0000),
        (0xfe8, u32::MAX, 0),
    ] {
        write(&mut gic, 1, offset, value);
        // A clear register reads as the set register does.
        assert_eq!(dist(&gic, 1, offset), kept, "{value:#x} to {offset:#x}");
    }
    for (offset, value, kept) in [
        (0x00, u32::MAX, 0x21f),
        (0x04, 0xff, 0x1f),
        (0x08, 0xff, 7),
        (0x1c, 0x0d, 5),
        (0xd0, 0x8000_0001, 0x8000_0001),
        (0xd4, 1, 0),
        (0xdc, 1, 0),
        (0xfc, 0, 0x04b2_043b),
        (0x10, 1, 0),
    ] {
        gic.set(Attr::gicv2_cpu(id(1), offset), value).unwrap();
        assert_eq!(gic.get(Attr::gicv2_cpu(id(1), offset)), Ok(kept), "{value:#x} to {offset:#x}");
        if offset != 0xfc {
            assert_eq!(gic.get(Attr::gicv2_cpu(id(0), offset)), Ok(0), "another vCPU has its own");
        }
    }
    for (bits, aprs) in [(5, 1), (6, 2), (7, 4)] {
        let (_, mut gic) = new_vm(Host::default().with_pri_bits(bits), 1, 64);
        for n in 0..4 {
            gic.set(Attr::gicv2_cpu(id(0), 0xd0 + 4 * n), 0x10 << n).unwrap();
            assert_eq!(gic.get(Attr::gicv2_cpu(id(0), 0xd0 + 4 * n)), Ok(if n < aprs { 0x10 << n } else { 0 }), "{bits} {n}");
        }
    }
}

/// Registers of SGIs and PPIs are a vCPU's own; all others are found by each.
#[test]
fn registers_of_sgis_and_ppis_are_banked() {
    let (_, mut gic) = new_vm(Host::default(), 3, 96);
    for offset in [0x100, 0x200, 0x300, 0x400, 0xf20] {
        write(&mut gic, 2, offset, 0x0808_0000);
        assert_eq!(dist(&gic, 2, offset) & 0xffff_0000, 0x0808_0000, "{offset:#x}");
        assert_eq!(dist(&gic, 0, offset) & 0xffff_0000, 0, "{offset:#x}");
    }
    for offset in [0x104, 0x204, 0x304, 0x424, 0x824] {
        write(&mut gic, 2, offset, 0x0000_0200 & if offset == 0x424 { PRIORITIES } else { u32::MAX });
        assert_eq!(dist(&gic, 0, offset), dist(&gic, 2, offset), "{offset:#x}");
    }
}

/// An SGI of user space by GICD_ISPENDR has the vCPU itself as sender; by GICD_SPENDSGIR the one that is said.
#[test]
fn a_pending_sgi_has_the_sender_that_was_written() {
    let (_, mut gic) = new_vm(Host::default(), 3, 64);
    write(&mut gic, 1, 0x200, 1 << 6);
    assert_eq!((dist(&gic, 1, 0xf24), dist(&gic, 1, 0x200)), (0x0002_0000, 1 << 6));
    write(&mut gic, 1, 0xf24, 0x0004_0000);
    assert_eq!(dist(&gic, 1, 0xf24), 0x0006_0000);
    write(&mut gic, 1, 0xf14, 0x0002_0000);
    assert_eq!((dist(&gic, 1, 0xf24), dist(&gic, 1, 0x200)), (0x0004_0000, 1 << 6));
    write(&mut gic, 1, 0x280, 1 << 6);
    assert_eq!((dist(&gic, 1, 0xf24), dist(&gic, 1, 0x200)), (0, 0));
    // GICD_SGIR acts for user space, too: SGI 3 to all but the vCPU that writes.
    write(&mut gic, 1, 0xf00, 1 << 24 | 3);
    assert_eq!([0, 1, 2].map(|cpu| dist(&gic, cpu, 0xf20)), [0x0200_0000, 0, 0x0200_0000]);
}

/// A level interrupt is pending by its latch or by its line, and user space does not see which.
#[test]
fn a_line_shows_as_pending() {
    let (vm, mut gic) = new_vm(Host::default(), 1, 64);
    write(&mut gic, 0, 0xc08, 0x0000_0002); // INTID 32 edge, 33 level
    for intid in [32, 33] {
        vm.set_spi_level(intid, true).unwrap();
    }
    assert_eq!(dist(&gic, 0, 0x204), 3);
    write(&mut gic, 0, 0x284, 3);
    assert_eq!(dist(&gic, 0, 0x204), 2, "the line is still high");
    vm.set_spi_level(33, false).unwrap();
    assert_eq!(dist(&gic, 0, 0x204), 0);
}

#[test]
fn another_revision_takes_effect_only_on_newer_kernels() {
    for (kernel, applies) in [(Kernel::V6_12_74, false), (Kernel::V6_12_118, true)] {
        assert_eq!(kernel.has(Behaviour::AppliesImplementationRevision), applies);
        let (_, mut gic) = new_vm(Host::default().with_kernel(kernel), 1, 64);
        let iidr = Attr::gicv2_dist(id(0), 8);
        for value in [0x4b01_343b, 0x4b00_343a, 0] {
            assert_eq!(gic.set(iidr, value), Err(Errno::EINVAL), "{value:#x}");
        }
        assert_eq!(gic.set(iidr, 0x4b00_f43b), if applies { Err(Errno::EINVAL) } else { Ok(()) });
        assert_eq!(gic.set(iidr, 0x4b00_243b), Ok(()));
        assert_eq!(gic.get(iidr), Ok(if applies { 0x4b00_243b } else { 0x4b00_343b }));
    }
}
