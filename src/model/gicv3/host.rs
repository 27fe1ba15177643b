//! The machine that the VM runs on, and the settings of the VM that are fixed with it.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v3.c`, probe of the host; `vgic-init.c`.
//!
//! Rule: a host is what may differ between source and destination of a migration; nothing here changes while a VM lives.

#[cfg(doc)]
use super::behaviour::Behaviour;
use super::kernel::Kernel;
use crate::VcpuId;

/// A host, and the parts of a VM's configuration that its GICv3 depends on.
///
/// ```
/// use vgic_state::model::gicv3::{Host, Kernel};
///
/// // A host with seven priority bits and an old kernel.
/// let host = Host { pri_bits: 7, kernel: Kernel::V6_1, ..Host::default() };
/// assert_eq!(host.id_bits, 16);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Whether the host has a GICv3 and its KVM offers the device. Default: true.
    pub gicv3: bool,
    /// Whether KVM offers an ITS; it does wherever it offers a GICv3. Default: true.
    pub its: bool,
    /// The release of Linux. Default: [`Kernel::V7_3`].
    pub kernel: Kernel,
    /// Priority bits of the CPU interface, 5 to 8: `ICC_CTLR_EL1.PRIbits` + 1. Default: 5.
    pub pri_bits: u32,
    /// Bits of an INTID that the CPU interface supports, 16 or 24: `ICC_CTLR_EL1.IDbits`. Default: 16.
    pub id_bits: u32,
    /// List registers of a CPU, 1 to 16. User space sees the number only in `ICH_VTR_EL2` of a vCPU with EL2. It limits which interrupts a
    /// guest of an [older kernel](Behaviour::PendingBeforeActive) receives. Default: 4, as in many CPUs.
    pub list_registers: u32,
    /// `ICH_VTR_EL2.TDS`: the host can trap `ICC_DIR_EL1` alone, and so can a guest with EL2. Default: true.
    pub tds: bool,
    /// `ICC_CTLR_EL1.SEIS`: the CPU interface can generate SErrors locally. Default: false.
    pub seis: bool,
    /// `ICC_CTLR_EL1.A3V`: the CPU interface supports nonzero values of affinity level 3 for SGIs. Default: true.
    pub a3v: bool,
    /// `GICD_TYPER2.nASSGIcap`: the host has a GICv4.1, which delivers SGIs in hardware, and from which KVM can read the pending
    /// state of forwarded LPIs. Default: false.
    pub nassgicap: bool,
    /// Width of the VM's guest physical addresses in bits, 32 to 52. Default: 40.
    pub ipa_bits: u32,
    /// How many vCPUs a VM can have, 1 to 512. Default: 512.
    pub max_vcpus: u32,
}

impl Default for Host {
    fn default() -> Self {
        Host {
            gicv3: true,
            its: true,
            kernel: Kernel::V7_3,
            pri_bits: 5,
            id_bits: 16,
            list_registers: 4,
            tds: true,
            seis: false,
            a3v: true,
            nassgicap: false,
            ipa_bits: 40,
            max_vcpus: VcpuId::LIMIT,
        }
    }
}

impl Host {
    /// The host with every number inside its range.
    pub(super) fn in_range(self) -> Self {
        Host {
            pri_bits: self.pri_bits.clamp(5, 8),
            id_bits: if self.id_bits > 16 { 24 } else { 16 },
            list_registers: self.list_registers.clamp(1, 16),
            ipa_bits: self.ipa_bits.clamp(32, 52),
            max_vcpus: self.max_vcpus.clamp(1, VcpuId::LIMIT),
            ..self
        }
    }
}
