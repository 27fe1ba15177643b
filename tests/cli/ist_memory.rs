//! `vgic-state ist --ram`: tables of every shape.

use super::{guests, json, of_guests, snapshot, stderr, stdout};
use std::collections::BTreeMap;

const TABLE: u64 = 0x8000_0000;
const LEVEL2: u64 = TABLE + 0x10_0000;

/// Entries that a guest could have made, by ID.
fn entries(id_bits: u32) -> BTreeMap<u64, u32> {
    let last = (1_u64 << id_bits) - 1;
    [(0, 0x0000_f808), (1, 0x0001_0809), (last / 2, 0x0002_000b), (last, 0x0003_a008)].into()
}

/// Memory with such a table.
fn memory(id_bits: u32, entry_bytes: usize, level2: Option<usize>, metadata: bool) -> Vec<u8> {
    let mut memory = vec![0; 0x20_0000];
    let mut put = |address: u64, bytes: &[u8]| {
        let at = (address - TABLE) as usize;
        memory[at..at + bytes.len()].copy_from_slice(bytes);
    };
    for (id, word) in entries(id_bits) {
        let address = match level2 {
            None => TABLE + id * entry_bytes as u64,
            Some(bytes) => {
                let per_table = (bytes / entry_bytes) as u64;
                // The tables of the second level in another order than the first.
                let count = (1_u64 << id_bits).div_ceil(per_table);
                let table = LEVEL2 + (count - 1 - id / per_table) * bytes as u64;
                put(TABLE + id / per_table * 8, &(table | 1).to_le_bytes());
                table + id % per_table * entry_bytes as u64
            }
        };
        let mut entry = vec![0; entry_bytes];
        entry[..4].copy_from_slice(&word.to_le_bytes());
        if metadata && entry_bytes > 4 {
            entry[4] = 0x5a;
        }
        put(address, &entry);
    }
    memory
}

#[test]
fn every_shape_gives_the_same_entries() {
    for id_bits in [4, 12, 16] {
        for (size, entry_bytes) in [(0, 4), (1, 8), (2, 16)] {
            for (l2sz, level2) in [(0, None), (0, Some(4096)), (1, Some(16384)), (2, Some(65536))] {
                let name = "shape.bin";
                guests::write(guests::directory(), name, &memory(id_bits, entry_bytes, level2, true));
                let cfgr = id_bits | l2sz << 5 | size << 7 | u32::from(level2.is_some()) << 16;
                let registers = ["--ist-baser".to_owned(), format!("{:#x}", TABLE | 1), "--ist-cfgr".to_owned(), cfgr.to_string()];
                let mut shape = vec!["--table".to_owned(), format!("{TABLE:#x}"), "--id-bits".to_owned(), id_bits.to_string()];
                shape.extend(["--entry-bytes".to_owned(), entry_bytes.to_string()]);
                shape.extend(level2.iter().flat_map(|bytes| ["--l2-bytes".to_owned(), format!("{}K", bytes >> 10)]));
                for options in [registers.to_vec(), shape] {
                    let mut args = vec!["ist", "--ram", name, "--base", "2G", "--format", "json"];
                    args.extend(options.iter().map(String::as_str));
                    let output = of_guests(&args);
                    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{args:?}");
                    let value = json(stdout(&output));
                    let row = |row: &serde_json::Value| {
                        let word = row["word"].as_str().and_then(|word| u32::from_str_radix(&word[2..], 16).ok());
                        (row["intid"].as_u64().expect("intid"), word.expect("word"))
                    };
                    let found: BTreeMap<u64, u32> = value["entries"].as_array().expect("list").iter().map(row).collect();
                    assert_eq!(found, entries(id_bits), "{args:?}");
                    assert_eq!(value["entries"][0]["metadata"] == "0x5a", entry_bytes > 4);
                }
            }
        }
    }
}

/// Memory with a table of two levels.
pub(crate) fn two_levels() -> Vec<u8> {
    memory(12, 8, Some(4096), false)
}

#[test]
fn two_levels_for_a_person() {
    guests::write(guests::directory(), "two.bin", &two_levels());
    let output = of_guests(&["ist", "--ram", "two.bin", "--base", "2G", "--ist-baser", "0x80000001", "--ist-cfgr", "0x1008c"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    snapshot!("cli_ist_two_levels", stdout(&output));
}

#[test]
fn an_audit() {
    let mut memory = memory(12, 4, Some(4096), false);
    // Two level-1 entries for one table; one that leads nowhere; one that is not valid; one with a reserved bit.
    let first: [u8; 8] = memory[..8].try_into().expect("entry");
    memory[8..16].copy_from_slice(&first);
    memory[16..24].copy_from_slice(&0x9000_0001_u64.to_le_bytes());
    memory[24] &= !1;
    memory[25] |= 2;
    guests::write(guests::directory(), "damaged-ist.bin", &memory);
    let shape = ["--ram", "damaged-ist.bin", "--base", "2G", "--table", "2G", "--id-bits", "12", "--l2-bytes", "4K"];
    let args: Vec<&str> = ["ist", "--audit", "--vcpus", "2"].iter().chain(&shape).copied().collect();
    let output = of_guests(&args);
    assert_eq!((output.status.code(), stderr(&output)), (Some(6), ""));
    snapshot!("cli_ist_audit", stdout(&output));
}

#[test]
fn an_audit_of_a_file() {
    let table = [0x0000_f808_u32, 0x0004_f808, 0x0000_f828].map(u32::to_le_bytes).concat();
    guests::write(guests::directory(), "three.ist", &[table, vec![0; 4 * 253]].concat());
    let found = |vcpus: &str| {
        let output = of_guests(&["ist", "--kind", "lpi", "--audit", "--vcpus", vcpus, "--format", "tsv", "three.ist"]);
        let codes = stdout(&output).lines().skip(1).map(|line| line.split('\t').nth(1).expect("code").to_owned());
        (output.status.code(), codes.collect::<Vec<String>>())
    };
    assert_eq!(found("4"), (Some(5), vec!["ist-reserved-bits".to_owned(), "ist-target-unknown".to_owned()]));
    assert_eq!(found("5"), (Some(5), vec!["ist-reserved-bits".to_owned()]));
}

#[test]
fn an_image_says_where_its_table_is() {
    // IRS_IST_BASER of the guest is 0x123456780.
    let mut table = vec![0; 0x1000 + 1024];
    table[0x780..0x784].copy_from_slice(&0x0001_f80b_u32.to_le_bytes());
    guests::write(guests::directory(), "own.bin", &table);
    let output = of_guests(&["ist", "--ram", "own.bin", "--base", "0x123456000", "--image", "guest.img", "--format", "tsv"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    assert!(stdout(&output).lines().nth(1).is_some_and(|line| line.starts_with("0\t0x0001f80b\t1\t1")), "{}", stdout(&output));
}

#[test]
fn what_is_no_table() {
    guests::write(guests::directory(), "small.bin", &[0; 4096]);
    for (args, message) in [
        ("ist", "give a FILE and its --kind, or --ram and where the table is"),
        ("ist small.bin", "--kind"),
        ("ist --ram small.bin --base 2G", "where is the table?"),
        ("ist --ram small.bin --base 2G --ist-baser 2 --ist-cfgr 4", "IRS_IST_BASER.VALID is 0"),
        ("ist --ram small.bin --base 2G --ist-baser 1 --ist-cfgr 0x180", "ISTSZ is 3"),
        ("ist --ram small.bin --base 2G --ist-baser 1 --ist-cfgr 0x10060", "L2SZ is 3"),
        ("ist --ram small.bin --base 2G --ist-baser 1 --ist-cfgr 25", "25 bits of interrupt ID: no table has more than 24"),
        ("ist --ram small.bin --base 2G --table 2G --id-bits 11", "0x80000000 to 0x80002000, is not all in the dump"),
        ("ist --ram small.bin --base 2G --table 0 --id-bits 4 --l2-bytes 4K", "entry at 0x0, which is not in the dump"),
        ("ist --ram small.bin --base 2G --image gicv3.img", "the image of a GICv3, expected that of a GICv5"),
        ("ist --ram small.bin --base 2G --table 2G --id-bits 4 --entry-bytes 5", "must be 4, 8 or 16"),
        ("ist --ram small.bin --base 2G --table 2G --id-bits 4 --l2-bytes 8K", "must be 4K, 16K or 64K"),
    ] {
        let output = of_guests(&args.split(' ').collect::<Vec<_>>());
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{args}");
        assert!(stderr(&output).contains(message), "{args}: {}", stderr(&output));
    }
}
