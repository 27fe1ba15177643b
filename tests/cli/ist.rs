//! `vgic-state ist`

use super::{snapshot, stderr, stdout, vgic_state};
use std::collections::BTreeMap;
use std::fs;

/// `intid` and `word` of the lines behind the header.
fn words(tsv: &str) -> BTreeMap<u32, String> {
    tsv.lines()
        .skip(1)
        .map(|line| {
            let mut cells = line.split('\t');
            let intid = cells.next().expect("intid").parse().expect("decimal");
            (intid, cells.next().expect("word").to_owned())
        })
        .collect()
}

#[test]
fn tables_of_real_guests_print_the_words_given_beside_them() {
    for name in ["bm-lin4_14-flushed", "linux73-lpi-load-flushed", "linux73-smp4-idle"] {
        let output = vgic_state(&["ist", "--kind", "lpi", "--format", "tsv", &format!("tests/golden/{name}.lpi.ist")]);
        assert!(output.status.success(), "{}", stderr(&output));
        let header = "intid\tword\tpending\tactive\thm\tenable\tirm\thwu\tpriority\tiaffid";
        assert_eq!(stdout(&output).lines().next(), Some(header));
        let path = format!("{}/tests/golden/{name}.tsv", env!("CARGO_MANIFEST_DIR"));
        let expected = words(&fs::read_to_string(path).expect("golden words"));
        assert!(expected.len() >= 32);
        assert_eq!(words(stdout(&output)), expected, "{name}");
    }
}

#[test]
fn every_field_has_its_column() {
    let directory = std::env::temp_dir().join(format!("vgic-state-ist-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("directory");
    let file = directory.join("fields.ist");
    let mut table = vec![0_u8; 128];
    table[20..24].copy_from_slice(&0x0123_ac15_u32.to_le_bytes());
    table[24..28].copy_from_slice(&0x4567_120a_u32.to_le_bytes());
    fs::write(&file, &table).expect("table");
    let output = vgic_state(&["ist", "--kind", "spi", "--format", "tsv", file.to_str().expect("path")]);
    let lines: Vec<&str> = stdout(&output).lines().skip(1).collect();
    assert_eq!(lines, ["5\t0x0123ac15\t1\t0\t1\t0\t1\t2\t21\t291", "6\t0x4567120a\t0\t1\t0\t1\t0\t1\t2\t17767"]);
    fs::remove_dir_all(&directory).expect("clean");
}

#[test]
fn a_table_for_a_person() {
    let output = vgic_state(&["ist", "--kind", "lpi", "tests/golden/linux73-lpi-load-flushed.lpi.ist"]);
    assert!(output.status.success());
    snapshot!("cli_ist_table", stdout(&output));
}

#[test]
fn what_is_no_table_is_one_line_and_exit_code_2() {
    let directory = std::env::temp_dir().join(format!("vgic-state-bad-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("directory");
    let file = |name: &str, length: usize| {
        let path = directory.join(name);
        fs::write(&path, vec![0; length]).expect("file");
        path.to_str().expect("path").to_owned()
    };
    let cases = [
        ("lpi", file("empty", 0), "0 bytes are no legal size of an LPI IST"),
        ("spi", file("31-spis", 31 * 4), "124 bytes are no legal size of an SPI IST"),
        ("spi", file("1056-spis", 1056 * 4), "4224 bytes are no legal size of an SPI IST"),
        ("lpi", file("three", 12), "12 bytes are no legal size of an LPI IST"),
        ("lpi", file("odd", 4097), "4097 bytes are no whole number of 4-byte entries"),
        ("lpi", file("huge", 1 << 20), "longer than the largest table, 262144 bytes"),
        ("lpi", directory.to_str().expect("path").to_owned(), "directory"),
        ("spi", "no/such/file".to_owned(), "No such file"),
    ];
    for (kind, path, message) in cases {
        let output = vgic_state(&["ist", "--kind", kind, &path]);
        assert_eq!(output.status.code(), Some(2), "{path}");
        assert_eq!(stdout(&output), "");
        let error = stderr(&output);
        assert!(error.starts_with("vgic-state: ") && error.contains(message) && error.lines().count() == 1, "{error}");
    }
    fs::remove_dir_all(&directory).expect("clean");
}
