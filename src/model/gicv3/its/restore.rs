//! `RESTORE_TABLES`: reads mappings from tables in guest memory.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_restore_tables_v0`, `scan_its_table`;
//! Documentation/virt/kvm/devices/arm-vgic-its.rst.
//!
//! Rule: what the kernel does not check is not checked: overlaps, aliases, chains that end early, entries before the first saved one.

use super::baser::{INDIRECT, VALID, address, table_bytes};
use super::mappings::{Ite, Its, NOT_MAPPED};
use super::table::{ENTRY, ID_BITS, L2_ENTRIES};
use crate::Errno;
use crate::model::gicv3::behaviour::Behaviour;
use crate::model::gicv3::ctx::Ctx;
use crate::model::gicv3::irq::FIRST_LPI;
use crate::uapi::vgic_v3::its::{
    KVM_ITS_CTE_ICID, KVM_ITS_CTE_VALID, KVM_ITS_DTE_ITTADDR, KVM_ITS_DTE_NEXT, KVM_ITS_DTE_SIZE, KVM_ITS_DTE_VALID,
    KVM_ITS_ITE_ICID, KVM_ITS_ITE_PINTID, KVM_ITS_L1E_ADDR, KVM_ITS_L1E_VALID,
};

/// Where a scan goes from an entry.
enum Next {
    /// So many entries on.
    Skip(u64),
    /// This was the last one.
    End,
}

/// Whether a scan found an entry that is the last one.
#[derive(PartialEq, Eq)]
enum Scan {
    Ended,
    /// It ran out of the table.
    RanOut,
}

/// Reads entries from `base` for `length` bytes, and follows the distances that they hold. The first entry is always read.
fn scan(
    ctx: &mut Ctx<'_>,
    base: u64,
    length: u64,
    first: u32,
    mut entry: impl FnMut(&mut Ctx<'_>, u32, u64) -> Result<Next, Errno>,
) -> Result<Scan, Errno> {
    let (mut address, mut left, mut id) = (base, length, first);
    loop {
        let value = ctx.ram.read_entry(address)?;
        let Next::Skip(entries) = entry(ctx, id, value)? else { return Ok(Scan::Ended) };
        let bytes = entries * ENTRY;
        if bytes >= left {
            return Ok(Scan::RanOut);
        }
        (address, left, id) = (address.wrapping_add(bytes), left - bytes, id.wrapping_add(entries as u32));
    }
}

/// The distance in a valid entry; 0 is the end.
fn distance(next: u64) -> Next {
    if next == 0 { Next::End } else { Next::Skip(next) }
}

impl Its {
    pub(in crate::model::gicv3) fn restore_tables(&mut self, ctx: &mut Ctx<'_>) -> Result<(), Errno> {
        // A collection that exists is refused, and the failure frees it: a second restore fails once and loses everything mapped.
        self.restore_collections(ctx).inspect_err(|_| self.free_collections())?;
        self.restore_devices(ctx).inspect_err(|_| {
            self.free_devices(ctx);
            self.free_collections();
        })
    }

    fn restore_collections(&mut self, ctx: &mut Ctx<'_>) -> Result<(), Errno> {
        if self.collection_baser & VALID == 0 {
            return Ok(());
        }
        let base = address(self.collection_baser);
        for offset in (0..table_bytes(self.collection_baser)).step_by(ENTRY as usize) {
            let entry = ctx.ram.read_entry(base + offset)?;
            if entry & KVM_ITS_CTE_VALID == 0 {
                break;
            }
            // KVM takes 32 bits of the target.
            let (target, id) = ((entry >> 16) as u32, (entry & KVM_ITS_CTE_ICID) as u16);
            if target != NOT_MAPPED && ctx.vcpu_named(target).is_none() {
                return Err(Errno::EINVAL);
            }
            if self.collections.contains_key(&id) {
                return Err(Errno::EEXIST);
            }
            if !self.has_collection_entry(id, ctx) {
                return Err(Errno::EINVAL);
            }
            self.add_collection(id, target);
        }
        Ok(())
    }

    fn restore_devices(&mut self, ctx: &mut Ctx<'_>) -> Result<(), Errno> {
        if self.device_baser & VALID == 0 {
            return Ok(());
        }
        let (base, size) = (address(self.device_baser), table_bytes(self.device_baser));
        if self.device_baser & INDIRECT == 0 {
            scan(ctx, base, size, 0, |ctx, id, entry| self.restore_device(ctx, id, entry))?;
            return Ok(());
        }
        scan(ctx, base, size, 0, |ctx, index, entry| {
            if entry & KVM_ITS_L1E_VALID == 0 {
                return Ok(Next::Skip(1));
            }
            let first = index.wrapping_mul(L2_ENTRIES as u32);
            let page = entry & KVM_ITS_L1E_ADDR;
            let scanned = scan(ctx, page, L2_ENTRIES * ENTRY, first, |ctx, id, entry| self.restore_device(ctx, id, entry))?;
            // The last device ends the level-1 table too.
            Ok(if scanned == Scan::Ended { Next::End } else { Next::Skip(1) })
        })?;
        Ok(())
    }

    fn restore_device(&mut self, ctx: &mut Ctx<'_>, id: u32, entry: u64) -> Result<Next, Errno> {
        if entry & KVM_ITS_DTE_VALID == 0 {
            return Ok(Next::Skip(1));
        }
        if self.device_entry(id, ctx).is_none() {
            return Err(Errno::EINVAL);
        }
        let event_bits = (entry & KVM_ITS_DTE_SIZE) as u32 + 1;
        if event_bits > ID_BITS && ctx.host.kernel.has(Behaviour::RefusesWideEventIds) {
            return Err(Errno::EINVAL);
        }
        let itt = (entry & KVM_ITS_DTE_ITTADDR) >> 5 << 8;
        // A device that is mapped already is there twice from now on, and commands find the older one.
        self.add_device(id, itt, event_bits);
        // KVM holds the length in a signed int.
        let length = ((1_u64 << event_bits) * ENTRY) as i32;
        let scanned = scan(ctx, itt, i64::from(length) as u64, 0, |ctx, event, entry| self.restore_event(ctx, id, event, entry));
        scanned.inspect_err(|_| self.free_device(id, true, ctx))?;
        Ok(distance((entry & KVM_ITS_DTE_NEXT) >> 49))
    }

    fn restore_event(&mut self, ctx: &mut Ctx<'_>, device: u32, event: u32, entry: u64) -> Result<Next, Errno> {
        let intid = ((entry & KVM_ITS_ITE_PINTID) >> 16) as u32;
        if intid == 0 {
            return Ok(Next::Skip(1));
        }
        if intid < FIRST_LPI {
            return Err(Errno::EINVAL);
        }
        let next = entry >> 48;
        let mapped = self.devices.get(&device).and_then(|devices| devices.last()).ok_or(Errno::EINVAL)?;
        // The sum has 32 bits.
        if u64::from(event.wrapping_add(next as u32)) >= 1 << mapped.event_bits {
            return Err(Errno::EINVAL);
        }
        let id = (entry & KVM_ITS_ITE_ICID) as u16;
        if !self.collections.contains_key(&id) || !mapped.has_event_entry(event, ctx) {
            return Err(Errno::EINVAL);
        }
        // That the LPI is within GICR_PROPBASER.IDbits is not checked.
        match ctx.add_lpi(intid, self.target(Some(id), ctx)) {
            // The second event of an LPI is left out, and nobody is told.
            Err(Errno::EEXIST) => return Ok(distance(next)),
            added => added?,
        }
        if let Some(mapped) = self.devices.get_mut(&device).and_then(|devices| devices.last_mut()) {
            mapped.events.insert(event, Ite { intid, collection: Some(id) });
        }
        Ok(distance(next))
    }
}
