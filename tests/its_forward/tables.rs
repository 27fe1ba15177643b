//! Tables in two levels: the first is mirrored entry by entry, the second is handed over page by page.

use crate::common::*;
use vgic_state::forward::*;
use vgic_state::its::command::{ItsCommand, RdBase, Version};

const VALID: u64 = 1 << 63;

/// 4 KiB pages of 512 devices, two of them below 2^10; and 64 KiB pages of vPEs.
fn rig_of(policy: Policy<'static>) -> Rig {
    let devices = TrustedLevel1::new(leak(!0, 2), 0x1000, 8).unwrap();
    assert_eq!(devices.entries(), [0, 0]);
    let vpes = TrustedLevel1::new(leak(!0, 1), 0x1_0000, 32).unwrap();
    rig_with(policy, TableLevels::TwoLevel(devices), TableLevels::TwoLevel(vpes), 16, 6)
}

fn rig() -> Rig {
    rig_of(policy(Version::V3))
}

fn level1(rig: &Rig) -> Vec<u64> {
    let TableLevels::TwoLevel(level1) = rig.forwarder.devices() else { panic!() };
    level1.entries().iter().map(|entry| u64::from_le(*entry)).collect()
}

#[test]
fn an_entry_is_read_once_and_copied_when_a_command_needs_it() {
    let mut rig = rig();
    rig.host.level1.insert((0, 0), VALID | 0x7ff0_0000_0000_0000 | LEVEL2);
    rig.host.level1.insert((0, 1), VALID | (LEVEL2 + 0x2000));
    assert_eq!(rig.refuses(unmapd(600)), (CommandRefusal::NoLevel2, "MAPD_DEVICE_OOR".into()));
    assert!(rig.host.level1_read.is_empty(), "nothing is mapped there");
    rig.run(mapd(600, 4, RAM));
    assert_eq!(rig.host.level1_read, [(IdTable::Devices, 1)]);
    assert_eq!(
        rig.events(),
        [
            "take 0x83002000 to 0x83003000: Level2 { table: Devices, index: 1 }",
            "Devices 1",
            "take 0x80000000 to 0x80000100: Device { device: 258, event_bits: 5 }"
        ]
    );
    assert_eq!(level1(&rig), [0, VALID | (LEVEL2 + 0x2000)]);
    // What the host writes there later, nobody reads.
    rig.host.level1.insert((0, 1), VALID | RAM);
    rig.run(mapd(512, 4, RAM + 0x100));
    rig.run(unmapd(600));
    rig.run(mapd(1023, 4, RAM));
    assert_eq!(rig.host.level1_read.len(), 1);
    // Bits above the address are no part of it.
    rig.run(mapd(0, 4, RAM + 0x200));
    assert_eq!(level1(&rig), [VALID | LEVEL2, VALID | (LEVEL2 + 0x2000)]);
    // A second level stays for as long as the table.
    for device in [0, 512, 1023] {
        rig.run(unmapd(device));
    }
    assert_eq!(rig.pages.owned.len(), 2);
    rig.forwarder.reset(&mut rig.pages);
    assert_eq!((rig.pages.owned.len(), level1(&rig)), (0, vec![0, 0]));
}

#[test]
fn a_second_level_is_judged() {
    for (entry, refusal, word) in [
        (None, CommandRefusal::NoLevel2, "MAPD_DEVICE_OOR"),
        (Some(LEVEL2), CommandRefusal::NoLevel2, "MAPD_DEVICE_OOR"),
        (Some(VALID | LEVEL2 | 0x800), CommandRefusal::Alignment, "MAPD_ITTSIZE_OOR"),
        (Some(VALID | LEVEL2 | 1), CommandRefusal::Alignment, "MAPD_ITTSIZE_OOR"),
        (Some(VALID | RAM), CommandRefusal::Memory, "MAPD_ITTSIZE_OOR"),
        (Some(VALID | (LEVEL2 + 0xf0_0000)), CommandRefusal::Memory, "MAPD_ITTSIZE_OOR"),
        (Some(VALID), CommandRefusal::Memory, "MAPD_ITTSIZE_OOR"),
        (Some(VALID | 0x000f_ffff_ffff_f000), CommandRefusal::Memory, "MAPD_ITTSIZE_OOR"),
    ] {
        let mut rig = rig();
        rig.host.level1.extend(entry.map(|entry| ((0, 0), entry)));
        assert_eq!(rig.refuses(mapd(3, 4, RAM)), (refusal, word.into()), "{entry:x?}");
        assert_eq!((level1(&rig), rig.host.level1_read.len()), (vec![0, 0], 1));
        // The host may correct it.
        rig.host.level1.insert((0, 0), VALID | LEVEL2);
        rig.run(mapd(3, 4, RAM));
    }
}

#[test]
fn a_second_level_belongs_to_one_entry() {
    let mut rig = rig();
    rig.host.level1.insert((0, 0), VALID | LEVEL2);
    rig.host.level1.insert((0, 1), VALID | LEVEL2);
    rig.run(mapd(3, 4, RAM));
    assert_eq!(rig.refuses(mapd(600, 4, RAM + 0x100)).0, CommandRefusal::Overlap);
    // Nor is it an interrupt translation table, if both may be in the same memory.
    let mut policy = policy(Version::V3);
    policy.memory.level2 = policy.memory.itts;
    let mut rig = rig_of(policy);
    rig.host.level1.insert((0, 0), VALID | RAM);
    rig.host.level1.insert((0, 1), VALID | (RAM + 0x1000));
    // The page is handed over, and its own command is refused.
    assert_eq!(rig.passes(mapd(3, 4, RAM + 0xf00).encode()).unwrap_err().0, CommandRefusal::Overlap);
    assert_eq!(rig.forwarder.live().count(), 1);
    rig.run(mapd(3, 4, RAM + 0x1f00));
    assert_eq!(rig.refuses(mapd(600, 4, RAM + 0x2000)).0, CommandRefusal::Overlap);
}

#[test]
fn a_second_level_takes_a_place_in_the_list_and_needs_an_owner() {
    let mut rig = rig();
    rig.host.level1.insert((0, 0), VALID | LEVEL2);
    rig.pages.keeps = Some(LEVEL2);
    assert_eq!(rig.refuses(mapd(3, 4, RAM)).0, CommandRefusal::NotDonated);
    assert_eq!(level1(&rig), [0, 0]);
    rig.pages.keeps = None;
    for n in 0..5 {
        rig.run(mapd(n, 4, RAM + u64::from(n) * 0x100));
    }
    rig.host.level1.insert((0, 1), VALID | (LEVEL2 + 0x1000));
    assert_eq!(rig.refuses(mapd(600, 4, RAM + 0x1000)).0, CommandRefusal::Full);
}

#[test]
fn vpes_have_second_levels_too() {
    let mut rig = rig_of(policy(Version::V40));
    let vmapp = ItsCommand::Vmapp { vpe: 8, rdbase: RdBase::number(1), valid: true, vpt: VPTS, vpt_size: 13 };
    assert_eq!(rig.refuses(vmapp), (CommandRefusal::NoLevel2, "VMAPP_VPE_OOR".into()));
    rig.host.level1.insert((1, 0), VALID | (LEVEL2 + 0x1000));
    assert_eq!(rig.refuses(vmapp), (CommandRefusal::Alignment, "VMAPP_VPE_OOR".into()));
    rig.host.level1.insert((1, 0), VALID | (LEVEL2 + 0x1_0000));
    rig.run(vmapp);
    assert_eq!(rig.events()[..2], ["take 0x83010000 to 0x83020000: Level2 { table: Vpes, index: 0 }", "Vpes 0"]);
    let TableLevels::TwoLevel(level1) = rig.forwarder.vpes() else { panic!() };
    assert_eq!(level1.entries(), [(VALID | (LEVEL2 + 0x1_0000)).to_le()]);
}

#[test]
fn shapes_that_no_table_has() {
    for (page, entry) in [(0, 8), (0x2000, 8), (0x1000, 0), (0x1000, 33)] {
        assert!(TrustedLevel1::new(&mut [], page, entry).is_none());
    }
    // A first level that ends before the last DeviceID.
    let devices = TrustedLevel1::new(leak(0, 1), 0x1000, 8).unwrap();
    let mut rig = rig_with(policy(Version::V3), TableLevels::TwoLevel(devices), TableLevels::Flat(0), 16, 6);
    assert_eq!(rig.refuses(mapd(512, 4, RAM)), (CommandRefusal::DeviceOutOfRange, "MAPD_DEVICE_OOR".into()));
    assert!(rig.host.level1_read.is_empty());
}

#[test]
fn what_must_be_zero() {
    let zero = |holder: Holder| (holder.must_be_zero(), holder.is_written());
    assert_eq!(zero(Holder::Device { device: 0, event_bits: 1 }), (true, true));
    assert_eq!(zero(Holder::Level2 { table: IdTable::Devices, index: 0 }), (true, true));
    assert_eq!(zero(Holder::Vpt { vpe: 0, intid_bits: 14, zero: true }), (true, true));
    assert_eq!(zero(Holder::Vpt { vpe: 0, intid_bits: 14, zero: false }), (false, true));
    assert_eq!(zero(Holder::Vconf { vpe: 0 }), (false, false));
}
