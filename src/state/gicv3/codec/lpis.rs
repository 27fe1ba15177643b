//! Mappings and LPIs as a section of an image.
//!
//! Specification: `docs/image-format.md`, section 19.
//!
//! Rule: a count is compared with the bytes that are left before memory is reserved.

use super::bound::MAX_ITS;
use crate::image::{Cursor, ImageError, Put};
use crate::its::geometry::LPI_LIMIT;
use crate::its::{
    Collection, Cte, Device, Event, FIRST_LPI, ItsMappings, LpiConfiguration, LpiState, Mapping, PendingLpis, TableError,
};
use crate::topology::{Mpidr, Vcpu, VcpuId};
use alloc::vec::Vec;
use core::convert::identity;

const HEAD_BYTES: usize = 16;
const ITS_BYTES: usize = 16;
const COLLECTION_BYTES: usize = 8;
const DEVICE_BYTES: usize = 24;
const EVENT_BYTES: usize = 6;
const PENDING_BYTES: usize = 16;
const INTID_BYTES: usize = 2;

/// Length of the section.
pub(super) fn section_bytes(lpis: &LpiState) -> usize {
    let its = lpis.its.iter().map(|its| {
        let devices = its.devices.iter().map(|device| DEVICE_BYTES + device.events.len() * EVENT_BYTES);
        ITS_BYTES + its.collections.len() * COLLECTION_BYTES + devices.sum::<usize>()
    });
    let pending = lpis.pending.iter().map(|pending| PENDING_BYTES + pending.intids.len() * INTID_BYTES);
    HEAD_BYTES + its.sum::<usize>() + lpis.configuration.len() + pending.sum::<usize>()
}

/// Enough for any mappings in which no LPI is mapped twice, of ITSes with 16 bits of DeviceID.
pub(super) fn section_max(vcpus: usize, its: usize) -> usize {
    let lpis = (LPI_LIMIT - FIRST_LPI) as usize;
    let per_its = ITS_BYTES + (1 << 16) * (DEVICE_BYTES + COLLECTION_BYTES);
    HEAD_BYTES + its * per_its + lpis * (EVENT_BYTES + 1 + INTID_BYTES) + vcpus * PENDING_BYTES
}

/// Whether a section can hold these.
pub(super) fn check(lpis: &LpiState) -> Result<(), TableError> {
    let refuse = |mapping| Err(TableError::Mapping { mapping, rule: "does not fit into an image: an ID has 16 bits at most" });
    if lpis.its.len() > MAX_ITS as usize {
        let its = lpis.its.last().map_or(0, |its| its.base);
        return Err(TableError::Mapping {
            mapping: Mapping::Its { its },
            rule: "does not fit into an image: it has 64 ITSes at most",
        });
    }
    for its in &lpis.its {
        if let Some(collection) = its.collections.iter().find(|collection| collection.target == Some(Cte::NOT_MAPPED)) {
            let mapping = Mapping::Collection { its: its.base, icid: collection.icid };
            return Err(TableError::Mapping { mapping, rule: "its target is no vCPU" });
        }
        for device in &its.devices {
            let wide = device.events.iter().find(|event| event.id >= 1 << 16 || event.intid >= 1 << 16);
            if let Some(event) = wide {
                return refuse(Mapping::Event { its: its.base, device: device.id, event: event.id });
            }
        }
    }
    if let Some(pending) = lpis.pending.iter().find(|pending| pending.intids.iter().any(|intid| *intid >= 1 << 16)) {
        return refuse(Mapping::Pending { vcpu: pending.vcpu.id.get() });
    }
    if lpis.mapped(identity).into_iter().eq(lpis.configuration.iter().map(|lpi| lpi.intid)) {
        return Ok(());
    }
    let intid = lpis.configuration.first().map_or(0, |lpi| lpi.intid);
    Err(TableError::Mapping {
        mapping: Mapping::Lpi { intid },
        rule: "configurations are not those of the mapped LPIs, each once and in order",
    })
}

/// Two bytes of an ID.
fn id_bytes(id: u32) -> Option<[u8; 2]> {
    Some(u16::try_from(id).ok()?.to_le_bytes())
}

fn put_len(put: &mut Put<'_>, length: usize) -> Option<()> {
    put.u32(u32::try_from(length).ok()?)
}

pub(super) fn write(lpis: &LpiState, put: &mut Put<'_>) -> Option<()> {
    put_len(put, lpis.its.len())?;
    put_len(put, lpis.configuration.len())?;
    put_len(put, lpis.pending.len())?;
    put.u32(0)?;
    for its in &lpis.its {
        put.u64(its.base)?;
        put_len(put, its.collections.len())?;
        put_len(put, its.devices.len())?;
        for collection in &its.collections {
            put.u32(collection.icid.into())?;
            put.u32(collection.target.unwrap_or(Cte::NOT_MAPPED))?;
        }
        for device in &its.devices {
            put.u32(device.id)?;
            put.u32(device.event_bits)?;
            put.u64(device.itt)?;
            put_len(put, device.events.len())?;
            put.u32(0)?;
            let records = put.take(device.events.len().checked_mul(EVENT_BYTES)?)?;
            for (record, event) in records.as_chunks_mut::<EVENT_BYTES>().0.iter_mut().zip(&device.events) {
                let ([a, b], [c, d], [e, f]) = (id_bytes(event.id)?, id_bytes(event.intid)?, event.icid.to_le_bytes());
                *record = [a, b, c, d, e, f];
            }
        }
    }
    for (byte, lpi) in put.take(lpis.configuration.len())?.iter_mut().zip(&lpis.configuration) {
        *byte = lpi.byte;
    }
    for pending in &lpis.pending {
        put.u32(pending.vcpu.id.get())?;
        put.u32(pending.vcpu.mpidr.packed())?;
        put_len(put, pending.intids.len())?;
        put.u32(0)?;
        let records = put.take(pending.intids.len().checked_mul(INTID_BYTES)?)?;
        for (record, intid) in records.as_chunks_mut::<INTID_BYTES>().0.iter_mut().zip(&pending.intids) {
            *record = id_bytes(*intid)?;
        }
    }
    Some(())
}

/// Reads a section.
pub(super) struct Reader<'a> {
    cursor: Cursor<'a>,
    id: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(id: u32, bytes: &'a [u8]) -> Self {
        Reader { cursor: Cursor::new(bytes), id }
    }

    pub(super) fn read(mut self) -> Result<LpiState, ImageError> {
        let (its, configured, pending) = (self.u32()?, self.u32()?, self.u32()?);
        self.zero()?;
        if its > MAX_ITS {
            return Err(ImageError::Count { id: self.id, what: "ITSes", found: its.into(), max: MAX_ITS.into() });
        }
        let mut lpis = LpiState { its: self.reserve(its, ITS_BYTES)?, ..LpiState::default() };
        for _ in 0..its {
            lpis.its.push(self.its()?);
        }
        let intids = lpis.mapped(identity);
        if configured as usize != intids.len() {
            return Err(ImageError::ExactCount {
                id: self.id,
                what: "configured LPIs",
                expected: intids.len() as u64,
                found: configured.into(),
            });
        }
        let bytes = self.cursor.take_of(self.id, intids.len())?;
        lpis.configuration = intids.into_iter().zip(bytes).map(|(intid, byte)| LpiConfiguration { intid, byte: *byte }).collect();
        lpis.pending = self.reserve(pending, PENDING_BYTES)?;
        for _ in 0..pending {
            lpis.pending.push(self.pending()?);
        }
        self.cursor.end_of(self.id)?;
        Ok(lpis)
    }

    fn its(&mut self) -> Result<ItsMappings, ImageError> {
        let (base, collections, devices) = (self.u64()?, self.u32()?, self.u32()?);
        let mut its = ItsMappings { base, collections: self.reserve(collections, COLLECTION_BYTES)?, ..ItsMappings::default() };
        for _ in 0..collections {
            let (icid, target) = (self.u32()?, self.u32()?);
            let icid = u16::try_from(icid).map_err(|_| ImageError::Reserved { id: self.id })?;
            its.collections.push(Collection { icid, target: (target != Cte::NOT_MAPPED).then_some(target) });
        }
        its.devices = self.reserve(devices, DEVICE_BYTES)?;
        for _ in 0..devices {
            its.devices.push(self.device()?);
        }
        Ok(its)
    }

    fn device(&mut self) -> Result<Device, ImageError> {
        let (id, event_bits, itt, count) = (self.u32()?, self.u32()?, self.u64()?, self.u32()?);
        self.zero()?;
        let events = self.records::<EVENT_BYTES>(count)?.iter().map(|[a, b, c, d, e, f]| Event {
            id: u16::from_le_bytes([*a, *b]).into(),
            intid: u16::from_le_bytes([*c, *d]).into(),
            icid: u16::from_le_bytes([*e, *f]),
        });
        Ok(Device { id, itt, event_bits, events: events.collect() })
    }

    fn pending(&mut self) -> Result<PendingLpis, ImageError> {
        let vcpu = Vcpu { id: VcpuId::new(self.u32()?)?, mpidr: Mpidr::from_packed(self.u32()?) };
        let count = self.u32()?;
        self.zero()?;
        let intids = self.records::<INTID_BYTES>(count)?.iter().map(|intid| u16::from_le_bytes(*intid).into());
        Ok(PendingLpis { vcpu, intids: intids.collect() })
    }

    /// Room for records that have at least this many bytes each.
    fn reserve<T>(&self, count: u32, bytes: usize) -> Result<Vec<T>, ImageError> {
        match (count as usize).saturating_mul(bytes) {
            needed if needed <= self.cursor.remaining() => Ok(Vec::with_capacity(count as usize)),
            needed => Err(self.cursor.wrong_length(self.id, needed)),
        }
    }

    /// The next records, of `N` bytes each.
    fn records<const N: usize>(&mut self, count: u32) -> Result<&'a [[u8; N]], ImageError> {
        let bytes = self.cursor.take_of(self.id, (count as usize).saturating_mul(N))?;
        Ok(bytes.as_chunks().0)
    }

    fn u32(&mut self) -> Result<u32, ImageError> {
        self.cursor.u32_of(self.id)
    }

    fn u64(&mut self) -> Result<u64, ImageError> {
        self.cursor.u64().ok_or_else(|| self.cursor.wrong_length(self.id, size_of::<u64>()))
    }

    fn zero(&mut self) -> Result<(), ImageError> {
        if self.u32()? == 0 { Ok(()) } else { Err(ImageError::Reserved { id: self.id }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Vcpus;

    /// Every LPI mapped once, on the largest number of devices, with all others empty, all collections, all LPIs pending.
    #[test]
    #[cfg_attr(miri, ignore = "minutes, for loops that are as long as a table")]
    fn the_largest_state_fits() {
        let device = |id: u32| {
            let event = Event { id: 65_535, intid: FIRST_LPI + id, icid: 0 };
            let events = if event.intid < LPI_LIMIT { alloc::vec![event] } else { Vec::new() };
            Device { id, itt: 0, event_bits: 16, events }
        };
        let its = ItsMappings {
            base: 0,
            collections: (0..=u16::MAX).map(|icid| Collection { icid, target: None }).collect(),
            devices: (0..1 << 16).map(device).collect(),
        };
        let vcpus = Vcpus::with_default_mpidrs(512).unwrap();
        let mut lpis = LpiState { its: alloc::vec![its], ..LpiState::default() };
        lpis.configuration = lpis.mapped(|intid| LpiConfiguration { intid, byte: 3 });
        let per_vcpu = (LPI_LIMIT - FIRST_LPI) / 512;
        let pending = (0..).step_by(per_vcpu as usize).zip(vcpus.iter());
        lpis.pending = pending
            .map(|(first, vcpu)| PendingLpis { vcpu, intids: (FIRST_LPI + first..).take(per_vcpu as usize).collect() })
            .collect();
        assert_eq!(check(&lpis), Ok(()));
        assert_eq!(section_bytes(&lpis), section_max(512, 1));
        let mut bytes = alloc::vec![0; section_bytes(&lpis)];
        let mut put = Put::new(&mut bytes);
        assert_eq!((write(&lpis, &mut put), put.remaining()), (Some(()), 0));
        assert!(Reader::new(19, &bytes).read().is_ok_and(|read| read == lpis));
    }

    #[test]
    fn what_no_reader_would_take_is_not_written() {
        let event = |id, intid| Device { events: alloc::vec![Event { id, intid, icid: 0 }], ..Device::default() };
        let with = |device| LpiState {
            its: alloc::vec![ItsMappings { devices: alloc::vec![device], ..ItsMappings::default() }],
            ..LpiState::default()
        };
        let target = Some(u32::MAX);
        let collections = alloc::vec![Collection { icid: 0, target }];
        let vcpu = Vcpus::with_default_mpidrs(1).unwrap().iter().next().unwrap();
        for lpis in [
            with(event(1 << 16, 9000)),
            with(event(0, 1 << 16)),
            with(event(0, 9000)),
            LpiState { its: alloc::vec![ItsMappings { collections, ..ItsMappings::default() }], ..LpiState::default() },
            LpiState { its: alloc::vec![ItsMappings::default(); 65], ..LpiState::default() },
            LpiState { pending: alloc::vec![PendingLpis { vcpu, intids: alloc::vec![1 << 16] }], ..LpiState::default() },
            LpiState { configuration: alloc::vec![LpiConfiguration { intid: 9000, byte: 3 }], ..LpiState::default() },
        ] {
            assert!(check(&lpis).is_err(), "{lpis:?}");
        }
    }
}
