//! A reader of memory that an enemy filled.
//!
//! Rule: it ends, with an error or with what the kernel would find, and has looked at no more than its limit.

use super::*;
use crate::its::fake::Data;
use crate::its::geometry::check_overlap;
use crate::its::read::{COUNTED, LIMIT};
use crate::its::scan::Tables;
use crate::{GuestRange, MemoryError};

/// The bytes that a reading may look at: its limit, and the chunk that goes beyond.
const MOST: u64 = (LIMIT + COUNTED) * ENTRY_BYTES + 3 * 4096;

#[test]
fn every_word_a_device_with_the_largest_table() {
    // 16 bits of EventID, an ITT full of the same words, each the next one's neighbour.
    let dte = Dte::new().with_valid(true).with_size(15).with_itt(ITTS).with_next(1).into_bits();
    for indirect in [false, true] {
        let shadow = Fake::new(dte);
        let geometry = geometry(indirect, 8, 1);
        assert!(matches!(read(&shadow, &geometry), Err(TableError::Entry { .. } | TableError::TooLong { .. })));
        assert!(shadow.bytes_read.get() <= MOST);
    }
    // 64Ki devices, and no ITT has an entry: the kernel would look at 2^32 of them.
    let mut shadow = Fake::new(0);
    for id in 0..1 << 16 {
        shadow.put(DEVICE_TABLE + id * ENTRY_BYTES, dte);
    }
    let limit = LIMIT;
    assert!(matches!(read(&shadow, &geometry(false, 8, 1)), Err(TableError::TooLong { limit: l, .. }) if l == limit));
    assert!(shadow.bytes_read.get() <= MOST, "{}", shadow.bytes_read.get());
}

#[test]
fn every_word_a_collection() {
    let shadow = Fake::new(Cte::new().with_valid(true).into_bits());
    let none = Geometry { baser0: 0, ..geometry(false, 1, 256) };
    let found = read(&shadow, &none).unwrap();
    assert_eq!(found.collections.len(), 1 << 16);
    assert!(shadow.bytes_read.get() <= (8 << 16) + 4096);
}

#[test]
fn tables_at_the_end_of_memory() {
    let last = EXTRA.end - PAGE_BYTES;
    let at_end = |pages: u64| Geometry { baser0: VALID | last | (pages - 1), baser1: 0, ..geometry(false, 1, 1) };
    let dte = |next| Dte::new().with_valid(true).with_size(0).with_itt(EXTRA.end - 256).with_next(next).into_bits();
    let id = (PAGE_ENTRIES - 1) as u32;
    let found = Device { id, itt: EXTRA.end - 256, event_bits: 1, events: Vec::new() };
    let mut shadow = Fake::new(0);
    shadow.put(EXTRA.end - 8, dte(0));
    // The last one there is ends the table, whatever is declared behind it.
    assert_eq!(read(&shadow, &at_end(1)).map(|its| its.devices), Ok([found.clone()].into()));
    assert_eq!(read(&shadow, &at_end(2)).map(|its| its.devices), Ok([found].into()));
    // A chain that goes on outside.
    shadow.put(EXTRA.end - 8, dte(9));
    let outside = |address| Err(TableError::Outside { table: Table::Devices { its: ITS }, address });
    assert_eq!(read(&shadow, &at_end(2)), outside(EXTRA.end + 64));
    assert_eq!(read(&shadow, &at_end(1)).map(|its| its.devices.len()), Ok(1));
    // Nowhere at all; with all bits of an address.
    let nowhere = Geometry { baser0: VALID | 0x0000_ffff_ffff_f000 | 0xff, ..at_end(1) };
    assert_eq!(read(&shadow, &nowhere), outside(0x000f_ffff_ffff_0000));
    let itt = 0x000f_ffff_ffff_ff00;
    shadow.put(DEVICE_TABLE, Dte::new().with_valid(true).with_itt(itt).into_bits());
    let table = Table::Itt { its: ITS, device: 0 };
    assert_eq!(read(&shadow, &geometry(false, 1, 1)), Err(TableError::Outside { table, address: itt }));
}

#[test]
fn chains_that_leave_their_table() {
    let dte = |next| Dte::new().with_valid(true).with_size(0).with_itt(ITTS).with_next(next).into_bits();
    let mut shadow = Fake::new(0);
    // Out of the first level-2 table: the second is looked at from its beginning, as the kernel does.
    shadow.put(EXTRA.start + 8190 * 8, dte(5));
    shadow.put(EXTRA.start + PAGE_BYTES, dte(1));
    shadow.put(EXTRA.start + PAGE_BYTES + 8, dte(0));
    shadow.put(EXTRA.start + PAGE_BYTES + 16, dte(0));
    let ids = |shadow: &Fake| -> Vec<u32> {
        read(shadow, &geometry(true, 1, 1)).unwrap().devices.iter().map(|device| device.id).collect()
    };
    assert_eq!(ids(&shadow), [8190, 8192, 8193]);
    // Out of the ITT.
    let ite = |next| Ite::new().with_pintid(8192).with_next(next).into_bits();
    shadow.put(ITTS, ite(0xffff));
    shadow.put(ITTS + 8, ite(0));
    assert_eq!(read(&shadow, &geometry(true, 1, 1)).unwrap().devices[0].events.len(), 1);
}

#[test]
fn entries_that_kvm_does_not_write() {
    let dte = Dte::new().with_valid(true).with_itt(ITTS);
    for (size, intid) in [(16, 0), (31, 0), (4, 1), (4, 8191), (4, 65_536), (4, u32::MAX)] {
        let mut shadow = Fake::new(0);
        shadow.put(DEVICE_TABLE + 8, dte.with_size(size).into_bits());
        shadow.put(ITTS + 8, Ite::new().with_pintid(intid).into_bits());
        assert!(matches!(read(&shadow, &geometry(false, 1, 1)), Err(TableError::Entry { .. })), "{size} {intid}");
    }
}

#[test]
fn data_that_is_anywhere() {
    let its = |address| Fake { data: Data::Odd(address), ..Fake::new(0) };
    let (start, end) = (DEVICE_TABLE, DEVICE_TABLE + PAGE_BYTES);
    for range in [
        GuestRange { start: 0, end: 0 },
        GuestRange { start: 0, end: 8 },
        GuestRange { start, end: start },
        GuestRange { start: start + 3, end: start + 5 },
        GuestRange { start: start + 8, end: start + 4 },
        GuestRange { start: end, end: u64::MAX },
        GuestRange { start: u64::MAX, end: u64::MAX },
        GuestRange { start: u64::MAX, end: 0 },
        GuestRange { start: 0, end: u64::MAX },
    ] {
        let mut shadow = its(range);
        shadow.put(start + 40, Dte::new().with_valid(true).with_itt(ITTS).into_bits());
        let scanned = read(&shadow, &geometry(false, 1, 1));
        assert!(shadow.bytes_read.get() <= MOST, "{range:?}");
        assert!(scanned.is_ok_and(|its| its.devices.len() <= 1), "{range:?}");
    }
    struct Gone;
    impl Tables for Gone {
        fn read(&self, _: u64, _: &mut [u8]) -> Result<(), MemoryError> {
            panic!("nothing is read where nothing is")
        }
        fn data(&self, _: GuestRange) -> Option<GuestRange> {
            None
        }
    }
    let mappings = Reader::new(&Gone).mappings(&geometry(true, 1, 1), Level2::At(EXTRA.start));
    assert_eq!(mappings, Ok(ItsMappings { base: ITS, ..ItsMappings::default() }));
}

#[test]
fn pending_bits_where_memory_ends() {
    let mut shadow = Fake::new(0);
    let start = EXTRA.end - 0x1000;
    shadow.put(start + 1024, 1);
    shadow.put(EXTRA.end - 8, 1 << 63);
    let bits = geometry::pending_bits(start);
    // Not a 64 KiB boundary: as if it were.
    let bits = GuestRange { start: start + 1024, end: start + 1024 + (bits.end - bits.start) };
    let table = Table::LpiPending { vcpu: crate::VcpuId::new(0).unwrap() };
    assert_eq!(Reader::new(&shadow).pending(table, bits), Ok([8192, 8192 + 3 * 1024 * 8 - 1].into()));
}

#[test]
fn any_two_tables_that_overlap_are_found() {
    let vcpu = crate::VcpuId::new(1).unwrap();
    let tables = [
        Table::Devices { its: ITS },
        Table::Level2 { its: ITS, index: 3 },
        Table::Collections { its: ITS },
        Table::Itt { its: ITS, device: 7 },
        Table::Itt { its: ITS, device: 8 },
        Table::Commands { its: ITS },
        Table::LpiConfiguration,
        Table::LpiPending { vcpu },
    ];
    let at = |start, end, table| TableRange { range: GuestRange { start, end }, table };
    for (n, one) in tables.iter().enumerate() {
        for other in tables.iter().skip(n + 1) {
            // One of them is large, and others lie between.
            let judge = |a: (u64, u64), b: (u64, u64)| {
                let mut all = [at(a.0, a.1, *one), at(b.0, b.1, *other), at(500, 501, Table::LpiConfiguration), at(5, 5, *one)];
                check_overlap(&mut all)
            };
            let same = |a: (u64, u64), b: (u64, u64)| a.0 == b.0 && one.is_in_register() && other.is_in_register();
            for (a, b) in [((0, 8), (7, 9)), ((0, 400), (8, 16)), ((8, 16), (0, 400)), ((0, 8), (0, 8)), ((0, 8), (0, 16))] {
                match judge(a, b) {
                    Err(TableError::Overlap { one: x, other: y }) if !same(a, b) => {
                        assert!([(*one, *other), (*other, *one)].contains(&(x, y)));
                    }
                    Err(TableError::SameAddress { one: x, other: y, address }) if same(a, b) => {
                        assert!([(*one, *other), (*other, *one)].contains(&(x, y)));
                        assert_eq!(address, a.0);
                    }
                    other => panic!("{other:?}"),
                }
            }
            for (a, b) in [((0, 8), (8, 16)), ((8, 16), (0, 8)), ((0, 8), (4, 4)), ((8, 8), (8, 16)), ((3, 2), (0, 8))] {
                assert_eq!(judge(a, b), Ok(()), "{a:?} {b:?}");
            }
        }
    }
    // Not only neighbours in the order of addresses.
    let mut far = [at(0, 100, tables[0]), at(10, 20, tables[1]), at(50, 60, tables[2])];
    assert!(check_overlap(&mut far[..1]).is_ok());
    far[1].range = GuestRange { start: 10, end: 10 };
    assert_eq!(check_overlap(&mut far), Err(TableError::Overlap { one: tables[0], other: tables[2] }));
    assert_eq!(check_overlap(&mut []), Ok(()));
}
