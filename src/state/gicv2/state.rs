//! The state of a virtual GICv2 as data.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst.
//!
//! Rule: a value is found by its name: a register by its field, interrupts by their first INTID, a vCPU by its affinity and id.

use super::block::SGI_WORDS;
use super::{CpuIdentity, CpuInterface, DistIdentity, DistState, InterruptBlock, SpiBlock};
use crate::topology::{IntId, NrIrqs, SpiCount, SpiSet, TopologyError, Vcpu, VcpuId, Vcpus};
use alloc::vec::Vec;

/// The whole state of a virtual GICv2, as far as the interface carries it: see `docs/limits.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gicv2State {
    /// Number of interrupts.
    pub nr_irqs: NrIrqs,
    /// Identification registers of the distributor.
    pub identity: DistIdentity,
    /// Distributor.
    pub dist: DistState,
    /// SPIs, 32 by 32.
    pub spis: Vec<SpiBlock>,
    /// The private part of each vCPU.
    pub vcpus: Vec<VcpuState>,
}

/// The private part of one vCPU: its SGIs and PPIs, and its CPU interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VcpuState {
    /// The vCPU.
    pub vcpu: Vcpu,
    /// SGIs and PPIs.
    pub private: InterruptBlock,
    /// Which vCPUs have sent each SGI that is pending, one bit each, by their ids: `GICD_SPENDSGIR`, a byte for each SGI.
    pub sgi_sources: [u32; SGI_WORDS],
    /// Identification register of the CPU interface.
    pub identity: CpuIdentity,
    /// CPU interface.
    pub gicc: CpuInterface,
}

impl VcpuState {
    /// A vCPU with zero in every register.
    #[must_use]
    pub fn new(vcpu: Vcpu) -> Self {
        VcpuState {
            vcpu,
            private: InterruptBlock::default(),
            sgi_sources: [0; SGI_WORDS],
            identity: CpuIdentity::default(),
            gicc: CpuInterface::default(),
        }
    }

    /// The vCPUs that have sent an SGI which is pending, one bit each; 0 for a number above 15.
    #[must_use]
    pub fn sources_of(&self, sgi: u32) -> u8 {
        self.sgi_sources.get(sgi as usize / 4).map_or(0, |word| (word >> (sgi % 4 * 8)) as u8)
    }
}

impl Gicv2State {
    /// A state with all of its SPIs and zero in every register, without vCPUs.
    #[must_use]
    pub fn new(nr_irqs: NrIrqs) -> Self {
        Gicv2State {
            nr_irqs,
            identity: DistIdentity::default(),
            dist: DistState::default(),
            spis: nr_irqs.spi_blocks().map(SpiBlock::new).collect(),
            vcpus: Vec::new(),
        }
    }

    /// Whether the SPIs are all there, 32 by 32, each once and in order.
    pub(crate) fn has_all_spis(&self) -> bool {
        self.spis.iter().map(|spis| spis.first).eq(self.nr_irqs.spi_blocks())
    }

    /// The vCPUs that a VM must have before this state can be restored.
    ///
    /// # Errors
    ///
    /// [`TopologyError`]: no VM can have these vCPUs.
    pub fn topology(&self) -> Result<Vcpus, TopologyError> {
        Vcpus::new(self.vcpus.iter().map(|state| state.vcpu))
    }

    /// Level-triggered SPIs that are pending: their lines may have been high, which the interface does not tell. Counted from 0: INTID
    /// 32 is SPI 0.
    #[must_use]
    pub fn pending_level_spis(&self) -> SpiSet {
        let levels = self.spis.iter().flat_map(|spis| {
            let levels = pending_levels(&spis.interrupts);
            (0..32).filter(move |n| levels >> n & 1 != 0).filter_map(|n| (spis.first + n).checked_sub(32))
        });
        // More than a VM has are no SPIs.
        SpiSet::new(levels.filter(|spi| *spi < SpiCount::MAX.get())).unwrap_or(SpiSet::EMPTY)
    }

    /// PPIs likewise, of each vCPU. Counted from 0: INTID 16 is PPI 0.
    pub fn pending_level_ppis(&self) -> impl Iterator<Item = (VcpuId, IntId)> {
        self.vcpus.iter().flat_map(|vcpu| {
            let levels = pending_levels(&vcpu.private);
            (16..32).filter(move |n| levels >> n & 1 != 0).map(|n| (vcpu.vcpu.id, IntId::Ppi(n - 16)))
        })
    }
}

/// One bit for each level-triggered interrupt that is pending.
fn pending_levels(block: &InterruptBlock) -> u32 {
    let [pending] = block.pending;
    pending & !block.edges()
}
