//! Mappings and LPIs as data, near to what a guest has: encoded, checked, restored from shadow memory, saved again.
//!
//! Rule: what the check takes, KVM takes; and what it has mapped then is what the state says.

use crate::rig::*;
use arbitrary::Arbitrary;
use std::sync::LazyLock;
use vgic_state::gicv3::Gicv3State;
use vgic_state::its::{Collection, Device, Event, LpiConfiguration, LpiState, PendingLpis};
use vgic_state::judge::{Limits, Ranges, gicv3};
use vgic_state::report::Problem;
use vgic_state::{ConfigurationPolicy, DynInterruptState, Error, GuestRange, InterruptState, TableStrategy};

#[derive(Arbitrary, Debug)]
enum Change {
    Collection(u8, u8, u16, Option<u8>),
    Device(u8, u8, u32, u32, u8),
    Address(u8, u8, u64),
    Event(u8, u8, u8, u16, u32, u8),
    Remove(u8, u8, u8),
    Configuration(u8, u8),
    Pending(u8, u16),
    Baser(u8, bool, u64),
    Table(u8, bool, u64),
    /// Leaves the lists as they are, in whatever order.
    Unsorted,
}

#[derive(Arbitrary, Debug)]
struct Input {
    indirect: bool,
    second: bool,
    policy: Option<u8>,
    changes: Vec<Change>,
}

type Saved = (Gicv3State, Vec<u8>);

static SAVED: LazyLock<[Saved; 4]> = LazyLock::new(|| {
    [(false, 1), (true, 1), (false, 2), (true, 2)].map(|(indirect, its)| {
        let (vm, mut gic) = filled(Shape { its, ..Shape::default() }, indirect);
        gic.options_mut().tables = TableStrategy::Image;
        let flushed = gic.flush_tables().expect("flush");
        (gic.save(flushed).expect("save"), contents(&vm.memory()))
    })
});

fn nth<T>(list: &mut [T], n: u8) -> Option<&mut T> {
    let length = list.len();
    (length > 0).then(|| &mut list[usize::from(n) % length])
}

/// IDs in reach, mostly.
fn near(value: u32, base: u32) -> u32 {
    if value >> 24 == 0xff { value } else { base + value % 0x400 }
}

fn apply(change: &Change, state: &mut Gicv3State, lpis: &mut LpiState) -> Option<()> {
    match *change {
        Change::Collection(its, n, icid, target) => {
            let list = &mut nth(&mut lpis.its, its)?.collections;
            let collection = Collection { icid, target: target.map(u32::from) };
            if n & 1 == 0 { *nth(list, n / 2)? = collection } else { list.push(collection) }
        }
        Change::Device(its, n, id, place, event_bits) => {
            let list = &mut nth(&mut lpis.its, its)?.devices;
            let itt = RAM + u64::from(place % RAM_BYTES as u32 / 256) * 256;
            let (id, event_bits) = (near(id, 0), u32::from(event_bits % 18));
            if n & 1 == 0 {
                let device = nth(list, n / 2)?;
                (device.id, device.event_bits) = (id, event_bits);
            } else {
                list.push(Device { id, itt, event_bits, events: Vec::new() });
            }
        }
        Change::Address(its, n, itt) => nth(&mut nth(&mut lpis.its, its)?.devices, n)?.itt = itt,
        Change::Event(its, device, n, id, intid, icid) => {
            let list = &mut nth(&mut nth(&mut lpis.its, its)?.devices, device)?.events;
            let event = Event { id: near(id.into(), 0), intid: near(intid, 8192), icid: 7 + u16::from(icid % 3) };
            if n & 1 == 0 { *nth(list, n / 2)? = event } else { list.push(event) }
        }
        Change::Remove(its, what, n) => {
            let its = nth(&mut lpis.its, its)?;
            match what % 3 {
                0 if !its.collections.is_empty() => drop(its.collections.remove(usize::from(n) % its.collections.len())),
                1 if !its.devices.is_empty() => drop(its.devices.remove(usize::from(n) % its.devices.len())),
                2 => drop(nth(&mut its.devices, n)?.events.pop()),
                _ => {}
            }
        }
        Change::Configuration(n, byte) => nth(&mut lpis.configuration, n)?.byte = byte,
        Change::Pending(n, intid) => match nth(&mut lpis.pending, n / 2) {
            Some(pending) if n & 1 == 0 => pending.intids.push(near(intid.into(), 8192)),
            _ => {
                let vcpu = nth(&mut state.vcpus, n / 2)?.vcpu;
                lpis.pending.push(PendingLpis { vcpu, intids: vec![near(intid.into(), 8192)] });
            }
        },
        Change::Baser(its, devices, change) => {
            let registers = &mut nth(&mut state.its, its)?.registers;
            *(if devices { &mut registers.baser0 } else { &mut registers.baser1 }) ^= change;
        }
        Change::Table(vcpu, pending, change) => {
            if pending {
                nth(&mut state.vcpus, vcpu)?.redist.pendbaser ^= change;
            } else {
                state.vcpus.iter_mut().for_each(|vcpu| vcpu.redist.propbaser ^= change);
            }
        }
        Change::Unsorted => {}
    }
    Some(())
}

/// Sorted, each ID once, with a configuration for each LPI.
fn sort(lpis: &mut LpiState) {
    for its in &mut lpis.its {
        its.collections.sort_by_key(|one| one.icid);
        its.collections.dedup_by_key(|one| one.icid);
        its.devices.sort_by_key(|one| one.id);
        its.devices.dedup_by_key(|one| one.id);
        for device in &mut its.devices {
            device.events.sort_by_key(|one| one.id);
            device.events.dedup_by_key(|one| one.id);
        }
    }
    let mut mapped: Vec<u32> = lpis
        .its
        .iter()
        .flat_map(|its| its.devices.iter().flat_map(|device| device.events.iter().map(|event| event.intid)))
        .collect();
    mapped.sort_unstable();
    mapped.dedup();
    let byte = |intid| lpis.configuration.iter().find(|lpi| lpi.intid == intid).map_or(0xa3, |lpi| lpi.byte);
    lpis.configuration = mapped.into_iter().map(|intid| LpiConfiguration { intid, byte: byte(intid) }).collect();
    lpis.pending.sort_by_key(|pending| pending.vcpu.id);
    lpis.pending.dedup_by_key(|pending| pending.vcpu.id);
    for pending in &mut lpis.pending {
        pending.intids.sort_unstable();
        pending.intids.dedup();
    }
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(arbitrary::Unstructured::new(data)) else { return };
    let (state, bytes) = &SAVED[usize::from(input.indirect) + 2 * usize::from(input.second)];
    let mut state = state.clone();
    let mut lpis = state.lpis.take().expect("tables in the image");
    for change in &input.changes {
        let _ = apply(change, &mut state, &mut lpis);
    }
    if !input.changes.iter().any(|change| matches!(change, Change::Unsorted)) {
        sort(&mut lpis);
    }
    state.lpis = Some(lpis);
    let ranges = Ranges::new(vec![GuestRange::new(RAM, RAM_BYTES as u64)], vec![]);
    let report = gicv3::problems(&state, &memory_of(bytes), &ranges, &Limits::default());
    assert!(report.findings.len() <= Problem::ALL.len());
    if let Ok(image) = state.to_image() {
        assert_eq!((image.len(), Gicv3State::parse(&image).as_ref()), (state.image_bytes(), Ok(&state)));
    }

    let (vm, mut gic) = fresh(Shape { its: state.its.len(), ..Shape::default() }, memory_of(bytes));
    gic.options_mut().tables = TableStrategy::Image;
    // What no threshold accepts is enough to restore the rest.
    gic.options_mut().refuse_at = None;
    if let Some(byte) = input.policy {
        gic.options_mut().lpi_configuration = ConfigurationPolicy::Default(byte);
    }
    match gic.check(&state) {
        Ok(said) => assert_eq!(said, report),
        Err(Error::Refused(refusal)) => {
            assert!(vm.trace().is_empty(), "a refusal accesses nothing: {refusal}");
            return;
        }
        Err(error) => panic!("{error}"),
    }
    assert!(state.to_image().is_ok(), "what is restored can be encoded");
    match gic.restore(&state) {
        Ok(_) => {}
        // What KVM drops without an error is read back: registers, and no table.
        Err(Error::ReadBack(_)) => return,
        Err(error) => panic!("{error}"),
    }
    let in_memory = contents(&vm.memory());
    assert!(kept::has_commands(&state) || in_memory == *bytes, "guest memory is not touched");
    let flushed = gic.flush_tables().unwrap_or_else(|error| panic!("{error}"));
    let saved = gic.save(flushed).expect("save");
    let shared = |lpis: &LpiState| {
        let events: usize = lpis.its.iter().flat_map(|its| &its.devices).map(|device| device.events.len()).sum();
        events != lpis.configuration.len()
    };
    // Of an LPI that is mapped twice, nobody says which of two targets it has.
    let (mut said, mut kept) = (state.clone(), saved.clone());
    if state.lpis.as_ref().is_some_and(shared) {
        for lpis in [&mut said.lpis, &mut kept.lpis].into_iter().flatten() {
            lpis.pending.clear();
        }
    }
    assert!(kept::needed(kept::GICV3, &said, &kept).is_some(), "{said:x?}\nbecame\n{kept:x?}");
}
