//! The state of a virtual GICv3 and its ITSes as data.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst.
//!
//! Rule: a value is found by its name: a register by its field, interrupts by their first INTID, a vCPU by its affinity and id, an ITS
//! by its address.

use super::{
    CpuInterface, DistIdentity, DistState, El2, InterruptBlock, ItsIdentity, ItsState, RedistIdentity, RedistState, SpiBlock,
};
use crate::its::LpiState;
use crate::topology::{NrIrqs, TopologyError, Vcpu, Vcpus};
use alloc::vec::Vec;

/// The whole state of a virtual GICv3. The tables of its ITSes and the LPI pending tables are in guest memory, or in the state, as the
/// VMM chose ([`TableStrategy`](crate::TableStrategy)).
///
/// Tables in guest memory: flush them there with [`flush_tables`](crate::DynInterruptState::flush_tables), then save guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gicv3State {
    /// Number of interrupts.
    pub nr_irqs: NrIrqs,
    /// Identification registers of the distributor.
    pub identity: DistIdentity,
    /// Distributor.
    pub dist: DistState,
    /// SPIs, 32 by 32.
    pub spis: Vec<SpiBlock>,
    /// Redistributors and CPU interfaces, each with the vCPU it belongs to.
    pub vcpus: Vec<VcpuState>,
    /// ITSes: none, one or several.
    pub its: Vec<ItsUnit>,
    /// INTID of the maintenance interrupt, a PPI, if the vCPUs have EL2; 0 if not.
    pub maintenance_irq: u32,
    /// Mappings and LPIs, if the tables are in the state; `None` if they are in guest memory.
    pub lpis: Option<LpiState>,
}

/// Redistributor and CPU interface of one vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VcpuState {
    /// The vCPU.
    pub vcpu: Vcpu,
    /// Identification registers of the redistributor.
    pub identity: RedistIdentity,
    /// Redistributor.
    pub redist: RedistState,
    /// SGIs and PPIs.
    pub private: InterruptBlock,
    /// CPU interface.
    pub icc: CpuInterface,
    /// Virtual CPU interface, if the vCPU has EL2: every vCPU of a VM has it, or none.
    pub el2: Option<El2>,
}

/// One ITS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ItsUnit {
    /// Guest physical address of its registers.
    pub base: u64,
    /// Its identification registers.
    pub identity: ItsIdentity,
    /// Its registers.
    pub registers: ItsState,
}

impl VcpuState {
    /// A vCPU with zero in every register.
    #[must_use]
    pub fn new(vcpu: Vcpu) -> Self {
        VcpuState {
            vcpu,
            identity: RedistIdentity::default(),
            redist: RedistState::default(),
            private: InterruptBlock::default(),
            icc: CpuInterface::default(),
            el2: None,
        }
    }
}

impl ItsUnit {
    /// An ITS at a guest physical address, with zero in every register.
    #[must_use]
    pub fn new(base: u64) -> Self {
        ItsUnit { base, identity: ItsIdentity::default(), registers: ItsState::default() }
    }
}

impl Gicv3State {
    /// A state with all of its SPIs and zero in every register, without vCPUs and ITSes, the tables in guest memory.
    #[must_use]
    pub fn new(nr_irqs: NrIrqs) -> Self {
        Gicv3State {
            nr_irqs,
            identity: DistIdentity::default(),
            dist: DistState::default(),
            spis: nr_irqs.spi_blocks().map(SpiBlock::new).collect(),
            vcpus: Vec::new(),
            its: Vec::new(),
            maintenance_irq: 0,
            lpis: None,
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
}
