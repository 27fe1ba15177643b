//! Attributes by their numbers, and by the names that people know them by.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst, arm-vgic-v3.rst, arm-vgic-its.rst and arm-vgic-v5.rst.
//!
//! Rule: a register is called what the Arm specification calls it, with its number in an array and its half where it has 64 bits.

use crate::topology::Mpidr;
use crate::uapi::{device as dev, vgic_v2 as v2, vgic_v3 as v3, vgic_v5 as v5};
use core::fmt;

/// Group and attribute number, without the width: how traces and messages name an attribute.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttrId {
    group: u32,
    attr: u64,
}

impl AttrId {
    /// `GRP_CTRL`, `INIT`.
    pub const INIT: AttrId = AttrId { group: dev::KVM_DEV_ARM_VGIC_GRP_CTRL, attr: dev::KVM_DEV_ARM_VGIC_CTRL_INIT as u64 };
    /// `GRP_IST`: both interrupt state tables of a GICv5.
    pub const IST: AttrId = AttrId { group: v5::KVM_DEV_ARM_VGIC_GRP_IST, attr: 0 };

    /// Any group and attribute, to name it or to ask whether a device has it. To transfer a value, use an [`Attr`](crate::Attr).
    #[must_use]
    pub const fn from_raw(group: u32, attr: u64) -> Self {
        AttrId { group, attr }
    }

    /// `kvm_device_attr.group`.
    #[must_use]
    pub const fn group(self) -> u32 {
        self.group
    }

    /// `kvm_device_attr.attr`.
    #[must_use]
    pub const fn attr(self) -> u64 {
        self.attr
    }

    /// The vCPU that a per-vCPU register belongs to. Line levels name one too where they are those of PPIs.
    #[must_use]
    pub const fn mpidr(self) -> Option<Mpidr> {
        match self.group {
            v3::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS | dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS => {
                Some(Mpidr::from_packed((self.attr >> dev::KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT) as u32))
            }
            v3::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO if self.attr as u32 & v3::KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK < 32 => {
                Some(Mpidr::from_packed((self.attr >> dev::KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT) as u32))
            }
            _ => None,
        }
    }

    /// The vCPU that a register of a GICv2 belongs to, by its number in the attribute: of every CPU interface register, and of a
    /// distributor register that each vCPU has one of.
    #[must_use]
    pub const fn cpu_id(self) -> Option<u8> {
        let cpu = (self.attr >> v2::KVM_DEV_ARM_VGIC_CPUID_SHIFT) as u8;
        match self.group {
            v2::KVM_DEV_ARM_VGIC_GRP_CPU_REGS => Some(cpu),
            v2::KVM_DEV_ARM_VGIC_GRP_DIST_REGS if cpu != 0 || is_banked(self.attr as u32) => Some(cpu),
            _ => None,
        }
    }

    /// The attribute as one of a GICv3, whose distributor has no registers for each vCPU: an attribute alone does not tell a GICv2's.
    pub(crate) const fn of_gicv3(self) -> impl fmt::Display {
        OfGicv3(self)
    }

    /// Whether each vCPU of a GICv2 has a register of its own there.
    pub(crate) const fn is_of_gicv2_vcpu(self) -> bool {
        match self.group {
            v2::KVM_DEV_ARM_VGIC_GRP_CPU_REGS => true,
            v2::KVM_DEV_ARM_VGIC_GRP_DIST_REGS => is_banked(self.attr as u32),
            _ => false,
        }
    }

    /// The name of the register, without the vCPU it belongs to; `None` for an attribute that is no register with a name.
    #[must_use]
    pub fn register_name(self) -> Option<impl fmt::Display> {
        self.register()
    }

    /// Whether both are registers of one name, whatever the vCPU, the number in an array and the half; line levels are one register.
    pub(crate) fn has_name_of(self, other: AttrId) -> bool {
        self.group == other.group && self.register().map(|register| register.name) == other.register().map(|register| register.name)
    }

    /// What the attribute is, if it is no register.
    fn plain_name(self) -> Option<&'static str> {
        Some(match (self.group, self.attr) {
            (dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v2::KVM_VGIC_V2_ADDR_TYPE_DIST) => "GICv2 distributor address",
            (dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v2::KVM_VGIC_V2_ADDR_TYPE_CPU) => "GICv2 CPU interface address",
            (dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v3::KVM_VGIC_V3_ADDR_TYPE_DIST) => "distributor address",
            (dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v3::KVM_VGIC_V3_ADDR_TYPE_REDIST) => "redistributor address",
            (dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v3::KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION) => "redistributor region",
            (dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v3::KVM_VGIC_ITS_ADDR_TYPE) => "ITS address",
            (dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v5::KVM_VGIC_V5_ADDR_TYPE_IRS) => "IRS address",
            (dev::KVM_DEV_ARM_VGIC_GRP_NR_IRQS, _) => "NR_IRQS",
            (v3::KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ, _) => "MAINT_IRQ",
            (dev::KVM_DEV_ARM_VGIC_GRP_CTRL, attr) => return control_name(attr),
            (v5::KVM_DEV_ARM_VGIC_GRP_IST, 0) => "IST",
            _ => return None,
        })
    }

    /// The register that the attribute is, or is a part of.
    fn register(self) -> Option<RegisterName> {
        let offset = self.attr as u32;
        let instr = self.attr & dev::KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK;
        match self.group {
            v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS => RegisterName::single(v5::irs::REGISTERS, self.attr, "GICV5_"),
            dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS => RegisterName::single(v5::icc::REGISTERS, instr, "SYS_")
                .or_else(|| RegisterName::single(v3::icc::REGISTERS, instr, "SYS_"))
                .or_else(|| RegisterName::single(v3::ich::REGISTERS, instr, "SYS_")),
            v3::KVM_DEV_ARM_VGIC_GRP_DIST_REGS => RegisterName::array(v3::dist::REGISTERS, v3::dist::ARRAYS, offset)
                .or_else(|| RegisterName::single(v3::dist::REGISTERS, offset.into(), ""))
                .or_else(|| RegisterName::array(v2::dist::REGISTERS, v2::dist::ARRAYS, offset))
                .or_else(|| RegisterName::single(v2::dist::REGISTERS, offset.into(), "")),
            v2::KVM_DEV_ARM_VGIC_GRP_CPU_REGS => RegisterName::array(v2::cpu::REGISTERS, v2::cpu::ARRAYS, offset)
                .or_else(|| RegisterName::single(v2::cpu::REGISTERS, offset.into(), "")),
            v3::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS => RegisterName::array(v3::redist::REGISTERS, v3::redist::ARRAYS, offset)
                .or_else(|| RegisterName::single(v3::redist::REGISTERS, offset.into(), "")),
            v3::KVM_DEV_ARM_VGIC_GRP_ITS_REGS => RegisterName::array(v3::its::REGISTERS, v3::its::ARRAYS, offset)
                .or_else(|| RegisterName::single(v3::its::REGISTERS, self.attr, "")),
            _ => None,
        }
    }
}

/// Whether each vCPU of a GICv2 has a distributor register of its own: those of SGIs and PPIs. A GICv3 has no such registers there.
const fn is_banked(offset: u32) -> bool {
    use v3::dist::*;
    const SGI_SOURCES: u32 = v2::dist::GICD_CPENDSGIR;
    const SGI_SOURCES_END: u32 = v2::dist::GICD_SPENDSGIR + 16;
    match offset & !3 {
        GICD_IGROUPR | GICD_ISENABLER | GICD_ICENABLER | GICD_ISPENDR | GICD_ICPENDR | GICD_ISACTIVER | GICD_ICACTIVER => true,
        SGI_SOURCES..SGI_SOURCES_END => true,
        offset => match offset & !0x1f {
            GICD_IPRIORITYR | GICD_ITARGETSR => true,
            GICD_ICFGR => offset < GICD_ICFGR + 8,
            _ => false,
        },
    }
}

/// Name of a register: of its own, or by its number in an array, or as a half of 64 bits.
struct RegisterName {
    name: &'static str,
    number: Option<u32>,
    upper_half: bool,
}

type Names = &'static [(&'static str, u64)];

impl RegisterName {
    fn single(names: Names, value: u64, prefix: &str) -> Option<Self> {
        let (name, _) = names.iter().find(|(_, v)| *v == value)?;
        Some(RegisterName { name: name.strip_prefix(prefix)?, number: None, upper_half: false })
    }

    fn array(names: Names, arrays: &[(u32, u32, u32)], offset: u32) -> Option<Self> {
        let (first, _, stride) = arrays.iter().find(|(first, end, _)| (*first..*end).contains(&offset))?;
        let (name, _) = names.iter().find(|(_, v)| *v == u64::from(*first))?;
        let (number, rest) = ((offset - first) / stride, (offset - first) % stride);
        let upper_half = match rest {
            0 => false,
            4 => true,
            _ => return None,
        };
        // A 64-bit register that stands alone is an array of one.
        let single = arrays.iter().any(|(f, end, stride)| f == first && end - f == *stride);
        // A first register that is called so already has the number in its name.
        let name = if single { name } else { name.strip_suffix('0').unwrap_or(name) };
        Some(RegisterName { name, number: (!single).then_some(number), upper_half })
    }
}

impl fmt::Display for RegisterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(number) = self.number {
            number.fmt(f)?;
        }
        if self.upper_half { f.write_str("[63:32]") } else { Ok(()) }
    }
}

impl AttrId {
    /// What it is, without the vCPU it belongs to.
    fn describe(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.register(), self.plain_name()) {
            (Some(name), _) => fmt::Display::fmt(&name, f),
            (None, Some(name)) => f.write_str(name),
            (None, None) if self.group == v3::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO => {
                let first = self.attr as u32 & v3::KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK;
                write!(f, "line levels of INTIDs {first} to {}", first + 31)
            }
            (None, None) => write!(f, "group {} attribute {:#x}", self.group, self.attr),
        }
    }
}

/// An attribute of a GICv3.
struct OfGicv3(AttrId);

impl fmt::Display for OfGicv3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AttrId { group, attr } = self.0;
        match self.0.mpidr() {
            None if group == v3::KVM_DEV_ARM_VGIC_GRP_DIST_REGS && attr >> 32 != 0 => {
                write!(f, "group {group} attribute {attr:#x}")
            }
            None => self.0.describe(f),
            Some(mpidr) => {
                self.0.describe(f)?;
                write!(f, " of vCPU {mpidr}")
            }
        }
    }
}

impl fmt::Display for AttrId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f)?;
        match (self.mpidr(), self.cpu_id()) {
            (Some(mpidr), _) => write!(f, " of vCPU {mpidr}"),
            (None, Some(cpu)) => write!(f, " of vCPU {cpu}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for AttrId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttrId({self})")
    }
}

/// `GRP_CTRL`: the commands, and the one attribute that is read.
fn control_name(attr: u64) -> Option<&'static str> {
    Some(match u32::try_from(attr).ok()? {
        dev::KVM_DEV_ARM_VGIC_CTRL_INIT => "INIT",
        v3::KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES => "SAVE_PENDING_TABLES",
        v3::KVM_DEV_ARM_ITS_SAVE_TABLES => "SAVE_TABLES",
        v3::KVM_DEV_ARM_ITS_RESTORE_TABLES => "RESTORE_TABLES",
        v3::KVM_DEV_ARM_ITS_CTRL_RESET => "RESET",
        v5::KVM_DEV_ARM_VGIC_USERSPACE_PPIS => "USERSPACE_PPIS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::{Attr, AttrId, Mpidr, VcpuId};
    use alloc::string::ToString;

    #[test]
    fn every_attribute_has_its_name() {
        let vcpu = Mpidr::new(3, 2, 1, 0);
        let cpu = |id| VcpuId::new(id).unwrap();
        for (id, name) in [
            (AttrId::INIT, "INIT"),
            (AttrId::IST, "IST"),
            (AttrId::from_raw(0, 0), "GICv2 distributor address"),
            (AttrId::from_raw(0, 1), "GICv2 CPU interface address"),
            (AttrId::from_raw(0, 2), "distributor address"),
            (AttrId::from_raw(0, 3), "redistributor address"),
            (AttrId::from_raw(0, 4), "ITS address"),
            (AttrId::from_raw(0, 5), "redistributor region"),
            (AttrId::from_raw(0, 6), "IRS address"),
            (Attr::nr_irqs().id(), "NR_IRQS"),
            (Attr::maintenance_irq().id(), "MAINT_IRQ"),
            (Attr::irs(0x190).id(), "IRS_IST_CFGR"),
            (Attr::irs(0x10).id(), "IRS_IDR4"),
            (Attr::cpu_sysreg(vcpu, 0xce02).id(), "ICC_PCR_EL1 of vCPU 3.2.1.0"),
            (Attr::cpu_sysreg(vcpu, 0xe66f).id(), "ICH_LR15_EL2 of vCPU 3.2.1.0"),
            (Attr::cpu_sysreg(vcpu, 0xc664).id(), "ICC_CTLR_EL1 of vCPU 3.2.1.0"),
            (Attr::dist(0x0).id(), "GICD_CTLR"),
            (Attr::dist(0x104).id(), "GICD_ISENABLER1"),
            (Attr::dist(0x6100).id(), "GICD_IROUTER32"),
            (Attr::dist(0x610c).id(), "GICD_IROUTER33[63:32]"),
            (Attr::gicv2_dist(cpu(0), 0x100).id(), "GICD_ISENABLER0 of vCPU 0"),
            (Attr::gicv2_dist(cpu(7), 0xc04).id(), "GICD_ICFGR1 of vCPU 7"),
            (Attr::gicv2_dist(cpu(1), 0x81c).id(), "GICD_ITARGETSR7 of vCPU 1"),
            (Attr::gicv2_dist(cpu(0), 0x820).id(), "GICD_ITARGETSR8"),
            (Attr::gicv2_dist(cpu(0), 0x8).id(), "GICD_IIDR"),
            (Attr::gicv2_dist(cpu(0), 0xf00).id(), "GICD_SGIR"),
            (Attr::gicv2_dist(cpu(2), 0xf14).id(), "GICD_CPENDSGIR1 of vCPU 2"),
            (Attr::gicv2_dist(cpu(0), 0xf2c).id(), "GICD_SPENDSGIR3 of vCPU 0"),
            (Attr::gicv2_cpu(cpu(0), 0xd8).id(), "GICC_APR2 of vCPU 0"),
            (Attr::gicv2_cpu(cpu(3), 0xfc).id(), "GICC_IIDR of vCPU 3"),
            (Attr::redist(vcpu, 0x74).id(), "GICR_PROPBASER[63:32] of vCPU 3.2.1.0"),
            (Attr::redist(vcpu, 0x10404).id(), "GICR_IPRIORITYR1 of vCPU 3.2.1.0"),
            (Attr::redist(vcpu, 0x10c04).id(), "GICR_ICFGR1 of vCPU 3.2.1.0"),
            (Attr::its(0x108).id(), "GITS_BASER1"),
            (Attr::its(0x80).id(), "GITS_CBASER"),
            (Attr::line_levels(vcpu, 0).id(), "line levels of INTIDs 0 to 31 of vCPU 3.2.1.0"),
            (Attr::line_levels(vcpu, 64).id(), "line levels of INTIDs 64 to 95"),
            (AttrId::from_raw(99, 7), "group 99 attribute 0x7"),
        ] {
            assert_eq!(id.to_string(), name);
        }
        let name = |id: AttrId| id.register_name().map(|name| name.to_string());
        assert_eq!(name(Attr::redist(vcpu, 0x10404).id()).as_deref(), Some("GICR_IPRIORITYR1"));
        assert_eq!(name(AttrId::INIT), None);
    }
}
