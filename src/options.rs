//! What a VMM decides about saves and restores, for controllers of any kind.
//!
//! Rule: a default that loses nothing silently; an option that a controller has no use for changes nothing there.

use crate::image::IstCoding;
use crate::its::LpiState;
use crate::judge::{Limits, Ranges};
use crate::report::Severity;
use crate::topology::{SpiSet, VcpuNumbers};

/// What a VMM decides. It can be set at any time, and holds from the next save, check or restore on.
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
    /// The least severity of a finding that refuses a state; findings below it are reported. `None`: only what no kernel could restore is
    /// refused. [`Severity::Low`]: a state with any finding is refused. Default: [`Severity::DEFAULT_THRESHOLD`].
    /// No threshold refuses [`Problem::NewerRevision`](crate::report::Problem::NewerRevision), which only a write shows:
    /// [`accept_newer_revision`](Self::accept_newer_revision) decides.
    ///
    /// Kernels before the end of 2024 leave stale entries in the tables, of devices and events that the guest unmapped between two flushes.
    /// A restore skips them. The table alone does not show whether such an entry is stale or was lost from a chain that was cut short: it
    /// is [`Problem::EntryBehindChain`](crate::report::Problem::EntryBehindChain), which is refused by default. Flush on a newer kernel,
    /// put tables into the image, or set this to [`Severity::Critical`].
    pub refuse_at: Option<Severity>,
    /// GICv3: where a save puts the tables of ITSes. Default: into guest memory.
    pub tables: TableStrategy,
    /// GICv3, tables in guest memory: each flush compares what the kernel has mapped, read by way of shadow memory, with the tables in
    /// guest memory afterwards. Some kernels report success and save no device if the guest's level-1 device table was overwritten
    /// (`docs/kernels.md`). Needs memory that can be diverted. Default: false.
    pub verify_flush: bool,
    /// GICv2 and GICv3: restore although the kernel keeps a newer revision of its distributor (`GICD_IIDR`) than the one the guest has
    /// seen; kernels before 2026 cannot take an older one. It is then a finding instead of an error. Revision 3 adds `GICR_CTLR.IR` and
    /// `CES` to revision 2. Default: false.
    pub accept_newer_revision: bool,
    /// GICv3: what becomes of the state of vCPUs with EL2 (nested virtualization). Default: as the device shows.
    pub el2: El2Policy,
    /// GICv3: by which number the host's kernel names a vCPU in ITS commands and tables. If that is its place in the order of creation, and
    /// some `vcpu_id` is another number, a flush and a check refuse the VM: its guest does not run there, and other kernels would deliver
    /// its interrupts to other vCPUs. With the feature `kvm`, `kvm::vcpu_numbers` asks the host. Default: not told; such a VM is refused if
    /// it has an ITS, unless the kernel shows that it is the `vcpu_id`, as kernels do from Linux 6.15 on.
    pub vcpu_numbers: VcpuNumbers,
    /// GICv3, tables in the state: which LPI configuration is restored if the guest's configuration table seems overwritten. Default: what
    /// was saved.
    pub lpi_configuration: ConfigurationPolicy,
    /// GICv3: which memory the guest owns, and which must not be touched; the places of tables are judged by it. Default: `None`, all guest
    /// memory at the time of the check, and nothing protected.
    pub ranges: Option<Ranges>,
    /// GICv3: how much a check may read.
    pub limits: Limits,
    /// GICv5: how often a save of the tables is repeated after `EBUSY`, which says that an interrupt arrived while the VM was saved. In
    /// each attempt the kernel asks the hardware up to three times, and waits up to 10 ms for each answer. Default: 3.
    pub retries: u8,
    /// GICv5: SPIs that are level-triggered, as the VMM's devices have them and as it has told the guest (device tree, ACPI). Set it before
    /// a save and before a restore. KVM's interface does not carry it: the table that KVM saves has every SPI as edge-triggered (`ISTE.HM`
    /// = 0), whatever the guest wrote to `IRS_SPI_CFGR`, and would restore it as such. A save puts HM = 1 and Pending = 0 into the entries
    /// of these SPIs; so does a restore, which reports [`Problem::SpiLevelLost`](crate::report::Problem::SpiLevelLost) if the image has HM
    /// = 0. An SPI that the VM does not have is an error. An SPI that the guest itself made level-triggered by `GIC CDHM` need not be
    /// named. Default: none.
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
    /// Into guest memory, where the guest's tables are, as KVM does it. If the guest has put other data there, that is overwritten.
    #[default]
    GuestMemory,
    /// Into the state and its image. Guest memory is not written. Needs memory that can be diverted, such as
    #[cfg_attr(all(feature = "shadow", target_os = "linux"), doc = "[`Shadowed`](crate::shadow::Shadowed).")]
    #[cfg_attr(not(all(feature = "shadow", target_os = "linux")), doc = "`Shadowed`.")]
    Image,
}

/// What becomes of the state of vCPUs with EL2: the registers of the virtual CPU interface, which a guest hypervisor gives to its own
/// guest.
///
/// Before Linux 6.16 no vCPU can have EL2. On 6.16 the device does not show whether the vCPUs have it, so that only the VMM knows. From
/// 6.17 on the device shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum El2Policy {
    /// Saved and restored if the device shows that the vCPUs have EL2. A state with EL2 is refused for a VM without it, and the other way
    /// round.
    #[default]
    AsShown,
    /// The vCPUs have EL2, as the VMM knows: where the device does not show it, every flush, save, check and restore is
    /// [`DeviceError::El2StateUnavailable`](crate::DeviceError::El2StateUnavailable). For every VM that is made with
    /// `KVM_ARM_VCPU_HAS_EL2`.
    Required,
    /// The state is neither saved nor restored, as if the vCPUs had no EL2: for a guest that does not use it.
    Lost,
}

/// Which LPI configuration is restored if the guest's configuration table seems overwritten.
///
/// The kernel reads priority and enable from that table and does not give them back. A table is taken as intact if bit 1, which is RES1, is
/// set in the byte of every LPI that is mapped; otherwise
/// [`Problem::ConfigurationNotCredible`](crate::report::Problem::ConfigurationNotCredible) is reported. Only the kernel's copy follows this
/// policy; the guest's table stays as it is, and the kernel reads it again when the guest asks for it (`INV`, `INVALL`, `MAPTI`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConfigurationPolicy {
    /// The bytes as they were saved. LPIs may be disabled by them.
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
