//! The machine that the VM runs on, and the settings of the VM that are fixed with it.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5.c`, probe of the host; `vgic-irs-v5.c`, reset of the ID registers, Linux 7.4.
//!
//! Rule: a host is what may differ between source and destination of a migration; nothing here changes while a VM lives.

use crate::VcpuId;

/// PPI that user space may drive: the only one that KVM emulates as edge-triggered.
pub(super) const SW_PPI: u32 = 3;

/// A host, and the parts of a VM's configuration that its GICv5 depends on.
///
/// ```
/// use vgic_state::model::gicv5::Host;
///
/// // An older host, to migrate to.
/// let host = Host { id_bits: 12, ..Host::default() };
/// assert_eq!(host.min_lpi_id_bits, 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Whether the host has a GICv5 and its KVM offers the device. Default: true.
    pub gicv5: bool,
    /// `IRS_IDR2.ID_BITS` of the host, 1 to 24. After INIT a guest is shown at most 16; user space may write more, up to this.
    /// Default: 16.
    pub id_bits: u32,
    /// `IRS_IDR2.MIN_LPI_ID_BITS` of the host, 0 to 15. Default: 8.
    pub min_lpi_id_bits: u32,
    /// Priority bits of the host's IRS, 1 to 5. Default: 5.
    pub priority_bits: u32,
    /// `ID_AA64MMFR0_EL1.PARange` of the host, 0 to 15, shown in `IRS_IDR0`. Default: 5, for 48 bits.
    pub pa_range: u32,
    /// Width of the VM's guest physical addresses in bits, 32 to 52. Default: 40.
    pub ipa_bits: u32,
    /// How many vCPUs of a VM the host's IRS supports; KVM supports at most 512. Default: 512.
    pub max_vcpus: u32,
    /// PPIs that a device in KVM owns, bit n for PPI n; `SW_PPI` (3) is added. Default: PMU (23), virtual and physical timer (27, 30).
    pub ppis: u64,
    /// Whether the hardware leaves a value in `L2_ISTE.HWU` of an SPI or LPI when a guest acknowledges it. Default: true.
    pub hwu: bool,
}

impl Default for Host {
    fn default() -> Self {
        Host {
            gicv5: true,
            id_bits: 16,
            min_lpi_id_bits: 8,
            priority_bits: 5,
            pa_range: 5,
            ipa_bits: 40,
            max_vcpus: VcpuId::LIMIT,
            ppis: 1 << 23 | 1 << 27 | 1 << 30,
            hwu: true,
        }
    }
}

impl Host {
    /// The host with every number inside its range.
    pub(super) fn in_range(self) -> Self {
        Host {
            id_bits: self.id_bits.clamp(1, 24),
            min_lpi_id_bits: self.min_lpi_id_bits.min(15),
            priority_bits: self.priority_bits.clamp(1, 5),
            pa_range: self.pa_range.min(15),
            ipa_bits: self.ipa_bits.clamp(32, 52),
            max_vcpus: self.max_vcpus.min(VcpuId::LIMIT),
            ppis: self.ppis | 1 << SW_PPI,
            ..self
        }
    }

    /// ID bits shown to a guest after INIT.
    pub(super) fn guest_id_bits(&self) -> u32 {
        self.id_bits.min(16)
    }
}
