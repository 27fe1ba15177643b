//! Every bit of the tables of an ITS in guest memory, and of its LPIs.
//!
//! Rule: after a restore the model has mapped what a second reading of the changed tables says, and a save into the image says the
//! same.

use crate::reading::{Bytes, Reading, Said};
use crate::rig::*;
use crate::save::Save as _;
use vgic_state::TableStrategy;
use vgic_state::gicv3::Gicv3State;
use vgic_state::its::{Event, LpiState};
use vgic_state::model::gicv3::{Mappings, Vm};
use vgic_state::{DynInterruptState, InterruptState};

/// Words that are changed: entries in use, and of those that are zero the ones at every kind of place.
fn words(indirect: bool) -> Vec<u64> {
    let mut words: Vec<u64> = (0..4).map(|index| collections(0) + index * 8).collect();
    let ids: &[u64] = if indirect { &[0, 69, 70, 71, 8191, 8192, 8200, 8201] } else { &[0, 2, 3, 4, 69, 70, 71, 8191] };
    words.extend(ids.iter().map(|id| if indirect { level2(0) } else { devices(0) } + id * 8));
    for (itt, events) in [(0, [0, 1, 2, 3, 16, 17, 18, 31].as_slice()), (0x100, &[0, 1, 8, 9, 10, 15]), (0x200, &[0, 1])] {
        let in_use = if indirect { itt != 0 } else { itt != 0x200 };
        words.extend(events.iter().filter(|_| in_use).map(|event| itts(0) + itt + event * 8));
    }
    if indirect {
        words.extend([0, 1, 2, 8191].map(|index| devices(0) + index * 8));
    }
    // Configuration and pending bits of the LPIs that are mapped, and of their neighbours.
    for intid in [8300, 8400, 8500] {
        words.push((CONFIGURATION + intid - 8192) & !7);
        words.extend([0, 1].map(|n| (pending(n) + intid / 8) & !7));
    }
    words
}

/// The LPIs that a model has mapped.
fn lpis(vm: &Vm) -> Vec<Said> {
    let lpi = |lpi: vgic_state::model::gicv3::Lpi| Said {
        intid: lpi.intid,
        enabled: lpi.enabled,
        priority: lpi.priority,
        pending: lpi.pending,
        references: lpi.references,
    };
    vm.lpis().into_iter().map(lpi).collect()
}

/// A state in the form of the model's view.
fn compare(saved: &LpiState, mappings: &Mappings, said: &[Said]) {
    let [its] = saved.its.as_slice() else { panic!("one ITS") };
    let mut collections: Vec<_> = mappings.collections.iter().map(|one| (one.id, one.target)).collect();
    collections.sort_unstable();
    assert_eq!(its.collections.iter().map(|one| (one.icid, one.target)).collect::<Vec<_>>(), collections);
    assert_eq!(its.devices.len(), mappings.devices.len());
    for (device, mapped) in its.devices.iter().zip(&mappings.devices) {
        assert_eq!((device.id, device.itt, device.event_bits), (mapped.id, mapped.itt, mapped.event_bits));
        let events = mapped.events.iter();
        let events = events.map(|event| Event { id: event.id, intid: event.intid, icid: event.collection.expect("mapped") });
        assert_eq!(device.events, events.collect::<Vec<_>>());
    }
    let mut pending: Vec<u32> = saved.pending.iter().flat_map(|pending| pending.intids.iter().copied()).collect();
    pending.sort_unstable();
    assert_eq!(pending, said.iter().filter(|lpi| lpi.pending).map(|lpi| lpi.intid).collect::<Vec<_>>());
}

/// Restores changed tables, and says whether KVM takes them.
fn restore(shape: Shape, state: &Gicv3State, bytes: &[u8]) -> bool {
    let (vm, mut gic) = fresh(shape, memory_of(bytes));
    // What KVM does is asked for, whatever an audit says.
    gic.options_mut().refuse_at = None;
    let restored = gic.restore(state);
    let reading = Reading { state, memory: Bytes(bytes) }.all();
    let Some((mappings, said)) = reading else {
        assert!(restored.is_err(), "what no reader understands is taken");
        return false;
    };
    if let Err(error) = restored {
        panic!("{error}, and the tables say {mappings:x?}");
    }
    assert_eq!(vm.mappings(0).as_ref(), Some(&mappings));
    assert_eq!(lpis(&vm), said);
    gic.options_mut().tables = TableStrategy::Image;
    match gic.flush_tables() {
        Ok(flushed) => {
            let saved = gic.save(flushed).expect("save").lpis.expect("tables in the image");
            compare(&saved, &mappings, &said);
        }
        // Tables in each other's way, or an LPI of more than 16 bits: the guest's own tables hold it, an image does not.
        Err(error) => assert!(matches!(error, vgic_state::Error::Tables(_)), "{error}"),
    }
    true
}

fn every_bit(indirect: bool) {
    let shape = Shape::default();
    let (vm, mut source) = filled(shape, indirect);
    let state = source.flush_and_save().expect("save");
    let mut bytes = contents(&vm.memory());
    assert!(restore(shape, &state, &bytes));
    let mut taken = [0; 2];
    for address in words(indirect) {
        for bit in 0..64 {
            let at = (address - RAM) as usize + bit / 8;
            bytes[at] ^= 1 << (bit % 8);
            let restored = std::panic::catch_unwind(|| restore(shape, &state, &bytes));
            match restored {
                Ok(restored) => taken[usize::from(restored)] += 1,
                Err(_) => panic!("word at {address:#x}, bit {bit}"),
            }
            bytes[at] ^= 1 << (bit % 8);
        }
    }
    eprintln!("indirect {indirect}: {} refused, {} restored", taken[0], taken[1]);
    assert!(taken[0] > 100 && taken[1] > 100);
}

#[test]
fn every_bit_of_flat_tables_is_refused_or_restored() {
    every_bit(false);
}

#[test]
fn every_bit_of_tables_of_two_levels_is_refused_or_restored() {
    every_bit(true);
}
