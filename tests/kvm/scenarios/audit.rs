//! What a kernel does not look at when it restores tables: refused before the kernel sees it, and what the kernel makes of it.

use super::{lpis, save};
use crate::layout;
use crate::log::Log;
use crate::memory::{changed, copy};
use crate::program::{self, Devices, Table};
use crate::rig::{Config, Rig};
use vgic_state::gicv3::Gicv3State;
use vgic_state::its::{Cte, Dte, Ite, Level1};
use vgic_state::report::{Problem, Refusal, Severity};
use vgic_state::{DynInterruptState, Error, InterruptState, TableStrategy};

const FLAT: Devices = Devices { devices: 6, events: 16, first_id: 8, step: 8, table: Table::Flat };
const TWO_LEVELS: Devices = Devices { step: 9000, ..Devices { table: Table::TwoLevels, ..FLAT } };

/// A crafted snapshot: what was changed in memory or in the registers, and what the audit finds first.
struct Crafted<R> {
    what: &'static str,
    devices: &'static Devices,
    change: fn(&mut R, &mut Gicv3State),
    found: Problem,
}

/// Address of a device table entry of a flat table.
fn dte(device: u32) -> u64 {
    layout::device_table(0) + u64::from(FLAT.id(device)) * 8
}

/// Address of an interrupt translation entry.
fn ite(device: u32, event: u64) -> u64 {
    layout::itt(0, device) + event * 8
}

fn change_dte<R: Rig>(rig: &R, device: u32, change: impl Fn(Dte) -> Dte) {
    rig.write(dte(device), change(Dte::from_bits(rig.read(dte(device)))).into_bits());
}

fn change_ite<R: Rig>(rig: &R, device: u32, event: u64, change: impl Fn(Ite) -> Ite) {
    rig.write(ite(device, event), change(Ite::from_bits(rig.read(ite(device, event)))).into_bits());
}

fn change_cte<R: Rig>(rig: &R, n: u64, change: impl Fn(Cte) -> Cte) {
    let address = layout::collection_table(0) + n * 8;
    rig.write(address, change(Cte::from_bits(rig.read(address))).into_bits());
}

fn crafted<R: Rig>() -> Vec<Crafted<R>> {
    let of = |what, change: fn(&mut R, &mut Gicv3State), found| Crafted { what, devices: &FLAT, change, found };
    vec![
        of("17 bits of EventID", |rig, _| change_dte(rig, 5, |e| e.with_size(16)), Problem::EventWidth),
        of("a distance to behind the table", |rig, _| change_dte(rig, 1, |e| e.with_next(9000)), Problem::DeviceNextBeyondTable),
        of("a chain of devices cut short", |rig, _| change_dte(rig, 2, |e| e.with_next(0)), Problem::EntryBehindChain),
        of("a chain of devices that jumps", |rig, _| change_dte(rig, 2, |e| e.with_next(16)), Problem::EntryJumpedOver),
        of("a chain of events cut short", |rig, _| change_ite(rig, 3, 7, |e| e.with_next(0)), Problem::EntryBehindChain),
        of(
            "a device before the first",
            |rig, _| {
                // As kernels before the end of 2024 leave a device that was unmapped. Only its LPI, which is another's now, gives it away.
                let stale = Dte::new().with_valid(true).with_size(3).with_next(7).with_itt(layout::itt(0, 40));
                rig.write(dte(0) - 56, stale.into_bits());
                let event = Ite::new().with_icid(program::collection(0) as u16).with_pintid(program::FIRST_LPI + 1);
                rig.write(layout::itt(0, 40), event.into_bits());
            },
            Problem::LpiTwice,
        ),
        of(
            "a collection in the middle that is not valid",
            |rig, _| change_cte(rig, 0, |e| e.with_valid(false)),
            Problem::CollectionUnknown,
        ),
        of(
            "two devices with one ITT",
            |rig, _| {
                let itt = layout::itt(0, 1);
                change_dte(rig, 4, |e| e.with_itt(itt));
            },
            Problem::TablesOverlap,
        ),
        of(
            "an ITT on the device table",
            |rig, _| {
                let last = layout::device_table(0) + 0x4000;
                change_dte(rig, 5, |e| e.with_itt(last).with_size(0));
            },
            Problem::TablesOverlap,
        ),
        of(
            "an ITT on the collection table",
            |rig, _| {
                change_dte(rig, 5, |e| e.with_itt(layout::collection_table(0) + 0x4000).with_size(0));
            },
            Problem::TablesOverlap,
        ),
        of(
            "an ITT on the command queue",
            |rig, _| {
                change_dte(rig, 5, |e| e.with_itt(layout::queue(0) + 0xf000).with_size(0));
            },
            Problem::TablesOverlap,
        ),
        of(
            "an ITT on a pending table",
            |rig, _| {
                change_dte(rig, 5, |e| e.with_itt(layout::pending(1) + 0x1000).with_size(0));
            },
            Problem::TablesOverlap,
        ),
        of(
            "an ITT on the configuration table",
            |rig, _| {
                change_dte(rig, 5, |e| e.with_itt(layout::CONFIGURATION + 0xd000).with_size(0));
            },
            Problem::TablesOverlap,
        ),
        of("an ITT outside of memory", |rig, _| change_dte(rig, 5, |e| e.with_itt(0x1000_0000)), Problem::TableOutsideMemory),
        of(
            "an LPI beyond GICR_PROPBASER",
            |rig, state| {
                let few = layout::CONFIGURATION | 13;
                state.vcpus.iter_mut().for_each(|vcpu| vcpu.redist.propbaser = vcpu.redist.propbaser & !0x1f | few & 0x1f);
                change_ite(rig, 3, 7, |e| e.with_pintid(20_000));
            },
            Problem::LpiBeyondTable,
        ),
        of("one LPI for two events", |rig, _| change_ite(rig, 3, 7, |e| e.with_pintid(program::FIRST_LPI + 1)), Problem::LpiTwice),
        of("reserved bits of a collection", |rig, _| change_cte(rig, 1, |e| e.with_res0(0x41)), Problem::ReservedBits),
        Crafted {
            what: "reserved bits of a level-1 entry",
            devices: &TWO_LEVELS,
            change: |rig, _| {
                let entry = Level1::from_bits(rig.read(layout::device_table(0)));
                rig.write(layout::device_table(0), entry.with_res0(5).into_bits());
            },
            found: Problem::ReservedBits,
        },
        Crafted {
            what: "two level-1 entries with one level-2 table",
            devices: &TWO_LEVELS,
            change: |rig, _| rig.write(layout::device_table(0) + 7 * 8, rig.read(layout::device_table(0))),
            found: Problem::Level2Shared,
        },
        of(
            "commands in the queue",
            |rig, state| {
                let at = state.its[0].registers.cwriter;
                let command = program::mapd(3000, 4, layout::CONFIGURATION);
                for (n, word) in (0..).zip(command) {
                    rig.write(layout::queue(0) + at + n * 8, word);
                }
                state.its[0].registers.cwriter += 32;
            },
            Problem::TablesOverlap,
        ),
    ]
}

/// Each row: refused, with nothing changed; then what the kernel does if the VMM insists.
pub(crate) fn what_the_kernel_does_not_check<R: Rig>(log: &mut Log) {
    let config = Config { vcpus: 3, ..Config::default() };
    let sources = [FLAT, TWO_LEVELS].map(|devices| {
        let mut source = R::new(config);
        program::basics(&mut source);
        lpis(&mut source, &devices);
        let state = save(&mut source);
        (source, state)
    });
    for crafted in crafted::<R>() {
        let what = crafted.what;
        let (source, state) = &sources[usize::from(crafted.devices.table == Table::TwoLevels)];
        let mut target = R::with_memory(config, copy(source.memory()));
        let mut state = state.clone();
        (crafted.change)(&mut target, &mut state);
        let before = copy(target.memory());
        target.faults().fail_after(0);
        // Reserved bits do no harm: here is who wants to know of them.
        target.gicv3().options_mut().refuse_at = Some(crafted.found.severity().min(Severity::DEFAULT_THRESHOLD));
        match target.gicv3().restore(&state) {
            Err(Error::Refused(refusal)) => {
                let Refusal::Problem(worst) = *refusal else { panic!("{what}: {refusal}") };
                let report = {
                    target.gicv3().options_mut().refuse_at = None;
                    target.gicv3().check(&state).expect("check")
                };
                assert!(report.find(crafted.found).is_some(), "{what}: {report}");
                assert_eq!(report.findings[0], *worst, "{what}: the worst is what is said");
            }
            other => panic!("{what}: {other:?}"),
        }
        assert!(!target.faults().end(), "{what}: no command was given");
        assert_eq!(changed(&before, target.memory()).first(), None, "{what}: nothing was written");
        log.value(what, insist(&mut target, &state));
    }
}

/// What the kernel says, and what it has then.
fn insist<R: Rig>(rig: &mut R, state: &Gicv3State) -> String {
    rig.gicv3().options_mut().refuse_at = None;
    if let Err(error) = rig.gicv3().restore(state) {
        return error.to_string();
    }
    rig.gicv3().options_mut().tables = TableStrategy::Image;
    let flushed = match rig.gicv3().flush_tables() {
        Ok(flushed) => flushed,
        Err(error) => return format!("restored; {error}"),
    };
    let lpis = rig.gicv3().save(flushed).expect("save").lpis.expect("LPIs");
    let devices = &lpis.its[0].devices;
    let events: usize = devices.iter().map(|device| device.events.len()).sum();
    let pending: usize = lpis.pending.iter().map(|pending| pending.intids.len()).sum();
    format!(
        "restored: {} collections, {} devices, {events} events, {pending} LPIs pending",
        lpis.its[0].collections.len(),
        devices.len()
    )
}

/// A kernel reads table entries without end; the audit does not.
pub(crate) fn work_without_end<R: Rig>(_: &mut Log) {
    let mut source = R::new(Config::default());
    program::basics(&mut source);
    lpis(&mut source, &FLAT);
    let state = save(&mut source);
    let mut target = R::with_memory(Config::default(), copy(source.memory()));
    target.gicv3().options_mut().limits = vgic_state::judge::Limits::entries(1000);
    match target.gicv3().restore(&state) {
        Err(Error::Refused(refusal)) => {
            assert!(matches!(*refusal, Refusal::Problem(worst) if worst.problem == Problem::WorkExceeded));
        }
        other => panic!("{other:?}"),
    }
    target.gicv3().options_mut().limits = vgic_state::judge::Limits::default();
    assert_eq!(target.gicv3().restore(&state).expect("restore").findings, [], "an honest snapshot has no finding");
}
