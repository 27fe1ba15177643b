//! Crafted tables in guest memory against the model of KVM: judgement, restore, and a save of what was mapped.
//!
//! Rule: what a judgement has no objection to is restored; what is restored is what a second reading finds; and what is saved into the
//! image from there is the same again in another VM.

use crate::rig::*;
use arbitrary::Arbitrary;
use std::sync::LazyLock;
use vgic_state::gicv3::Gicv3State;
use vgic_state::judge::{Limits, Ranges, gicv3};
use vgic_state::model::gicv3::Vm;
use vgic_state::report::Problem;
use vgic_state::{DynInterruptState, Error, GuestRange, InterruptState, TableStrategy};

/// A change of a table entry: of all of it, or of a field.
#[derive(Arbitrary, Debug)]
struct Change {
    place: u8,
    offset: u8,
    /// How many entries get it.
    count: u8,
    word: u64,
    mask: u64,
}

#[derive(Arbitrary, Debug)]
struct Input {
    indirect: bool,
    verify: bool,
    baser: Option<(u8, u8)>,
    changes: Vec<Change>,
}

struct Saved {
    state: Gicv3State,
    bytes: Vec<u8>,
}

static SAVED: LazyLock<[Saved; 2]> = LazyLock::new(|| {
    [false, true].map(|indirect| {
        let (vm, mut gic) = filled(Shape::default(), indirect);
        let flushed = gic.flush_tables().expect("flush");
        Saved { state: gic.save(flushed).expect("save"), bytes: contents(&vm.memory()) }
    })
});

/// Where entries are that mean something.
fn places(indirect: bool) -> Vec<u64> {
    let dtes = if indirect { level2(0) } else { devices(0) };
    let mut places = vec![collections(0), devices(0), itts(0), itts(0) + 0x100, itts(0) + 0x200, CONFIGURATION + 0x68];
    places.extend([3, 70, 8190, 8200].map(|id| dtes + id * 8));
    places.extend([0, 1].map(|n| (pending(n) + 8300 / 8) & !7));
    places
}

fn apply(change: &Change, indirect: bool, bytes: &mut [u8]) {
    let places = places(indirect);
    let start = places[usize::from(change.place) % places.len()] - RAM;
    for n in 0..=u64::from(change.count % 16) {
        let at = (start + (u64::from(change.offset % 32) + n) * 8) as usize;
        let before = u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let after = before & !change.mask | change.word & change.mask;
        bytes[at..at + 8].copy_from_slice(&after.to_le_bytes());
    }
}

/// The same LPIs and mappings in both, but for what was read from configuration tables.
fn same(one: &Vm, other: &Vm) {
    assert_eq!(one.mappings(0), other.mappings(0));
    let lpis = |vm: &Vm| vm.lpis().into_iter().map(|lpi| (lpi.intid, lpi.pending, lpi.target, lpi.references)).collect::<Vec<_>>();
    assert_eq!(lpis(one), lpis(other));
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(arbitrary::Unstructured::new(data)) else { return };
    let Saved { state, bytes } = &SAVED[usize::from(input.indirect)];
    let (mut state, mut bytes) = (state.clone(), bytes.clone());
    input.changes.iter().for_each(|change| apply(change, input.indirect, &mut bytes));
    if let Some((pages, at)) = input.baser {
        state.its[0].registers.baser0 ^= u64::from(pages % 4);
        state.its[0].registers.baser1 ^= u64::from(at % 4) * PAGE;
    }

    let memory = memory_of(&bytes);
    let ranges = Ranges::new(vec![GuestRange::new(RAM, RAM_BYTES as u64)], vec![]);
    let report = gicv3::problems(&state, &memory, &ranges, &Limits::default());
    let (vm, mut gic) = fresh(Shape::default(), memory);
    // What KVM does is asked for, whatever a judgement says.
    gic.options_mut().refuse_at = None;
    let restored = gic.restore(&state);
    if report.find(Problem::TablesOverlap).is_some() {
        // KVM clears the pending bits that it takes over: where an ITT lies there, it reads what it has changed.
        return;
    }
    let reading = Reading { state: &state, memory: Bytes(&bytes) }.all();
    assert_eq!(restored.is_ok(), reading.is_some(), "{restored:?}");
    let Some((mappings, said)) = reading else {
        assert!(!report.findings.is_empty(), "KVM refuses what the judgement has no objection to: {restored:?}");
        return;
    };
    assert_eq!(vm.mappings(0), Some(mappings));
    let found = vm.lpis().into_iter();
    let found = found.map(|lpi| Said {
        intid: lpi.intid,
        enabled: lpi.enabled,
        priority: lpi.priority,
        pending: lpi.pending,
        references: lpi.references,
    });
    assert!(found.eq(said));

    // Once more, by way of the image.
    gic.options_mut().tables = TableStrategy::Image;
    let before = contents(&vm.memory());
    let flushed = gic.flush_tables();
    assert!(contents(&vm.memory()) == before, "guest memory is not touched");
    match flushed {
        Ok(flushed) => {
            let saved = gic.save(flushed).expect("save");
            let image = saved.to_image().expect("image");
            assert_eq!(Gicv3State::parse(&image).as_ref(), Ok(&saved));
            let (other, mut destination) = fresh(Shape::default(), memory_of(&before));
            match destination.restore_image(&image) {
                Ok(_) => {
                    same(&vm, &other);
                    destination.options_mut().tables = TableStrategy::Image;
                    let flushed = destination.flush_tables().expect("flush");
                    assert_eq!(destination.save(flushed).as_ref(), Ok(&saved));
                }
                Err(error) => assert!(!report.findings.is_empty(), "{error}"),
            }
        }
        Err(error) => assert!(matches!(error, Error::Tables(_)) && !report.findings.is_empty(), "{error}"),
    }

    // And into guest memory again.
    gic.options_mut().tables = TableStrategy::GuestMemory;
    gic.options_mut().verify_flush = input.verify;
    vm.clear_written();
    match gic.flush_tables() {
        // A comparison has the kernel write into shadow memory as well, at the same addresses and at others.
        Ok(flushed) if !input.verify => {
            for range in vm.written() {
                let covered = flushed.written().iter().any(|one| one.start <= range.start && range.end <= one.end);
                assert!(covered, "{range:x?} was written");
            }
        }
        Ok(_) => {}
        Err(error) => assert!(!report.findings.is_empty(), "{error}"),
    }
}
