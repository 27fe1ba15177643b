//! Device attributes with their width in the type.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst, arm-vgic-v3.rst, arm-vgic-v5.rst; Documentation/virt/kvm/api.rst,
//! `KVM_SET_DEVICE_ATTR`.
//!
//! Rule: the only place that packs a group and a register into an attribute. An attribute that reads 8 bytes cannot be given 4.

mod command;
mod error;
mod id;
mod meaning;
mod word;

pub use command::Command;
pub use error::AttributeError;
pub use id::AttrId;
pub use meaning::Operation;
pub(crate) use meaning::{Stage, meaning};
pub use word::Word;

use crate::topology::{Mpidr, VcpuId};
use crate::uapi::{device as dev, vgic_v2 as v2, vgic_v3 as v3, vgic_v5 as v5};
use core::fmt;
use core::marker::PhantomData;

/// A device attribute whose value is a `W`. Made by a constructor for each group, so that the width is always the group's.
///
/// ```compile_fail,E0308
/// use vgic_state::{Attr, AttrDevice, model::gicv5::Vm};
///
/// fn read(device: &Vm) -> u32 {
///     // IRS registers are u64 in this interface, whatever their architected width: this does not compile.
///     device.get::<u32>(Attr::irs(0x190)).unwrap()
/// }
/// ```
pub struct Attr<W> {
    id: AttrId,
    width: PhantomData<fn() -> W>,
}

impl<W> Attr<W> {
    const fn new(group: u32, attr: u64) -> Self {
        Attr { id: AttrId::from_raw(group, attr), width: PhantomData }
    }

    /// The attribute without its width.
    #[must_use]
    pub const fn id(self) -> AttrId {
        self.id
    }
}

impl<W> Clone for Attr<W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Attr<W> {}

impl<W> fmt::Debug for Attr<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attr({})", self.id)
    }
}

impl Attr<u32> {
    /// `GRP_NR_IRQS`: number of interrupts; on a GICv5 the number of SPIs.
    #[must_use]
    pub const fn nr_irqs() -> Self {
        Attr::new(dev::KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0)
    }
}

impl Attr<u32> {
    /// `GRP_DIST_REGS` of a GICv2: a distributor register as one vCPU finds it, see [`uapi::vgic_v2::dist`](crate::uapi::vgic_v2::dist).
    /// Only the low 8 bits of the id are passed on.
    #[must_use]
    pub const fn gicv2_dist(vcpu: VcpuId, offset: u32) -> Self {
        Attr::new(v2::KVM_DEV_ARM_VGIC_GRP_DIST_REGS, of_cpu(vcpu, offset))
    }

    /// `GRP_CPU_REGS` of a GICv2: a CPU interface register of one vCPU, see [`uapi::vgic_v2::cpu`](crate::uapi::vgic_v2::cpu). Only
    /// the low 8 bits of the id are passed on.
    #[must_use]
    pub const fn gicv2_cpu(vcpu: VcpuId, offset: u32) -> Self {
        Attr::new(v2::KVM_DEV_ARM_VGIC_GRP_CPU_REGS, of_cpu(vcpu, offset))
    }
}

impl Attr<u32> {
    /// `GRP_MAINT_IRQ`: INTID of the maintenance interrupt of a GICv3 whose vCPUs have EL2, a PPI, 16 to 31; 0 as long as nobody has set
    /// it: KVM takes 25 at the first run. Set before `INIT`.
    #[must_use]
    pub const fn maintenance_irq() -> Self {
        Attr::new(v3::KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ, 0)
    }

    /// `GRP_DIST_REGS`: 32 bits of a distributor register, see [`uapi::vgic_v3::dist`](crate::uapi::vgic_v3::dist).
    #[must_use]
    pub const fn dist(offset: u32) -> Self {
        Attr::new(v3::KVM_DEV_ARM_VGIC_GRP_DIST_REGS, offset as u64)
    }

    /// `GRP_REDIST_REGS`: 32 bits of a redistributor register of one vCPU, see
    /// [`uapi::vgic_v3::redist`](crate::uapi::vgic_v3::redist).
    #[must_use]
    pub const fn redist(mpidr: Mpidr, offset: u32) -> Self {
        Attr::new(v3::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, of_vcpu(mpidr, offset))
    }

    /// `GRP_LEVEL_INFO`: line levels of 32 interrupts from INTID `first` below 1024, rounded down to a multiple of 32. Those of PPIs
    /// (`first` 0) belong to one vCPU; for SPIs it does not matter which vCPU is named.
    #[must_use]
    pub const fn line_levels(mpidr: Mpidr, first: u32) -> Self {
        let info = v3::VGIC_LEVEL_INFO_LINE_LEVEL << v3::KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT;
        Attr::new(
            v3::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO,
            of_vcpu(mpidr, info | (first & v3::KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK & !31)),
        )
    }
}

/// Packs a vCPU and what is asked of it.
const fn of_vcpu(mpidr: Mpidr, low: u32) -> u64 {
    (mpidr.packed() as u64) << dev::KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT | low as u64
}

/// Packs a vCPU of a GICv2 and a register.
const fn of_cpu(vcpu: VcpuId, offset: u32) -> u64 {
    (vcpu.get() as u64) << v2::KVM_DEV_ARM_VGIC_CPUID_SHIFT & v2::KVM_DEV_ARM_VGIC_CPUID_MASK | offset as u64
}

impl Attr<u64> {
    /// `GRP_ADDR`: guest physical address of the GICv2 distributor.
    #[must_use]
    pub const fn gicv2_dist_address() -> Self {
        Attr::new(dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v2::KVM_VGIC_V2_ADDR_TYPE_DIST)
    }

    /// `GRP_ADDR`: guest physical address of the GICv2 CPU interface.
    #[must_use]
    pub const fn gicv2_cpu_address() -> Self {
        Attr::new(dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v2::KVM_VGIC_V2_ADDR_TYPE_CPU)
    }

    /// `GRP_ADDR`: guest physical address of the GICv3 distributor.
    #[must_use]
    pub const fn dist_address() -> Self {
        Attr::new(dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v3::KVM_VGIC_V3_ADDR_TYPE_DIST)
    }

    /// `GRP_ADDR`: guest physical address of all GICv3 redistributors, one behind the other.
    #[must_use]
    pub const fn redist_address() -> Self {
        Attr::new(dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v3::KVM_VGIC_V3_ADDR_TYPE_REDIST)
    }

    /// `GRP_ADDR`: one of several regions of GICv3 redistributors: `count[63:52] base[51:16] index[11:0]`.
    #[must_use]
    pub const fn redist_region() -> Self {
        Attr::new(dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v3::KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION)
    }

    /// `GRP_ADDR`: guest physical address of an ITS.
    #[must_use]
    pub const fn its_address() -> Self {
        Attr::new(dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v3::KVM_VGIC_ITS_ADDR_TYPE)
    }

    /// `GRP_ITS_REGS`: an ITS register, see [`uapi::vgic_v3::its`](crate::uapi::vgic_v3::its).
    #[must_use]
    pub const fn its(offset: u32) -> Self {
        Attr::new(v3::KVM_DEV_ARM_VGIC_GRP_ITS_REGS, offset as u64)
    }

    /// `GRP_ADDR`: guest physical address of the GICv5 IRS frames.
    #[must_use]
    pub const fn irs_address() -> Self {
        Attr::new(dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v5::KVM_VGIC_V5_ADDR_TYPE_IRS)
    }

    /// `GRP_IRS_REGS`: the IRS register at `offset` in `CONFIG_FRAME`, see [`uapi::vgic_v5::irs`](crate::uapi::vgic_v5::irs).
    #[must_use]
    pub const fn irs(offset: u32) -> Self {
        Attr::new(v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS, offset as u64)
    }

    /// `GRP_CPU_SYSREGS`: a CPU interface register of one vCPU, see [`uapi::vgic_v5::icc`](crate::uapi::vgic_v5::icc),
    /// [`uapi::vgic_v3::icc`](crate::uapi::vgic_v3::icc) and, where the vCPU has EL2, [`uapi::vgic_v3::ich`](crate::uapi::vgic_v3::ich).
    #[must_use]
    pub const fn cpu_sysreg(mpidr: Mpidr, instr: u16) -> Self {
        Attr::new(dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, of_vcpu(mpidr, instr as u32))
    }
}

impl Attr<[u64; 2]> {
    /// `GRP_CTRL`, `USERSPACE_PPIS`: the PPIs that user space may drive, one bit each; get only.
    #[must_use]
    pub const fn userspace_ppis() -> Self {
        Attr::new(dev::KVM_DEV_ARM_VGIC_GRP_CTRL, v5::KVM_DEV_ARM_VGIC_USERSPACE_PPIS as u64)
    }
}
