//! Guest memory: where it is, and how it goes to another VMM.
//!
//! Source: memfd_create(2), fcntl(2); Documentation/virt/kvm/api.rst, `KVM_GET_DIRTY_LOG`.
//!
//! Rule: all of it goes while the guest runs; what anybody has written since goes when the guest and the flush are done. A page is one of
//! the host, as in the dirty log: both VMMs are on one host.

use super::layout::{CELLS, CELLS_BYTES, RAM, RAM_BYTES};
use super::wire::Wire;
use super::{Result, guest, shared};
use std::fs::File;
use vgic_state::GuestRange;
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryMmap};

pub(super) type Memory = GuestMemoryMmap<()>;

/// Behind the last page.
const END: u64 = u64::MAX;

/// Memory that nobody else has, or memory in a file that the next VMM will map, too.
pub(super) fn map(file: Option<File>) -> Result<Memory> {
    let file = file.map(|file| FileOffset::new(file, 0));
    Ok(Memory::from_ranges_with_files([(GuestAddress(RAM), RAM_BYTES, file)])?)
}

/// Puts the guest's program where its first vCPU starts.
pub(super) fn load(memory: &Memory) -> Result<()> {
    Ok(memory.write_slice(guest::program(), GuestAddress(super::layout::CODE))?)
}

/// Sends the pages that a bitmap has, without those of zeros if the other side has nothing yet.
fn put(wire: &mut Wire, memory: &Memory, pages: impl Iterator<Item = u64>, all: bool) -> Result<u64> {
    let mut sent = 0;
    let page_bytes = shared::page_bytes()?;
    let mut bytes = vec![0; usize::try_from(page_bytes)?];
    for page in pages {
        memory.read_slice(&mut bytes, GuestAddress(RAM + page * page_bytes))?;
        if all || bytes.iter().any(|byte| *byte != 0) {
            wire.put(page)?;
            wire.put_bytes(&bytes)?;
            sent += 1;
        }
    }
    wire.put(END)?;
    Ok(sent)
}

/// Sends all of memory, while the guest runs.
pub(super) fn put_all(wire: &mut Wire, memory: &Memory) -> Result<u64> {
    put(wire, memory, 0..RAM_BYTES as u64 / shared::page_bytes()?, false)
}

/// Sends what was written since: by the guest and by KVM, as the dirty log has it; by the flush, as it says itself; by this VMM,
/// which no log has.
pub(super) fn put_dirty(wire: &mut Wire, memory: &Memory, log: &[u64], flushed: &[GuestRange]) -> Result<u64> {
    let page_bytes = shared::page_bytes()?;
    let written = [GuestRange::new(CELLS, CELLS_BYTES)];
    let dirty = |page: &u64| {
        let start = RAM + page * page_bytes;
        let in_log = log.get((page / 64) as usize).is_some_and(|word| word >> (page % 64) & 1 != 0);
        in_log || written.iter().chain(flushed).any(|range| range.start < start + page_bytes && start < range.end)
    };
    let sent = put(wire, memory, (0..RAM_BYTES as u64 / page_bytes).filter(dirty), true)?;
    wire.put(checksum(memory)?)?;
    Ok(sent)
}

/// Receives what [`put_all`] sends.
pub(super) fn get(wire: &mut Wire, memory: &Memory) -> Result<()> {
    let page_bytes = shared::page_bytes()?;
    loop {
        match wire.get()? {
            END => return Ok(()),
            page if page < RAM_BYTES as u64 / page_bytes => {
                memory.write_slice(&wire.get_bytes(page_bytes)?, GuestAddress(RAM + page * page_bytes))?;
            }
            page => return Err(format!("there is no page {page}").into()),
        }
    }
}

/// Receives what [`put_dirty`] sends: after it, memory is what the other VMM has.
pub(super) fn get_dirty(wire: &mut Wire, memory: &Memory) -> Result<()> {
    get(wire, memory)?;
    if wire.get()? == checksum(memory)? { Ok(()) } else { Err("guest memory is not what it was: a page was forgotten".into()) }
}

/// FNV-1a over words.
fn checksum(memory: &Memory) -> Result<u64> {
    let mut bytes = vec![0; RAM_BYTES];
    memory.read_slice(&mut bytes, GuestAddress(RAM))?;
    let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
    Ok(words.fold(0xcbf2_9ce4_8422_2325, |hash, word| (hash ^ word).wrapping_mul(0x100_0000_01b3)))
}
