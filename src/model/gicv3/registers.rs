//! Registers of the distributor and of a redistributor, for user space and for a guest.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio.c` and `vgic-mmio-v3.c`.
//!
//! Rule: the two sides differ in pending state (user space sees the latch) and in `GICD_CTLR`, `GICD_IIDR` and `GICD_TYPER2`;
//! everything else is one code.

use super::behaviour::Behaviour;
use super::ctx::Ctx;
use super::fields::{self, PENDBASER_PTZ, merge};
use super::irq::{Irq, PRIVATE_IRQS};
use super::regions::{self, Reg, Region};
use super::state::State;
use crate::Errno;
use crate::uapi::vgic_v3::dist::{GICD_IIDR, GICD_TYPER, GICD_TYPER2};

/// Who accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    User,
    Guest,
}

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Dist,
    /// RD and SGI frame of the vCPU.
    Redist,
}

const ENABLE_GROUP1: u32 = 1 << 1;
const ARE: u32 = 1 << 4;
const DS: u32 = 1 << 6;
/// `GICD_CTLR.nASSGIreq` and `GICD_TYPER2.nASSGIcap`.
const NASSGI: u32 = 1 << 8;
const IIDR_REVISION: u32 = 0xf << 12;
/// Product K of implementer Arm.
const IIDR: u32 = 0x4b00_043b;
const TYPER_LPIS: u32 = 1 << 17;
/// `GICR_CTLR`: EnableLPIs, CES and IR.
const ENABLE_LPIS: u32 = 1 << 0;
const CES_IR: u32 = 3 << 1;
const REDIST_PLPIS: u64 = 1 << 0;
const REDIST_LAST: u64 = 1 << 4;
/// Offset of `GICD_PIDR2` and `GICR_PIDR2`.
const PIDR2: u32 = 0xffe8;
/// GICv3, in `PIDR2`.
const PIDR2_VALUE: u32 = 0x3b;
/// Bits of priority of KVM's distributor, whatever the host has.
const PRIORITY_MASK: u8 = 0xf8;
/// Aff2, Aff1 and Aff0: KVM's distributor has no Aff3.
const ROUTER_MASK: u64 = 0xff_ffff;

impl State {
    fn region(&self, frame: Frame, offset: u32, width: u32) -> Option<&'static Region> {
        let regions = if frame == Frame::Dist { regions::DIST } else { regions::REDIST };
        regions::find(regions, offset, width, self.dist.nr_spis + PRIVATE_IRQS)
    }

    /// Whether KVM implements the 32 bits at `offset`.
    pub(super) fn implements(&self, frame: Frame, offset: u32) -> bool {
        self.region(frame, offset, 4).is_some()
    }

    /// Reads `width` bytes. `vcpu` is the one whose redistributor it is.
    pub(super) fn read_register(&self, frame: Frame, vcpu: usize, offset: u32, width: u32, by: By) -> u64 {
        let Some(region) = self.region(frame, offset, width) else { return 0 };
        let value = match region.reg {
            Reg::Misc => u64::from(self.read_misc(offset)),
            Reg::Zero | Reg::InvalidateLpi | Reg::InvalidateAll => 0,
            Reg::Ones => u64::MAX,
            Reg::Ids => u64::from(if offset == PIDR2 { PIDR2_VALUE } else { 0 }),
            Reg::RedistCtlr => {
                let enabled = self.cpus.get(vcpu).is_some_and(|cpu| cpu.lpis_enabled);
                let features = if self.dist.revision >= 3 { CES_IR } else { 0 };
                u64::from(features | if enabled { ENABLE_LPIS } else { 0 })
            }
            Reg::RedistIidr => u64::from(IIDR),
            Reg::RedistTyper => upper_half(self.redist_typer(vcpu), offset),
            Reg::Propbaser => upper_half(self.propbaser, offset),
            Reg::Pendbaser => upper_half(self.cpus.get(vcpu).map_or(0, |cpu| cpu.pendbaser & !PENDBASER_PTZ), offset),
            Reg::Router if offset & 4 != 0 => 0,
            Reg::Router => u64::from(self.irqs.get(vcpu, region.intid(offset)).map_or(0, |irq| irq.affinity)),
            reg => self.read_irqs(reg, vcpu, region.intid(offset), region.bits, width, by),
        };
        if width == 8 { value } else { value & ((1 << (width * 8)) - 1) }
    }

    /// Writes `width` bytes. Only user space can be refused.
    pub(super) fn write_register(
        &mut self,
        frame: Frame,
        vcpu: usize,
        offset: u32,
        width: u32,
        value: u64,
        by: By,
    ) -> Result<(), Errno> {
        let Some(region) = self.region(frame, offset, width) else { return Ok(()) };
        match region.reg {
            Reg::Misc => self.write_misc(offset, value as u32, by)?,
            Reg::Zero | Reg::Ones | Reg::Ids | Reg::RedistIidr | Reg::RedistTyper => {}
            Reg::RedistCtlr => self.write_redist_ctlr(vcpu, value as u32),
            Reg::Propbaser | Reg::Pendbaser if self.cpus.get(vcpu).is_none_or(|cpu| cpu.lpis_enabled) => {}
            Reg::Propbaser => self.propbaser = fields::sanitise_propbaser(merge(self.propbaser, offset, width, value)),
            Reg::Pendbaser => {
                if let Some(cpu) = self.cpus.get_mut(vcpu) {
                    cpu.pendbaser = fields::sanitise_pendbaser(merge(cpu.pendbaser, offset, width, value));
                }
            }
            Reg::InvalidateLpi | Reg::InvalidateAll => self.invalidate(region.reg, vcpu, offset, value),
            Reg::Router if offset & 4 != 0 => {}
            Reg::Router => {
                let affinity = (value & ROUTER_MASK) as u32;
                let target = self.cpus.iter().position(|cpu| cpu.vcpu.mpidr.packed() == affinity);
                if let Some(irq) = self.irqs.get_mut(vcpu, region.intid(offset)) {
                    (irq.affinity, irq.target) = (affinity, target);
                }
            }
            reg => self.write_irqs(reg, vcpu, region.intid(offset), region.bits, width, value, by),
        }
        Ok(())
    }

    fn read_misc(&self, offset: u32) -> u32 {
        match offset & 0xc {
            GICD_TYPER => {
                let lines = (self.dist.nr_spis + PRIVATE_IRQS) / 32;
                let ids = if self.has_its { 15 << 19 | TYPER_LPIS } else { 9 << 19 };
                ids | lines.saturating_sub(1)
            }
            GICD_IIDR => IIDR | self.dist.revision << 12,
            GICD_TYPER2 => flag(self.dist.nassgicap, NASSGI),
            _ => ARE | DS | flag(self.irqs.on, ENABLE_GROUP1) | flag(self.dist.nassgireq, NASSGI),
        }
    }

    fn write_misc(&mut self, offset: u32, value: u32, by: By) -> Result<(), Errno> {
        match (offset & 0xc, by) {
            (GICD_TYPER, _) | (GICD_IIDR | GICD_TYPER2, By::Guest) => {}
            (GICD_IIDR, By::User) => return self.set_revision(value),
            (GICD_TYPER2, By::User) => return self.set_typer2(value),
            _ => {
                let stays_on = by == By::Guest && self.irqs.on && value & ENABLE_GROUP1 != 0;
                self.irqs.on = value & ENABLE_GROUP1 != 0;
                // Read-only to a guest while the distributor stays enabled.
                if !stays_on {
                    self.dist.nassgireq = self.dist.nassgicap && value & NASSGI != 0;
                }
            }
        }
        Ok(())
    }

    /// User space writes `GICD_IIDR`.
    fn set_revision(&mut self, value: u32) -> Result<(), Errno> {
        let own = self.read_misc(GICD_IIDR);
        if (own ^ value) & !IIDR_REVISION != 0 {
            return Err(Errno::EINVAL);
        }
        if !self.host.kernel.has(Behaviour::AppliesImplementationRevision) {
            return Ok(());
        }
        match (value & IIDR_REVISION) >> 12 {
            revision @ 2..=3 => self.dist.revision = revision,
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// User space writes `GICD_TYPER2`: a comparison, but for a VM before INIT, which can go without nASSGIcap from Linux 6.17 on.
    fn set_typer2(&mut self, value: u32) -> Result<(), Errno> {
        let own = self.read_misc(GICD_TYPER2);
        if own == value {
            return Ok(());
        }
        if !self.host.kernel.has(Behaviour::PresetsBeforeInit) {
            return Err(Errno::EINVAL);
        }
        if self.dist.initialised {
            return Err(Errno::EBUSY);
        }
        if (own ^ value) & !NASSGI != 0 || value != 0 && !self.host.nassgicap {
            return Err(Errno::EINVAL);
        }
        self.dist.nassgicap = value & NASSGI != 0;
        Ok(())
    }

    fn redist_typer(&self, vcpu: usize) -> u64 {
        let Some(cpu) = self.cpus.get(vcpu) else { return 0 };
        let affinity = u64::from(cpu.vcpu.mpidr.packed()) & ROUTER_MASK;
        let last = self.dist.is_last_redistributor(cpu.redistributor);
        let plpis = if self.has_its { REDIST_PLPIS } else { 0 };
        affinity << 32 | u64::from(cpu.vcpu.id.get()) << 8 | plpis | if last { REDIST_LAST } else { 0 }
    }

    fn write_redist_ctlr(&mut self, vcpu: usize, value: u32) {
        if !self.has_its {
            return;
        }
        let enable = value & ENABLE_LPIS != 0;
        let mut ctx = self.ctx();
        match ctx.cpus.get_mut(vcpu) {
            Some(cpu) if cpu.lpis_enabled != enable => cpu.lpis_enabled = enable,
            _ => return,
        }
        if enable { ctx.lpis_enabled(vcpu) } else { ctx.lpis_disabled(vcpu) }
    }

    /// `GICR_INVLPIR`, `GICR_INVALLR`. The upper half is for virtual LPIs.
    fn invalidate(&mut self, reg: Reg, vcpu: usize, offset: u32, value: u64) {
        if offset & 4 != 0 || self.cpus.get(vcpu).is_none_or(|cpu| !cpu.lpis_enabled) {
            return;
        }
        let mut ctx: Ctx<'_> = self.ctx();
        if reg == Reg::InvalidateAll {
            ctx.read_all_configurations(vcpu);
        } else {
            // An LPI whose configuration cannot be read keeps the one it has.
            let _ = ctx.read_configuration(value as u32);
        }
    }

    fn read_irqs(&self, reg: Reg, vcpu: usize, first: u32, bits: u32, width: u32, by: By) -> u64 {
        let mut value = 0;
        for (at, intid) in (first..first + width * 8 / bits).enumerate() {
            let Some(irq) = self.irqs.get(vcpu, intid) else { continue };
            let field = match reg {
                Reg::Group => u64::from(irq.group1),
                Reg::SetEnable | Reg::ClearEnable => u64::from(irq.enabled),
                Reg::SetPending | Reg::ClearPending if by == By::Guest => u64::from(irq.is_pending()),
                Reg::SetPending => u64::from(irq.latch),
                Reg::SetActive | Reg::ClearActive => u64::from(irq.active),
                Reg::Priority => u64::from(irq.priority),
                Reg::Config => u64::from(!irq.level) << 1,
                // User space reads no pending state there.
                _ => 0,
            };
            value |= field << (at as u32 * bits);
        }
        value
    }

    #[expect(clippy::too_many_arguments, reason = "an access is this much")]
    fn write_irqs(&mut self, reg: Reg, vcpu: usize, first: u32, bits: u32, width: u32, value: u64, by: By) {
        for (at, intid) in (first..first + width * 8 / bits).enumerate() {
            let field = value >> (at as u32 * bits) & ((1 << bits) - 1);
            let set = field & 1 != 0;
            let change: &dyn Fn(&mut Irq) = match reg {
                Reg::Group => &|irq| irq.group1 = set,
                Reg::SetEnable if set => &|irq| irq.enabled = true,
                Reg::ClearEnable if set => &|irq| irq.enabled = false,
                Reg::SetPending if set => &|irq| irq.latch = true,
                Reg::SetPending if by == By::User => &|irq| irq.latch = false,
                Reg::ClearPending if set && by == By::Guest => &|irq| irq.latch = false,
                Reg::SetActive if set => &|irq| irq.active = true,
                Reg::ClearActive if set => &|irq| irq.active = false,
                Reg::Priority => &|irq| irq.priority = field as u8 & PRIORITY_MASK,
                // The trigger mode of a private interrupt cannot be changed.
                Reg::Config if intid >= PRIVATE_IRQS => &|irq| irq.level = field & 2 == 0,
                _ => continue,
            };
            // A change that takes something away puts nothing on a list, and neither do priority and trigger mode.
            if set && matches!(reg, Reg::SetEnable | Reg::SetPending | Reg::SetActive) || reg == Reg::Group {
                self.irqs.change(vcpu, intid, change);
            } else if let Some(irq) = self.irqs.get_mut(vcpu, intid) {
                change(irq);
            }
        }
    }
}

fn flag(set: bool, bit: u32) -> u32 {
    if set { bit } else { 0 }
}

/// The half of a 64-bit register that starts at `offset`.
fn upper_half(value: u64, offset: u32) -> u64 {
    if offset & 4 != 0 { value >> 32 } else { value }
}
