//! A first level that the ITS reads, next to one that is not trusted.
//!
//! Source: Arm IHI 0069, `GITS_BASER.Indirect`, "ITS tables".
//!
//! Rule: an entry is read once, when a command first needs it, and what was judged is what the ITS sees.

use super::live::IdTable;
use super::refusal::CommandRefusal;
use crate::uapi::vgic_v3::its::GITS_BASER_VALID as VALID;

/// How long the table for IDs of devices, or of vPEs, is.
#[derive(Debug)]
pub enum TableLevels<'a> {
    /// One level, or no level that anybody but the trusted layer can write: this many entries.
    Flat(u64),
    /// Two levels.
    TwoLevel(TrustedLevel1<'a>),
}

/// The trusted first level: what `GITS_BASER` of the ITS points to. Its second levels are pages of the untrusted side, which loses each
/// with the entry that names it.
#[derive(Debug)]
pub struct TrustedLevel1<'a> {
    entries: &'a mut [u64],
    page_bytes: u64,
    entries_per_page: u64,
}

impl<'a> TrustedLevel1<'a> {
    /// A first level with no second one. The entries are set to 0.
    ///
    /// `page_bytes`: `GITS_BASER.Page_Size`, 4 KiB, 16 KiB or 64 KiB. `entry_bytes`: `GITS_BASER.Entry_Size` + 1, 1 to 32. Gives `None`
    /// for other values.
    #[must_use]
    pub fn new(entries: &'a mut [u64], page_bytes: u64, entry_bytes: u64) -> Option<Self> {
        if !matches!(page_bytes, 0x1000 | 0x4000 | 0x1_0000) || !(1..=32).contains(&entry_bytes) {
            return None;
        }
        entries.fill(0);
        Some(TrustedLevel1 { entries, page_bytes, entries_per_page: page_bytes / entry_bytes })
    }

    /// The entries: little-endian words, Valid (bit 63) and the address of the second level.
    #[must_use]
    pub fn entries(&self) -> &[u64] {
        self.entries
    }

    /// The entry as a number.
    pub(super) fn entry(&self, index: u32) -> Result<u64, CommandRefusal> {
        self.entries.get(index as usize).copied().map(u64::from_le).ok_or(CommandRefusal::DeviceOutOfRange)
    }

    pub(super) fn set(&mut self, index: u32, address: u64) {
        if let Some(entry) = self.entries.get_mut(index as usize) {
            *entry = (VALID | address).to_le();
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries.fill(0);
    }

    pub(super) const fn page_bytes(&self) -> u64 {
        self.page_bytes
    }

    /// Address of the second level in an untrusted entry.
    pub(super) fn address(&self, untrusted: u64) -> Result<u64, CommandRefusal> {
        const ADDRESS: u64 = 0x000f_ffff_ffff_ffff;
        if untrusted & VALID == 0 {
            return Err(CommandRefusal::NoLevel2);
        }
        let address = untrusted & ADDRESS;
        address.is_multiple_of(self.page_bytes).then_some(address).ok_or(CommandRefusal::Alignment)
    }
}

/// Where the entry of an ID is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The ITS can reach it.
    Present,
    /// This entry of the first level is missing.
    Missing(u32),
}

impl TableLevels<'_> {
    pub(super) fn place(&self, which: IdTable, id: u32) -> Result<Place, CommandRefusal> {
        let outside = match which {
            IdTable::Devices => CommandRefusal::DeviceOutOfRange,
            IdTable::Vpes => CommandRefusal::VpeOutOfRange,
        };
        match self {
            TableLevels::Flat(entries) => (u64::from(id) < *entries).then_some(Place::Present).ok_or(outside),
            TableLevels::TwoLevel(level1) => {
                let index = u64::from(id).checked_div(level1.entries_per_page).ok_or(outside)? as u32;
                let entry = level1.entry(index).map_err(|_| outside)?;
                Ok(if entry & VALID == 0 { Place::Missing(index) } else { Place::Present })
            }
        }
    }
}
