//! Guest memory of the VMM's own vm-memory, as vgic-state reads it.
//!
//! Rule: what is not memory is not read, what cannot be accessed is no signal, and neither is a panic: the kernel copies, through a pipe.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use vgic_state::{Errno, GuestMemoryRead, GuestRange, MemoryError};
use vm_memory::{Bytes, GuestAddress, GuestMemory, GuestMemoryError, GuestMemoryMmap, GuestMemoryRegion};

/// Bytes that a pipe takes at once, whatever its size: `PIPE_BUF`.
const PIPE_BYTES: usize = 4096;

/// Guest memory.
#[derive(Clone, Debug)]
pub struct Memory(pub GuestMemoryMmap<()>);

impl GuestMemoryRead for Memory {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let (mut from, to) = io::pipe().map_err(|error| failure(&error))?;
        let (mut to, mut next) = (OwnedFd::from(to), address);
        for part in bytes.chunks_mut(PIPE_BYTES) {
            // write(2) of the memory itself: `EFAULT` where it is not accessible. A load would be a signal.
            self.0.write_all_volatile_to(GuestAddress(next), &mut to, part.len()).map_err(|error| match error {
                GuestMemoryError::IOError(error) => failure(&error),
                _ => MemoryError::NotMemory,
            })?;
            from.read_exact(part).map_err(|error| failure(&error))?;
            next = next.checked_add(part.len() as u64).ok_or(MemoryError::NotMemory)?;
        }
        Ok(())
    }

    fn ranges(&self) -> Option<Vec<GuestRange>> {
        Some(self.0.iter().map(|region| GuestRange::new(region.start_addr().0, region.len())).collect())
    }
}

fn failure(error: &io::Error) -> MemoryError {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EFAULT) => MemoryError::NotMemory,
        errno => MemoryError::Failed(errno.unwrap_or(Errno::EIO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::{GuestRegionMmap, MmapRegion};

    #[test]
    fn what_is_not_accessible_is_no_signal() {
        const PROT_NONE: i32 = 0;
        const MAP_PRIVATE_ANONYMOUS: i32 = 0x22;
        let region = |start, prot| {
            let mapping = MmapRegion::build(None, 0x4000, prot, MAP_PRIVATE_ANONYMOUS).unwrap();
            GuestRegionMmap::new(mapping, GuestAddress(start)).unwrap()
        };
        let memory = GuestMemoryMmap::from_regions(vec![region(0x1000, 3), region(0x5000, PROT_NONE)]).unwrap();
        memory.write_slice(&[1, 2, 3], GuestAddress(0x1fff)).unwrap();
        let memory = Memory(memory);
        let mut bytes = [0; 0x3000];
        assert_eq!((memory.read(0x1fff, &mut bytes), &bytes[..4]), (Ok(()), &[1, 2, 3, 0][..]));
        for (address, length) in [(0x5000, 8), (0x4ffc, 8), (0x4000, 0x3000), (0x9000, 1), (0xfff, 2), (u64::MAX - 3, 8)] {
            assert_eq!(memory.read(address, &mut bytes[..length]), Err(MemoryError::NotMemory), "{address:#x}");
        }
    }
}
