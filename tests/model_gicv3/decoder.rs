//! The crate's decoder against the model's: one queue, read by both.
//!
//! Source: none; the two know nothing of each other.
//!
//! Rule: what the view of the queue says will run is what runs, with these effects.

use crate::common::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use vgic_state::its::command::{CommandQueue, ItsCommand, Version};
use vgic_state::model::gicv3::CommandError;
use vgic_state::{Attr, AttrDevice, Errno};

/// Words of any kind, most of them commands that could work.
fn program() -> impl Strategy<Value = Vec<[u64; 4]>> {
    let (device, event, collection) = (0_u64..6, 0_u64..40, 0_u64..5);
    let target = prop::sample::select(vec![2_u64, 5, 9, 4]);
    let command = prop_oneof![
        4 => (device.clone(), 1_u64..18).prop_map(|(id, bits)| mapd(id, bits, ITTS + id * 0x8_0000 + 0x100)),
        1 => device.clone().prop_map(unmapd),
        4 => (collection.clone(), target.clone()).prop_map(|(id, target)| mapc(id, target)),
        1 => collection.clone().prop_map(unmapc),
        8 => (device.clone(), event.clone(), 8180_u64..8300, collection.clone()).prop_map(|(d, e, i, c)| mapti(d, e, i, c)),
        2 => (device.clone(), event.clone(), collection.clone()).prop_map(|(d, e, c)| movi(d, e, c)),
        2 => (prop::sample::select(vec![INT, CLEAR, INV, DISCARD]), device, event).prop_map(|(o, d, e)| super::common::event(o, d, e)),
        1 => (target.clone(), target).prop_map(|(from, to)| movall(from, to)),
        1 => collection.prop_map(invall),
        2 => any::<[u64; 4]>(),
    ];
    // Bits that are no field change nothing.
    prop::collection::vec((command, any::<[u64; 4]>(), any::<bool>()), 1..60).prop_map(|commands| {
        let dirty = |(mut words, noise, dirty): ([u64; 4], [u64; 4], bool)| {
            if let (true, Ok(decoded)) = (dirty, ItsCommand::decode(words, Version::V3)) {
                for ((word, noise), mask) in words.iter_mut().zip(noise).zip(decoded.command.meaningful_bits()) {
                    *word |= noise & !mask;
                }
            }
            words
        };
        commands.into_iter().map(dirty).collect()
    })
}

proptest! {
    #![proptest_config(crate::seeds::cases(64))]

    #[test]
    fn one_queue_two_readers(program in program(), start in 0_u64..2048) {
        read_twice(&program, start)?;
    }
}

/// A program that the two have read differently: events of a device that has been mapped again.
#[test]
fn an_event_that_is_mapped_twice_stays_as_it_is() {
    let program =
        [[8, 4, 9_223_372_037_932_712_192, 7_452_305_875_367], [10, 35_253_091_565_589, 2, 0], [10, 35_287_451_303_957, 1, 0]];
    read_twice(&program, 129).expect("the same");
}

fn read_twice(program: &[[u64; 4]], start: u64) -> Result<(), TestCaseError> {
    let mut rig = prepared_with(Default::default(), 1, false, new_memory());
    let (start, end) = (start * 32, (start + program.len() as u64) * 32 % 0x1_0000);
    for (n, words) in (0_u64..).zip(program) {
        for (m, word) in (0_u64..).zip(words) {
            rig.write64(queue(0) + (start + n * 32) % 0x1_0000 + m * 8, *word);
        }
    }
    rig.its[0].set(Attr::its(0x90), start).unwrap();
    rig.its[0].set(Attr::its(0x88), end).unwrap();
    let [cbaser, creadr, cwriter] = [0x80, 0x90, 0x88].map(|offset| rig.its[0].get(Attr::its(offset)).unwrap());
    let view = CommandQueue::new(cbaser, creadr, cwriter).unwrap();
    let seen: Vec<_> = view.commands(&rig.memory, Version::V3).collect();
    prop_assert!(rig.vm.commands().is_empty());
    rig.enable_its();

    let executed = rig.vm.commands();
    prop_assert_eq!(seen.len(), executed.len());
    let (mut devices, mut collections) = (BTreeMap::new(), BTreeMap::new());
    for (seen, executed) in seen.iter().zip(&executed) {
        let unknown = executed.result == Err(CommandError::Host(Errno::ENODEV));
        prop_assert_eq!(seen.decoded.is_err(), unknown, "{:x?}", executed.words);
        let Ok(decoded) = seen.decoded else { continue };
        let (encoded, reserved) = (decoded.command.encode(), decoded.reserved);
        let words: Vec<u64> = encoded.iter().zip(reserved).map(|(encoded, reserved)| encoded | reserved).collect();
        prop_assert_eq!(words, executed.words);
        match decoded.command {
            _ if executed.result.is_err() => {}
            ItsCommand::Mapd { device, size, itt, valid: true } => {
                devices.insert(device, (itt, u32::from(size) + 1, BTreeMap::new()));
            }
            ItsCommand::Mapd { device, .. } => drop(devices.remove(&device)),
            ItsCommand::Mapc { icid, rdbase, valid: true } => {
                collections.insert(icid, Some(rdbase.get() as u32));
            }
            ItsCommand::Mapc { icid, .. } => {
                collections.remove(&icid);
                for (_, _, events) in devices.values_mut() {
                    events.values_mut().filter(|(_, of)| *of == Some(icid)).for_each(|(_, of)| *of = None);
                }
            }
            // An event that is mapped stays as it is.
            ItsCommand::Mapti { device, event, .. } if devices[&device].2.contains_key(&event) => {}
            ItsCommand::Mapti { device, event, intid, icid } => {
                collections.entry(icid).or_insert(None);
                devices.get_mut(&device).unwrap().2.insert(event, (intid, Some(icid)));
            }
            ItsCommand::Movi { device, event, icid } => {
                devices.get_mut(&device).unwrap().2.get_mut(&event).unwrap().1 = Some(icid);
            }
            ItsCommand::Discard { device, event } => drop(devices.get_mut(&device).unwrap().2.remove(&event)),
            _ => {}
        }
    }
    let mappings = rig.vm.mappings(0).unwrap();
    let model: BTreeMap<_, _> = mappings.collections.iter().map(|collection| (collection.id, collection.target)).collect();
    prop_assert_eq!(collections, model);
    let model: BTreeMap<_, _> = mappings
        .devices
        .iter()
        .map(|device| {
            let events = device.events.iter().map(|event| (event.id, (event.intid, event.collection))).collect();
            (device.id, (device.itt, device.event_bits, events))
        })
        .collect();
    prop_assert_eq!(devices, model);
    Ok(())
}
