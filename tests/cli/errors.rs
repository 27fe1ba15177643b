//! What goes wrong: one line on standard error, exit code 2, and no panic.

use super::{guests, of_guests, stderr, stdout};
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

/// Files that are no images, with what is said of them.
fn bad_files() -> Vec<(String, &'static str)> {
    let directory = guests::directory();
    let good = fs::read(directory.join("guest.img")).expect("image");
    let mut cases = vec![("missing.img".to_owned(), "No such file"), (".".to_owned(), "is a directory")];
    let mut add = |name: &str, bytes: &[u8], message| {
        guests::write(directory, name, bytes);
        cases.push((name.to_owned(), message));
    };
    add("empty.img", &[], "empty file: not an image");
    add("text.img", b"hello, this is not an image", "not an image of an interrupt controller");
    add("short-text.img", b"hi", "not an image of an interrupt controller");
    add("magic.img", &good[..8], "image is cut short: 8 of 32 bytes");
    add("header.img", &good[..32], "image is cut short: 32 of 1072 bytes");
    add("cut.img", &good[..900], "image is cut short: 900 of 1072 bytes");
    add("long.img", &[good.as_slice(), &[0; 8]].concat(), "1080 bytes given for an image of 1072 bytes");
    let changed = |at: usize, byte: u8| {
        let mut image = good.clone();
        image[at] = byte;
        image
    };
    add("future.img", &changed(8, 2), "image version 2: this build reads version 1");
    add("kind.img", &changed(12, 7), "checksum");
    add("bit.img", &changed(500, good[500] ^ 1), "image is damaged: checksum");
    cases
}

#[test]
fn what_is_no_image_is_one_line() {
    for (file, message) in bad_files() {
        for args in [vec!["show", &file], vec!["check", &file], vec!["diff", "guest.img", &file], vec!["plot", &file, "-o", "-"]] {
            let output = of_guests(&args);
            assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{args:?}");
            let error = stderr(&output);
            let start = format!("vgic-state: {file}: ");
            assert!(error.starts_with(&start) && error.contains(message) && error.lines().count() == 1, "{error}");
        }
    }
}

/// An image whose checksum is right, whatever is in it.
fn forge(mut image: Vec<u8>) -> Vec<u8> {
    image[28..32].fill(0);
    let checksum = crc32fast::hash(&image);
    image[28..32].copy_from_slice(&checksum.to_le_bytes());
    image
}

#[test]
fn a_forged_image_is_refused_or_shown() {
    let directory = guests::directory();
    for name in ["guest.img", "gicv3.img", "ram.img"] {
        let good = fs::read(directory.join(name)).expect("image");
        let mut random = 1_u64;
        for round in 0..40 {
            let mut image = good.clone();
            for _ in 0..1 + round % 3 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Behind the section table, where the checks of the container end.
                let at = 128 + (random >> 33) as usize % (image.len() - 128);
                image[at] = if round % 2 == 0 { (random >> 24) as u8 } else { 0xff };
            }
            guests::write(directory, "forged.img", &forge(image));
            for args in [
                "show forged.img --all",
                "diff forged.img guest.img",
                "diff gicv3.img forged.img",
                "check forged.img",
                "plot forged.img -o -",
                "its --ram ram.bin --base 1G --image forged.img --all",
                "its --ram ram.bin --base 1G --image forged.img --audit",
                "commands --ram ram.bin --base 1G --image forged.img --tables",
                "ist --ram ram.bin --base 1G --image forged.img",
            ] {
                let output = of_guests(&args.split(' ').collect::<Vec<_>>());
                let (code, error) = (output.status.code(), stderr(&output));
                assert!(
                    code.is_some_and(|code| code <= 6) && !error.contains("panicked"),
                    "{name}, round {round}: {args}: {error}"
                );
                assert_eq!(code == Some(2), !error.is_empty(), "{name}, round {round}: {args}: {error}");
            }
        }
    }
}

#[test]
fn files_that_begin_like_a_core() {
    let directory = guests::directory();
    let mut core = vec![0; 64 + 2 * 56];
    core[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (core[32], core[54], core[56]) = (64, 56, 2);
    let with = |changes: &[(usize, u8)]| {
        let mut core = core.clone();
        changes.iter().for_each(|(at, byte)| core[*at] = *byte);
        core
    };
    for (bytes, message) in [
        (with(&[(4, 1)]), "not a 64-bit little-endian ELF file"),
        (with(&[(54, 32)]), "an ELF file whose program headers are of another form"),
        (with(&[]), "an ELF file without memory in it"),
        (with(&[(57, 0x10)]), "an ELF file that is cut short"),
        (with(&[(39, 0xff)]), "an ELF file that is cut short"),
        // A segment of 255 bytes, which are not all there; two of one byte, both at address 0.
        (with(&[(64, 1), (64 + 32, 0xff)]), "an ELF file that is cut short"),
        (with(&[(64, 1), (64 + 32, 1), (120, 1), (120 + 32, 1)]), "a core file without physical addresses"),
    ] {
        guests::write(directory, "odd.core", &bytes);
        let output = of_guests(&["its", "--ram", "odd.core", "--image", "ram.img"]);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""));
        let error = stderr(&output);
        assert!(error.starts_with("vgic-state: odd.core: ") && error.contains(message), "{error}");
    }
}

#[test]
fn huge_files_are_not_read() {
    let directory = guests::directory();
    let path = directory.join("huge.img");
    let huge = |start: &[u8]| {
        fs::write(&path, start).expect("file");
        // Takes no space.
        fs::File::options().write(true).open(&path).and_then(|file| file.set_len(64 << 30)).expect("file");
        let output = of_guests(&["show", "huge.img"]);
        assert_eq!(output.status.code(), Some(2));
        stderr(&output).to_owned()
    };
    assert!(huge(&[]).contains("not an image of an interrupt controller"));
    let good = fs::read(directory.join("guest.img")).expect("image");
    assert!(huge(&good).contains("longer than any image, 256 MiB"));
    // A dump may be huge: what is not asked for is not read.
    let memory = fs::read(directory.join("ram.bin")).expect("memory");
    fs::write(&path, &memory).expect("file");
    fs::File::options().write(true).open(&path).and_then(|file| file.set_len(64 << 30)).expect("file");
    let output = of_guests(&["its", "--ram", "huge.img", "--base", "1G", "--image", "ram.img"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    assert!(stdout(&output).contains("2 devices, 8 events"));
    fs::remove_file(&path).expect("clean");
}

#[test]
fn an_image_may_come_through_a_pipe() {
    let cat = Command::new("cat").arg("guest.img").current_dir(guests::directory()).stdout(Stdio::piped()).spawn();
    let mut cat = cat.expect("cat");
    let output = Command::new(env!("CARGO_BIN_EXE_vgic-state"))
        .args(["show", "/dev/stdin", "--only", "header"])
        .stdin(cat.stdout.take().expect("pipe"))
        .output()
        .expect("the tool starts");
    cat.wait().expect("cat");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    assert!(stdout(&output).starts_with("GICv5 image, version 1, 1,072 bytes"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for args in [
        ["show", "gicv3.img", "--all"].as_slice(),
        &["show", "gicv3.img", "--all", "--format", "json"],
        &["show", "gicv3.img", "--all", "--format", "tsv"],
        &["plot", "gicv3.img", "-o", "-"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
    ] {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_vgic-state"))
            .args(args)
            .current_dir(guests::directory())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        drop(tool.stdout.take());
        let mut error = String::new();
        tool.stderr.take().expect("pipe").read_to_string(&mut error).expect("text");
        assert_eq!((tool.wait().expect("exit").code(), error.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let full = fs::File::options().write(true).open("/dev/full").expect("device");
    let output = Command::new(env!("CARGO_BIN_EXE_vgic-state"))
        .args(["show", "gicv3.img"])
        .current_dir(guests::directory())
        .stdout(full)
        .output()
        .expect("the tool starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("No space left"), "{}", stderr(&output));
}

#[test]
fn a_wrong_option_is_explained() {
    for args in [["show"].as_slice(), &["show", "--intid", "9-3", "guest.img"], &["frob"], &["check", "--vcpus", "x", "guest.img"]]
    {
        let output = of_guests(args);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{args:?}");
        assert!(stderr(&output).contains("error: "), "{}", stderr(&output));
    }
}
