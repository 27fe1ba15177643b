//! `SAVE_TABLES`: writes mappings to tables in guest memory.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_save_tables_v0`; Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table
//! ABI REV0".
//!
//! Rule: entries are written one by one, devices first; a failure leaves those before it in guest memory.

use super::baser::{VALID, address, table_bytes};
use super::mappings::{Collection, Device, Its};
use super::table::ENTRY;
use crate::Errno;
use crate::model::gicv3::behaviour::Behaviour;
use crate::model::gicv3::ctx::Ctx;
use std::ops::Bound::{Excluded, Unbounded};

/// Greatest distance that a device table entry can hold.
const DTE_NEXT_MAX: u32 = (1 << 14) - 1;
/// Greatest distance that a translation entry can hold.
const ITE_NEXT_MAX: u32 = (1 << 16) - 1;

impl Its {
    pub(in crate::model::gicv3) fn save_tables(&mut self, ctx: &mut Ctx<'_>) -> Result<(), Errno> {
        self.save_devices(ctx)?;
        self.save_collections(ctx)
    }

    fn save_devices(&mut self, ctx: &mut Ctx<'_>) -> Result<(), Errno> {
        if self.device_baser & VALID == 0 {
            return Ok(());
        }
        let skips = ctx.host.kernel.has(Behaviour::SaveSkipsDevicesWithoutEntry);
        // KVM's sort turns devices with one ID round, every time; commands find the one that comes first.
        self.devices.values_mut().for_each(|devices| devices.reverse());
        let devices = self.devices.iter().flat_map(|(id, devices)| devices.iter().map(|device| (*id, device)));
        let saved: Vec<_> = devices.map(|(id, device)| (id, device, self.device_entry(id, ctx))).collect();
        let saved: Vec<_> = saved.into_iter().filter(|(_, _, entry)| entry.is_some() || !skips).collect();
        let mut following = saved.iter().skip(1);
        for (id, device, entry) in &saved {
            let next = following.next().map_or(0, |(next, ..)| (next - id).min(DTE_NEXT_MAX));
            let entry = entry.ok_or(Errno::EINVAL)?;
            device.save_events(ctx)?;
            let dte = 1 << 63 | u64::from(next) << 49 | (device.itt >> 8) << 5 | u64::from(device.event_bits - 1);
            ctx.ram.write_entry(entry, dte)?;
        }
        Ok(())
    }

    fn save_collections(&self, ctx: &mut Ctx<'_>) -> Result<(), Errno> {
        if self.collection_baser & VALID == 0 {
            return Ok(());
        }
        let mut collections: Vec<(&u16, &Collection)> = self.collections.iter().collect();
        collections.sort_unstable_by_key(|(_, collection)| collection.made);
        let mut entry = address(self.collection_baser);
        let end = entry + table_bytes(self.collection_baser);
        for (id, collection) in collections {
            ctx.ram.write_entry(entry, 1 << 63 | u64::from(collection.target) << 16 | u64::from(*id))?;
            entry += ENTRY;
        }
        // An entry that is not valid ends a table that is not full.
        if entry < end { ctx.ram.write_entry(entry, 0) } else { Ok(()) }
    }
}

impl Device {
    fn save_events(&self, ctx: &mut Ctx<'_>) -> Result<(), Errno> {
        let clears = ctx.host.kernel.has(Behaviour::SavesEventsWithoutCollection);
        let passes_over = ctx.host.kernel.has(Behaviour::DistancesPassOverUnmapped);
        for (event, ite) in &self.events {
            if ite.collection.is_none() && clears {
                ctx.ram.write_entry(self.event_entry(*event), 0)?;
                continue;
            }
            let mut following =
                self.events.range((Excluded(event), Unbounded)).filter(|(_, ite)| ite.collection.is_some() || !passes_over);
            let next = following.next().map_or(0, |(next, _)| (next - event).min(ITE_NEXT_MAX));
            let forwarded = ctx.irqs.lpis.get(&ite.intid).is_some_and(|irq| irq.forwarded);
            // Only a GICv4.1 tells whether a forwarded LPI is pending.
            if forwarded && !ctx.host.nassgicap {
                return Err(Errno::EACCES);
            }
            // An old kernel follows a null pointer here and the host crashes; the model's VM is dead.
            let collection = ite.collection.ok_or(Errno::EIO)?;
            let entry = u64::from(next) << 48 | u64::from(ite.intid) << 16 | u64::from(collection);
            ctx.ram.write_entry(self.event_entry(*event), entry)?;
        }
        Ok(())
    }
}
