//! Registers of the distributor, for user space and for a guest.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio.c` and `vgic-mmio-v2.c`.
//!
//! Rule: the two sides differ in the pending and active state of SGIs, in `GICD_IGROUPR` and in `GICD_IIDR`; everything else is one code.

use super::irq::{Irq, PRIVATE_IRQS, SGIS};
use super::regions::{self, Reg, Region};
use super::state::State;
use crate::Errno;
use crate::model::gicv3::Behaviour;
use crate::uapi::vgic_v3::dist::{GICD_CTLR, GICD_IIDR, GICD_TYPER};

/// Who accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    User,
    Guest,
}

const ENABLE: u32 = 1;
/// Product K of implementer Arm.
const IIDR: u32 = 0x4b00_043b;
const IIDR_REVISION: u32 = 0xf << 12;
/// Bits of priority of KVM's distributor.
const PRIORITY_MASK: u8 = 0xf8;

impl State {
    fn region(&self, offset: u32, width: u32) -> Option<&'static Region> {
        regions::find(offset, width, self.dist.nr_spis + PRIVATE_IRQS)
    }

    /// Whether KVM implements the 32 bits at `offset`.
    pub(super) fn implements(&self, offset: u32) -> bool {
        self.region(offset, 4).is_some()
    }

    /// Reads `width` bytes as a vCPU finds them.
    pub(super) fn read_register(&self, vcpu: usize, offset: u32, width: u32) -> u32 {
        let Some(region) = self.region(offset, width) else { return 0 };
        match region.reg {
            Reg::Misc => self.read_misc(offset),
            Reg::Sgir => 0,
            reg => {
                let bits = bits_of(region);
                let irqs = (region.intid(offset)..).zip(0..width * 8 / bits);
                irqs.fold(0, |value, (intid, at)| {
                    let field = self.irqs.get(vcpu, intid).map_or(0, |irq| read_irq(reg, irq));
                    value | u32::from(field) << (at * bits)
                })
            }
        }
    }

    /// Writes `width` bytes. Only user space can be refused.
    pub(super) fn write_register(&mut self, vcpu: usize, offset: u32, width: u32, value: u32, by: By) -> Result<(), Errno> {
        let Some(region) = self.region(offset, width) else { return Ok(()) };
        match region.reg {
            Reg::Misc => return self.write_misc(offset, value, by),
            Reg::Group if by == By::User && !self.dist.groups_writable => {}
            Reg::Sgir => self.send_sgi(vcpu, value),
            reg => {
                let bits = bits_of(region);
                for (intid, at) in (region.intid(offset)..).zip(0..width * 8 / bits) {
                    self.write_irq(reg, vcpu, intid, (value >> (at * bits) & ((1 << bits) - 1)) as u8, by);
                }
            }
        }
        Ok(())
    }

    fn read_misc(&self, offset: u32) -> u32 {
        match offset {
            GICD_CTLR => self.irqs.on.into(),
            GICD_TYPER => ((self.dist.nr_spis + PRIVATE_IRQS) / 32 - 1) | (self.cpus.len() as u32).saturating_sub(1) << 5,
            _ => IIDR | self.dist.revision << 12,
        }
    }

    fn write_misc(&mut self, offset: u32, value: u32, by: By) -> Result<(), Errno> {
        match (offset, by) {
            (GICD_CTLR, _) => self.irqs.on = value & ENABLE != 0,
            (GICD_IIDR, By::User) => {
                if (self.read_misc(GICD_IIDR) ^ value) & !IIDR_REVISION != 0 {
                    return Err(Errno::EINVAL);
                }
                if self.host.kernel.has(Behaviour::AppliesImplementationRevision) {
                    match (value & IIDR_REVISION) >> 12 {
                        revision @ 2..=3 => self.dist.revision = revision,
                        _ => return Err(Errno::EINVAL),
                    }
                }
                self.dist.groups_writable = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// `GICD_SGIR`, written by a vCPU.
    fn send_sgi(&mut self, from: usize, value: u32) {
        let Some(from) = self.cpus.get(from).map(|cpu| cpu.vcpu.id.get()) else { return };
        let own = 1_u8.checked_shl(from).unwrap_or(0);
        let all = 1_u32.checked_shl(self.cpus.len() as u32).map_or(u8::MAX, |bit| (bit - 1) as u8);
        let targets = match value >> 24 & 3 {
            0 => (value >> 16) as u8,
            1 => all & !own,
            2 => own,
            _ => return,
        };
        for target in (0..self.cpus.len()).filter(|target| targets >> target & 1 != 0) {
            self.irqs.change(target, value & 0xf, |sgi| {
                sgi.latch = true;
                sgi.source |= own;
            });
        }
    }

    fn write_irq(&mut self, reg: Reg, vcpu: usize, intid: u32, field: u8, by: By) {
        let set = field & 1 != 0;
        let sgi = intid < SGIS;
        let own = self.cpus.get(vcpu).map_or(0, |cpu| 1_u8.checked_shl(cpu.vcpu.id.get()).unwrap_or(0));
        let mask = 1_u32.checked_shl(self.cpus.len() as u32).map_or(u8::MAX, |bit| (bit - 1) as u8);
        let change: &dyn Fn(&mut Irq) = match (reg, by) {
            (Reg::Group, _) => &|irq| irq.group1 = set,
            (Reg::SetEnable, _) if set => &|irq| irq.enabled = true,
            (Reg::ClearEnable, _) if set => &|irq| irq.enabled = false,
            // A guest has GICD_SPENDSGIR for that.
            (Reg::SetPending | Reg::ClearPending, By::Guest) if sgi => return,
            (Reg::SetPending, _) if set => &|irq| {
                irq.latch = true;
                // User space does not say who sent the SGI.
                irq.source |= if sgi { own } else { 0 };
            },
            (Reg::ClearPending, _) if set => &|irq| {
                irq.latch = false;
                irq.source = 0;
            },
            // Who sent an SGI that is active is lost here, and user space is never told.
            (Reg::SetActive, _) if set => &|irq| irq.active = true,
            (Reg::ClearActive, _) if set => &|irq| irq.active = false,
            (Reg::Priority, _) => &|irq| irq.priority = field & PRIORITY_MASK,
            // The targets and the trigger mode of a private interrupt cannot be changed.
            (Reg::Target, _) if intid >= PRIVATE_IRQS => &|irq| {
                irq.targets = field & mask;
                irq.target = if irq.targets == 0 { 0 } else { irq.targets.trailing_zeros() as usize };
            },
            (Reg::Config, _) if intid >= PRIVATE_IRQS => &|irq| irq.level = field & 2 == 0,
            (Reg::ClearSource, _) => &|irq| {
                irq.source &= !field;
                irq.latch &= irq.source != 0;
            },
            (Reg::SetSource, _) => &|irq| {
                irq.source |= field;
                irq.latch |= irq.source != 0;
            },
            _ => return,
        };
        // A change that takes something away puts nothing on a list, and neither do priority, target and trigger mode.
        if matches!(reg, Reg::Group | Reg::SetEnable | Reg::SetPending | Reg::SetActive | Reg::SetSource) {
            self.irqs.change(vcpu, intid, change);
        } else if let Some(irq) = self.irqs.get_mut(vcpu, intid) {
            change(irq);
        }
    }
}

/// Bits of a register for each interrupt.
fn bits_of(region: &Region) -> u32 {
    // Sources of SGIs have a byte each.
    if region.bits == 0 { 8 } else { region.bits }
}

fn read_irq(reg: Reg, irq: &Irq) -> u8 {
    match reg {
        Reg::Group => irq.group1.into(),
        Reg::SetEnable | Reg::ClearEnable => irq.enabled.into(),
        Reg::SetPending | Reg::ClearPending => irq.is_pending().into(),
        Reg::SetActive | Reg::ClearActive => irq.active.into(),
        Reg::Priority => irq.priority,
        Reg::Target => irq.targets,
        Reg::Config => u8::from(!irq.level) << 1,
        Reg::ClearSource | Reg::SetSource => irq.source,
        Reg::Misc | Reg::Sgir => 0,
    }
}
