//! What is not in a dump, what is no dump, and tables that are not KVM's.
//!
//! Rule: whatever the form and the filter, nothing that is not there looks as if there were nothing.

use super::guests::{self, ITTS, RAM};
use super::{json, of_guests, snapshot, stderr, stdout};
use flate2::read::GzDecoder;
use std::fs;
use std::io::Read;

/// Files that begin like something else than memory, with a word of what is said of them.
const KNOWN: &[(&str, usize, &[u8], &str)] = &[
    ("kdump", 0, b"KDUMP   \x06\0\0\0", "a kdump-compressed dump: dump it as ELF"),
    ("diskdump", 0, b"DISKDUMP", "a diskdump"),
    ("flattened", 0, b"makedumpfile\0\0\0\0\0\0\0\0\0\0\0\x01", "makedumpfile's flattened format"),
    ("windows", 0, b"PAGEDU64", "a Windows crash dump"),
    ("qevm", 0, b"QEVM\0\0\0\x03", "a QEMU migration stream: restore it"),
    ("libvirt", 0, b"LibvirtQemudSave\x02\0\0\0", "a libvirt save: restore it"),
    ("part", 0, b"LibvirtQemudPart\x02\0\0\0", "a libvirt save that was not finished"),
    ("qcow2", 0, b"QFI\xfb\0\0\0\x03", "a qcow2 disk image"),
    ("lime", 0, b"EMiL\x01\0\0\0", "a LiME dump"),
    ("avml", 0, b"AVML\x02\0\0\0", "an AVML dump"),
    (
        "firecracker",
        0,
        b"\0\0\xaa\xaa\x84\x19\x10\x07",
        "the state file of a Firecracker snapshot: the memory is in its memory file",
    ),
    ("gz", 0, b"\x1f\x8b\x08\0", "compressed with gzip: decompress it first"),
    ("zst", 0, b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    ("xz", 0, b"\xfd7zXZ\0", "compressed with xz"),
    ("lz4", 0, b"\x04\x22\x4d\x18", "compressed with lz4"),
    ("old-lz4", 0, b"\x02\x21\x4c\x18", "compressed with lz4"),
    ("lzo", 0, b"\x89LZO\0\r\n\x1a\n", "compressed with lzop"),
    ("bz2", 0, b"BZh91AY&SY", "compressed with bzip2"),
    ("7z", 0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    ("zip", 0, b"PK\x03\x04", "a zip archive"),
    ("tar", 257, b"ustar\0", "a tar archive"),
];

#[test]
fn what_is_no_dump_is_named() {
    let directory = guests::directory();
    let refused = |args: &[&str], file: &str, word: &str| {
        let output = of_guests(args);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{args:?}");
        let error = stderr(&output);
        assert!(
            error.starts_with(&format!("vgic-state: {file}: ")) && error.contains(word) && error.lines().count() == 1,
            "{error}"
        );
    };
    let json_file = format!("{{\n  \"id\": \"vm\",\n  \"snapshots\": \"{}\"}}", "x".repeat(600));
    let mut files: Vec<(String, Vec<u8>, &str)> = vec![
        ("state.json".to_owned(), json_file.into_bytes(), "a JSON file, such as the state of a Cloud Hypervisor snapshot"),
        ("image.dump".to_owned(), fs::read(directory.join("ram.img")).expect("image"), "the image of an interrupt controller"),
    ];
    for (name, at, magic, word) in KNOWN {
        let mut bytes = vec![0; 4096];
        bytes[*at..at + magic.len()].copy_from_slice(magic);
        files.push((format!("known.{name}"), bytes, word));
    }
    for (file, bytes, word) in &files {
        guests::write(directory, file, bytes);
        refused(&["its", "--ram", file, "--base", "1G", "--image", "ram.img"], file, word);
        refused(&["check", "--ram", file, "--base", "1G", "ram.img"], file, word);
        refused(&["commands", "--ram", file, "--base", "1G", "--image", "ram.img"], file, word);
        refused(&["commands", "--queue", file], file, word);
        refused(&["plot", "ram.img", "--ram", file, "--base", "1G", "-o", "-"], file, word);
        refused(&["ist", "--ram", file, "--base", "1G", "--table", "1G", "--id-bits", "4"], file, word);
        refused(&["ist", "--kind", "lpi", file], file, word);
        if file != "image.dump" {
            refused(&["show", file], file, word);
        }
    }
    // Memory that begins like one by chance: the user says so.
    let memory = fs::read(directory.join("ram.bin")).expect("memory");
    let image = ["--image", "ram.img"];
    let shown = |file: &str, more: &[&str]| of_guests(&[&["its", "--ram", file, "--base", "1G"], &image[..], more].concat());
    let expected = shown("ram.bin", &[]);
    for magic in [b"\x1f\x8b\x08\0".as_slice(), b"\x7fELF\x02\x01", b"QEVM"] {
        let mut bytes = memory.clone();
        bytes[..magic.len()].copy_from_slice(magic);
        guests::write(directory, "chance.bin", &bytes);
        let output = shown("chance.bin", &[]);
        assert!(output.status.code() == Some(2) && stdout(&output).is_empty(), "{magic:?}");
        let output = shown("chance.bin", &["--raw"]);
        assert_eq!((output.status.code(), stdout(&output)), (Some(0), stdout(&expected)), "{magic:?}");
    }
    let mut queue = vec![0; 4096];
    queue[..4].copy_from_slice(b"\x1f\x8b\x08\0");
    guests::write(directory, "queue.gz", &queue);
    assert_eq!(of_guests(&["commands", "--queue", "queue.gz", "--raw"]).status.code(), Some(0));
    // A file that is shorter than what is looked at, and memory that is not.
    guests::write(directory, "short.gz", &[0x1f, 0x8b, 8]);
    refused(&["its", "--ram", "short.gz", "--base", "1G", "--image", "ram.img"], "short.gz", "gzip");
    guests::write(directory, "core.elf", b"\x7fELF\x02\x01\x01");
    refused(&["show", "core.elf"], "core.elf", "an ELF file: a dump of memory is for --ram");
    for (name, bytes) in [("memory", [b"{\"\0".as_slice(), &[0; 600]].concat()), ("one", vec![0x1f])] {
        guests::write(directory, name, &bytes);
        let output = of_guests(&["its", "--ram", name, "--base", "1G", "--image", "ram.img"]);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{name}");
    }
}

/// What a command says, in all three forms, of what is not there.
fn said(args: &[&str]) -> [Vec<String>; 3] {
    let form = |form: &str| {
        let output = of_guests(&[args, &["--format", form, "--width", "500"]].concat());
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        let text = match form {
            "tsv" => stderr(&output).to_owned(),
            _ => {
                assert_eq!(stderr(&output), "");
                stdout(&output).to_owned()
            }
        };
        let lines: Vec<String> = match form {
            "json" => {
                json(&text)["notes"].as_array().expect("list").iter().map(|note| note.as_str().expect("text").to_owned()).collect()
            }
            _ => text.lines().map(|line| line.trim_start_matches("vgic-state: ").to_owned()).collect(),
        };
        lines
            .into_iter()
            .filter(|line| ["Not all", "What is in", "ITS 0x8080000: its tables"].iter().any(|start| line.starts_with(start)))
            .collect()
    };
    [form("table"), form("json"), form("tsv")]
}

#[test]
fn tables_that_are_not_in_the_dump_are_said_in_every_form_and_with_every_filter() {
    let filters: [&[&str]; 6] = [
        &[],
        &["--only", "mappings"],
        &["--only", "interrupts"],
        &["--only", "tables"],
        &["--only", "registers"],
        &["--pending", "--vcpu", "1"],
    ];
    for filter in filters {
        // Nothing is where the base says.
        let wrong = ["its", "--ram", "ram.bin", "--base", "0x80000000", "--image", "ram.img"];
        let [table, json, tsv] = said(&[&wrong[..], filter].concat());
        let tables = [
            "collection table of the ITS at 0x8080000, 0x40050000 to 0x40060000",
            "device table of the ITS at 0x8080000, 0x40040000 to 0x40050000",
            "LPI configuration table, 0x40010000 to 0x4001e000",
            "LPI pending table of vCPU 0, 0x40020400 to 0x40022000",
            "LPI pending table of vCPU 1, 0x40030400 to 0x40032000",
        ];
        let mut expected: Vec<String> = tables.iter().map(|table| format!("Not all in the dump: {table}.")).collect();
        expected.push("What is in them is not shown. The dump has 0x80000000 to 0x80100000: is its --base right?".to_owned());
        assert_eq!((&table, &json), (&expected, &tsv), "{filter:?}");
        assert_eq!(table, json);
        // All but the ITTs.
        let memory = fs::read(guests::directory().join("ram.bin")).expect("memory");
        guests::write(guests::directory(), "no-itts.bin", &memory[..(ITTS - RAM) as usize]);
        let [table, json, tsv] = said(&[&["its", "--ram", "no-itts.bin", "--base", "1G", "--image", "ram.img"], filter].concat());
        assert!(table.len() == 3 && table == json && json == tsv, "{table:?}");
        assert_eq!(table[0], "Not all in the dump: ITT of device 0x8 of the ITS at 0x8080000, 0x40070000 to 0x40070100.");
    }
    // Of other commands that walk tables.
    let memory = fs::read(guests::directory().join("ram.bin")).expect("memory");
    guests::write(guests::directory(), "no-itts.bin", &memory[..(ITTS - RAM) as usize]);
    let dump = ["--ram", "no-itts.bin", "--base", "1G"];
    let [table, json, tsv] = said(&[&["commands", "--image", "ram.img", "--tables"], &dump[..]].concat());
    assert!(table.len() == 3 && table == json && json == tsv, "{table:?}");
    let plot = of_guests(&[&["plot", "ram.img", "-o", "-"], &dump[..]].concat());
    assert_eq!((plot.status.code(), stderr(&plot).lines().count()), (Some(0), 3));
    // Judged: what was not dumped is not, and that is said. If that is all memory, the tables are outside of it.
    for args in [&["its", "--audit", "--image", "ram.img"][..], &["check", "ram.img"]] {
        let output = of_guests(&[args, &dump[..], &["--format", "json"]].concat());
        assert_eq!((output.status.code(), stderr(&output)), (Some(5), ""));
        assert!(json_notes(&output).contains("What is not in the dump was not judged"));
        assert_eq!(codes(&output), ["table-not-read"]);
        let output = of_guests(&[args, &dump[..], &["--format", "json", "--all-memory"]].concat());
        assert_eq!((output.status.code(), stderr(&output)), (Some(6), ""));
        assert!(!json_notes(&output).contains("not judged"));
        assert!(codes(&output).contains(&"table-outside-memory".to_owned()));
    }
}

/// Codes of the findings.
fn codes(output: &std::process::Output) -> Vec<String> {
    let value = json(stdout(output));
    let code = |finding: &serde_json::Value| finding["code"].as_str().expect("code").to_owned();
    value["findings"].as_array().expect("list").iter().map(code).collect()
}

fn json_notes(output: &std::process::Output) -> String {
    json(stdout(output))["notes"].to_string()
}

/// Registers of the guest whose memory `tests/golden/qemu` has; `GITS_TYPER` is not among them.
const QEMU: [&str; 18] = [
    "--its-base",
    "0x8080000",
    "--gits-cbaser",
    "0xb800000042df040f",
    "--gits-creadr",
    "0xbc0",
    "--gits-cwriter",
    "0xbc0",
    "--gits-baser0",
    "0xf907000042e00600",
    "--gits-baser1",
    "0xbc07000042e10600",
    "--gicr-propbaser",
    "0x42e2078f",
    "--gicr-pendbaser",
    "0x42e30780",
    "--gicr-pendbaser",
    "0x42e40780",
];
const QEMU_TYPER: [&str; 2] = ["--gits-typer", "0x1f0001efb1"];

/// The ELF core of that guest, and the same as raw dumps with their addresses.
fn qemu() -> (String, Vec<String>) {
    let directory = guests::directory();
    let mut core = Vec::new();
    let compressed = include_bytes!("../golden/qemu/linux73.core.gz");
    GzDecoder::new(compressed.as_slice()).read_to_end(&mut core).expect("core");
    guests::write(directory, "qemu.core", &core);
    let number = |at: usize| u64::from_le_bytes(core[at..at + 8].try_into().expect("number"));
    let mut raw = Vec::new();
    // Behind the program header of the notes.
    for segment in 1..5 {
        let header = 192 + 56 * segment;
        let (offset, address, bytes) = (number(header + 8) as usize, number(header + 24), number(header + 32) as usize);
        let name = format!("qemu.{address:x}.bin");
        guests::write(directory, &name, &core[offset..offset + bytes]);
        raw.extend(["--ram".to_owned(), name, "--base".to_owned(), format!("{address:#x}")]);
    }
    (String::from("qemu.core"), raw)
}

#[test]
fn tables_of_qemus_own_emulation_are_not_decoded() {
    let (core, raw) = qemu();
    let raw: Vec<&str> = raw.iter().map(String::as_str).collect();
    for dump in [["--ram", &core].as_slice(), &raw] {
        // GITS_TYPER says it.
        for command in
            [&["its"][..], &["its", "--audit"], &["its", "--only", "mappings", "--format", "tsv"], &["commands", "--tables"]]
        {
            let output = of_guests(&[command, dump, &QEMU, &QEMU_TYPER].concat());
            assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{command:?}");
            let error = stderr(&output);
            assert!(error.contains("an entry of an ITT has 12 bytes, and KVM's have 8"), "{error}");
            assert!(error.contains("QEMU's own emulation") && error.ends_with("vgic-state commands\n"), "{error}");
        }
        // Without it, the entries do.
        for filter in [&[][..], &["--only", "mappings"], &["--only", "interrupts"]] {
            let [table, json, tsv] = said(&[&["its"], dump, &QEMU, filter].concat());
            assert!(table == json && json == tsv && table.len() == 1, "{table:?}");
            assert!(table[0].starts_with("ITS 0x8080000: its tables are not KVM's"), "{table:?}");
        }
        let output = of_guests(&[&["its", "--audit", "--format", "json"], dump, &QEMU].concat());
        assert!(json_notes(&output).contains("its tables are not KVM's"));
        // The queue has one form.
        let output = of_guests(&[&["commands", "--ran", "12"], dump, &QEMU, &QEMU_TYPER].concat());
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
        snapshot!("cli_qemu_commands", stdout(&output));
    }
}
