//! Guest physical address of the entry of a device, a collection or an event, and whether an entry can be there.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_check_id`, `vgic_its_check_event_id`.
//!
//! Rule: the page of an entry must be in a slot; nothing else about its place is checked.

use super::baser::{INDIRECT, PAGE, address, table_bytes};
use super::mappings::{Device, Its};
use crate::model::gicv3::ctx::Ctx;
use crate::uapi::vgic_v3::its::{KVM_ITS_L1E_ADDR, KVM_ITS_L1E_VALID};

/// Bytes of any entry.
pub(super) const ENTRY: u64 = 8;
/// `GITS_TYPER.Devbits` and `IDbits`, and bits of a collection ID.
pub(super) const ID_BITS: u32 = 16;
/// Device table entries of a level-2 page.
pub(super) const L2_ENTRIES: u64 = PAGE / ENTRY;

impl Its {
    /// Address of the entry of a device; `None` if the table has no place for it, or guest memory has not.
    pub(super) fn device_entry(&self, id: u32, ctx: &Ctx<'_>) -> Option<u64> {
        entry(self.device_baser, id, ctx)
    }

    /// Whether the collection table has a place for a collection. Entries are not indexed by it; the place is checked all the same.
    pub(super) fn has_collection_entry(&self, id: u16, ctx: &Ctx<'_>) -> bool {
        entry(self.collection_baser, id.into(), ctx).is_some()
    }
}

fn entry(baser: u64, id: u32, ctx: &Ctx<'_>) -> Option<u64> {
    let id = u64::from(id);
    if id >= 1 << ID_BITS {
        return None;
    }
    let (base, size) = (address(baser), table_bytes(baser));
    let at = if baser & INDIRECT == 0 {
        if id >= size / ENTRY {
            return None;
        }
        base + id * ENTRY
    } else {
        let index = id / L2_ENTRIES;
        if index >= size / ENTRY {
            return None;
        }
        let level1 = ctx.ram.read_entry(base + index * ENTRY).ok()?;
        if level1 & KVM_ITS_L1E_VALID == 0 {
            return None;
        }
        (level1 & KVM_ITS_L1E_ADDR) + id % L2_ENTRIES * ENTRY
    };
    ctx.ram.is_visible(at).then_some(at)
}

impl Device {
    pub(super) fn event_entry(&self, event: u32) -> u64 {
        self.itt + u64::from(event) * ENTRY
    }

    /// Whether the device has the event and a place for it.
    pub(super) fn has_event_entry(&self, event: u32, ctx: &Ctx<'_>) -> bool {
        u64::from(event) < 1 << self.event_bits && ctx.ram.is_visible(self.event_entry(event))
    }
}
