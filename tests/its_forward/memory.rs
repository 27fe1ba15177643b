//! Interrupt translation tables: where they may be, and whose they are when.

use crate::common::*;
use vgic_state::GuestRange;
use vgic_state::forward::*;
use vgic_state::its::command::Version;

/// Size 4: 32 events of 8 bytes, 256 bytes.
const ITT: u64 = 0x100;

#[test]
fn where_a_table_may_be() {
    let mut rig = v3();
    let last = RAM + 0xf0_0000 - ITT;
    for (device, size, itt) in [(1, 4, RAM), (2, 4, last), (3, 7, last - 8 * ITT)] {
        rig.run(mapd(device, size, itt));
    }
    for itt in [
        0,
        RAM - ITT,
        // Protected, and memory for other tables.
        RAM + 0xf0_0000,
        RAM + 0xff_ff00,
        VPTS,
        LEVEL2,
        0x000f_ffff_ffff_ff00,
    ] {
        assert_eq!(rig.refuses(mapd(9, 4, itt)), (CommandRefusal::Memory, "MAPD_ITTSIZE_OOR".into()), "{itt:#x}");
    }
    // Begins in memory that is allowed, and ends elsewhere.
    assert_eq!(rig.refuses(mapd(9, 5, RAM + 0xf0_0000 - ITT)).0, CommandRefusal::Memory);
    assert_eq!(rig.refuses(mapd(9, 5, RAM - ITT)).0, CommandRefusal::Memory);
}

#[test]
fn the_size_counts() {
    let mut policy = policy(Version::V3);
    policy.limits = IdLimits { itt_entry_bytes: 16, event_bits: 32, ..policy.limits };
    let mut rig = rig(policy);
    // 2^32 entries of 16 bytes.
    assert_eq!(rig.refuses(mapd(1, 31, RAM)), (CommandRefusal::Memory, "MAPD_ITTSIZE_OOR".into()));
    rig.run(mapd(1, 0, RAM));
    assert_eq!(rig.forwarder.live().next().unwrap().0, GuestRange::new(RAM, 32));
    rig.run(mapd(2, 18, RAM + 0x100));
    assert_eq!(rig.forwarder.live().nth(1).unwrap().0, GuestRange::new(RAM + 0x100, 16 << 19));
}

#[test]
fn no_two_tables_share_a_byte() {
    let mut rig = v3();
    rig.run(mapd(1, 5, RAM + 0x400));
    for (size, itt) in [(4, 0x400), (4, 0x500), (7, 0), (5, 0x300), (6, 0x500), (7, 0x400), (5, 0x400)] {
        assert_eq!(rig.refuses(mapd(2, size, RAM + itt)), (CommandRefusal::Overlap, "MAPD_ITTSIZE_OOR".into()), "{itt:#x}");
    }
    rig.run(mapd(2, 5, RAM + 0x200));
    rig.run(mapd(3, 5, RAM + 0x600));
}

#[test]
fn memory_is_given_back_after_the_command_was_executed() {
    let mut rig = v3();
    rig.run(mapd(1, 4, RAM));
    let device = "Device { device: 1, event_bits: 5 }";
    assert_eq!(rig.events(), [format!("take 0x80000000 to 0x80000100: {device}")]);
    rig.passes(sync(0).encode()).unwrap();
    rig.passes(unmapd(1).encode()).unwrap();
    rig.passes(sync(1).encode()).unwrap();
    // In the queue, it is the ITS's still.
    let at = rig.forwarder.cwriter();
    rig.forwarder.retire(at - 64, &mut rig.pages).unwrap();
    assert_eq!(rig.events(), [""; 0]);
    rig.forwarder.retire(at - 32, &mut rig.pages).unwrap();
    assert_eq!(rig.events(), [format!("give 0x80000000 to 0x80000100: {device}")]);
    // A device that is not mapped can be unmapped, again and again.
    rig.run(unmapd(1));
    assert_eq!((rig.events(), rig.forwarder.live().count()), (vec![], 0));
}

#[test]
fn a_command_waits_for_memory_that_is_leaving() {
    let mut rig = v3();
    rig.run(mapd(1, 4, RAM));
    rig.put(unmapd(1).encode());
    rig.put(mapd(2, 4, RAM).encode());
    rig.put(sync(0).encode());
    assert_eq!(rig.go(), Progress { stop: Stop::Busy, passed: 1, refused: 0 });
    let fetched = rig.host.fetched.clone();
    // It was fetched, and is not fetched again: what is in the queue now does not matter.
    rig.host.queue[2] = mapd(2, 4, VPTS).to_bytes();
    assert_eq!(rig.go(), Progress { stop: Stop::Busy, passed: 0, refused: 0 });
    assert_eq!(rig.host.fetched, fetched);
    rig.drain();
    rig.events();
    assert_eq!(rig.go(), Progress { stop: Stop::Done, passed: 2, refused: 0 });
    assert_eq!(rig.host.fetched.len(), fetched.len() + 1);
    assert_eq!(rig.events(), ["take 0x80000000 to 0x80000100: Device { device: 2, event_bits: 5 }"]);
}

#[test]
fn a_device_that_is_mapped_again_replaces_its_table() {
    let mut rig = v3();
    rig.run(mapd(1, 4, RAM));
    rig.events();
    // Another table: the old one leaves with this command.
    rig.passes(mapd(1, 7, RAM + 0x1000).encode()).unwrap();
    assert_eq!(rig.events(), ["take 0x80001000 to 0x80001800: Device { device: 1, event_bits: 8 }"]);
    rig.run(vgic_state::its::command::ItsCommand::Int { device: 1, event: 255 });
    assert_eq!(rig.events(), ["give 0x80000000 to 0x80000100: Device { device: 1, event_bits: 5 }"]);
    // The same table: it stays.
    rig.run(mapd(1, 7, RAM + 0x1000));
    assert_eq!(rig.events(), [""; 0]);
    // A table in part of the old one.
    assert_eq!(rig.refuses(mapd(1, 6, RAM + 0x1000)).0, CommandRefusal::Overlap);
    // Unmapped and mapped before the ITS knows: it has never been given back.
    rig.passes(unmapd(1).encode()).unwrap();
    rig.passes(mapd(1, 7, RAM + 0x1000).encode()).unwrap();
    rig.drain();
    assert_eq!((rig.events(), rig.forwarder.live().count()), (vec![], 1));
    // From A to B and back to A: B leaves.
    rig.passes(mapd(1, 4, RAM).encode()).unwrap();
    rig.passes(mapd(1, 7, RAM + 0x1000).encode()).unwrap();
    rig.drain();
    assert_eq!(rig.pages.owned, [GuestRange::new(RAM + 0x1000, 0x800)]);
}

#[test]
fn tables_share_pages() {
    let mut policy = policy(Version::V3);
    policy.memory.granule = PAGE;
    let mut rig = rig(policy);
    rig.run(mapd(1, 4, RAM + 0x1f00));
    assert_eq!(rig.events(), ["take 0x80001000 to 0x80002000: Device { device: 1, event_bits: 5 }"]);
    // Beside it: the page is the ITS's, and only the bytes of the new table may change.
    rig.run(mapd(2, 4, RAM + 0x1000));
    assert_eq!(rig.events(), ["clear 0x80001000 to 0x80001100: Device { device: 2, event_bits: 5 }"]);
    assert_eq!(rig.refuses(mapd(3, 4, RAM + 0x1f00)).0, CommandRefusal::Overlap);
    // From page to page, the second of which is there already.
    rig.run(mapd(3, 4, RAM + 0x3400));
    rig.run(mapd(4, 7, RAM + 0x2c00));
    let (third, fourth) = ("Device { device: 3, event_bits: 5 }", "Device { device: 4, event_bits: 8 }");
    assert_eq!(
        rig.events(),
        [
            format!("take 0x80003000 to 0x80004000: {third}"),
            format!("take 0x80002000 to 0x80003000: {fourth}"),
            format!("clear 0x80003000 to 0x80003400: {fourth}")
        ]
    );
    // The last table of a page gives it back, whoever came first, once the ITS knows.
    rig.run(unmapd(3));
    assert_eq!(rig.events(), [""; 0]);
    rig.passes(unmapd(4).encode()).unwrap();
    assert_eq!(rig.events(), [""; 0]);
    rig.drain();
    assert_eq!(rig.events(), [format!("give 0x80002000 to 0x80004000: {fourth}")]);
    // The table of a device moves within a page: where it was is free when the ITS knows, and the page stays.
    rig.passes(mapd(1, 5, RAM + 0x1200).encode()).unwrap();
    rig.put(mapd(5, 4, RAM + 0x1f00).encode());
    assert_eq!(rig.go().stop, Stop::Busy);
    rig.drain();
    assert_eq!(rig.go().passed, 1);
    rig.drain();
    let cleared: Vec<String> = rig.events().iter().map(|event| event[..29].to_owned()).collect();
    assert_eq!(cleared, ["clear 0x80001200 to 0x8000140", "clear 0x80001f00 to 0x8000200"]);
    rig.forwarder.reset(&mut rig.pages);
    assert_eq!((rig.pages.owned.len(), rig.events().len()), (0, 1));
}

#[test]
fn pages_of_a_table_that_shares_none() {
    let mut policy = policy(Version::V40);
    policy.memory.granule = 0x1_0000;
    // One range for all.
    const ALL: &[GuestRange] = &[GuestRange::new(RAM, 0x100_0000)];
    policy.memory = TableMemory { itts: ALL, vpts: ALL, protected: &[], ..policy.memory };
    let mut rig = rig(policy);
    rig.run(mapd(1, 4, RAM + 0x8000));
    // A pending table of 4 KiB in the page of an ITT, and an ITT in the page of a pending table.
    let vmapp = |vpe: u64, vpt| [0x29, vpe << 32, 1 << 63, vpt | 14];
    assert_eq!(rig.passes(vmapp(1, RAM)).expect_err("a page in use").0, CommandRefusal::Overlap);
    rig.passes(vmapp(1, RAM + 0x1_0000)).unwrap();
    assert_eq!(rig.refuses(mapd(2, 4, RAM + 0x1_f000)).0, CommandRefusal::Overlap);
    rig.run(mapd(2, 4, RAM + 0xf000));
}

#[test]
fn all_of_a_page_must_be_allowed() {
    let mut policy = policy(Version::V3);
    policy.memory.granule = PAGE;
    // The page of the last allowed byte is protected in part.
    const INSIDE: &[GuestRange] = &[GuestRange::new(RAM + 0x5800, 8)];
    let memory = TableMemory { protected: INSIDE, ..policy.memory };
    let mut rig = self::rig(Policy { memory, ..policy });
    assert_eq!(rig.refuses(mapd(1, 4, RAM + 0x5000)).0, CommandRefusal::Memory);
    rig.run(mapd(1, 4, RAM + 0x6000));
}

#[test]
fn the_owner_has_the_last_word() {
    let mut rig = v3();
    rig.pages.keeps = Some(RAM + 0x400);
    assert_eq!(rig.refuses(mapd(1, 4, RAM + 0x400)), (CommandRefusal::NotDonated, "MAPD_ITTSIZE_OOR".into()));
    rig.pages.keeps = None;
    rig.run(mapd(1, 4, RAM + 0x400));
}

#[test]
fn there_is_room_for_so_many_tables() {
    let mut rig = rig_with(policy(Version::V3), TableLevels::Flat(1000), TableLevels::Flat(0), 16, 3);
    for device in 0..3 {
        rig.run(mapd(device, 4, RAM + u64::from(device) * ITT));
    }
    assert_eq!(rig.refuses(mapd(7, 4, RAM + 0x1000)), (CommandRefusal::Full, "MAPD_ITTSIZE_OOR".into()));
    rig.run(mapd(1, 4, RAM + ITT));
    rig.run(unmapd(1));
    rig.run(mapd(7, 4, RAM + 0x1000));
}
