//! Interrupts: how many there are, and how one is called.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_NR_IRQS`; GICv5 specification, `IRS_IDR2`, `IRS_IST_CFGR`.
//!
//! Rule: the size of an interrupt state table follows from these types and from nothing else.

use super::TopologyError;
use core::fmt;

/// Number of SPIs of a VM with a GICv5: a multiple of 32, from 32 to 1024. Default: 32, as KVM's.
///
/// ```
/// use vgic_state::SpiCount;
///
/// assert_eq!(SpiCount::new(64)?.get(), 64);
/// let message = SpiCount::new(33).unwrap_err().to_string();
/// assert_eq!(message, "33 SPIs: must be a multiple of 32, from 32 to 1024");
/// # Ok::<(), vgic_state::TopologyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiCount(u32);

impl SpiCount {
    /// The least number of SPIs.
    pub const MIN: SpiCount = SpiCount(32);
    /// The greatest number of SPIs.
    pub const MAX: SpiCount = SpiCount(1024);

    /// Accepts what KVM accepts.
    ///
    /// # Errors
    ///
    /// [`TopologyError::SpiCount`]: below 32, above 1024, or no multiple of 32.
    pub const fn new(count: u32) -> Result<Self, TopologyError> {
        if count < Self::MIN.0 || count > Self::MAX.0 || !count.is_multiple_of(32) {
            return Err(TopologyError::SpiCount { found: count });
        }
        Ok(SpiCount(count))
    }

    /// The number of SPIs.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Bytes of the SPI interrupt state table in a buffer of user space: 4 per SPI, 128 to 4096.
    #[must_use]
    pub const fn ist_bytes(self) -> usize {
        self.0 as usize * 4
    }
}

impl Default for SpiCount {
    fn default() -> Self {
        Self::MIN
    }
}

impl TryFrom<u32> for SpiCount {
    type Error = TopologyError;

    fn try_from(count: u32) -> Result<Self, TopologyError> {
        Self::new(count)
    }
}

/// Width of the LPI IDs that a guest chose in `IRS_IST_CFGR.LPI_ID_BITS`: 0 (a single LPI) to 16 bits.
///
/// KVM shows a guest at most 16 ID bits; the least width is the host's `IRS_IDR2.MIN_LPI_ID_BITS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LpiIdBits(u8);

impl LpiIdBits {
    /// The greatest width that KVM shows a guest.
    pub const MAX: LpiIdBits = LpiIdBits(16);

    /// Accepts what a table of KVM can have.
    ///
    /// # Errors
    ///
    /// [`TopologyError::LpiIdBits`]: above 16.
    pub const fn new(bits: u32) -> Result<Self, TopologyError> {
        if bits > Self::MAX.0 as u32 {
            return Err(TopologyError::LpiIdBits { found: bits });
        }
        Ok(LpiIdBits(bits as u8))
    }

    /// The width in bits.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0 as u32
    }

    /// Number of LPIs: `1 << bits`.
    #[must_use]
    pub const fn lpis(self) -> u32 {
        1 << self.0
    }

    /// Bytes of the LPI interrupt state table in a buffer of user space: `4 << bits`, at most 256 KiB.
    #[must_use]
    pub const fn ist_bytes(self) -> usize {
        4 << self.0
    }
}

/// Number of interrupts of a VM with a GICv3, the 32 private ones included: a multiple of 32, from 64 to 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NrIrqs(u32);

impl NrIrqs {
    /// Accepts what the interface documents; a kernel may accept less than 1024.
    ///
    /// # Errors
    ///
    /// [`TopologyError::NrIrqs`]: below 64, above 1024, or no multiple of 32.
    pub const fn new(count: u32) -> Result<Self, TopologyError> {
        if count < 64 || count > 1024 || !count.is_multiple_of(32) {
            return Err(TopologyError::NrIrqs { found: count });
        }
        Ok(NrIrqs(count))
    }

    /// The number of interrupts.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// First INTID of each 32 SPIs.
    pub fn spi_blocks(self) -> impl ExactSizeIterator<Item = u32> {
        (1..self.0 / 32).map(|block| block * 32)
    }
}

/// An interrupt as messages call it: its kind and its ID within the kind, counted from 0 as GICv5 does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum IntId {
    /// Private peripheral interrupt: every vCPU has its own.
    Ppi(u32),
    /// Shared peripheral interrupt.
    Spi(u32),
    /// Locality-specific (GICv5) or logical (GICv3) peripheral interrupt.
    Lpi(u32),
}

impl fmt::Display for IntId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntId::Ppi(id) => write!(f, "PPI {id}"),
            IntId::Spi(id) => write!(f, "SPI {id}"),
            IntId::Lpi(id) => write!(f, "LPI {id}"),
        }
    }
}
