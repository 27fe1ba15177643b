//! From tables to mappings: what `RESTORE_TABLES` would read there.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0"; `arch/arm64/kvm/vgic/vgic-its.c`, `scan_its_table`.
//!
//! Rule: reads as the kernel does: the first entry is searched for, then each one says where the next is. The work is limited.

use super::geometry::{Geometry, LPI_LIMIT};
use super::scan::{Budget, CHUNK, Scan, Tables};
use super::{Collection, Cte, Device, Dte, ENTRY_BYTES, Event, FIRST_LPI, Ite, ItsMappings, Level1, PAGE_BYTES, PAGE_ENTRIES};
use super::{Table, TableError};
use crate::memory::{GuestRange, MemoryError, ShadowMemory};
use alloc::vec::Vec;
use core::ops::ControlFlow;

/// Entries that one reading looks at: more than four million, 64 for each LPI.
pub(crate) const LIMIT: u64 = 1 << 22;

/// Entries that are looked at twice, to know how many events there are before memory is reserved: two for each LPI.
pub(crate) const COUNTED: u64 = 1 << 17;

/// The tables of a shadow.
pub(crate) struct InShadow<'a>(pub(crate) &'a dyn ShadowMemory);

impl Tables for InShadow<'_> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.0.read(address, bytes)
    }

    fn data(&self, within: GuestRange) -> Option<GuestRange> {
        // Asking for a page costs as much as reading it, if the answer depends on what was written: otherwise, it is where memory ends.
        if self.0.is_zeroed() && within.end - within.start <= CHUNK { Some(within) } else { self.0.data(within) }
    }

    fn extra(&self) -> GuestRange {
        self.0.extra()
    }
}

/// Where the level-2 device tables are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level2 {
    /// Where the guest's first level says.
    Guest,
    /// From this address on, one after the other.
    At(u64),
}

/// Reads tables, up to a limit of work.
pub(crate) struct Reader<'a, T> {
    tables: &'a T,
    budget: Budget,
    countable: Budget,
}

impl<'a, T: Tables> Reader<'a, T> {
    pub(crate) fn new(tables: &'a T) -> Self {
        Reader { tables, budget: Budget::new(LIMIT), countable: Budget::new(COUNTED) }
    }

    /// Everything that an ITS has mapped, by its tables.
    pub(crate) fn mappings(&mut self, geometry: &Geometry, level2: Level2) -> Result<ItsMappings, TableError> {
        let collections = if geometry.has_collections() { self.collections(geometry)? } else { Vec::new() };
        let mut devices = self.devices(geometry, level2)?;
        for device in &mut devices {
            device.events = self.events(geometry, device)?;
        }
        Ok(ItsMappings { base: geometry.its, collections, devices })
    }

    fn collections(&mut self, geometry: &Geometry) -> Result<Vec<Collection>, TableError> {
        let name = Table::Collections { its: geometry.its };
        let mut collections: Vec<Collection> = Vec::new();
        let mut scan = Scan::new(geometry.collection_table(), geometry.collection_entries());
        while let Some(entry) = scan.next(self.tables, &mut self.budget).map_err(|_| too_long(name))? {
            let word = entry.word.map_err(|error| TableError::memory(error, name, entry.address))?;
            let cte = Cte::from_bits(word);
            // Not a chain: the first that is not valid ends it, zero or not; zeros may have been passed over.
            if !cte.valid() || entry.index != collections.len() as u64 {
                break;
            }
            let target = (cte.target() != Cte::NOT_MAPPED).then_some(cte.target());
            collections.push(Collection { icid: cte.icid(), target });
        }
        collections.sort_unstable_by_key(|collection| collection.icid);
        Ok(collections)
    }

    /// The devices, without their events.
    pub(crate) fn devices(&mut self, geometry: &Geometry, level2: Level2) -> Result<Vec<Device>, TableError> {
        let mut devices = Vec::new();
        if !geometry.has_devices() {
            return Ok(devices);
        }
        let ids = geometry.device_ids();
        if !geometry.is_indirect() {
            let name = Table::Devices { its: geometry.its };
            self.device_entries(geometry, name, geometry.device_table(), 0, ids, &mut devices)?;
            return Ok(devices);
        }
        for index in 0..geometry.level2_tables() {
            let table = match level2 {
                Level2::At(start) => start + index * PAGE_BYTES,
                Level2::Guest => match self.level1(geometry, index)? {
                    Some(table) => table,
                    None => continue,
                },
            };
            let first = index * PAGE_ENTRIES;
            let name = Table::Level2 { its: geometry.its, index: index as u32 };
            let ended = self.device_entries(geometry, name, table, first, (ids - first).min(PAGE_ENTRIES), &mut devices)?;
            if ended {
                break;
            }
        }
        Ok(devices)
    }

    fn level1(&mut self, geometry: &Geometry, index: u64) -> Result<Option<u64>, TableError> {
        let (table, address) = (Table::Devices { its: geometry.its }, geometry.device_table() + index * ENTRY_BYTES);
        let mut word = [0; ENTRY_BYTES as usize];
        self.tables.read(address, &mut word).map_err(|error| TableError::memory(error, table, address))?;
        let entry = Level1::from_bits(u64::from_le_bytes(word));
        Ok(entry.valid().then(|| entry.address()))
    }

    /// Device table entries from `first` on; true if one says that it is the last.
    fn device_entries(
        &mut self,
        geometry: &Geometry,
        name: Table,
        table: u64,
        first: u64,
        count: u64,
        devices: &mut Vec<Device>,
    ) -> Result<bool, TableError> {
        self.scan(name, table, count, |index, word, _| {
            let dte = Dte::from_bits(word);
            if !dte.valid() {
                return Ok(ControlFlow::Continue(1));
            }
            if dte.event_bits() > geometry.event_bits {
                let address = table + index * ENTRY_BYTES;
                return Err(TableError::Entry { table: name, address, word, rule: "more bits of EventID than the ITS has" });
            }
            let id = (first + index) as u32;
            devices.push(Device { id, itt: dte.itt(), event_bits: dte.event_bits(), events: Vec::new() });
            Ok(next(dte.next()))
        })
    }

    fn events(&mut self, geometry: &Geometry, device: &Device) -> Result<Vec<Event>, TableError> {
        let name = Table::Itt { its: geometry.its, device: device.id };
        let itt = GuestRange::new(device.itt, ENTRY_BYTES << device.event_bits);
        let extra = self.tables.extra();
        if itt.start < extra.end && extra.start < itt.end {
            return Err(TableError::Outside { table: name, address: itt.start });
        }
        let count = 1 << device.event_bits;
        let mut events = Vec::new();
        // Of one that is read at once, the first entry tells.
        if count * ENTRY_BYTES > CHUNK {
            events.reserve_exact(self.used(name, device.itt, count));
        }
        self.scan(name, device.itt, count, |index, word, ahead| {
            let ite = Ite::from_bits(word);
            if ite.pintid() == 0 {
                return Ok(ControlFlow::Continue(1));
            }
            if !(FIRST_LPI..LPI_LIMIT).contains(&ite.pintid()) {
                let address = device.itt + index * ENTRY_BYTES;
                return Err(TableError::Entry { table: name, address, word, rule: "its INTID is not that of an LPI" });
            }
            if events.capacity() == 0 {
                events.reserve_exact(1 + ahead.iter().filter(|word| **word != [0; ENTRY_BYTES as usize]).count());
            }
            events.push(Event { id: index as u32, intid: ite.pintid(), icid: ite.icid() });
            Ok(next(ite.next()))
        })?;
        Ok(events)
    }

    /// How many entries are not zero, to reserve as much: growing costs page faults. 0 where nobody has counted.
    fn used(&mut self, name: Table, table: u64, count: u64) -> usize {
        if self.countable.is_spent() {
            return 0;
        }
        let (mut used, left) = (0, core::mem::replace(&mut self.budget, self.countable));
        let counted = self.scan(name, table, count, |_, _, _| {
            used += 1;
            Ok(ControlFlow::Continue(1))
        });
        let countable = core::mem::replace(&mut self.budget, left);
        (self.countable, used) = if counted.is_ok() { (countable, used) } else { (Budget::new(0), 0) };
        used
    }

    /// Shows entries that are not zero to `visit`, which says how far the next one is; with those that were read together with it, from
    /// the one behind it on. True if it says that there is none.
    fn scan(
        &mut self,
        name: Table,
        table: u64,
        count: u64,
        mut visit: impl FnMut(u64, u64, &[[u8; ENTRY_BYTES as usize]]) -> Result<ControlFlow<(), u64>, TableError>,
    ) -> Result<bool, TableError> {
        let mut scan = Scan::new(table, count);
        while let Some(entry) = scan.next(self.tables, &mut self.budget).map_err(|_| too_long(name))? {
            let word = entry.word.map_err(|error| TableError::memory(error, name, entry.address))?;
            if word != 0 {
                match visit(entry.index, word, scan.ahead())? {
                    ControlFlow::Continue(distance) => scan.go_to(entry.index + distance),
                    ControlFlow::Break(()) => return Ok(true),
                }
            }
            scan.skip_zeros();
        }
        Ok(false)
    }

    /// The LPIs whose pending bit is set. Where there is no memory, nothing can be pending: the kernel would not have saved it.
    pub(crate) fn pending(&mut self, name: Table, bits: GuestRange) -> Result<Vec<u32>, TableError> {
        let mut intids: Vec<u32> = Vec::new();
        let mut scan = Scan::new(bits.start, bits.end.saturating_sub(bits.start) / ENTRY_BYTES);
        while let Some(entry) = scan.next(self.tables, &mut self.budget).map_err(|_| too_long(name))? {
            let mut word = match entry.word {
                Err(MemoryError::NotMemory) => 0,
                word => word.map_err(|error| TableError::memory(error, name, entry.address))?,
            };
            if intids.capacity() - intids.len() < word.count_ones() as usize {
                let ahead = scan.ahead().iter().map(|word| u64::from_le_bytes(*word).count_ones());
                intids.reserve_exact((word.count_ones() + ahead.sum::<u32>()) as usize);
            }
            let first = FIRST_LPI + entry.index as u32 * 64;
            while word != 0 {
                intids.push(first + word.trailing_zeros());
                word &= word - 1;
            }
            scan.skip_zeros();
        }
        Ok(intids)
    }
}

const fn too_long(table: Table) -> TableError {
    TableError::TooLong { table, limit: LIMIT }
}

/// What a distance in an entry says: 0 is the end.
fn next(distance: u16) -> ControlFlow<(), u64> {
    if distance == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(distance.into()) }
}
