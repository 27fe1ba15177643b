//! Guest memory, compared byte by byte.

use crate::layout;
use crate::rig::Memory;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use vgic_state::GuestRange;
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryRegion, MemoryRegionAddress};

/// Guest memory of a VM, all zero: in so many regions, anonymous or in files, which a copy-on-write shadow needs.
pub(crate) fn fresh(regions: usize, in_files: bool) -> Memory {
    let bytes = layout::RAM_BYTES / regions;
    of((0..regions).map(|n| (layout::RAM + (n * bytes) as u64, bytes, in_files)))
}

/// Regions: where, how long, whether in a file.
pub(crate) fn of(regions: impl Iterator<Item = (u64, usize, bool)>) -> Memory {
    let file = |bytes: usize| FileOffset::new(file(bytes as u64), 0);
    let regions = regions.map(|(start, bytes, in_file)| (GuestAddress(start), bytes, in_file.then(|| file(bytes))));
    Memory::from_ranges_with_files(regions.collect::<Vec<_>>()).expect("memory")
}

/// Addresses of the pages of 4 KiB that may not be zero: anonymous memory that nobody has touched has no pages. All of them where the
/// kernel does not tell.
pub(crate) fn touched(memory: &Memory) -> Vec<u64> {
    const STEP: usize = 4096;
    let pagemap = File::open("/proc/self/pagemap").ok();
    let page = page();
    let mut touched = Vec::new();
    for region in memory.iter() {
        let host = region.get_host_address(MemoryRegionAddress(0)).expect("address") as u64;
        let mut entries = vec![u8::MAX; (region.len() / page) as usize * 8];
        if let Some(pagemap) = &pagemap {
            pagemap.read_exact_at(&mut entries, host / page * 8).expect("pagemap");
        }
        // Bit 63: present; bit 62: swapped.
        let here = |at: u64| entries[(at / page) as usize * 8 + 7] & 0xc0 != 0;
        touched.extend((0..region.len()).step_by(STEP).filter(|at| here(*at)).map(|at| region.start_addr().0 + at));
    }
    touched
}

/// Bytes of a page of this machine.
#[allow(dead_code, reason = "for the tests")]
pub(crate) fn page() -> u64 {
    static PAGE: OnceLock<u64> = OnceLock::new();
    *PAGE.get_or_init(|| {
        let Ok(mappings) = std::fs::read_to_string("/proc/self/smaps") else { return 4096 };
        let kibibytes = mappings.lines().find_map(|line| line.strip_prefix("KernelPageSize:")?.trim().strip_suffix(" kB"));
        kibibytes.and_then(|kibibytes| kibibytes.parse::<u64>().ok()).expect("the size of a page") << 10
    })
}

/// A file without a name.
fn file(bytes: u64) -> File {
    static NAMES: AtomicUsize = AtomicUsize::new(0);
    let name = format!("vgic-state-{}-{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let file = File::options().read(true).write(true).create_new(true).open(&path).expect("file");
    std::fs::remove_file(path).expect("file");
    file.set_len(bytes).expect("file");
    file
}

/// A copy of guest memory.
pub(crate) fn copy(memory: &Memory) -> Memory {
    let regions = memory.iter().map(|region| (region.start_addr().0, region.len() as usize, region.file_offset().is_some()));
    // In pages of the usual size.
    let copy = of(regions);
    overwrite(&copy, memory);
    copy
}

/// Puts the contents of one memory into another.
pub(crate) fn overwrite(memory: &Memory, with: &Memory) {
    memory.write_slice(&bytes(with), GuestAddress(layout::RAM)).expect("memory");
}

fn bytes(memory: &Memory) -> Vec<u8> {
    let mut bytes = vec![0; layout::RAM_BYTES];
    memory.read_slice(&mut bytes, GuestAddress(layout::RAM)).expect("memory");
    bytes
}

/// Addresses of bytes that differ.
pub(crate) fn changed(one: &Memory, two: &Memory) -> Vec<u64> {
    const PAGE: usize = 4096;
    let (one, two) = (bytes(one), bytes(two));
    let pages = one.chunks(PAGE).zip(two.chunks(PAGE)).enumerate().filter(|(_, (one, two))| one != two);
    pages
        .flat_map(|(page, (one, two))| {
            let first = layout::RAM + (page * PAGE) as u64;
            (first..).zip(one.iter().zip(two)).filter(|(_, (one, two))| one != two).map(|(address, _)| address)
        })
        .collect()
}

/// Every byte that changed is in a range that was reported.
pub(crate) fn assert_covered(before: &Memory, after: &Memory, ranges: &[GuestRange]) {
    for address in changed(before, after) {
        let covered = ranges.iter().any(|range| (range.start..range.end).contains(&address));
        assert!(covered, "{address:#x} changed, and is not reported in {ranges:?}");
    }
}
