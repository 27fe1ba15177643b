//! Registers of an ITS from user space.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `its_registers`.
//!
//! Rule: what an enabled ITS ignores, it ignores with success.

use crate::common::*;
use vgic_state::{Attr, AttrDevice, Command, Errno};

const CBASER: u32 = 0x80;
const CWRITER: u32 = 0x88;
const CREADR: u32 = 0x90;
const BASER0: u32 = 0x100;
const BASER1: u32 = 0x108;

fn get(rig: &Rig, offset: u32) -> u64 {
    rig.its[0].get(Attr::its(offset)).unwrap()
}

fn set(rig: &mut Rig, offset: u32, value: u64) {
    rig.its[0].set(Attr::its(offset), value).unwrap();
}

#[test]
fn a_new_its_has_these_registers() {
    let mut rig = ready(1);
    for (offset, value) in [
        (0x0, 0x8000_0000),
        (0x4, 0x4b00_043b),
        (0x8, 0x1_ef71),
        (CBASER, 0),
        (BASER0, 0x1907_0000_0000_0600),
        (BASER1, 0x1c07_0000_0000_0600),
        (0x110, 0),
        (0xffd0, 0x40),
        (0xffe0, 0x92),
        (0xffe4, 0xb4),
        (0xffe8, 0x3b),
        (0xfff0, 0x0d),
        (0xfffc, 0xb1),
    ] {
        assert_eq!(get(&rig, offset), value, "{offset:#x}");
    }
    for offset in [0x8, 0x110, 0x138, 0xffe8] {
        let before = get(&rig, offset);
        set(&mut rig, offset, u64::MAX);
        assert_eq!(get(&rig, offset), before, "{offset:#x}");
    }
    for (value, answer) in [(0x4b00_043b, Ok(())), (0x0, Ok(())), (0x4b00_143b, Err(Errno::EINVAL)), (0xf000, Err(Errno::EINVAL))] {
        assert_eq!(rig.its[0].set(Attr::its(0x4), value), answer, "revision of {value:#x}");
    }
}

#[test]
fn gits_baser_keeps_the_shape_that_kvm_has() {
    let mut rig = ready(1);
    // Type, entry size and page size are KVM's; a collection table has one level.
    set(&mut rig, BASER0, u64::MAX);
    assert_eq!(get(&rig, BASER0), 0xf907_ffff_ffff_feff);
    set(&mut rig, BASER1, VALID | INDIRECT | collections(0) | 0x800 | 9);
    assert_eq!(get(&rig, BASER1), 0x9c07_0000_0000_0600 | collections(0) | 9);
    set(&mut rig, CBASER, u64::MAX);
    assert_eq!(get(&rig, CBASER), 0xff1f_ffff_ffff_0fff);
}

#[test]
fn queue_offsets_stay_inside_the_queue() {
    let mut rig = ready(1);
    set(&mut rig, CBASER, VALID | queue(0) | 1);
    for (offset, answer) in [(0x40, Ok(())), (0x1fe0, Ok(())), (0x2000, Err(Errno::EINVAL)), (0xf_ffe0, Err(Errno::EINVAL))] {
        assert_eq!(rig.its[0].set(Attr::its(CREADR), offset), answer, "{offset:#x}");
    }
    assert_eq!(get(&rig, CREADR), 0x1fe0);
    set(&mut rig, CREADR, 0xfff0_0000_0000_0075);
    assert_eq!(get(&rig, CREADR), 0x60, "bits 19:5");
    set(&mut rig, CWRITER, 0x83);
    assert_eq!(get(&rig, CWRITER), 0x80);
    set(&mut rig, CWRITER, 0x2000);
    assert_eq!(get(&rig, CWRITER), 0x80, "beyond the queue: dropped");
    assert_eq!(get(&rig, 0x0), 0, "not quiescent");
    set(&mut rig, CBASER, VALID | queue(0) | 3);
    assert_eq!((get(&rig, CREADR), get(&rig, CWRITER), get(&rig, 0x0)), (0, 0, 0x8000_0000));
}

#[test]
fn an_its_is_enabled_only_with_queue_and_tables() {
    // Without any of the three, nothing is enabled.
    for missing in [CBASER, BASER0, BASER1] {
        let mut rig = ready(1);
        rig.its_registers(0, false);
        let value = get(&rig, missing);
        set(&mut rig, missing, value & !VALID);
        set(&mut rig, 0x0, 1);
        assert_eq!(get(&rig, 0x0) & 1, 0, "{missing:#x}");
        set(&mut rig, missing, value);
        set(&mut rig, 0x0, 0xffff_ffff);
        assert_eq!(get(&rig, 0x0), 0x8000_0001);
        // Frozen now.
        for offset in [CBASER, BASER0, BASER1] {
            let before = get(&rig, offset);
            set(&mut rig, offset, 0);
            assert_eq!(get(&rig, offset), before, "{offset:#x}");
        }
        assert_eq!(rig.its[0].set(Attr::its(CREADR), 0x2000_0000), Err(Errno::EBUSY));
    }
}

#[test]
fn commands_wait_for_enable() {
    let mut rig = prepared_with(vgic_state::model::gicv3::Host::default(), 1, false, new_memory());
    for (offset, word) in (0..).step_by(8).zip([mapc(3, 9), mapd(6, 4, ITTS), mapti(6, 2, 8777, 3)].as_flattened()) {
        rig.write64(queue(0) + offset, *word);
    }
    set(&mut rig, CWRITER, 0x60);
    assert_eq!((get(&rig, CREADR), rig.vm.commands().len()), (0, 0));
    set(&mut rig, 0x0, 1);
    assert_eq!((get(&rig, CREADR), rig.vm.commands().len()), (0x60, 3));
    assert_eq!(rig.vm.lpi(8777).unwrap().target, Some(vcpu(2).id));
    // The queue wraps.
    set(&mut rig, 0x0, 0);
    set(&mut rig, CREADR, 0xffe0);
    set(&mut rig, CWRITER, 0x20);
    set(&mut rig, 0x0, 1);
    assert_eq!((get(&rig, CREADR), rig.vm.commands().len()), (0x20, 5));
}

#[test]
fn a_reset_forgets_mappings_and_clears_valid_bits() {
    let mut rig = running();
    populate(&mut rig, 0);
    let kept = get(&rig, BASER0);
    let lpis = rig.vm.lpis();
    rig.its[0].command(Command::ItsReset).unwrap();
    assert_eq!((get(&rig, 0x0), get(&rig, CBASER), get(&rig, CREADR), get(&rig, CWRITER)), (0x8000_0000, 0, 0, 0));
    assert_eq!(get(&rig, BASER0), kept & !VALID, "only V");
    assert_eq!(get(&rig, BASER1) >> 63, 0);
    let mappings = rig.vm.mappings(0).unwrap();
    assert!(mappings.devices.is_empty() && mappings.collections.is_empty());
    // LPIs that still have to be delivered stay, and so does the redistributor.
    assert_eq!(rig.gic.get(Attr::redist(VCPUS[0].1, 0)), Ok(7));
    assert!(!lpis.is_empty() && rig.vm.lpis().iter().all(|lpi| lpi.pending && lpi.references == 0));
    assert_eq!(rig.vm.signal_msi(doorbell(0), 70, 0), Err(Errno::EBUSY));
}

#[test]
fn an_invalid_table_frees_what_it_maps() {
    let mut rig = running();
    populate(&mut rig, 0);
    set(&mut rig, 0x0, 0);
    let baser1 = get(&rig, BASER1);
    set(&mut rig, BASER1, baser1 & !VALID);
    let mappings = rig.vm.mappings(0).unwrap();
    assert!(mappings.collections.is_empty() && !mappings.devices.is_empty());
    assert!(mappings.devices.iter().flat_map(|device| &device.events).all(|event| event.collection.is_none()));
    let baser0 = get(&rig, BASER0);
    set(&mut rig, BASER0, baser0 & !VALID);
    assert!(rig.vm.mappings(0).unwrap().devices.is_empty());
}
