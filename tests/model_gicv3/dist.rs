//! Distributor registers, from user space and from a guest.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio.c` and `vgic-mmio-v3.c`.
//!
//! Rule: what a register does not take is dropped with success, and seen by reading it back.

use crate::common::*;
use vgic_state::model::gicv3::Host;
use vgic_state::{Attr, AttrDevice, Command, Errno};

fn get(rig: &Rig, offset: u32) -> u32 {
    rig.gic.get(Attr::dist(offset)).unwrap()
}

fn set(rig: &mut Rig, offset: u32, value: u32) {
    rig.gic.set(Attr::dist(offset), value).unwrap();
}

#[test]
fn accesses_without_effect_succeed() {
    let mut rig = ready(1);
    // Unknown, unaligned, of interrupts that do not exist, of private interrupts, zero by definition; GICD_STATUSR reads as ones.
    for (offset, read) in [
        (0x18, 0),
        (0x106, 0),
        (0x10c, 0),
        (0x484, 0),
        (0x6400, 0),
        (0x100, 0),
        (0x804, 0),
        (0xd04, 0),
        (0xe00, 0),
        (0x10, u32::MAX),
    ] {
        set(&mut rig, offset, 0xdead_beef);
        assert_eq!(get(&rig, offset), read, "{offset:#x}");
    }
    assert_eq!(get(&rig, 0xffe8), 0x3b, "GICD_PIDR2");
    set(&mut rig, 4, 0);
    assert_eq!(get(&rig, 4), 15 << 19 | 1 << 17 | 2, "GICD_TYPER: 16 ID bits, LPIs, 96 interrupts");
    assert_eq!(get(&ready(0), 4), 9 << 19 | 2, "without an ITS");
}

#[test]
fn gicd_ctlr_keeps_the_enable_bits_that_kvm_has() {
    let mut rig = ready(0);
    assert_eq!(get(&rig, 0), 0x50, "affinity routing, one security state");
    set(&mut rig, 0, 0xffff_ffff);
    assert_eq!(get(&rig, 0), 0x52, "group 1; no nASSGIreq without a GICv4.1");
    set(&mut rig, 0, 0);
    assert_eq!(get(&rig, 0), 0x50);

    let mut rig = ready_with(Host { nassgicap: true, ..Host::default() }, 0, new_memory());
    set(&mut rig, 0, 0x102);
    assert_eq!(get(&rig, 0), 0x152);
    // A guest cannot change nASSGIreq while the distributor stays enabled; user space can.
    rig.vm.run(vcpu(0).id, |guest| guest.dist_write32(0, 0x2)).unwrap();
    assert_eq!(get(&rig, 0), 0x152);
    set(&mut rig, 0, 0x2);
    assert_eq!(get(&rig, 0), 0x52);
    rig.vm
        .run(vcpu(0).id, |guest| {
            guest.dist_write32(0, 0x102);
            guest.dist_write32(8, 0x4b00_243b);
            guest.dist_write32(0xc, 0);
        })
        .unwrap();
    assert_eq!((get(&rig, 0), get(&rig, 8), get(&rig, 0xc)), (0x52, 0x4b00_343b, 0x100), "identification is read-only to a guest");
}

#[test]
fn identification_takes_its_own_values_and_known_revisions() {
    let mut rig = ready(0);
    for (value, answer, reads) in [
        (0x4b00_243b, Ok(()), 0x4b00_243b),
        (0x4b00_143b, Err(Errno::EINVAL), 0x4b00_243b),
        (0x4b00_443b, Err(Errno::EINVAL), 0x4b00_243b),
        (0x4b00_343a, Err(Errno::EINVAL), 0x4b00_243b),
        (0x4a00_343b, Err(Errno::EINVAL), 0x4b00_243b),
        (0x4b00_343b, Ok(()), 0x4b00_343b),
    ] {
        assert_eq!(rig.gic.set(Attr::dist(8), value), answer, "{value:#x}");
        assert_eq!(get(&rig, 8), reads);
    }
    for (value, answer) in [(0, Ok(())), (0x100, Err(Errno::EBUSY)), (1, Err(Errno::EBUSY))] {
        assert_eq!(rig.gic.set(Attr::dist(0xc), value), answer, "GICD_TYPER2 {value:#x}");
    }
    // Before INIT, nASSGIcap can be given up, and taken where the host has it.
    for (nassgicap, rows) in [
        (false, [(0x100, Err(Errno::EINVAL)), (1, Err(Errno::EINVAL)), (0, Ok(()))]),
        (true, [(0x101, Err(Errno::EINVAL)), (0, Ok(())), (0x100, Ok(()))]),
    ] {
        let mut rig = created_with(Host { nassgicap, ..Host::default() }, 0, new_memory());
        for (value, answer) in rows {
            assert_eq!(rig.gic.set(Attr::dist(0xc), value), answer, "{value:#x}");
        }
        assert_eq!(rig.gic.set(Attr::dist(8), 0x4b00_243b), Ok(()));
        assert_eq!(rig.gic.get(Attr::dist(0)), Err(Errno::EBUSY), "no other register");
    }
}

#[test]
fn bits_that_are_set_and_cleared() {
    let mut rig = ready(0);
    for (set_at, clear_at) in [(0x104, 0x184), (0x304, 0x384)] {
        set(&mut rig, set_at, 0xf0f0_1234);
        set(&mut rig, set_at, 0x0000_00ff);
        assert_eq!((get(&rig, set_at), get(&rig, clear_at)), (0xf0f0_12ff, 0xf0f0_12ff), "both read the state");
        set(&mut rig, clear_at, 0);
        assert_eq!(get(&rig, set_at), 0xf0f0_12ff, "0 clears nothing");
        set(&mut rig, clear_at, 0xf000_000f);
        assert_eq!(get(&rig, set_at), 0x00f0_12f0);
        assert_eq!(get(&rig, set_at + 4), 0, "no other interrupt");
    }
    assert_eq!(get(&rig, 0x84), u32::MAX, "group 1 is where interrupts are");
    set(&mut rig, 0x84, 0x1357_9bdf);
    assert_eq!(get(&rig, 0x84), 0x1357_9bdf);
}

#[test]
fn user_space_sees_the_latch_and_not_the_line() {
    let mut rig = ready(0);
    // SPIs 32, 34, 36 are level-triggered.
    set(&mut rig, 0xc08, 0xaaaa_a888);
    assert_eq!(get(&rig, 0xc08), 0xaaaa_a888);
    for intid in [32, 33] {
        rig.vm.set_spi_level(intid, true).unwrap();
    }
    // User space sees the latch and never the line; an edge is in the latch.
    assert_eq!((get(&rig, 0x204), get(&rig, 0x284)), (0b10, 0));
    assert_eq!(rig.gic.get(Attr::line_levels(VCPUS[0].1, 32)), Ok(0b1));
    rig.vm
        .run(vcpu(0).id, |guest| {
            assert_eq!((guest.dist_read32(0x204), guest.dist_read32(0x284)), (0b11, 0b11));
            guest.dist_write32(0x204, 0b1100);
            guest.dist_write32(0x284, 0b0111);
            assert_eq!(guest.dist_read32(0x204), 0b1001, "a line that is high stays pending");
        })
        .unwrap();
    // A write is the whole state; ICPENDR takes nothing.
    set(&mut rig, 0x204, 0xc0);
    assert_eq!(get(&rig, 0x204), 0xc0);
    set(&mut rig, 0x284, 0xffff_ffff);
    assert_eq!(get(&rig, 0x204), 0xc0);
    set(&mut rig, 0x204, 0x3);
    assert_eq!(get(&rig, 0x204), 0x3);
}

#[test]
fn line_levels_show_for_level_triggered_interrupts_alone() {
    let mut rig = ready(0);
    let levels = Attr::line_levels(VCPUS[1].1, 64);
    rig.gic.set(levels, 0x8000_0011).unwrap();
    assert_eq!(rig.gic.get(levels), Ok(0), "edge interrupts show no level");
    // They took it all the same: trigger modes may come later.
    set(&mut rig, 0xc10, 0);
    assert_eq!(rig.gic.get(levels), Ok(0x11), "64 to 79 are level-triggered now");
    rig.gic.set(levels, 0x10).unwrap();
    assert_eq!(rig.gic.get(levels), Ok(0x10));
    // Private ones: no SGIs, and every vCPU its own.
    rig.gic.set(Attr::line_levels(VCPUS[1].1, 0), 0xffff_ffff).unwrap();
    assert_eq!(rig.gic.get(Attr::line_levels(VCPUS[1].1, 0)), Ok(0xffff_0000));
    assert_eq!(rig.gic.get(Attr::line_levels(VCPUS[0].1, 0)), Ok(0));
    // No such interrupts.
    rig.gic.set(Attr::line_levels(VCPUS[1].1, 96), 0xffff_ffff).unwrap();
    assert_eq!(rig.gic.get(Attr::line_levels(VCPUS[1].1, 96)), Ok(0));
}

#[test]
fn priorities_triggers_targets() {
    let mut rig = ready(0);
    set(&mut rig, 0x424, 0x1f27_4fff);
    assert_eq!(get(&rig, 0x424), 0x1820_48f8, "five bits");
    rig.vm
        .run(vcpu(0).id, |guest| {
            guest.dist_write8(0x425, 0x93);
            guest.dist_write32(0x402, 0xffff_ffff);
            assert_eq!(guest.dist_read32(0x424), 0x1820_90f8);
        })
        .unwrap();
    set(&mut rig, 0xc0c, 0x5555_5555);
    assert_eq!(get(&rig, 0xc0c), 0, "the low bit of each field is not kept");
    set(&mut rig, 0xc0c, 0xff00_0000);
    assert_eq!(get(&rig, 0xc0c), 0xaa00_0000);
    // GICD_IROUTER40: Aff2 to Aff0; the upper word is nothing.
    set(&mut rig, 0x6140, 0x8001_0203);
    set(&mut rig, 0x6144, 0x0000_0007);
    assert_eq!((get(&rig, 0x6140), get(&rig, 0x6144)), (0x0001_0203, 0));
    rig.vm
        .run(vcpu(0).id, |guest| {
            assert_eq!(guest.dist_read64(0x6140), 0x0001_0203);
            guest.dist_write64(0x6140, 0x0000_0007_0006_0002);
            assert_eq!(guest.dist_read64(0x6140), 0x0006_0002);
        })
        .unwrap();
}

#[test]
fn commands_of_another_device() {
    let mut rig = ready(1);
    assert_eq!(rig.gic.command(Command::ItsSaveTables), Err(Errno::ENXIO));
    assert_eq!(rig.its[0].command(Command::SavePendingTables), Err(Errno::ENXIO));
}
