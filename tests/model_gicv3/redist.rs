//! Redistributor registers: RD frame and SGI frame of each vCPU.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v3.c`, `vgic_v3_rd_registers`.
//!
//! Rule: a vCPU's registers are its own, but for the LPI configuration table, which is one for all.

use crate::common::*;
use vgic_state::{Attr, AttrDevice};

fn get(rig: &Rig, index: usize, offset: u32) -> u32 {
    rig.gic.get(Attr::redist(VCPUS[index].1, offset)).unwrap()
}

fn get64(rig: &Rig, index: usize, offset: u32) -> u64 {
    u64::from(get(rig, index, offset)) | u64::from(get(rig, index, offset + 4)) << 32
}

#[test]
fn redistributor_identification_ignores_writes() {
    let mut rig = ready(1);
    for (index, (id, mpidr)) in VCPUS.into_iter().enumerate() {
        for offset in [0x4, 0x8, 0xc, 0x10, 0x14] {
            rig.gic.set(Attr::redist(mpidr, offset), 0xffff_ffff).unwrap();
        }
        assert_eq!(get(&rig, index, 4), 0x4b00_043b);
        let last = if index == 2 { 0x10 } else { 0 };
        assert_eq!(get64(&rig, index, 8), u64::from(mpidr.packed()) << 32 | u64::from(id) << 8 | last | 1);
        assert_eq!((get(&rig, index, 0x10), get(&rig, index, 0x14)), (0, 0), "GICR_STATUSR, GICR_WAKER");
        assert_eq!(get(&rig, index, 0xffe8), 0x3b, "GICR_PIDR2");
    }
    assert_eq!(get(&ready(0), 0, 8) & 1, 0, "no LPIs without an ITS");
}

#[test]
fn lpi_table_registers_drop_reserved_bits_and_freeze() {
    let mut rig = ready(1);
    assert_eq!(get64(&rig, 0, 0x70), 0x580, "GICR_PROPBASER of a VM with an ITS");
    assert_eq!((get64(&rig, 2, 0x78), get64(&ready(0), 0, 0x70)), (0x580, 0));
    let (first, second) = (VCPUS[0].1, VCPUS[1].1);
    // Reserved bits are dropped, memory attributes are KVM's.
    rig.redist64(first, 0x70, 0xffff_ffff_ffff_ffff);
    assert_eq!(get64(&rig, 0, 0x70), 0x000f_ffff_ffff_ff9f);
    rig.redist64(first, 0x78, 0xffff_ffff_ffff_ffff);
    assert_eq!(get64(&rig, 0, 0x78), 0x000f_ffff_ffff_0f80, "PTZ is not read");
    rig.redist64(first, 0x70, 0x0300_0000_0000_0800 | CONFIG | 13);
    assert_eq!(get64(&rig, 1, 0x70), 0x580 | CONFIG | 13, "one for all vCPUs");
    rig.redist64(second, 0x78, 0x0100_0000_0005_0100);
    assert_eq!((get64(&rig, 1, 0x78), get64(&rig, 2, 0x78)), (0x0100_0000_0005_0100, 0x580));
    // Frozen while LPIs are enabled on the vCPU that it is written through.
    rig.gic.set(Attr::redist(second, 0), 1).unwrap();
    assert_eq!((get(&rig, 1, 0), get(&rig, 0, 0)), (7, 6), "EnableLPIs, IR and CES");
    rig.redist64(second, 0x70, CONFIG | 11);
    rig.redist64(second, 0x78, PENDING);
    assert_eq!((get64(&rig, 1, 0x70), get64(&rig, 1, 0x78)), (0x580 | CONFIG | 13, 0x0100_0000_0005_0100));
    rig.redist64(first, 0x70, CONFIG | 12);
    assert_eq!(get64(&rig, 1, 0x70), CONFIG | 12 | 0x180, "written through another vCPU");
    rig.gic.set(Attr::redist(second, 0), 0).unwrap();
    rig.redist64(second, 0x78, PENDING);
    assert_eq!(get64(&rig, 1, 0x78), PENDING | 0x180);

    let mut rig = ready(0);
    rig.gic.set(Attr::redist(first, 0), 1).unwrap();
    assert_eq!(get(&rig, 0, 0), 6, "LPIs cannot be enabled without an ITS");
    rig.gic.set(Attr::dist(8), 0x4b00_243b).unwrap();
    assert_eq!(get(&rig, 0, 0), 0, "revision 2 has neither IR nor CES");
}

#[test]
fn private_interrupts_have_their_reset_values() {
    let mut rig = ready(0);
    for (offset, reset) in [
        (0x10080, u32::MAX),
        (0x10100, 0xffff),
        (0x10180, 0xffff),
        (0x10200, 0),
        (0x10300, 0),
        (0x10404, 0),
        (0x10c00, 0xaaaa_aaaa),
        (0x10c04, 0),
    ] {
        assert_eq!(get(&rig, 1, offset), reset, "{offset:#x}");
    }
    let mpidr = VCPUS[1].1;
    for (offset, value, reads) in [
        (0x10080, 0x0f0f_3355, 0x0f0f_3355),
        (0x10180, 0x0000_0ff0, 0xf00f),
        (0x10100, 0x0810_0000, 0x0810_f00f),
        (0x10200, 0x4000_0003, 0x4000_0003),
        (0x10280, 0xffff_ffff, 0),
        (0x10300, 0x0020_0008, 0x0020_0008),
        (0x10380, 0x0020_0000, 0x0000_0008),
        (0x10418, 0xff07_4138, 0xf800_4038),
        // The trigger mode of a private interrupt cannot be changed.
        (0x10c00, 0, 0xaaaa_aaaa),
        (0x10c04, 0xffff_ffff, 0),
    ] {
        rig.gic.set(Attr::redist(mpidr, offset), value).unwrap();
        assert_eq!(get(&rig, 1, offset), reads, "{offset:#x}");
    }
    assert_eq!((get(&rig, 0, 0x10100), get(&rig, 2, 0x10300), get(&rig, 0, 0x10200)), (0xffff, 0, 0), "of other vCPUs");
}
