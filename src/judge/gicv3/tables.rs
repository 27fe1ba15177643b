//! What is wrong with one entry, and what entries add up to.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_restore_cte`, `vgic_its_restore_dte`, `vgic_its_restore_ite`.
//!
//! Rule: an entry that is refused by KVM, or that it would misread, is still counted in for what it names.

use super::overlap::overlaps;
use super::walk::{At, Broken, MAX_ID_BITS, Reach, Spent, Visitor};
use crate::its::geometry::{Geometry, LPI_LIMIT, lpi_end};
use crate::its::{Cte, Dte, ENTRY_BYTES, FIRST_LPI, Ite, Level1, PAGE_ENTRIES, Table, TableRange};
use crate::judge::ranges::Ranges;
use crate::memory::{GuestRange, MemoryError};
use crate::report::{Place, Problem, Report};
use crate::state::gicv3::{Gicv3State, ItsUnit, VcpuState};
use crate::topology::IntId;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec;
use alloc::vec::Vec;

/// A set of INTIDs below [`LPI_LIMIT`].
pub(super) struct Intids(Vec<u64>);

impl Intids {
    fn new() -> Self {
        Intids(vec![0; LPI_LIMIT as usize / 64])
    }

    /// Adds one; false if it was there, or cannot be.
    fn add(&mut self, intid: u32) -> bool {
        let Some(word) = self.0.get_mut(intid as usize / 64) else { return false };
        let bit = 1 << (intid % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(super) fn contains(&self, intid: u32) -> bool {
        self.0.get(intid as usize / 64).is_some_and(|word| word >> (intid % 64) & 1 != 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

/// What is known of the ITS that is being judged.
#[derive(Default)]
struct Current {
    base: u64,
    /// Bits of EventID at most.
    event_bits: u32,
    /// DeviceIDs are below.
    device_ids: u64,
    /// ICIDs are below.
    icids: u64,
    /// Where the collection table is.
    collection_table: u64,
    /// Not all of the collection table that KVM would read could be read.
    has_more_collections: bool,
    /// Collections with the places of the vCPUs that they target.
    collections: BTreeMap<u16, Option<usize>>,
}

pub(super) struct Judge<'a> {
    pub(super) report: Report,
    ranges: &'a Ranges,
    /// vCPUs by `vcpu_id`, with their places.
    vcpus: Vec<(u32, usize)>,
    /// LPIs are below this, by `GICR_PROPBASER`.
    pub(super) intid_end: u32,
    /// LPIs that an event is mapped to.
    pub(super) mapped: Intids,
    /// vCPUs, by their places, that an LPI is routed to.
    pub(super) targets: Vec<bool>,
    /// Of each LPI, the place of the vCPU that it is routed to, and one; empty if no LPI is.
    routes: Vec<u16>,
    /// A table could not be read to the end: more may be mapped.
    has_more_mappings: bool,
    /// All tables but those that are not memory at all.
    pub(super) tables: Vec<TableRange>,
    /// The mappings are in the state: what cannot be written as a table is accepted by no threshold.
    pub(super) in_state: bool,
    its: Current,
}

impl<'a> Judge<'a> {
    pub(super) fn new(state: &Gicv3State, ranges: &'a Ranges) -> Self {
        let id = |(place, state): (usize, &VcpuState)| (state.vcpu.id.get(), place);
        let mut vcpus: Vec<(u32, usize)> = state.vcpus.iter().enumerate().map(id).collect();
        vcpus.sort_unstable();
        let propbaser = state.vcpus.first().map_or(0, |vcpu| vcpu.redist.propbaser);
        Judge {
            report: Report::default(),
            ranges,
            vcpus,
            intid_end: lpi_end(propbaser),
            mapped: Intids::new(),
            targets: vec![false; state.vcpus.len()],
            routes: Vec::new(),
            has_more_mappings: false,
            tables: Vec::new(),
            in_state: false,
            its: Current::default(),
        }
    }

    /// A problem with what the ITS has mapped: where that is in the state, it could not be written as a table.
    pub(super) fn add_mapping(&mut self, problem: Problem, place: Place) {
        if self.in_state { self.report.add_refused(problem, place) } else { self.report.add(problem, place) }
    }

    /// What was found, once all tables are known.
    pub(super) fn finish(self) -> Report {
        let Judge { mut report, tables, in_state, .. } = self;
        overlaps(tables, in_state, &mut report);
        report
    }

    /// Goes on with this ITS.
    pub(super) fn its(&mut self, its: &ItsUnit) {
        let geometry = Geometry::new(its.base, its.identity.typer, its.registers.baser0, its.registers.baser1);
        self.its = Current {
            base: its.base,
            event_bits: geometry.event_bits,
            device_ids: if geometry.has_devices() { geometry.device_ids() } else { 0 },
            icids: if geometry.has_collections() { geometry.collection_entries() } else { 0 },
            collection_table: geometry.collection_table(),
            has_more_collections: false,
            collections: BTreeMap::new(),
        };
    }

    /// DeviceIDs, bits of EventID and ICIDs that an ITS has.
    pub(super) fn limits(&mut self, its: &ItsUnit) -> (u64, u32, u64) {
        if self.its.base != its.base {
            self.its(its);
        }
        (self.its.device_ids, self.its.event_bits, self.its.icids)
    }

    /// Notes a table, wherever it is.
    pub(super) fn add_table(&mut self, table: TableRange) {
        self.protect(table);
        self.tables.push(table);
    }

    /// A table must not lie in protected memory, even before something uses it.
    pub(super) fn protect(&mut self, table: TableRange) {
        if self.ranges.protects(table.range) {
            self.report.add(Problem::TableProtected, Place::table(table.table, table.range.start));
        }
    }

    /// All of this must be memory.
    pub(super) fn needs(&mut self, part: TableRange) {
        if !self.ranges.owns(part.range) {
            self.report.add(Problem::TableOutsideMemory, Place::table(part.table, part.range.start));
        }
    }

    /// Notes a table of which nothing is used yet: it must begin in memory.
    pub(super) fn add_declared(&mut self, table: TableRange) {
        self.add_table(table);
        let place = Place::table(table.table, table.range.start);
        if !self.ranges.owns(GuestRange::new(table.range.start, ENTRY_BYTES)) {
            self.report.add(Problem::TableOutsideMemory, place);
        } else if !self.ranges.owns(table.range) {
            self.report.add(Problem::TableBeyondMemory, place);
        }
    }

    /// Whether KVM looks for the pending bit of an LPI in the table of a vCPU, by its place.
    pub(super) fn is_routed(&self, intid: u32, place: usize) -> bool {
        let route = intid.checked_sub(FIRST_LPI).and_then(|n| self.routes.get(n as usize));
        self.mapped.contains(intid) && route.is_some_and(|route| usize::from(*route) == place + 1)
    }

    fn route(&mut self, intid: u32, place: usize) {
        if self.in_state || intid >= LPI_LIMIT {
            return;
        }
        if self.routes.is_empty() {
            self.routes = vec![0; (LPI_LIMIT - FIRST_LPI) as usize];
        }
        // KVM has at most 512 vCPUs.
        let route = u16::try_from(place + 1).unwrap_or(u16::MAX);
        if let Some(of) = intid.checked_sub(FIRST_LPI).and_then(|n| self.routes.get_mut(n as usize)) {
            *of = route;
        }
    }

    /// A collection with its target, in the order of the table.
    pub(super) fn add_collection(&mut self, place: Place, icid: u16, target: Option<u32>) {
        // Before Linux 6.7 a target is the place of the vCPU in the order of creation; the snapshot does not tell which kernel wrote it.
        let vcpu = target.and_then(|target| self.vcpu(target));
        if target.is_some() && vcpu.is_none() {
            self.add_mapping(Problem::TargetUnknown, place);
        }
        if u64::from(icid) >= self.its.icids {
            self.add_mapping(Problem::CollectionBeyondTable, place);
        } else {
            // The table is not indexed, and KVM wants memory where the entry would be if it were.
            let entry = GuestRange::new(self.its.collection_table + u64::from(icid) * ENTRY_BYTES, ENTRY_BYTES);
            if !self.ranges.owns(entry) {
                self.report.add(Problem::TableOutsideMemory, Place { address: Some(entry.start), ..place });
            }
        }
        match self.its.collections.entry(icid) {
            Entry::Vacant(entry) => {
                entry.insert(vcpu);
            }
            Entry::Occupied(_) => self.add_mapping(Problem::CollectionTwice, place),
        }
    }

    /// The place of a vCPU that a target names.
    fn vcpu(&self, target: u32) -> Option<usize> {
        let by_id = self.vcpus.binary_search_by_key(&target, |(id, _)| *id);
        let by_id = by_id.ok().and_then(|at| self.vcpus.get(at)).map(|(_, place)| *place);
        by_id.or_else(|| usize::try_from(target).ok().filter(|place| *place < self.vcpus.len()))
    }

    /// A device that KVM takes.
    pub(super) fn add_device(&mut self, place: Place, id: u64, event_bits: u32) {
        if id >= self.its.device_ids {
            self.add_mapping(Problem::DeviceBeyondTable, place);
        }
        if event_bits > self.its.event_bits {
            self.add_mapping(Problem::EventWidth, place);
        }
    }

    /// An event that KVM takes.
    pub(super) fn add_event(&mut self, place: Place, intid: u32, icid: u16) {
        let place = Place { interrupt: Some(IntId::Lpi(intid)), ..place };
        match self.its.collections.get(&icid) {
            // It may be where the table could not be read.
            None if self.its.has_more_collections => {}
            None => self.add_mapping(Problem::CollectionUnknown, place),
            Some(vcpu) => {
                let vcpu = *vcpu;
                if let Some(targeted) = vcpu.and_then(|vcpu| self.targets.get_mut(vcpu)) {
                    *targeted = true;
                }
                if let Some(vcpu) = vcpu {
                    self.route(intid, vcpu);
                }
            }
        }
        if intid < FIRST_LPI {
            return self.add_mapping(Problem::IntidNotLpi, place);
        }
        if self.in_state && intid >= LPI_LIMIT {
            return self.add_mapping(Problem::LpiBeyondTable, place);
        }
        if intid >= self.intid_end {
            self.report.add(Problem::LpiBeyondTable, place);
        }
        if intid < LPI_LIMIT && !self.mapped.add(intid) {
            self.report.add(Problem::LpiTwice, place);
        }
    }

    /// Whether what nothing maps, by the tables that were read, may be mapped all the same.
    pub(super) const fn has_more_mappings(&self) -> bool {
        self.has_more_mappings
    }

    /// The judgement stopped here.
    pub(super) fn spent(&mut self, spent: Spent) {
        let place = Place { table: Some(spent.table), address: Some(spent.address), ..Place::default() };
        self.report.add(Problem::WorkExceeded, place);
    }

    /// A valid entry that KVM does not take.
    fn passed_by(&mut self, reach: Reach, place: Place) -> bool {
        match reach {
            Reach::Taken => return false,
            Reach::JumpedOver => self.report.add(Problem::EntryJumpedOver, place),
            Reach::Behind => self.report.add(Problem::EntryBehindChain, place),
        }
        true
    }
}

/// What it is that some of a table was not read.
pub(super) const fn unread(error: MemoryError) -> Problem {
    match error {
        MemoryError::NotMemory => Problem::TableOutsideMemory,
        MemoryError::Failed(_) => Problem::TableNotRead,
    }
}

impl From<At> for Place {
    fn from(at: At) -> Self {
        let place = Place { table: Some(at.table), address: Some(at.address), ..Place::default() };
        match at.table {
            Table::Devices { .. } | Table::Level2 { .. } => Place { device: Some(at.id), ..place },
            Table::Itt { device, .. } => Place { device: Some(device), event: Some(at.id), ..place },
            _ => place,
        }
    }
}

impl Visitor for Judge<'_> {
    fn table(&mut self, table: TableRange) -> bool {
        self.add_table(table);
        true
    }

    fn collection(&mut self, at: At, reach: Reach, entry: Cte) {
        let place = Place { collection: Some(entry.icid()), ..Place::from(at) };
        if !entry.valid() {
            return self.report.add(Problem::EntryNotValid, place);
        }
        if reach != Reach::Taken {
            return self.report.add(Problem::CollectionBehindEnd, place);
        }
        if entry.res0() != 0 || entry.rdbase() >> 32 != 0 {
            self.report.add(Problem::ReservedBits, place);
        }
        let target = entry.target();
        self.add_collection(place, entry.icid(), (target != Cte::NOT_MAPPED).then_some(target));
    }

    fn level1(&mut self, at: At, entry: Level1) {
        // The table that the entry leads to, at the address of the entry.
        let place = Place {
            table: Some(Table::Level2 { its: self.its.base, index: at.id }),
            address: Some(at.address),
            ..Place::default()
        };
        if !entry.valid() {
            return self.report.add(Problem::EntryNotValid, place);
        }
        if entry.res0() != 0 || entry.res0_high() != 0 {
            self.report.add(Problem::ReservedBits, place);
        }
        if u64::from(at.id) * PAGE_ENTRIES >= self.its.device_ids {
            self.report.add(Problem::Level1BeyondTable, place);
        }
    }

    fn device(&mut self, at: At, reach: Reach, entry: Dte) {
        let place = Place::from(at);
        if !entry.valid() {
            return self.report.add(Problem::EntryNotValid, place);
        }
        if self.passed_by(reach, place) {
            return;
        }
        self.add_device(place, at.id.into(), entry.event_bits());
        if entry.event_bits() > MAX_ID_BITS {
            // Nobody can tell how long KVM takes the table to be: the first entry is looked at by any kernel.
            let table = Table::Itt { its: self.its.base, device: at.id };
            let first = TableRange { range: GuestRange::new(entry.itt(), ENTRY_BYTES), table };
            self.add_table(first);
            self.needs(first);
        }
    }

    fn event(&mut self, at: At, reach: Reach, entry: Ite) {
        let place = Place::from(at);
        if entry.pintid() == 0 {
            return self.report.add(Problem::EntryNotValid, place);
        }
        let place = Place { interrupt: Some(IntId::Lpi(entry.pintid())), ..place };
        if !self.passed_by(reach, place) {
            self.add_event(place, entry.pintid(), entry.icid());
        }
    }

    fn chain(&mut self, at: At, broken: Broken) {
        let problem = match (broken, at.table) {
            (Broken::NamesNone, _) => Problem::NextNamesNone,
            (Broken::NamesZero, _) => Problem::EventNotSaved,
            (Broken::Leaves, Table::Itt { .. }) => Problem::EventNextBeyondTable,
            (Broken::Leaves, _) => Problem::DeviceNextBeyondTable,
            (Broken::Unnamed, _) => Problem::EntryOffChain,
        };
        self.report.add(problem, at.into());
    }

    fn unreadable(&mut self, at: At, error: MemoryError) {
        self.has_more_mappings = true;
        self.its.has_more_collections |= matches!(at.table, Table::Collections { .. });
        self.report.add(unread(error), Place::table(at.table, at.address));
    }

    fn unused(&mut self, at: At) {
        self.report.add(Problem::TableBeyondMemory, Place::table(at.table, at.address));
    }
}
