//! Guest memory, compared byte by byte.

use crate::layout;
use crate::rig::{Memory, fresh_memory};
use vgic_state::GuestRange;
use vm_memory::{Bytes, GuestAddress};

/// A copy of guest memory.
pub(crate) fn copy(memory: &Memory) -> Memory {
    let copy = fresh_memory();
    copy.write_slice(&bytes(memory), GuestAddress(layout::RAM)).expect("memory");
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
