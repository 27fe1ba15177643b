//! The state of a virtual GICv5 as data.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst.
//!
//! Rule: a value is found by its name: a register by its field, an interrupt by its ID, a vCPU by its affinity and id. Position means
//! nothing.

use super::fields::ICC_CR0_ONES;
use super::{CpuInterface, IrsIdentity, IrsState, Ist};
use crate::topology::{SpiCount, TopologyError, Vcpu, Vcpus};
use crate::uapi::vgic_v5::irs_fields::GICV5_IRS_CR0_IDLE;
use alloc::vec::Vec;

/// The whole state of a virtual GICv5.
///
/// If it was read from an image with raw tables, it borrows them, so that an image is restored without a copy;
/// [`Gicv5State::into_owned`] copies them.
///
/// KVM's interface does not carry the following, so that the VMM must do it:
///
/// - **External line levels of SPIs.** After a restore, drive every line that a device holds high again (`KVM_IRQ_LINE` or irqfd).
///   [`Report::level_spis`](crate::report::Report::level_spis) lists the SPIs whose lines these can be.
/// - **Which SPIs are level-triggered.** A guest sets it by `IRS_SPI_CFGR`, which changes a flag inside KVM and no table: the SPI is saved
///   with `ISTE.HM` = 0, and would be edge-triggered after a restore. The VMM knows its devices: name these SPIs in
///   [`Options::level_spis`](crate::Options::level_spis) for the save and for the restore. Their entries then have HM = 1 and Pending = 0
///   in the state and in what the kernel gets. Pending must be 0 because a latch that KVM restores for a level-triggered SPI stays set when
///   its line falls; the line alone makes it pending. An SPI that a guest itself has made level-triggered (`GIC CDHM`) is saved in the same
///   way, without being named.
///
///   ```
///   use vgic_state::{Options, SpiSet};
///
///   # fn main() -> Result<(), vgic_state::TopologyError> {
///   // By INTID.ID, counted from 0: the numbers of the device tree, and of KVM_IRQ_LINE.
///   let uart_and_rtc = SpiSet::new([1, 2])?;
///   let options = Options::default().with_level_spis(uart_and_rtc);
///   # assert_eq!(options.level_spis.len(), 2);
///   # Ok(())
///   # }
///   ```
/// - **Which PPIs exist.** KVM derives that from the features of a vCPU (timers, PMU): create the vCPUs with the same features.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gicv5State<'a> {
    /// Number of SPIs.
    pub spi_count: SpiCount,
    /// Identification registers of the IRS.
    pub identity: IrsIdentity,
    /// IRS registers.
    pub irs: IrsState,
    /// CPU interfaces, each with the vCPU it belongs to.
    pub vcpus: Vec<VcpuState>,
    /// Interrupt state table of SPIs.
    pub spi_ist: Ist<'a>,
    /// Interrupt state table of LPIs, if the guest has set one up (`IRS_IST_BASER.VALID`).
    pub lpi_ist: Option<Ist<'a>>,
}

/// The CPU interface of one vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VcpuState {
    /// The vCPU.
    pub vcpu: Vcpu,
    /// Its registers.
    pub registers: CpuInterface,
}

impl VcpuState {
    /// A vCPU with zero in every register, but for bits that always read 1: LINK and LINK_IDLE of `ICC_CR0_EL1`.
    #[must_use]
    pub fn new(vcpu: Vcpu) -> Self {
        VcpuState { vcpu, registers: CpuInterface { cr0: ICC_CR0_ONES, ..CpuInterface::default() } }
    }
}

impl<'a> Gicv5State<'a> {
    /// A state with this table of SPIs and zero in every register, but for IDLE of `IRS_CR0`, which always reads 1; without vCPUs and
    /// without LPIs.
    #[must_use]
    pub fn new(spi_count: SpiCount, spi_ist: Ist<'a>) -> Self {
        Gicv5State {
            spi_count,
            identity: IrsIdentity::default(),
            irs: IrsState { cr0: GICV5_IRS_CR0_IDLE, ..IrsState::default() },
            vcpus: Vec::new(),
            spi_ist,
            lpi_ist: None,
        }
    }
}

impl Gicv5State<'_> {
    /// The same state with tables of its own.
    #[must_use]
    pub fn into_owned(self) -> Gicv5State<'static> {
        Gicv5State {
            spi_count: self.spi_count,
            identity: self.identity,
            irs: self.irs,
            vcpus: self.vcpus,
            spi_ist: self.spi_ist.into_owned(),
            lpi_ist: self.lpi_ist.map(Ist::into_owned),
        }
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
