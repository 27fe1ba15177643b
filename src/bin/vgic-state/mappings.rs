//! What ITSes have mapped, as tables: devices, events, collections.
//!
//! Source: `LpiState` of the library.
//!
//! Rule: devices are counted one by one; events are rows only where a person asks for them.

use crate::output::{Cell, Column, Ink, Section, column};
use std::collections::BTreeMap;
use vgic_state::its::LpiState;

const DEVICES: &[Column] =
    &[column("its"), column("device"), column("events"), column("event bits"), column("itt"), column("lpis")];
const EVENTS: &[Column] = &[column("its"), column("device"), column("event"), column("lpi"), column("collection"), column("vcpu")];
const COLLECTIONS: &[Column] = &[column("its"), column("collection"), column("vcpu"), column("events")];

/// Devices and collections; events too if `all`.
pub(crate) fn sections(mapped: &LpiState, all: bool) -> Vec<Section> {
    let mut sections = vec![devices(mapped), collections(mapped)];
    if all {
        sections.insert(1, events(mapped));
    }
    sections
}

fn devices(mapped: &LpiState) -> Section {
    let mut section = Section::new("devices", DEVICES);
    for (its, device) in mapped.its.iter().flat_map(|its| its.devices.iter().map(move |device| (its, device))) {
        let mut lpis: Vec<u32> = device.events.iter().map(|event| event.intid).collect();
        lpis.sort_unstable();
        let row = vec![
            Cell::hex(its.base),
            Cell::hex(device.id),
            Cell::count(device.events.len()),
            Cell::number(device.event_bits),
            Cell::hex(device.itt),
            Cell::Text(crate::registers::list(&lpis)),
        ];
        section.push(if device.events.is_empty() { Ink::Dim } else { Ink::Plain }, row);
    }
    section
}

fn events(mapped: &LpiState) -> Section {
    let mut section = Section::new("events", EVENTS);
    for its in &mapped.its {
        let targets: BTreeMap<u16, Option<u32>> =
            its.collections.iter().map(|collection| (collection.icid, collection.target)).collect();
        for device in &its.devices {
            for event in &device.events {
                let row = vec![
                    Cell::hex(its.base),
                    Cell::hex(device.id),
                    Cell::number(event.id),
                    Cell::number(event.intid),
                    Cell::number(event.icid),
                    Cell::or_none(targets.get(&event.icid).copied().flatten(), Cell::number),
                ];
                section.push(Ink::Plain, row);
            }
        }
    }
    section
}

fn collections(mapped: &LpiState) -> Section {
    let mut section = Section::new("collections", COLLECTIONS);
    for its in &mapped.its {
        let mut events: BTreeMap<u16, usize> = BTreeMap::new();
        for event in its.devices.iter().flat_map(|device| &device.events) {
            *events.entry(event.icid).or_default() += 1;
        }
        for collection in &its.collections {
            let row = vec![
                Cell::hex(its.base),
                Cell::number(collection.icid),
                collection.target.map_or_else(|| Cell::text("none"), Cell::number),
                Cell::count(events.get(&collection.icid).copied().unwrap_or_default()),
            ];
            section.push(if collection.target.is_none() { Ink::Bad } else { Ink::Plain }, row);
        }
    }
    section
}
