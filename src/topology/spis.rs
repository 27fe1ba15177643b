//! A set of SPIs, by their IDs.
//!
//! Source: GICv5 specification, `INTID.ID` of an SPI; KVM's limit of 1024 SPIs for a VM.
//!
//! Rule: an ID that no VM has cannot be in a set.

use super::{IntId, SpiCount, TopologyError};
use core::fmt;

/// Bits of a word.
const WORD: u32 = u64::BITS;

/// SPIs of a VM with a GICv5, by `INTID.ID`: counted from 0, as in `KVM_IRQ_LINE`, in the guest's device tree and in the SPI table; a
/// GICv3 adds 32, a GICv5 does not. 128 bytes, whatever is in it. Default: empty.
///
/// ```
/// use vgic_state::SpiSet;
///
/// let level = SpiSet::new([9, 4, 8, 4])?;
/// assert!(level.contains(4) && !level.contains(5));
/// assert_eq!(level.iter().collect::<Vec<u32>>(), [4, 8, 9]);
/// assert_eq!(level.to_string(), "SPI 4, SPI 8 to 9");
///
/// let message = SpiSet::new([1024]).unwrap_err().to_string();
/// assert_eq!(message, "SPI 1024: a VM has SPIs 0 to 1023 at most");
/// # Ok::<(), vgic_state::TopologyError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SpiSet {
    words: [u64; (SpiCount::MAX.get() / WORD) as usize],
}

impl SpiSet {
    /// No SPI.
    pub const EMPTY: SpiSet = SpiSet { words: [0; (SpiCount::MAX.get() / WORD) as usize] };

    /// The SPIs with these IDs, in any order; one that is there twice counts once.
    ///
    /// # Errors
    ///
    /// [`TopologyError::Spi`]: an ID above 1023.
    pub fn new(ids: impl IntoIterator<Item = u32>) -> Result<Self, TopologyError> {
        let mut set = SpiSet::EMPTY;
        for id in ids {
            if !set.insert(id) {
                return Err(TopologyError::Spi { found: id });
            }
        }
        Ok(set)
    }

    /// Whether an SPI is in it.
    #[must_use]
    pub fn contains(&self, id: u32) -> bool {
        self.words.get((id / WORD) as usize).is_some_and(|word| word >> (id % WORD) & 1 != 0)
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == SpiSet::EMPTY
    }

    /// The number of SPIs in it: 0 to 1024.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The IDs, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().zip((0..).step_by(WORD as usize)).flat_map(|(word, first)| {
            let mut rest = *word;
            core::iter::from_fn(move || {
                let lowest = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(first + lowest)
            })
        })
    }

    /// The same as words of 64 bits, SPI 0 in the lowest bit of the first.
    pub(crate) const fn words(&self) -> &[u64] {
        &self.words
    }

    /// Puts an SPI into it. False if no VM has one with this ID.
    pub(crate) fn insert(&mut self, id: u32) -> bool {
        let word = self.words.get_mut((id / WORD) as usize);
        word.map(|word| *word |= 1 << (id % WORD)).is_some()
    }
}

impl fmt::Debug for SpiSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl fmt::Display for SpiSet {
    /// The SPIs as messages call them, those that follow each other as one: `SPI 4, SPI 8 to 11`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut ids, mut separator) = (self.iter().peekable(), "");
        while let Some(first) = ids.next() {
            let mut last = first;
            while let Some(next) = ids.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(f, "{separator}{}", IntId::Spi(first))?;
            if last != first {
                write!(f, " to {last}")?;
            }
            separator = ", ";
        }
        Ok(())
    }
}
