//! The state of a virtual GICv5 as data.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst.
//!
//! Rule: a value is found by its name: a register by its field, an interrupt by its ID, a vCPU by its affinity and id. Position means
//! nothing.

use super::{CpuInterface, IrsIdentity, IrsState, Ist};
use crate::topology::{SpiCount, TopologyError, Vcpu, Vcpus};
use alloc::vec::Vec;

/// The whole state of a virtual GICv5.
///
/// Its tables are borrowed where it was read from an image, so that an image is restored without a copy; see
/// [`Gicv5State::into_owned`].
///
/// What KVM's interface does not carry, and the VMM must therefore do itself:
///
/// - **External line levels of SPIs.** After a restore, drive every line that a device holds high again (`KVM_IRQ_LINE` or irqfd).
/// - **SPI trigger modes beyond `ISTE.HM`.** `IRS_SPI_CFGR` cannot be read for each SPI once a vCPU has run, and cannot be restored.
///   The mode of an SPI is restored from `ISTE.HM`. Whether hardware keeps that bit equal to what a guest wrote to `IRS_SPI_CFGR` is
///   not documented; a guest that uses `GIC CDHM` is safe. A VMM that told the guest which SPIs are level-triggered (device tree, ACPI)
///   can put that into the state before it restores it:
///
///   ```
///   # fn f(state: &mut vgic_state::gicv5::Gicv5State<'_>, level_triggered: &[u32]) {
///   for spi in level_triggered {
///       if let Some(entry) = state.spi_ist.get(*spi) {
///           assert!(state.spi_ist.set(*spi, entry.with_hm(true)));
///       }
///   }
///   # }
///   ```
/// - **Which PPIs there are.** KVM derives it from the vCPU (timers, PMU): create the vCPUs with the same features.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gicv5State<'a> {
    /// Number of SPIs.
    pub spi_count: SpiCount,
    /// What the IRS is.
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
    /// A vCPU with zero in every register.
    #[must_use]
    pub fn new(vcpu: Vcpu) -> Self {
        VcpuState { vcpu, registers: CpuInterface::default() }
    }
}

impl<'a> Gicv5State<'a> {
    /// A state with this table of SPIs and zero in every register, without vCPUs and without LPIs.
    #[must_use]
    pub fn new(spi_count: SpiCount, spi_ist: Ist<'a>) -> Self {
        Gicv5State {
            spi_count,
            identity: IrsIdentity::default(),
            irs: IrsState::default(),
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
    /// [`TopologyError`]: the vCPUs of the state are no possible set.
    pub fn topology(&self) -> Result<Vcpus, TopologyError> {
        Vcpus::new(self.vcpus.iter().map(|state| state.vcpu))
    }
}
