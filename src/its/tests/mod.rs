//! Tables that are built are read back as what they were built from, whatever lay there before.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0".
//!
//! Rule: mappings are any that the architecture has, in both shapes of a device table.

mod read;

use super::build;
use super::fake::{EXTRA, Fake, MEMORY};
use super::geometry::Geometry;
use super::read::{Level2, Reader};
use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

const ITS: u64 = 0x0a00_0000;
const VALID: u64 = 1 << 63;
const INDIRECT: u64 = 1 << 62;
/// Room for 16 bits of EventID.
const ITT_BYTES: u64 = 8 << 16;
const DEVICE_TABLE: u64 = MEMORY.start;
const COLLECTION_TABLE: u64 = MEMORY.start + 0x10_0000;
const ITTS: u64 = MEMORY.start + 0x100_0000;
const GARBAGE: u64 = 0xdead_beef_dead_beef;

/// 16 bits of DeviceID and of EventID; so many pages of each table.
fn geometry(indirect: bool, devices: u64, collections: u64) -> Geometry {
    let indirect = if indirect { INDIRECT } else { 0 };
    let baser0 = VALID | indirect | DEVICE_TABLE | (devices - 1);
    Geometry::new(ITS, 0x1_ef71, baser0, VALID | COLLECTION_TABLE | (collections - 1))
}

fn build(shadow: &mut Fake, geometry: &Geometry, mappings: &ItsMappings) {
    build::tables(shadow, geometry, mappings, EXTRA.start).unwrap();
}

fn read(shadow: &Fake, geometry: &Geometry) -> Result<ItsMappings, TableError> {
    Reader::new(shadow).mappings(geometry, Level2::At(EXTRA.start))
}

#[track_caller]
fn round_trip(mappings: &ItsMappings, geometry: &Geometry) {
    for mut shadow in [Fake::zeros(), Fake::new(GARBAGE)] {
        build(&mut shadow, geometry, mappings);
        assert_eq!(read(&shadow, geometry).as_ref(), Ok(mappings));
        // Twice over the same memory is the same.
        build(&mut shadow, geometry, mappings);
        assert_eq!(read(&shadow, geometry).as_ref(), Ok(mappings));
    }
}

fn device(n: u64, id: u32, event_bits: u32, events: &[u32]) -> Device {
    let events = events.iter().map(|event| Event { id: *event, intid: FIRST_LPI + event % 57344, icid: 3 }).collect();
    Device { id, itt: ITTS + n * ITT_BYTES, event_bits, events }
}

fn with_devices(devices: Vec<Device>) -> ItsMappings {
    ItsMappings { base: ITS, collections: alloc::vec![Collection { icid: 3, target: Some(0) }], devices }
}

#[test]
fn distances_beyond_what_an_entry_holds() {
    let far = [0, 16_383, 16_384, 32_768, 49_152 + 5, 65_535];
    let devices = (0..).zip(far).map(|(n, id)| device(n, id, 16, &[0, 65_535])).collect();
    let mappings = with_devices(devices);
    for indirect in [false, true] {
        round_trip(&mappings, &geometry(indirect, 8, 1));
    }
    for only in [0, 1, 8191, 8192, 65_535] {
        for indirect in [false, true] {
            round_trip(&with_devices([device(0, only, 16, &[65_535])].into()), &geometry(indirect, 8, 1));
        }
    }
}

#[test]
fn nothing_and_devices_without_events() {
    let empty = [device(0, 7, 1, &[]), device(1, 9, 16, &[]), device(2, 60_000, 5, &[31]), device(3, 60_001, 5, &[])];
    for indirect in [false, true] {
        round_trip(&ItsMappings { base: ITS, ..ItsMappings::default() }, &geometry(indirect, 8, 1));
        round_trip(&with_devices(empty.to_vec()), &geometry(indirect, 8, 1));
    }
}

/// The kernel reads every entry that the guest has declared, and believes it.
#[test]
fn a_table_without_devices_is_cleared_as_far_as_it_is_declared() {
    for (indirect, pages) in [(false, 9), (false, 256), (true, 1)] {
        let geometry = geometry(indirect, pages, 1);
        let mut shadow = Fake::new(GARBAGE);
        build(&mut shadow, &geometry, &ItsMappings { base: ITS, ..ItsMappings::default() });
        let declared = (DEVICE_TABLE..DEVICE_TABLE + pages * PAGE_BYTES).step_by(8);
        let own = if indirect { 8 } else { 0 };
        assert_eq!(declared.filter(|at| shadow.word(*at) != 0).count(), own);
    }
}

#[test]
fn collection_tables_that_are_full_and_that_are_not() {
    for (pages, entries) in [(1, 8192), (8, 1 << 16), (9, 1 << 16)] {
        let geometry = geometry(false, 1, pages);
        assert_eq!(geometry.collection_entries(), entries);
        for count in [0, entries - 1, entries] {
            let collections: Vec<_> =
                (0..count).map(|n| Collection { icid: n as u16, target: (n % 3 != 1).then_some(n as u32 % 5) }).collect();
            let mappings = ItsMappings { base: ITS, collections, devices: Vec::new() };
            round_trip(&mappings, &geometry);
            // The kernel reads on until an entry is not valid, or the table ends.
            let mut shadow = Fake::new(GARBAGE);
            build(&mut shadow, &geometry, &mappings);
            let room = count < pages * PAGE_ENTRIES;
            assert_eq!(shadow.word(COLLECTION_TABLE + count * ENTRY_BYTES) == 0, room, "{count} of {entries}");
        }
    }
}

#[test]
fn pending_bits_and_configuration() {
    let (vcpu, pendbaser) = (crate::VcpuId::new(5).unwrap(), MEMORY.start + 0x5_0000);
    let bits = geometry::pending_bits(pendbaser);
    let table = Table::LpiPending { vcpu };
    let cases: [&[u32]; 5] = [&[], &[8192], &[65_535], &[8192, 8199, 8200, 8255, 8256, 16_383, 16_384], &[8193, 65_528, 65_535]];
    for intids in cases {
        let mut shadow = Fake::new(GARBAGE);
        build::clear(&mut shadow, table, bits).unwrap();
        build::pending(&mut shadow, vcpu, pendbaser, intids).unwrap();
        assert_eq!(Reader::new(&shadow).pending(table, bits).as_deref(), Ok(intids));
        assert_eq!((shadow.word(bits.start - 8), shadow.word(bits.end)), (GARBAGE, GARBAGE));
    }
    let all: Vec<u32> = (8192..1 << 16).collect();
    let mut shadow = Fake::zeros();
    build::pending(&mut shadow, vcpu, pendbaser, &all).unwrap();
    assert_eq!(Reader::new(&shadow).pending(table, bits), Ok(all));
    build::configuration(&mut shadow, MEMORY.start | 0xf, [(8192, 0xa3), (65_535, 0xff)].into_iter()).unwrap();
    assert_eq!((shadow.word(MEMORY.start), shadow.word(MEMORY.start + 57_336)), (0xa3, 0xff << 56));
}

#[test]
fn what_cannot_be_cleared_is_said() {
    let geometry = geometry(false, 8, 1);
    let nothing = ItsMappings { base: ITS, ..ItsMappings::default() };
    let mut shadow = Fake { clearable: 1 << 16, ..Fake::new(GARBAGE) };
    let table = Table::Devices { its: ITS };
    assert_eq!(build::tables(&mut shadow, &geometry, &nothing, EXTRA.start), Err(TableError::Unclear { table }));
    assert_eq!(build::clear_memory(&mut shadow, table, geometry.devices().range), Err(TableError::Unclear { table }));
    // Half of it is memory.
    let over = crate::GuestRange::new(EXTRA.end - 0x1000 - 8, 0x2000);
    let address = EXTRA.end;
    let mut shadow = Fake::new(GARBAGE);
    assert_eq!(build::clear(&mut shadow, table, over), Err(TableError::Outside { table, address }));
    assert_eq!(build::clear_memory(&mut shadow, table, over), Ok(()));
    let cleared = (over.start - 8..over.end).step_by(8).filter(|at| shadow.word(*at) == 0);
    assert_eq!(cleared.count() * 8, 0x1008);
}

fn arbitrary() -> impl Strategy<Value = ItsMappings> {
    let collections = prop::collection::btree_map(any::<u16>(), prop::option::of(0_u32..512), 1..20);
    let events = prop::collection::btree_map(any::<u16>(), (FIRST_LPI..1 << 16, any::<prop::sample::Index>()), 0..30);
    let devices = prop::collection::btree_map(any::<u16>(), (1_u32..=16, events), 0..20);
    (collections, devices).prop_map(|(collections, devices)| {
        let collections: Vec<_> = collections.into_iter().map(|(icid, target)| Collection { icid, target }).collect();
        let devices = (0..).zip(devices).map(|(n, (id, (event_bits, events)))| {
            let events = events.into_iter().map(|(event, (intid, of))| (event >> (16 - event_bits), (intid, of)));
            let events: alloc::collections::BTreeMap<_, _> = events.collect();
            let event = |(id, (intid, of)): (u16, (u32, prop::sample::Index))| Event {
                id: id.into(),
                intid,
                icid: of.get(&collections).icid,
            };
            Device { id: id.into(), itt: ITTS + n * ITT_BYTES, event_bits, events: events.into_iter().map(event).collect() }
        });
        let devices = devices.collect();
        ItsMappings { base: ITS, collections, devices }
    })
}

proptest! {
    #![proptest_config(crate::seeds::cases(24))]

    #[test]
    fn any_mappings_are_read_back(mappings in arbitrary(), indirect in any::<bool>()) {
        let geometry = geometry(indirect, 8, 1);
        for mut shadow in [Fake::zeros(), Fake::new(GARBAGE)] {
            build(&mut shadow, &geometry, &mappings);
            let found = read(&shadow, &geometry);
            prop_assert_eq!(found.as_ref(), Ok(&mappings));
        }
    }
}

#[test]
fn what_is_lost_is_listed_as_far_as_one_reads() {
    let lost = |count: u32| Lost { its: ITS, devices: (0..count).collect(), collections: [9].into(), stale: Vec::new() };
    let line = |count| alloc::format!("{}", lost(count));
    let begin = "the tables of the ITS at 0xa000000 in guest memory are not what it has mapped";
    assert_eq!(line(0), alloc::format!("{begin}; 1 collections lost: 0x9"));
    let eight = "devices lost: 0x0 0x1 0x2 0x3 0x4 0x5 0x6 0x7";
    assert_eq!(line(8), alloc::format!("{begin}; 8 {eight}; 1 collections lost: 0x9"));
    assert_eq!(line(9), alloc::format!("{begin}; 9 {eight} ...; 1 collections lost: 0x9"));
}
