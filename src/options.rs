//! What a VMM decides about saves and restores, for controllers of any kind.
//!
//! Rule: a default that loses nothing silently; an option that a controller has no use for changes nothing there.

use crate::image::IstCoding;
use crate::its::LpiState;
use crate::judge::{Limits, Ranges};
use crate::report::Severity;
use crate::topology::{SpiSet, VcpuNumbers};

/// What a VMM decides. To be set at any time: the next save, check or restore goes by it.
///
/// ```
/// use vgic_state::report::Severity;
/// use vgic_state::{Options, TableStrategy};
///
/// let options = Options::default().with_tables(TableStrategy::Image).with_refuse_at(Some(Severity::Medium));
/// assert!(!options.verify_flush);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// A finding of this severity or a worse one is a refusal; others are reported. `None`: only what no kernel could restore is refused.
    /// [`Severity::Low`]: a state with any finding is refused. Default: [`Severity::DEFAULT_THRESHOLD`].
    ///
    /// Kernels before the end of 2024 leave entries of devices and events behind that were unmapped between two flushes. A restore
    /// passes them by, and from a table alone they cannot be told from a chain that was cut short:
    /// [`Problem::EntryBehindChain`](crate::report::Problem::EntryBehindChain), which is refused. Flush on a newer kernel, put tables into
    /// the image, or accept [`Severity::High`].
    pub refuse_at: Option<Severity>,
    /// GICv3: where a save puts the tables of ITSes. Default: into guest memory.
    pub tables: TableStrategy,
    /// GICv3, tables in guest memory: have each flush compare what the kernel has mapped, which it learns from shadow memory, with what is
    /// in guest memory afterwards. There are kernels that say success where the guest's level-1 device table is gone, and save no device
    /// (`docs/kernels.md`). Needs memory that can be diverted. Default: false.
    pub verify_flush: bool,
    /// GICv2 and GICv3: go on where the kernel has a newer revision of its distributor than the guest has seen and cannot take the guest's, as
    /// kernels before 2026 cannot; report it as a finding. Revision 3 adds `GICR_CTLR.IR` and `CES` to revision 2. Default: false.
    pub accept_newer_revision: bool,
    /// GICv3: what becomes of the state of vCPUs with EL2 (nested virtualization). Default: as the device shows.
    pub el2: El2Policy,
    /// GICv3: what the host's kernel takes for the number of a vCPU. Where it is the order of creation and a `vcpu_id` is another number, a
    /// flush and a check refuse the VM: its guest does not run there, and other kernels would take its interrupts for those of other
    /// vCPUs. With the feature `kvm`, `kvm::vcpu_numbers` asks the host. Default: not told, nothing is refused for it.
    pub vcpu_numbers: VcpuNumbers,
    /// GICv3, tables in the state: what a restore makes of a configuration table that does not look like one. Default: leave it.
    pub lpi_configuration: ConfigurationPolicy,
    /// GICv3: what the guest owns, and what must not be touched, by which the places of tables are judged. Default: `None`, all memory that
    /// there is when a state is checked, and nothing protected.
    pub ranges: Option<Ranges>,
    /// GICv3: how much a check may read.
    pub limits: Limits,
    /// GICv5: how often a save of the tables is repeated after `EBUSY`, which says that an interrupt arrived while the VM was saved. In each
    /// attempt the kernel asks the hardware up to three times, and waits up to 10 ms for each answer. Default: 3.
    pub retries: u8,
    /// GICv5: SPIs that are level-triggered, as the VMM's devices have them and as it has told the guest (device tree, ACPI). KVM's
    /// interface loses it: the table that it saves calls an SPI edge-triggered (`ISTE.HM` = 0) whatever the guest wrote to
    /// `IRS_SPI_CFGR`, and edge-triggered it would be restored. A save puts HM = 1 and Pending = 0 into the entries of these SPIs; so
    /// does a restore, which reports [`Problem::SpiLevelLost`](crate::report::Problem::SpiLevelLost) where the image has HM = 0. To be
    /// given on both sides. SPIs that the VM does not have are an error. Default: none, for a VM without such devices; an SPI that the
    /// guest itself made level-triggered by `GIC CDHM` needs no mention.
    pub level_spis: SpiSet,
    /// GICv5: how tables are written into images. Default: raw, as the kernel writes them.
    pub ist_coding: IstCoding,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            refuse_at: Some(Severity::DEFAULT_THRESHOLD),
            tables: TableStrategy::default(),
            verify_flush: false,
            accept_newer_revision: false,
            el2: El2Policy::default(),
            vcpu_numbers: VcpuNumbers::default(),
            lpi_configuration: ConfigurationPolicy::default(),
            ranges: None,
            limits: Limits::default(),
            retries: 3,
            level_spis: SpiSet::EMPTY,
            ist_coding: IstCoding::Raw,
        }
    }
}

macro_rules! builders {
    ($($builder:ident $field:ident: $ty:ty;)*) => {
        impl Options {
            $(
                #[doc = concat!("The same with another [`", stringify!($field), "`](Options::", stringify!($field), ").")]
                #[must_use]
                pub fn $builder(mut self, $field: $ty) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}

builders! {
    with_refuse_at refuse_at: Option<Severity>;
    with_tables tables: TableStrategy;
    with_verify_flush verify_flush: bool;
    with_accept_newer_revision accept_newer_revision: bool;
    with_el2 el2: El2Policy;
    with_vcpu_numbers vcpu_numbers: VcpuNumbers;
    with_lpi_configuration lpi_configuration: ConfigurationPolicy;
    with_ranges ranges: Option<Ranges>;
    with_limits limits: Limits;
    with_retries retries: u8;
    with_level_spis level_spis: SpiSet;
    with_ist_coding ist_coding: IstCoding;
}

/// Where a save puts the tables of ITSes and the pending bits of LPIs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TableStrategy {
    /// Into guest memory, where the guest's tables are: KVM's own way. If the guest has put other data there, it is overwritten.
    #[default]
    GuestMemory,
    /// Into the state and its image. Guest memory is not written. Needs memory that can be diverted, such as
    #[cfg_attr(all(feature = "shadow", target_os = "linux"), doc = "[`Shadowed`](crate::shadow::Shadowed).")]
    #[cfg_attr(not(all(feature = "shadow", target_os = "linux")), doc = "`Shadowed`.")]
    Image,
}

/// What becomes of the state of vCPUs with EL2: the registers of the virtual CPU interface, which a guest gives to a guest of its own.
///
/// Whether the vCPUs have EL2, the device shows since Linux 6.17. Before 6.16 no vCPU can have it. On Linux 6.16 only the VMM knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum El2Policy {
    /// Saved and restored where the device shows that the vCPUs have EL2; a state with it is refused where they have not, and the other way.
    #[default]
    AsShown,
    /// The vCPUs have EL2, as the VMM knows: where the device does not show it, every flush, save, check and restore is
    /// [`DeviceError::El2StateUnavailable`](crate::DeviceError::El2StateUnavailable). For every VM that is made with `KVM_ARM_VCPU_HAS_EL2`.
    Required,
    /// The state is neither saved nor restored, as if the vCPUs had no EL2: for a guest that does not use it.
    Lost,
}

/// What a restore gives the kernel as configuration of LPIs, if what the guest had as its configuration table does not look like one.
///
/// The kernel reads priority and enable from there and does not give them back. A table looks like one if bit 1, which is RES1, is
/// set in the byte of every LPI that is mapped; otherwise [`Problem::ConfigurationNotCredible`](crate::report::Problem::ConfigurationNotCredible) is
/// reported. Only the kernel's copy follows from this; the guest's table stays as it is, and the kernel reads it again when the guest
/// says so (`INV`, `INVALL`, `MAPTI`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConfigurationPolicy {
    /// What was there. LPIs may be disabled by it.
    #[default]
    Leave,
    /// This byte for every LPI: priority `[7:2]`, enable `[0]`. 0xa3 is what Linux gives an LPI that it uses.
    Default(u8),
}

impl ConfigurationPolicy {
    /// INTID and configuration of every mapped LPI.
    pub(crate) fn bytes(self, lpis: &LpiState) -> impl Iterator<Item = (u32, u8)> {
        let instead = match self {
            ConfigurationPolicy::Default(byte) if lpis.doubtful_configuration().next().is_some() => Some(byte),
            _ => None,
        };
        lpis.configuration.iter().map(move |lpi| (lpi.intid, instead.unwrap_or(lpi.byte)))
    }
}
