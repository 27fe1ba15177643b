//! The machine that the VM runs on.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v2.c`, `vgic-v3.c`, probe of the host; `vgic-mmio-v2.c`, `vgic_mmio_read_apr`.
//!
//! Rule: a host is what may differ between source and destination of a migration; nothing here changes while a VM lives.

use crate::model::gicv3::Kernel;
use crate::uapi::vgic_v2::VGIC_V2_MAX_CPUS;

/// A host, and the parts of a VM's configuration that its GICv2 depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// Whether KVM offers the device: the host has a GICv2, or a GICv3 that is compatible with one. Default: true.
    pub gicv2: bool,
    /// The release of Linux. Default: [`Kernel::V7_3`].
    pub kernel: Kernel,
    /// Priority bits of the CPU interface, 5 to 7. Only a host with a GICv3 has more than 5, and with them more than one `GICC_APR`.
    /// Default: 5.
    pub pri_bits: u32,
    /// List registers of a CPU, 1 to 16. Default: 4, as in a GIC-400.
    pub list_registers: u32,
    /// Width of the VM's guest physical addresses in bits, 32 to 52. Default: 40.
    pub ipa_bits: u32,
    /// How many vCPUs a VM without a GICv2 can have, 1 to 512; with a GICv2 the limit is 8. Default: 8, as on a host with a GICv2.
    pub max_vcpus: u32,
}

impl Default for Host {
    fn default() -> Self {
        Host { gicv2: true, kernel: Kernel::V7_3, pri_bits: 5, list_registers: 4, ipa_bits: 40, max_vcpus: VGIC_V2_MAX_CPUS }
    }
}

impl Host {
    /// The same host with another kernel.
    #[must_use]
    pub fn with_kernel(self, kernel: Kernel) -> Self {
        Host { kernel, ..self }
    }

    /// The same host with another number of priority bits.
    #[must_use]
    pub fn with_pri_bits(self, pri_bits: u32) -> Self {
        Host { pri_bits, ..self }
    }

    /// The host with every number inside its range.
    pub(super) fn in_range(self) -> Self {
        Host {
            pri_bits: self.pri_bits.clamp(5, 7),
            list_registers: self.list_registers.clamp(1, 16),
            ipa_bits: self.ipa_bits.clamp(32, 52),
            max_vcpus: self.max_vcpus.clamp(1, crate::VcpuId::LIMIT),
            ..self
        }
    }

    /// `GICC_APR` registers that hold anything.
    pub(super) fn aprs(&self) -> usize {
        match self.pri_bits {
            7 => 4,
            6 => 2,
            _ => 1,
        }
    }
}
