//! The tool's readers of files: dumps of memory, raw and ELF; images.
//!
//! Source: `src/bin/vgic-state/{ram,input}.rs`.
//!
//! Rule: what a reader calls memory is bytes of the file, and every byte that is not is no memory; an error is a line of text.

use crate::allocator::allocated;
use crate::input;
use crate::ram::{RamArgs, single};
use clap::Parser;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use vgic_state::{GuestMemoryRead, GuestRange, MemoryError};

/// What a dump may cost, whatever its headers say: 56 bytes of each are read, and a part is kept of it.
const DUMP: (usize, usize) = (8, 128 * 1024);

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    ram: RamArgs,
}

static FILE: LazyLock<PathBuf> = LazyLock::new(|| file("input"));

/// One file of a name for each process, in memory where there is such a file system.
pub(crate) fn file(name: &str) -> PathBuf {
    let shm = Path::new("/dev/shm");
    let directory = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
    directory.join(format!("vgic-state-fuzz-{}-{name}", std::process::id()))
}

/// The options of a dump.
pub(crate) fn options(dump: &Path, base: Option<u64>) -> RamArgs {
    let mut arguments: Vec<OsString> = ["fuzz", "--ram"].map(OsString::from).into();
    arguments.push(dump.into());
    arguments.extend(base.into_iter().flat_map(|base| ["--base".into(), format!("{base:#x}").into()]));
    Options::parse_from(arguments).ram
}

pub fn run(data: &[u8]) {
    File::create(&*FILE).and_then(|mut file| file.write_all(data)).expect("a file for the input");
    for base in [None, Some(0x4000_0000)] {
        let options = options(&FILE, base);
        let (bytes, opened) = allocated(|| options.open());
        assert!(bytes <= DUMP.0 * data.len() + DUMP.1, "{bytes} bytes were asked for");
        match opened {
            Ok(ram) => {
                // A file without the beginning of an ELF file is one range, from the base.
                assert_eq!(base.is_some(), !data.starts_with(b"\x7fELF"));
                if let Some(base) = base {
                    assert_eq!(ram.ranges(), [GuestRange::new(base, data.len() as u64)]);
                }
                memory(&ram, &ram.ranges());
                ram.finish().expect("the file is as long as it was");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    for is_raw in [false, true] {
        let Ok(ram) = single(&FILE, is_raw) else { continue };
        let mut bytes = vec![0; data.len()];
        assert_eq!(ram.read(0, &mut bytes), Ok(()));
        assert_eq!(bytes, data);
    }
    // What is in an image is the business of the target "image".
    if let Ok(image) = input::Image::open(&FILE) {
        assert_eq!(image.bytes, data);
    }
}

fn memory(ram: &impl GuestMemoryRead, ranges: &[GuestRange]) {
    assert!(ranges.iter().all(|range| range.start < range.end) && ranges.is_sorted_by(|one, other| one.end <= other.start));
    let answer = |is_memory: bool| if is_memory { Ok(()) } else { Err(MemoryError::NotMemory) };
    let is_memory = |address: u64| ranges.iter().any(|range| (range.start..range.end).contains(&address));
    for range in ranges.iter().take(64) {
        for address in [range.start.wrapping_sub(1), range.start, range.end - 1, range.end] {
            assert_eq!(ram.read(address, &mut [0]), answer(is_memory(address)), "{address:#x}");
        }
        // Across the end, and the next range.
        let across = (0..8).all(|n| (range.end - 1).checked_add(n).is_some_and(is_memory));
        assert_eq!(ram.read(range.end - 1, &mut [0; 8]), answer(across));
    }
}
