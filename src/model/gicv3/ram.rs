//! Guest memory as KVM reads and writes it.
//!
//! Source: `virt/kvm/kvm_main.c`, `kvm_read_guest`, `kvm_write_guest`, `kvm_is_visible_gfn`; `vgic.h`, `vgic_write_guest_lock`.
//!
//! Rule: every write of the kernel is recorded; an access to an address that is in no memory slot fails with `EFAULT`.

use crate::Errno;
use core::ops::Range;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

#[derive(Debug)]
pub(super) struct Ram {
    slots: GuestMemoryMmap<()>,
    /// Ranges that the kernel wrote, as they came.
    written: Vec<Range<u64>>,
}

impl Ram {
    pub(super) fn new(slots: GuestMemoryMmap<()>) -> Self {
        Ram { slots, written: Vec::new() }
    }

    pub(super) fn replace(&mut self, slots: GuestMemoryMmap<()>) {
        self.slots = slots;
    }

    pub(super) fn slots(&self) -> &GuestMemoryMmap<()> {
        &self.slots
    }

    /// `kvm_read_guest`.
    pub(super) fn read<const N: usize>(&self, address: u64) -> Result<[u8; N], Errno> {
        let mut bytes = [0; N];
        self.slots.read_slice(&mut bytes, GuestAddress(address)).map_err(|_| Errno::EFAULT)?;
        Ok(bytes)
    }

    /// A table entry.
    pub(super) fn read_entry(&self, address: u64) -> Result<u64, Errno> {
        self.read(address).map(u64::from_le_bytes)
    }

    /// `kvm_write_guest`.
    pub(super) fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.slots.write_slice(bytes, GuestAddress(address)).map_err(|_| Errno::EFAULT)?;
        let end = address.saturating_add(bytes.len() as u64);
        match self.written.last_mut() {
            Some(last) if last.end == address => last.end = end,
            _ => self.written.push(address..end),
        }
        Ok(())
    }

    /// Writes a table entry.
    pub(super) fn write_entry(&mut self, address: u64, entry: u64) -> Result<(), Errno> {
        self.write(address, &entry.to_le_bytes())
    }

    /// Whether a slot has the page of this address.
    pub(super) fn is_visible(&self, address: u64) -> bool {
        self.slots.address_in_range(GuestAddress(address))
    }

    /// What was written, in order of the addresses, joined where it touches.
    pub(super) fn written(&self) -> Vec<Range<u64>> {
        let mut ranges = self.written.clone();
        ranges.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        joined
    }

    pub(super) fn forget_written(&mut self) {
        self.written.clear();
    }
}
