//! Translation of an event of a device to an LPI.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_resolve_lpi`, `vgic_its_trigger_msi`.
//!
//! Rule: an event that the guest has not mapped is dropped without an error; if the ITS or the LPIs are not enabled, it fails with `EBUSY`.

use super::mappings::Its;
use crate::Errno;
use crate::model::gicv3::ctx::Ctx;

impl Its {
    /// Makes the LPI of an event pending; `false` if the guest has not mapped it.
    pub(in crate::model::gicv3) fn trigger(&self, device: u32, event: u32, ctx: &mut Ctx<'_>) -> Result<bool, Errno> {
        if !self.enabled {
            return Err(Errno::EBUSY);
        }
        let Some(ite) = self.ite(device, event) else { return Ok(false) };
        let Some(target) = self.target(ite.collection, ctx) else { return Ok(false) };
        if ctx.cpus.get(target).is_none_or(|cpu| !cpu.lpis_enabled) {
            return Err(Errno::EBUSY);
        }
        ctx.irqs.change(0, ite.intid, |irq| irq.latch = true);
        Ok(true)
    }
}
