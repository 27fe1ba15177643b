//! `vgic-state commands`

use super::guests::{self, QUEUE, RAM};
use super::{json, of_guests, snapshot, stderr, stdout};
use std::fs;

fn answers(args: &[&str]) -> Vec<(String, String)> {
    let args: Vec<&str> = ["commands", "--format", "json"].iter().chain(args).copied().collect();
    let output = of_guests(&args);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{args:?}");
    let value = json(stdout(&output));
    let rows = value["commands"].as_array().expect("list").iter();
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    rows.map(|row| (text(&row["name"]), text(&row["answer"]))).collect()
}

#[test]
fn what_ran_and_what_waits() {
    let output = of_guests(&["commands", "--ram", "ram.bin", "--base", "0x40000000", "--image", "ram.img"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    snapshot!("cli_commands", stdout(&output));
}

#[test]
fn a_queue_is_judged_by_what_is_mapped() {
    let waiting = |image: &str, more: &[&str]| {
        let args = ["--ram", "ram.bin", "--base", "0x40000000", "--pending", "--image", image];
        answers(&args.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let expected = [("INV", "ok"), ("INV", "INV_UNMAPPED_INTERRUPT"), ("SYNC", "ok")];
    for (image, more) in [("ram.img", [].as_slice()), ("ram.img", &["--tables"]), ("gicv3.img", &[])] {
        let found = waiting(image, more);
        assert!(found.iter().map(|(name, answer)| (name.as_str(), answer.as_str())).eq(expected), "{image} {found:?}");
    }
}

/// A file with these commands.
fn queue(name: &str, commands: &[[u64; 4]]) {
    let mut bytes: Vec<u8> = commands.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize(4096, 0);
    guests::write(guests::directory(), name, &bytes);
}

#[test]
fn answers_of_the_its() {
    const VALID: u64 = 1 << 63;
    queue(
        "answers.bin",
        &[
            [0x0a | 1 << 32, 8192 << 32, 0, 0],                 // MAPTI of a device that is not in the queue
            [0x08 | 1 << 32, 3, VALID | 0x4000_0000, 0],        // MAPD
            [0x08 | 2 << 32, 31, VALID | 0x4000_0000, 0],       // MAPD with 32 bits of EventID
            [0x08 | 0x1_0000 << 32, 3, VALID | 0x4000_0000, 0], // MAPD beyond the DeviceIDs
            [0x09, 0, VALID | 1 << 16 | 7, 0],                  // MAPC
            [0x09, 0, VALID | 5 << 16 | 8, 0],                  // MAPC to no vCPU
            [0x0a | 1 << 32, 8192 << 32 | 2, 7, 0],             // MAPTI
            [0x0a | 1 << 32, 8193 << 32 | 16, 7, 0],            // MAPTI beyond the events
            [0x0a | 1 << 32, 31 << 32 | 3, 7, 0],               // MAPTI of no LPI
            [0x01 | 1 << 32, 2, 9, 0],                          // MOVI to a collection that is not in the queue
            [0x0f | 1 << 32, 2, 0, 0],                          // DISCARD
            [0x0f | 1 << 32, 2, 0, 0],                          // DISCARD again
            [0x0d, 0, 7, 0],                                    // INVALL
            [0x08 | 1 << 32, 0, 0, 0],                          // MAPD that unmaps
            [0x0a | 1 << 32, 8192 << 32, 7, 0],                 // MAPTI of a device that is not mapped
            [0x77, 0, 0, 0],
        ],
    );
    let found = answers(&["--queue", "answers.bin", "--cwriter", "0x200", "--vcpus", "2"]);
    let expected = [
        ("MAPTI", "?"),
        ("MAPD", "ok"),
        ("MAPD", "MAPD_ITTSIZE_OOR"),
        ("MAPD", "MAPD_DEVICE_OOR"),
        ("MAPC", "ok"),
        ("MAPC", "MAPC_PROCNUM_OOR"),
        ("MAPTI", "ok"),
        ("MAPTI", "MAPTI_ID_OOR"),
        ("MAPTI", "MAPTI_PHYSICALID_OOR"),
        ("MOVI", "?"),
        ("DISCARD", "ok"),
        ("DISCARD", "DISCARD_UNMAPPED_INTERRUPT"),
        ("INVALL", "ok"),
        ("MAPD", "ok"),
        ("MAPTI", "MAPTI_UNMAPPED_DEVICE"),
        ("", "no such command"),
    ];
    assert!(found.iter().map(|(name, answer)| (name.as_str(), answer.as_str())).eq(expected), "{found:?}");
}

#[test]
fn a_queue_that_is_a_file_is_that_of_the_memory() {
    let memory = fs::read(guests::directory().join("ram.bin")).expect("memory");
    let at = (QUEUE - RAM) as usize;
    guests::write(guests::directory(), "queue.bin", &memory[at..at + 4096]);
    let of_file = answers(&["--queue", "queue.bin", "--creadr", "0x180", "--cwriter", "0x1e0"]);
    assert_eq!(of_file, answers(&["--ram", "ram.bin", "--base", "0x40000000", "--image", "ram.img"]));
}

#[test]
fn a_queue_wraps() {
    let mut commands = vec![[0x05, 0, 0, 0]; 128];
    (commands[0], commands[1], commands[127]) = ([0x0d, 0, 1, 0], [0x0d, 0, 2, 0], [0x0d, 0, 3, 0]);
    queue("wrapped.bin", &commands);
    let output = of_guests(&["commands", "--queue", "wrapped.bin", "--creadr", "0xfe0", "--cwriter", "0x40", "--format", "tsv"]);
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert_eq!(lines.len(), 129);
    let last: Vec<String> = lines[126..].iter().map(|line| line.split('\t').next_back().expect("command").to_owned()).collect();
    assert_eq!(last, ["INVALL ICID=0x3", "INVALL ICID=0x1", "INVALL ICID=0x2"]);
    assert!(lines[1].ends_with("SYNC RDbase=0x0") && lines[1].contains("0x0040\t"), "{}", lines[1]);
}

#[test]
fn what_is_no_queue() {
    guests::write(guests::directory(), "odd.bin", &[0; 100]);
    queue("one.bin", &[]);
    for (args, message) in [
        ("commands --queue odd.bin", "odd.bin: 100 bytes: a command queue has 4 KiB to 1 MiB, in steps of 4 KiB"),
        ("commands --queue one.bin --cwriter 0x2000", "GITS_CWRITER is 0x2000, the command queue has 0x1000 bytes"),
        ("commands --queue one.bin --creadr 0x1000", "GITS_CREADR is 0x1000, the command queue has 0x1000 bytes"),
        ("commands --ram ram.bin --base 0 --image ram.img", "the command queue, 0x40060000 to 0x40061000, is not all in the dump"),
        ("commands --ram ram.bin --base 1G --gits-baser0 1", "GITS_CBASER.Valid is 0"),
    ] {
        let output = of_guests(&args.split(' ').collect::<Vec<_>>());
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{args}");
        assert!(stderr(&output).starts_with("vgic-state: ") && stderr(&output).contains(message), "{args}: {}", stderr(&output));
    }
}
