//! Guest memory of vm-memory.
//!
//! Source: vm-memory, `GuestMemoryBackend`, `GuestMemoryRegion::get_slice`.
//!
//! Rule: an address leads into a region, or nowhere; what a region has mapped is copied by the kernel, since it may be inaccessible.

use super::{GuestMemoryRead, GuestRange, MemoryError};
use crate::Errno;
use vm_memory::MemoryRegionAddress;
use vm_memory::{Address, GuestAddress, GuestMemoryBackend, GuestMemoryError, GuestMemoryRegion, GuestRegionCollection};

/// Regions of any type, `GuestMemoryMmap` with them.
impl<R: GuestMemoryRegion> GuestMemoryRead for GuestRegionCollection<R> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let (mut address, mut left) = (address, bytes);
        while !left.is_empty() {
            let (region, offset) = self.to_region_addr(GuestAddress(address)).ok_or(MemoryError::NotMemory)?;
            let length = usize::try_from(region.len().saturating_sub(offset.raw_value())).map_or(left.len(), |n| n.min(left.len()));
            let (part, behind) = left.split_at_mut_checked(length).ok_or(MemoryError::NotMemory)?;
            read_region(region, offset, part)?;
            left = behind;
            match address.checked_add(length as u64) {
                Some(next) => address = next,
                None if left.is_empty() => return Ok(()),
                None => return Err(MemoryError::NotMemory),
            }
        }
        Ok(())
    }

    fn ranges(&self) -> Option<alloc::vec::Vec<GuestRange>> {
        Some(self.iter().map(|region| GuestRange::new(region.start_addr().0, region.len())).collect())
    }
}

/// Bytes of one region.
fn read_region(region: &impl GuestMemoryRegion, offset: MemoryRegionAddress, bytes: &mut [u8]) -> Result<(), MemoryError> {
    #[cfg(target_os = "linux")]
    if let Ok(mapped) = region.get_slice(offset, bytes.len()) {
        return super::host::read(&mapped, bytes);
    }
    // Not mapped here: the region knows how it is read.
    region.read_slice(bytes, offset).map_err(|error| match error {
        GuestMemoryError::IOError(error) => MemoryError::Failed(Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO.raw()))),
        _ => MemoryError::NotMemory,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::{Bytes, GuestMemoryMmap};

    #[test]
    fn across_regions_and_at_the_end_of_the_address_space() {
        let ranges = [(GuestAddress(0x1000), 0x1000), (GuestAddress(0x2000), 0x1000), (GuestAddress(0x8000), 0x1000)];
        let memory: GuestMemoryMmap<()> = GuestMemoryMmap::from_ranges(&ranges).unwrap();
        memory.write_slice(&[1, 2, 3, 4, 5, 6], GuestAddress(0x1ffd)).unwrap();
        let read = |address, length| {
            let mut bytes = vec![0; length];
            GuestMemoryRead::read(&memory, address, &mut bytes).ok().map(|()| bytes)
        };
        assert_eq!(read(0x1ffd, 6), Some(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!((read(0x2ffc, 8), read(0xfff, 2), read(0x8fff, 1)), (None, None, Some(vec![0])));
        assert_eq!((read(u64::MAX - 7, 8), read(u64::MAX, 9), read(0x9000, 0)), (None, None, Some(vec![])));
    }
}
