//! Where the tables of ITSes and of LPIs are in guest memory, by the registers.
//!
//! Source: Arm IHI 0069, `GITS_BASER<n>`, `GICR_PROPBASER`, `GICR_PENDBASER`; `arch/arm64/kvm/vgic/vgic-its.c`, `vgic-v3.c`.
//!
//! Rule: a range holds what the kernel reads and writes for given mappings, and no more.

use super::{Gicv3State, ItsIdentity, ItsState, RedistState};
use crate::its::geometry::{Geometry, configuration_table, pending_bits};
use crate::its::{FIRST_LPI, LpiState, PAGE_BYTES, Table, TableRange};
use crate::memory::GuestRange;
use crate::topology::Vcpu;
use alloc::vec::Vec;

/// The registers that say where tables are, and how large.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// In the order of the vCPUs.
    pub(crate) redists: Vec<(Vcpu, RedistState)>,
    /// In the order of the ITSes.
    pub(crate) its: Vec<Geometry>,
}

impl Layout {
    pub(crate) fn new(
        redists: Vec<(Vcpu, RedistState)>,
        its: &[ItsState],
        units: impl IntoIterator<Item = (u64, ItsIdentity)>,
    ) -> Self {
        let its = its.iter().zip(units).map(|(registers, (base, identity))| geometry(base, &identity, registers));
        Layout { redists, its: its.collect() }
    }

    pub(crate) fn of(state: &Gicv3State) -> Self {
        Layout {
            redists: state.vcpus.iter().map(|vcpu| (vcpu.vcpu, vcpu.redist)).collect(),
            its: state.its.iter().map(|its| geometry(its.base, &its.identity, &its.registers)).collect(),
        }
    }

    /// KVM has one value for all vCPUs.
    pub(crate) fn propbaser(&self) -> u64 {
        self.redists.first().map_or(0, |(_, redist)| redist.propbaser)
    }

    /// vCPUs that can have pending LPIs, and their table.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (Vcpu, u64)> {
        self.redists.iter().filter(|(_, redist)| redist.lpis_enabled()).map(|(vcpu, redist)| (*vcpu, redist.pendbaser))
    }

    /// Bytes for the level-2 device tables of all ITSes.
    pub(crate) fn level2_bytes(&self) -> u64 {
        self.its.iter().map(Geometry::level2_tables).sum::<u64>() * PAGE_BYTES
    }

    /// Each ITS, and where its level-2 device tables go.
    pub(crate) fn with_level2(&self, start: u64) -> impl Iterator<Item = (&Geometry, u64)> {
        self.its.iter().scan(start, |next, geometry| {
            let start = *next;
            *next += geometry.level2_tables() * PAGE_BYTES;
            Some((geometry, start))
        })
    }

    /// Every table that the kernel may write or read, by registers alone, as large as it was declared; of pending tables, those of vCPUs whose
    /// LPIs are enabled.
    pub(crate) fn declared_tables(&self) -> Vec<TableRange> {
        let mut tables: Vec<TableRange> = Vec::new();
        for geometry in &self.its {
            tables.extend(geometry.has_devices().then(|| geometry.devices()));
            tables.extend(geometry.has_collections().then(|| geometry.collections(geometry.collection_entries() as usize)));
        }
        tables.extend(self.pending().map(|(vcpu, pendbaser)| pending_table(vcpu, pendbaser)));
        tables
    }

    /// Device tables, collection tables, and the tables of devices, as far as the kernel writes or reads them for these mappings; but for
    /// level-2 device tables, which are nobody else's.
    pub(crate) fn mapped_tables(&self, lpis: &LpiState) -> Vec<TableRange> {
        let mut tables = Vec::new();
        for mappings in &lpis.its {
            let Some(geometry) = self.its.iter().find(|geometry| geometry.its == mappings.base) else { continue };
            if geometry.has_devices() {
                tables.push(geometry.devices_read(&mappings.devices));
            }
            if geometry.has_collections() {
                tables.push(geometry.collections(mappings.collections.len()));
            }
            tables.extend(mappings.devices.iter().map(|device| geometry.itt(device)));
        }
        tables
    }

    /// The bytes of every table that the kernel reads or writes for these mappings, whose pending bits these are
    /// ([`pending_bytes`](Self::pending_bytes)). The pending table of a vCPU that no LPI is for is none; whether its LPIs are enabled, the
    /// kernel does not ask.
    pub(crate) fn used_tables(&self, lpis: &LpiState, pending: &[TableRange]) -> Vec<TableRange> {
        let used = names(pending);
        let pending = self.redists.iter().map(|(vcpu, redist)| pending_table(*vcpu, redist.pendbaser));
        let mut tables: Vec<TableRange> = pending.filter(|table| used.binary_search(&table.table).is_ok()).collect();
        tables.extend(self.mapped_tables(lpis));
        tables.extend(self.configuration(lpis));
        tables
    }

    /// The pending tables of vCPUs whose LPIs are enabled and that no LPI is for.
    pub(crate) fn idle_tables(&self, pending: &[TableRange]) -> impl Iterator<Item = TableRange> {
        let used = names(pending);
        let pending = self.pending().map(|(vcpu, pendbaser)| pending_table(vcpu, pendbaser));
        pending.filter(move |table| used.binary_search(&table.table).is_err())
    }

    /// Of each pending table, from the first byte to the last that the kernel reads for these mappings, or finds a pending LPI in.
    pub(crate) fn pending_bytes(&self, lpis: &LpiState) -> Vec<TableRange> {
        // The vCPUs by id; first and last byte, and none as long as they are the wrong way round.
        let mut bytes: Vec<(u32, u32, u32)> = self.redists.iter().map(|(vcpu, _)| (vcpu.id.get(), u32::MAX, 0)).collect();
        bytes.sort_unstable();
        bytes.dedup_by_key(|(id, ..)| *id);
        let pending = lpis.pending.iter().flat_map(|one| one.intids.iter().map(|intid| (*intid, one.vcpu.id.get())));
        for (intid, vcpu) in lpis.targets().chain(pending) {
            // Mostly there is no gap in the ids.
            let at = vcpu as usize;
            let same_place = bytes.get(at).is_some_and(|(id, ..)| *id == vcpu).then_some(at);
            let at = same_place.or_else(|| bytes.binary_search_by_key(&vcpu, |(id, ..)| *id).ok());
            if let Some((_, first, last)) = at.and_then(|at| bytes.get_mut(at)) {
                let byte = intid.saturating_sub(FIRST_LPI) / 8;
                (*first, *last) = ((*first).min(byte), (*last).max(byte));
            }
        }
        let table = |(vcpu, redist): &(Vcpu, RedistState)| {
            let at = bytes.binary_search_by_key(&vcpu.id.get(), |(id, ..)| *id).ok()?;
            let (_, first, last) = bytes.get(at).copied().filter(|(_, first, last)| first <= last)?;
            let range = GuestRange::new(pending_bits(redist.pendbaser).start + u64::from(first), u64::from(last - first) + 1);
            Some(TableRange { range, table: Table::LpiPending { vcpu: vcpu.id } })
        };
        self.redists.iter().filter_map(table).collect()
    }

    /// The configuration of the mapped LPIs.
    fn configuration(&self, lpis: &LpiState) -> Option<TableRange> {
        let (first, last) = (lpis.configuration.first()?.intid, lpis.configuration.last()?.intid);
        let start = configuration_table(self.propbaser()) + u64::from(first.saturating_sub(FIRST_LPI));
        let length = u64::from(last.saturating_sub(first)) + 1;
        Some(TableRange { range: GuestRange::new(start, length), table: Table::LpiConfiguration })
    }
}

/// Which tables these are, sorted.
fn names(tables: &[TableRange]) -> Vec<Table> {
    let mut names: Vec<Table> = tables.iter().map(|table| table.table).collect();
    names.sort_unstable();
    names
}

fn pending_table(vcpu: Vcpu, pendbaser: u64) -> TableRange {
    TableRange { range: pending_bits(pendbaser), table: Table::LpiPending { vcpu: vcpu.id } }
}

fn geometry(base: u64, identity: &ItsIdentity, registers: &ItsState) -> Geometry {
    Geometry::new(base, identity.typer, registers.baser0, registers.baser1)
}
