//! What tables in guest memory say, read a second time.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0"; `arch/arm64/kvm/vgic/vgic-its.c` for what a restore
//! refuses.
//!
//! Rule: shares no code with the crate and its model, and knows their types only to be compared with.

use crate::rig::{RAM, its_base};
use vgic_state::gicv3::Gicv3State;
use vgic_state::model::gicv3::{MappedCollection, MappedDevice, MappedEvent, Mappings};

/// Guest memory, by its contents.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Bytes<'_> {
    fn word(self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(RAM)?).ok()?;
        self.0.get(at..at + 8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
    }

    pub(crate) fn byte(self, address: u64) -> Option<u8> {
        self.0.get(usize::try_from(address.checked_sub(RAM)?).ok()?).copied()
    }
}

/// An LPI as the tables say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) intid: u32,
    pub(crate) enabled: bool,
    pub(crate) priority: u8,
    pub(crate) pending: bool,
    pub(crate) references: u32,
}

/// What there is to read.
pub(crate) struct Reading<'a> {
    pub(crate) state: &'a Gicv3State,
    pub(crate) memory: Bytes<'a>,
}

/// Bits `[high:low]`.
fn bits(word: u64, high: u32, low: u32) -> u64 {
    word << (63 - high) >> (63 - high + low)
}

fn table(baser: u64) -> (u64, u64) {
    (bits(baser, 47, 16) << 16 | bits(baser, 15, 12) << 48, (bits(baser, 7, 0) + 1) * 0x1_0000 / 8)
}

impl Reading<'_> {
    /// What the first ITS maps, and the LPIs in the order of their INTIDs; `None` if a kernel of 2026 refuses it.
    pub(crate) fn all(&self) -> Option<(Mappings, Vec<Said>)> {
        let its = self.state.its.iter().find(|its| its.base == its_base(0))?;
        let collections = self.collections(its.registers.baser1)?;
        let mut mappings = Mappings { devices: Vec::new(), collections };
        let mut lpis = Vec::new();
        let baser0 = its.registers.baser0;
        if baser0 >> 63 != 0 {
            let (start, entries) = table(baser0);
            if baser0 >> 62 & 1 == 0 {
                self.devices(start, 0, entries, &mut mappings, &mut lpis)?;
            } else {
                for index in 0..entries {
                    let entry = self.memory.word(start + index * 8)?;
                    if entry >> 63 == 0 {
                        continue;
                    }
                    let page = bits(entry, 51, 16) << 16;
                    if self.devices(page, index * 8192, 8192, &mut mappings, &mut lpis)? {
                        break;
                    }
                }
            }
        }
        lpis.sort_unstable_by_key(|lpi| lpi.intid);
        Some((mappings, lpis))
    }

    fn collections(&self, baser: u64) -> Option<Vec<MappedCollection>> {
        let mut collections: Vec<MappedCollection> = Vec::new();
        if baser >> 63 == 0 {
            return Some(collections);
        }
        let (start, entries) = table(baser);
        for index in 0..entries {
            let entry = self.memory.word(start + index * 8)?;
            if entry >> 63 == 0 {
                break;
            }
            let id = bits(entry, 15, 0) as u16;
            let target = Some(bits(entry, 47, 16) as u32).filter(|target| *target != u32::MAX);
            let twice = collections.iter().any(|collection| collection.id == id);
            let unknown = target.is_some_and(|id| self.state.vcpus.iter().all(|vcpu| vcpu.vcpu.id.get() != id));
            if twice || unknown || u64::from(id) >= entries {
                return None;
            }
            collections.push(MappedCollection { id, target });
        }
        Some(collections)
    }

    /// Devices of a table, or of a level-2 table; whether one of them says that it is the last.
    fn devices(&self, start: u64, first: u64, count: u64, mappings: &mut Mappings, lpis: &mut Vec<Said>) -> Option<bool> {
        let mut index = 0;
        while index < count {
            let entry = self.memory.word(start + index * 8)?;
            if entry >> 63 == 0 {
                index += 1;
                continue;
            }
            let (id, event_bits) = (first + index, bits(entry, 4, 0) as u32 + 1);
            if id >> 16 != 0 || event_bits > 16 {
                return None;
            }
            let itt = bits(entry, 48, 5) << 8;
            let events = self.events(itt, 1 << event_bits, &mappings.collections, lpis)?;
            mappings.devices.push(MappedDevice { id: id as u32, itt, event_bits, events });
            match bits(entry, 62, 49) {
                0 => return Some(true),
                next => index += next,
            }
        }
        Some(false)
    }

    fn events(&self, itt: u64, count: u64, collections: &[MappedCollection], lpis: &mut Vec<Said>) -> Option<Vec<MappedEvent>> {
        let (mut events, mut id) = (Vec::new(), 0);
        while id < count {
            let entry = self.memory.word(itt + id * 8)?;
            let (icid, intid, next) = (bits(entry, 15, 0) as u16, bits(entry, 47, 16) as u32, bits(entry, 63, 48));
            if intid == 0 {
                id += 1;
                continue;
            }
            let collection = collections.iter().find(|collection| collection.id == icid)?;
            if intid < 8192 || id + next >= count {
                return None;
            }
            self.lpi(intid, collection.target, lpis)?;
            events.push(MappedEvent { id: id as u32, intid, collection: Some(icid) });
            match next {
                0 => break,
                next => id += next,
            }
        }
        Some(events)
    }

    /// An LPI that an event is mapped to: one that is mapped already stays as it is.
    fn lpi(&self, intid: u32, target: Option<u32>, lpis: &mut Vec<Said>) -> Option<()> {
        if let Some(lpi) = lpis.iter_mut().find(|lpi| lpi.intid == intid) {
            lpi.references += 1;
            return Some(());
        }
        let configuration = bits(self.state.vcpus[0].redist.propbaser, 51, 12) << 12;
        let byte = self.memory.byte(configuration + u64::from(intid - 8192))?;
        let pending = match target.and_then(|id| self.state.vcpus.iter().find(|vcpu| vcpu.vcpu.id.get() == id)) {
            None => false,
            Some(vcpu) => {
                let table = bits(vcpu.redist.pendbaser, 51, 16) << 16;
                self.memory.byte(table + u64::from(intid / 8))? >> (intid % 8) & 1 != 0
            }
        };
        lpis.push(Said { intid, enabled: byte & 1 != 0, priority: byte & 0xfc, pending, references: 1 });
        Some(())
    }
}
