//! What changed of what ITSes have mapped.
//!
//! Source: `LpiState` of the library.
//!
//! Rule: a device, an event and a collection are found again by their IDs. An LPI is an interrupt, and is compared there.

use super::change::{Change, change};
use std::collections::BTreeMap;
use vgic_state::its::LpiState;

/// Everything that changed.
pub(super) fn changes(before: Option<&LpiState>, after: Option<&LpiState>) -> Vec<Change> {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (None, None) => return Vec::new(),
        (Some(_), None) => return vec![change("ITSes", "tables", "in the image", "in guest memory", "")],
        (None, Some(_)) => return vec![change("ITSes", "tables", "in guest memory", "in the image", "")],
    };
    let (old, new) = (names(before), names(after));
    let mut keys: Vec<&Name> = old.keys().chain(new.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut changes = Vec::new();
    for key in keys {
        let of = key.to_string();
        match (old.get(key), new.get(key)) {
            (Some(one), None) => changes.push(change(of, "mapped", one, "no", "vanished")),
            (None, Some(other)) => changes.push(change(of, "mapped", "no", other, "appeared")),
            (Some(one), Some(other)) if one != other => changes.push(change(of, "mapped", one, other, "")),
            _ => {}
        }
    }
    changes
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Collection(u64, u16),
    Device(u64, u32),
    Event(u64, u32, u32),
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Collection(its, icid) => write!(f, "collection {icid} of ITS {its:#x}"),
            Name::Device(its, device) => write!(f, "device {device:#x} of ITS {its:#x}"),
            Name::Event(its, device, event) => write!(f, "event {event} of device {device:#x} of ITS {its:#x}"),
        }
    }
}

/// Everything that is mapped, and to what.
fn names(mapped: &LpiState) -> BTreeMap<Name, String> {
    let mut names = BTreeMap::new();
    for its in &mapped.its {
        let base = its.base;
        for collection in &its.collections {
            let to = collection.target.map_or("no vCPU".to_owned(), |target| format!("vCPU {target}"));
            names.insert(Name::Collection(base, collection.icid), to);
        }
        for device in &its.devices {
            let to = format!("{} event bits, ITT {:#x}", device.event_bits, device.itt);
            names.insert(Name::Device(base, device.id), to);
            for event in &device.events {
                let to = format!("LPI {}, collection {}", event.intid, event.icid);
                names.insert(Name::Event(base, device.id, event.id), to);
            }
        }
    }
    names
}
