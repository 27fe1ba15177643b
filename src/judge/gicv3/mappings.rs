//! Mappings and LPIs that a snapshot holds as data.
//!
//! Source: [`LpiState`](crate::its::LpiState): the one form of it.
//!
//! Rule: the same judgement as on tables; there are no chains, but an order.

use super::tables::Judge;
use super::walk::MAX_ID_BITS;
use crate::its::geometry::LPI_LIMIT;
use crate::its::{Device, FIRST_LPI, ItsMappings, LpiState, Table};
use crate::report::{Place, Problem};
use crate::state::gicv3::Gicv3State;
use crate::topology::IntId;

/// Counts what does not come behind the one before.
struct Order<T>(Option<T>);

impl<T: PartialOrd + Copy> Order<T> {
    fn next(&mut self, value: T, place: Place, judge: &mut Judge<'_>) {
        if self.0.is_some_and(|last| value <= last) {
            judge.report.add_refused(Problem::NotInOrder, place);
        }
        self.0 = Some(value);
    }
}

/// Judges the mappings of every ITS, and its LPIs.
pub(super) fn all(lpis: &LpiState, state: &Gicv3State, judge: &mut Judge<'_>) {
    let mut order = Order(None);
    for mappings in &lpis.its {
        order.next(mappings.base, Place { its: Some(mappings.base), ..Place::default() }, judge);
        its(mappings, state, judge);
    }
    for unit in state.its.iter().filter(|unit| !lpis.its.iter().any(|its| its.base == unit.base)) {
        judge.report.add_refused(Problem::ItsMappingsMissing, Place { its: Some(unit.base), ..Place::default() });
    }
    self::lpis(lpis, state, judge);
}

/// Judges the mappings of one ITS.
fn its(mappings: &ItsMappings, state: &Gicv3State, judge: &mut Judge<'_>) {
    let base = mappings.base;
    let Some(unit) = state.its.iter().find(|its| its.base == base) else {
        return judge.report.add_refused(Problem::ItsUnknown, Place { its: Some(base), ..Place::default() });
    };
    judge.its(unit);
    let mut order = Order(None);
    for collection in &mappings.collections {
        let place = Place { table: Some(Table::Collections { its: base }), collection: Some(collection.icid), ..Place::default() };
        // One that is there twice has a finding of its own.
        if order.0 != Some(collection.icid) {
            order.next(collection.icid, place, judge);
        }
        judge.add_collection(place, collection.icid, collection.target);
    }
    let mut order = Order(None);
    for mapped in &mappings.devices {
        let place = Place { table: Some(Table::Devices { its: base }), device: Some(mapped.id), ..Place::default() };
        order.next(mapped.id, place, judge);
        judge.add_device(place, mapped.id.into(), mapped.event_bits);
        device(base, mapped, judge);
    }
}

fn device(its: u64, device: &Device, judge: &mut Judge<'_>) {
    let table = Table::Itt { its, device: device.id };
    let place = Place { table: Some(table), device: Some(device.id), ..Place::default() };
    if !device.itt.is_multiple_of(256) || device.itt >> 52 != 0 {
        judge.report.add_refused(Problem::IttAddress, Place { address: Some(device.itt), ..place });
    }
    if device.event_bits == 0 {
        judge.report.add_refused(Problem::EventWidth, place);
    }
    let events = 1 << device.event_bits.min(MAX_ID_BITS);
    let mut order = Order(None);
    for event in &device.events {
        let place = Place { event: Some(event.id), interrupt: Some(IntId::Lpi(event.intid)), ..place };
        order.next(event.id, place, judge);
        if u64::from(event.id) >= events {
            judge.report.add_refused(Problem::EventBeyondTable, place);
        }
        judge.add_event(place, event.intid, event.icid);
    }
}

/// Judges priorities, enables and pending LPIs, after all mappings.
fn lpis(lpis: &LpiState, state: &Gicv3State, judge: &mut Judge<'_>) {
    let mut order = Order(None);
    for entry in &lpis.configuration {
        let (table, interrupt) = (Some(Table::LpiConfiguration), Some(IntId::Lpi(entry.intid)));
        let place = Place { table, interrupt, ..Place::default() };
        order.next(entry.intid, place, judge);
        if !judge.mapped.contains(entry.intid) {
            judge.report.add_refused(Problem::ConfigurationUnmapped, place);
        }
        judge.configuration(None, entry.intid, entry.byte);
    }
    // Only a list in order can be searched; any other has its finding.
    let missing = |intid: &u32| lpis.configuration.binary_search_by_key(intid, |entry| entry.intid).is_err();
    let mapped = lpis.its.iter().flat_map(|its| &its.devices).flat_map(|device| &device.events).map(|event| event.intid);
    for intid in mapped.filter(|intid| judge.mapped.contains(*intid)).filter(missing) {
        let (table, interrupt) = (Some(Table::LpiConfiguration), Some(IntId::Lpi(intid)));
        judge.report.add_refused(Problem::ConfigurationMissing, Place { table, interrupt, ..Place::default() });
    }
    let mut vcpus = Order(None);
    for pending in &lpis.pending {
        let table = Table::LpiPending { vcpu: pending.vcpu.id };
        let place = Place { table: Some(table), ..Place::default() };
        vcpus.next(pending.vcpu.id, place, judge);
        match state.vcpus.iter().find(|vcpu| vcpu.vcpu == pending.vcpu) {
            None => judge.report.add_refused(Problem::TargetUnknown, place),
            Some(vcpu) if !vcpu.redist.lpis_enabled() => judge.report.add_refused(Problem::PendingLpisDisabled, place),
            Some(_) => {}
        }
        if pending.intids.is_empty() {
            judge.report.add_refused(Problem::NotInOrder, place);
        }
        let mut order = Order(None);
        for intid in &pending.intids {
            let place = Place { interrupt: Some(IntId::Lpi(*intid)), ..place };
            order.next(*intid, place, judge);
            // The table has bits up to there, whatever GICR_PROPBASER says.
            if !(FIRST_LPI..LPI_LIMIT).contains(intid) {
                judge.report.add_refused(Problem::IntidNotLpi, place);
            }
            judge.pending(table, None, *intid);
        }
    }
}
