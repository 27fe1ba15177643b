//! The host's interrupt state tables, and the state that KVM keeps in software beside them.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5-tables.c`, Linux 7.4; Arm Generic Interrupt Controller Architecture Specification, GICv5,
//! `L2_ISTE`.
//!
//! Rule: an entry is the architected 32 bits; metadata of the hardware and the layout of the host's tables are not modelled.

use crate::IntId;
use crate::uapi::vgic_v5::ist::GICV5_ISTL2E_PENDING;
use alloc::vec;
use alloc::vec::Vec;

/// SPIs of a device whose number was not set.
pub(super) const DEFAULT_SPIS: u32 = 32;

/// One SPI: its entry in the host's table, and what KVM keeps in software.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spi {
    /// `L2_ISTE`: Pending 0, Active 1, HM 2, Enable 3, IRM 4, HWU 10:9, Priority 15:11, IAFFID 31:16.
    pub entry: u32,
    /// The trigger mode that KVM uses when user space drives the line: true for level, false for edge. `IRS_SPI_CFGR` shows it.
    pub level: bool,
    /// The line as user space last drove it. No attribute shows it, so it is not saved.
    pub line: bool,
    /// KVM's pending latch: set by an edge that user space drives, and by a restored Pending. Nothing but a restore clears it.
    pub latch: bool,
}

impl Spi {
    /// Tells the hardware what KVM takes for the pending state: for a level SPI its line or the latch, else the latch.
    pub(super) fn deliver(&mut self) {
        let pending = self.latch || self.level && self.line;
        self.entry = self.entry & !GICV5_ISTL2E_PENDING | if pending { GICV5_ISTL2E_PENDING } else { 0 };
    }
}

/// The host's LPI table.
#[derive(Debug)]
pub(super) struct LpiIst {
    pub(super) bits: u32,
    /// `1 << bits` entries.
    pub(super) entries: Vec<u32>,
}

impl LpiIst {
    /// An empty table; `bits` is 24 at most.
    pub(super) fn new(bits: u32) -> Self {
        LpiIst { bits, entries: vec![0; 1 << bits] }
    }
}

#[derive(Debug)]
pub(super) struct Ist {
    pub(super) spis: Vec<Spi>,
    pub(super) lpis: Option<LpiIst>,
    /// What the last restore made pending, in order.
    pub(super) replayed: Vec<IntId>,
}

impl Ist {
    pub(super) fn new(nr_spis: u32) -> Self {
        Ist { spis: vec![Spi::default(); nr_spis as usize], lpis: None, replayed: Vec::new() }
    }

    /// The entry of an SPI or LPI.
    pub(super) fn entry(&self, id: IntId) -> Option<&u32> {
        match id {
            IntId::Spi(id) => self.spis.get(id as usize).map(|spi| &spi.entry),
            IntId::Lpi(id) => self.lpis.as_ref()?.entries.get(id as usize),
            IntId::Ppi(_) => None,
        }
    }

    /// The entry of an SPI or LPI.
    pub(super) fn entry_mut(&mut self, id: IntId) -> Option<&mut u32> {
        match id {
            IntId::Spi(id) => self.spis.get_mut(id as usize).map(|spi| &mut spi.entry),
            IntId::Lpi(id) => self.lpis.as_mut()?.entries.get_mut(id as usize),
            IntId::Ppi(_) => None,
        }
    }

    /// Every SPI, then every LPI, with its entry.
    pub(super) fn iter(&self) -> impl Iterator<Item = (IntId, u32)> + '_ {
        let spis = (0..).zip(&self.spis).map(|(id, spi)| (IntId::Spi(id), spi.entry));
        let lpis = self.lpis.iter().flat_map(|lpis| (0..).zip(&lpis.entries)).map(|(id, entry)| (IntId::Lpi(id), *entry));
        spis.chain(lpis)
    }
}
