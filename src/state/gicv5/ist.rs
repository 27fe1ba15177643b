//! An interrupt state table in the form of KVM's user interface: one 32-bit little-endian entry per interrupt, in the order of IDs.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_IST`; `arch/arm64/kvm/vgic/vgic-v5-tables.c`, Linux 7.4.
//!
//! Rule: the length of a table is checked in the constructor; an entry is reached by iteration or by a checked lookup.

use super::Iste;
use crate::buffer::IstKind;
use crate::topology::{IntId, LpiIdBits, SpiCount, SpiSet, TopologyError};
use crate::uapi::vgic_v5::ist::{GICV5_ISTL2E_HM, GICV5_ISTL2E_HWU, GICV5_ISTL2E_PENDING};
use alloc::borrow::Cow;

/// An interrupt state table: one 32-bit entry ([`Iste`]) for each interrupt. Borrowed from an image or from a buffer of the caller, or
/// owned.
#[derive(Clone, PartialEq, Eq)]
pub struct Ist<'a> {
    kind: IstKind,
    bytes: Cow<'a, [u8]>,
}

/// Why bytes are not an interrupt state table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IstError {
    /// The length is not a multiple of 4 bytes.
    #[error("{found} bytes are no whole number of 4-byte entries")]
    Partial {
        /// Bytes given.
        found: usize,
    },
    /// The number of entries is not one that a table can have.
    #[error("{found} bytes are no legal size of an {kind}: {rule}")]
    Size {
        /// The table.
        kind: IstKind,
        /// Bytes given.
        found: usize,
        /// The sizes that are legal.
        rule: &'static str,
    },
}

impl<'a> Ist<'a> {
    /// Views bytes as a table. SPIs: 128 to 4,096 bytes in steps of 128. LPIs: a power of two from 4 bytes to 256 KiB.
    ///
    /// # Errors
    ///
    /// [`IstError`]: no such table has this length.
    ///
    /// ```
    /// use vgic_state::{IstKind, IntId, gicv5::Ist};
    ///
    /// let mut bytes = [0; 128];
    /// bytes[4..8].copy_from_slice(&0x0001_f808_u32.to_le_bytes());
    /// let table = Ist::new(IstKind::Spi, bytes.as_slice())?;
    /// let (id, entry) = table.nonzero().next().expect("one entry");
    /// assert_eq!((id, entry.enable(), entry.iaffid()), (IntId::Spi(1), true, 1));
    /// # Ok::<(), vgic_state::gicv5::IstError>(())
    /// ```
    pub fn new(kind: IstKind, bytes: impl Into<Cow<'a, [u8]>>) -> Result<Self, IstError> {
        let bytes = bytes.into();
        let found = bytes.len();
        if !found.is_multiple_of(4) {
            return Err(IstError::Partial { found });
        }
        let (legal, rule) = match kind {
            IstKind::Spi => (spi_count(found).is_ok(), "4 bytes for each of 32 to 1024 SPIs, a multiple of 32"),
            IstKind::Lpi => (lpi_id_bits(found).is_some(), "4 bytes for each of 1 to 65536 LPIs, a power of two"),
        };
        if legal { Ok(Ist { kind, bytes }) } else { Err(IstError::Size { kind, found, rule }) }
    }

    /// A table of a size that was checked before.
    pub(crate) fn sized(kind: IstKind, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Ist { kind, bytes: bytes.into() }
    }

    /// Which table this is.
    #[must_use]
    pub fn kind(&self) -> IstKind {
        self.kind
    }

    /// The bytes as the kernel reads and writes them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of interrupts: 32 to 1024 SPIs, 1 to 65,536 LPIs.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len() / 4
    }

    /// Width of the LPI IDs, of a table of LPIs.
    #[must_use]
    pub fn lpi_id_bits(&self) -> Option<LpiIdBits> {
        match self.kind {
            IstKind::Spi => None,
            IstKind::Lpi => lpi_id_bits(self.bytes.len()),
        }
    }

    /// The entry of one interrupt by its ID within the kind.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<Iste> {
        self.words().get(id as usize).map(|word| Iste::from_bits(u32::from_le_bytes(*word)))
    }

    /// Replaces the entry of one interrupt. False if there is no such interrupt.
    #[must_use]
    pub fn set(&mut self, id: u32, entry: Iste) -> bool {
        let words = self.bytes.to_mut().as_chunks_mut::<4>().0;
        let word = usize::try_from(id).ok().and_then(|id| words.get_mut(id));
        word.map(|word| *word = entry.into_bits().to_le_bytes()).is_some()
    }

    /// Every entry, in the order of IDs.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (IntId, Iste)> + '_ {
        let kind = self.kind;
        self.words().iter().enumerate().map(move |(id, word)| (intid(kind, id), Iste::from_bits(u32::from_le_bytes(*word))))
    }

    /// The entries that are not zero, in the order of IDs.
    pub fn nonzero(&self) -> impl Iterator<Item = (IntId, Iste)> + '_ {
        self.entries().filter(|(_, entry)| entry.into_bits() != 0)
    }

    /// The same table with bytes of its own.
    #[must_use]
    pub fn into_owned(self) -> Ist<'static> {
        Ist { kind: self.kind, bytes: Cow::Owned(self.bytes.into_owned()) }
    }

    pub(crate) fn words(&self) -> &[[u8; 4]] {
        self.bytes.as_chunks().0
    }
}

impl core::fmt::Debug for Ist<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} of {} entries ", self.kind, self.len())?;
        f.debug_map().entries(self.nonzero()).finish()
    }
}

pub(crate) fn intid(kind: IstKind, id: usize) -> IntId {
    match kind {
        IstKind::Spi => IntId::Spi(id as u32),
        IstKind::Lpi => IntId::Lpi(id as u32),
    }
}

fn spi_count(bytes: usize) -> Result<SpiCount, TopologyError> {
    SpiCount::new(u32::try_from(bytes / 4).unwrap_or(u32::MAX))
}

fn lpi_id_bits(bytes: usize) -> Option<LpiIdBits> {
    let entries = bytes / 4;
    if !entries.is_power_of_two() {
        return None;
    }
    LpiIdBits::new(entries.trailing_zeros()).ok()
}

/// Clears `ISTE.HWU` of every entry: it means something to the host that wrote it and to no other.
///
/// Blocks in which it is clear already are only read.
pub(crate) fn clear_hwu(table: &mut [u8]) {
    for block in table.as_chunks_mut::<4>().0.chunks_mut(256) {
        if block.iter().fold(0, |all, word| all | u32::from_le_bytes(*word)) & GICV5_ISTL2E_HWU == 0 {
            continue;
        }
        for word in block {
            *word = (u32::from_le_bytes(*word) & !GICV5_ISTL2E_HWU).to_le_bytes();
        }
    }
}

/// The entry of an SPI as it is saved and restored: of one that is level-triggered, because the VMM names it or because HM says so, the
/// line alone decides whether it is pending. A latch that KVM restores beside it would stay when the line falls.
const fn of_level(word: u32, named: bool) -> u32 {
    let word = if named { word | GICV5_ISTL2E_HM } else { word };
    if word & GICV5_ISTL2E_HM != 0 { word & !GICV5_ISTL2E_PENDING } else { word }
}

/// Blocks of a table of SPIs, with the first ID of each and one bit for each SPI that is named; those without a level-triggered SPI are
/// left out.
pub(crate) fn blocks_with_level<'a>(words: &'a [[u8; 4]], level: &'a SpiSet) -> impl Iterator<Item = (u32, &'a [[u8; 4]], u64)> {
    let blocks = words.chunks(64).zip(level.words()).zip((0..).step_by(64));
    let blocks = blocks.map(|((words, named), first)| (first, words, *named));
    blocks.filter(|(_, words, named)| *named != 0 || any_bits(words) & GICV5_ISTL2E_HM != 0)
}

/// Bits that some entry has.
fn any_bits(words: &[[u8; 4]]) -> u32 {
    words.iter().fold(0, |all, word| all | u32::from_le_bytes(*word))
}

/// Whether [`set_level`] would change a table of SPIs.
pub(crate) fn lacks_level(table: &[u8], level: &SpiSet) -> bool {
    blocks_with_level(table.as_chunks().0, level).any(|(_, words, named)| {
        let words = words.iter().map(|word| u32::from_le_bytes(*word)).zip(0..);
        words.fold(0, |all, (word, n)| all | (of_level(word, named >> n & 1 != 0) ^ word)) != 0
    })
}

/// Gives every level-triggered SPI of a table HM = 1 and Pending = 0: those that are named, and those that have HM = 1.
pub(crate) fn set_level(table: &mut [u8], level: &SpiSet) {
    for (words, named) in table.as_chunks_mut::<4>().0.chunks_mut(64).zip(level.words()) {
        for (word, n) in words.iter_mut().zip(0..) {
            *word = of_level(u32::from_le_bytes(*word), named >> n & 1 != 0).to_le_bytes();
        }
    }
}
