//! Guest memory of the VMM's own vm-memory, as vgic-state reads it.
//!
//! Rule: what is not memory is not read, and is no panic.

use vgic_state::{GuestMemoryRead, GuestRange};
use vm_memory::{Bytes, GuestAddress, GuestMemory, GuestMemoryMmap, GuestMemoryRegion};

/// Guest memory.
#[derive(Clone, Debug)]
pub struct Memory(pub GuestMemoryMmap<()>);

impl GuestMemoryRead for Memory {
    fn read(&self, address: u64, bytes: &mut [u8]) -> bool {
        self.0.read_slice(bytes, GuestAddress(address)).is_ok()
    }

    fn ranges(&self) -> Option<Vec<GuestRange>> {
        Some(self.0.iter().map(|region| GuestRange::new(region.start_addr().0, region.len())).collect())
    }
}
