//! Buffers that the caller owns: a slice of a mapped snapshot file, of a live-update area, of an allocation.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_IST`: sizes must match exactly. An early version of the interface had
//! no sizes and could write past the end of a buffer.
//!
//! Rule: a buffer is compared with what the device needs before the kernel sees a pointer.

use crate::topology::{LpiIdBits, SpiCount};
use core::fmt;
use core::ops::Range;

/// One of the two interrupt state tables of a GICv5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IstKind {
    /// The table of SPIs.
    Spi,
    /// The table of LPIs.
    Lpi,
}

impl fmt::Display for IstKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IstKind::Spi => "SPI IST",
            IstKind::Lpi => "LPI IST",
        })
    }
}

/// A buffer of the caller that does not fit the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BufferError {
    /// The table does not fit into the buffer.
    #[error("buffer of {found} bytes is too small for the {table}: exactly {expected} bytes")]
    TooSmall {
        /// The table.
        table: IstKind,
        /// Bytes of the table.
        expected: usize,
        /// Bytes of the buffer.
        found: usize,
    },
    /// The buffer is larger than the table; KVM wants the exact size.
    #[error("buffer of {found} bytes is too large for the {table}: exactly {expected} bytes")]
    TooLarge {
        /// The table.
        table: IstKind,
        /// Bytes of the table.
        expected: usize,
        /// Bytes of the buffer.
        found: usize,
    },
    /// The guest has an LPI table, and no buffer was given for it.
    #[error("no buffer for the LPI IST: the guest has one of {expected} bytes")]
    Missing {
        /// Bytes of the table.
        expected: usize,
    },
    /// A buffer was given for an LPI table, and the guest has none.
    #[error("buffer of {found} bytes for an LPI IST: the guest has none (IRS_IST_BASER.VALID is 0)")]
    Superfluous {
        /// Bytes of the buffer.
        found: usize,
    },
    /// The buffers share bytes.
    #[error("the buffers of the SPI IST and of the LPI IST overlap")]
    Overlap,
    /// The image does not fit into the buffer.
    #[error("buffer of {found} bytes is too small for the image: {needed} bytes")]
    ImageTooSmall {
        /// Bytes that are certain to suffice.
        needed: usize,
        /// Bytes of the buffer.
        found: usize,
    },
}

/// Sizes of the interrupt state tables in buffers of user space, in bytes: one 32-bit little-endian entry per interrupt.
///
/// The shape and the stride of the host's own tables never show here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IstSizes {
    /// The SPI table: always there.
    pub spi: usize,
    /// The LPI table: there while `IRS_IST_BASER.VALID` is 1.
    pub lpi: Option<usize>,
}

impl IstSizes {
    /// The sizes that follow from the number of SPIs and the width of the LPI IDs.
    #[must_use]
    pub const fn new(spis: SpiCount, lpis: Option<LpiIdBits>) -> Self {
        let lpi = match lpis {
            Some(bits) => Some(bits.ist_bytes()),
            None => None,
        };
        IstSizes { spi: spis.ist_bytes(), lpi }
    }

    /// Bytes of both tables.
    #[must_use]
    pub const fn total(&self) -> usize {
        match self.lpi {
            Some(lpi) => self.spi + lpi,
            None => self.spi,
        }
    }

    /// Compares buffers with the tables.
    ///
    /// # Errors
    ///
    /// Every variant of [`BufferError`] but [`BufferError::ImageTooSmall`].
    pub fn check(&self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), BufferError> {
        check_length(IstKind::Spi, self.spi, spi.len())?;
        match (self.lpi, lpi) {
            (Some(expected), Some(lpi)) => {
                check_length(IstKind::Lpi, expected, lpi.len())?;
                if overlap(&spi.as_ptr_range(), &lpi.as_ptr_range()) {
                    return Err(BufferError::Overlap);
                }
                Ok(())
            }
            (Some(expected), None) => Err(BufferError::Missing { expected }),
            (None, Some(lpi)) => Err(BufferError::Superfluous { found: lpi.len() }),
            (None, None) => Ok(()),
        }
    }
}

fn check_length(table: IstKind, expected: usize, found: usize) -> Result<(), BufferError> {
    match found.cmp(&expected) {
        core::cmp::Ordering::Less => Err(BufferError::TooSmall { table, expected, found }),
        core::cmp::Ordering::Greater => Err(BufferError::TooLarge { table, expected, found }),
        core::cmp::Ordering::Equal => Ok(()),
    }
}

/// Slices of safe code never overlap when one of them is mutable; those that a VMM makes of a mapping by hand can.
fn overlap(a: &Range<*const u8>, b: &Range<*const u8>) -> bool {
    a.start < b.end && b.start < a.end
}
