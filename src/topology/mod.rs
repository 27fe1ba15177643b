//! What is fixed before a virtual GIC is initialised: number of interrupts, vCPUs and their names.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst (`GRP_NR_IRQS`, `CTRL_INIT`); Arm ARM, `MPIDR_EL1`.
//!
//! Rule: a bound is checked once, in the constructor of its type; who holds the value need not check it again.

mod interrupts;
mod numbers;
mod spis;
mod vcpus;

pub use interrupts::{IntId, LpiIdBits, NrIrqs, SpiCount};
pub use numbers::VcpuNumbers;
pub use spis::SpiSet;
pub use vcpus::{Mpidr, Vcpu, VcpuId, Vcpus};

/// A description of a VM that no virtual GIC can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// Not a number of SPIs that KVM accepts.
    #[error("{found} SPIs: must be a multiple of 32, from 32 to 1024")]
    SpiCount {
        /// The number given.
        found: u32,
    },
    /// Not an SPI of any VM with a GICv5.
    #[error("SPI {found}: a VM has SPIs 0 to 1023 at most")]
    Spi {
        /// The ID given, counted from 0.
        found: u32,
    },
    /// Not a number of interrupts that a GICv3 of KVM can have.
    #[error("{found} interrupts: must be a multiple of 32, from 64 to 1024, the 32 private ones included")]
    NrIrqs {
        /// The number given.
        found: u32,
    },
    /// Not a width of LPI IDs that a table of KVM can have.
    #[error("{found} LPI ID bits: at most 16")]
    LpiIdBits {
        /// The number given.
        found: u32,
    },
    /// Beyond what KVM accepts as `vcpu_id` of a VM with a virtual GIC.
    #[error("vcpu_id {found}: must be below 512")]
    VcpuId {
        /// The number given.
        found: u32,
    },
    /// A virtual GIC needs a vCPU.
    #[error("no vCPU: at least one must exist before the device is initialised")]
    NoVcpu,
    /// Two vCPUs with one `vcpu_id`.
    #[error("vcpu_id {id} is given twice")]
    DuplicateVcpuId {
        /// The id.
        id: VcpuId,
    },
    /// Two vCPUs with one affinity.
    #[error("affinity {mpidr} is given twice")]
    DuplicateMpidr {
        /// The affinity.
        mpidr: Mpidr,
    },
}
