//! `vgic-state its`

use super::guests::{self, DEVICE_TABLE, ITTS, RAM};
use super::{json, of_guests, snapshot, stderr, stdout};
use std::fs;

const FROM_IMAGE: [&str; 7] = ["its", "--ram", "ram.bin", "--base", "0x40000000", "--image", "ram.img"];

fn run(more: &[&str]) -> (Option<i32>, String) {
    let args: Vec<&str> = FROM_IMAGE.iter().chain(more).copied().collect();
    let output = of_guests(&args);
    assert_eq!(stderr(&output), "", "{args:?}");
    (output.status.code(), stdout(&output).to_owned())
}

#[test]
fn tables_in_memory() {
    let (code, text) = run(&[]);
    assert_eq!(code, Some(0));
    snapshot!("cli_its", text);
}

#[test]
fn tables_in_memory_say_what_the_image_with_tables_says() {
    let in_memory = json(&run(&["--all", "--format", "json"]).1);
    let output = of_guests(&["show", "gicv3.img", "--all", "--format", "json"]);
    let in_image = json(stdout(&output));
    for table in ["devices", "events", "collections"] {
        assert_eq!(in_memory[table], in_image[table], "{table}");
    }
    let lpis = in_image["interrupts"].as_array().expect("list").iter().filter(|row| row["kind"] == "LPI");
    assert!(lpis.eq(in_memory["interrupts"].as_array().expect("list")));
}

#[test]
fn registers_by_hand_lead_to_the_same_tables() {
    let by_hand = [
        "its",
        "--ram",
        "ram.bin",
        "--base",
        "1G",
        "--gits-baser0",
        "0x9907000040040200",
        "--gits-baser1",
        "0x9c07000040050200",
        "--its-base",
        "0x8080000",
        "--gicr-propbaser",
        "0x4001018f",
        "--gicr-pendbaser",
        "0x40020180",
        "--gicr-pendbaser",
        "0x40030180",
        "--format",
        "json",
        "--all",
    ];
    let output = of_guests(&by_hand);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    // Judged, nothing is said of what was not given.
    let few = ["its", "--audit", "--ram", "ram.bin", "--base", "1G", "--gits-baser0", "0x9907000040040200", "--width", "200"];
    let judged = of_guests(&few);
    let text = stdout(&judged);
    assert!(text.ends_with("--gits-cbaser, --gits-baser1, --vcpus, --gicr-propbaser, --gicr-pendbaser.\n"), "{text}");
    assert!(judged.status.code() == Some(0) && text.contains("nothing found"), "{text}");
    let (by_hand, from_image) = (json(stdout(&output)), json(&run(&["--format", "json", "--all"]).1));
    for table in ["tables", "devices", "events", "collections", "interrupts"] {
        assert_eq!(by_hand[table], from_image[table], "{table}");
    }
}

/// The memory of the guest, changed, as a dump of several files: the first half raw, the second as an ELF core.
fn in_two(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> [String; 2] {
    let directory = guests::directory();
    let mut memory = fs::read(directory.join("ram.bin")).expect("memory");
    change(&mut memory);
    let (low, high) = memory.split_at(memory.len() / 2);
    let [low_name, high_name] = [format!("{name}.low"), format!("{name}.core")];
    guests::write(directory, &low_name, low);
    guests::write(directory, &high_name, &core(RAM + low.len() as u64, high));
    [low_name, high_name]
}

/// An ELF core with one range of physical memory, as QEMU writes it.
fn core(address: u64, memory: &[u8]) -> Vec<u8> {
    let mut core = vec![0; 0x1000];
    core[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let mut put = |at: usize, bytes: &[u8]| core[at..at + bytes.len()].copy_from_slice(bytes);
    put(32, &64_u64.to_le_bytes());
    put(54, &56_u16.to_le_bytes());
    put(56, &1_u16.to_le_bytes());
    put(64, &1_u32.to_le_bytes());
    put(72, &0x1000_u64.to_le_bytes());
    put(88, &address.to_le_bytes());
    put(96, &(memory.len() as u64).to_le_bytes());
    core.extend(memory);
    core
}

#[test]
fn a_dump_may_be_several_files_raw_or_elf() {
    let [low, high] = in_two("split", |_| ());
    let output = of_guests(&["its", "--ram", &high, "--ram", &low, "--base", "0x40000000", "--image", "ram.img"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    assert_eq!(stdout(&output), run(&[]).1);
    // ITTs are in the second half of the first MiB, tables in the first: one file alone has one part.
    let output = of_guests(&["its", "--ram", &low, "--base", "0x40000000", "--image", "ram.img"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_is_not_in_the_dump_is_said() {
    let memory = fs::read(guests::directory().join("ram.bin")).expect("memory");
    guests::write(guests::directory(), "short.bin", &memory[..(ITTS - RAM) as usize]);
    let output = of_guests(&["its", "--ram", "short.bin", "--base", "0x40000000", "--image", "ram.img"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(text.contains("2 devices, 0 events"), "{text}");
    assert!(text.contains("no       ITT of device 0x8"), "{text}");
}

#[test]
fn an_audit_of_tables() {
    assert_eq!(run(&["--audit"]), (Some(0), "ram.img: nothing found\n\nfindings: none\n".to_owned()));
    let [low, high] = in_two("damaged", |memory| {
        // The second device has the ITT of the first one.
        let at = (DEVICE_TABLE - RAM) as usize + 8 * 0x10;
        let entry = u64::from_le_bytes(memory[at..at + 8].try_into().expect("entry"));
        let entry = entry & !(0xfff_ffff_ffff << 5) | (ITTS >> 8) << 5;
        memory[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    });
    let args = ["its", "--audit", "--ram", &low, "--ram", &high, "--base", "0x40000000", "--image", "ram.img"];
    let output = of_guests(&args);
    assert_eq!((output.status.code(), stderr(&output)), (Some(6), ""));
    snapshot!("cli_its_audit", stdout(&output));
}

#[test]
fn what_was_not_given_is_not_judged() {
    let directory = guests::directory();
    guests::write(directory, "zeros.bin", &vec![0; 4 << 20]);
    let zeros = ["its", "--audit", "--ram", "zeros.bin", "--base", "0x48000000", "--format", "json"];
    let codes = |args: &[&str]| {
        let output = of_guests(&[&zeros, args].concat());
        assert_eq!(stderr(&output), "");
        let value = json(stdout(&output));
        let findings = value["findings"].as_array().expect("list").iter();
        let codes: Vec<String> = findings.map(|finding| finding["code"].as_str().expect("code").to_owned()).collect();
        (output.status.code(), codes, value["notes"].clone())
    };
    // The example of --help: GITS_CBASER is not there, and nobody knows whether the ITS is enabled.
    let tables = ["--gits-baser0", "0x8107000048000207", "--gits-baser1", "0x8407000048100200"];
    let lpis = ["--gicr-propbaser", "0x4820000f", "--gicr-pendbaser", "0x48300000"];
    let note = |options: &str| serde_json::json!([format!("Not given, and what depends on it not judged: {options}.")]);
    assert_eq!(codes(&[&tables[..], &lpis].concat()), (Some(0), vec![], note("--gits-cbaser")));
    // Given, and not valid.
    let all = [&tables[..], &lpis, &["--gits-cbaser", "0x48200000"]].concat();
    assert_eq!(codes(&all), (Some(5), vec!["table-not-valid".to_owned()], serde_json::json!([])));
    assert_eq!(codes(&[&all[..], &["--gits-ctlr", "0"]].concat()).0, Some(0));
}

#[test]
fn what_is_missing_is_said() {
    for (args, message) in [
        ("its --image ram.img", "its reads tables in a dump of guest memory: give --ram, and --base if the dump is raw"),
        ("its --ram ram.bin --base 1G", "where are the tables? Give --image, or"),
        ("its --ram ram.bin --image ram.img", "ram.bin: a raw dump needs a --base"),
        ("its --ram ram.bin --base 1G --base 2G --image ram.img", "more --base than raw dumps"),
        ("its --ram ram.bin --base 1G --ram ram.bin --base 0x40080000 --image ram.img", "two dumps have the same memory"),
        ("its --ram ram.bin --base 0xfffffffffff80000 --image ram.img", "longer than what lies behind its --base"),
        ("its --ram ram.bin --base 1G --image guest.img", "guest.img: the image of a GICv5, expected that of a GICv3"),
        ("its --ram . --base 1G --image ram.img", ".: is a directory"),
        ("its --ram /dev/null --base 1G --image ram.img", "/dev/null: a dump must be a file"),
    ] {
        let output = of_guests(&args.split(' ').collect::<Vec<_>>());
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{args}");
        assert!(stderr(&output).starts_with("vgic-state: ") && stderr(&output).contains(message), "{args}: {}", stderr(&output));
    }
}
