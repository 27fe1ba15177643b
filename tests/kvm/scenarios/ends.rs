//! Memory that ends inside a declared table, or has a hole there: what the kernel uses must be memory, and nothing else.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`: `scan_its_table` reads entry by entry, up to the last; `vgic_its_check_id` looks for the page of
//! the entry alone.

use super::errors::with_a_hole;
use super::{lpis, save};
use crate::layout;
use crate::log::Log;
use crate::program::{self, Devices, Table};
use crate::rig::{Config, Rig};
use vgic_state::gicv3::Gicv3State;
use vgic_state::report::{Problem, Refusal, Severity};
use vgic_state::{Error, InterruptState};

const FLAT: Devices = Devices { devices: 6, events: 16, first_id: 8, step: 8, table: Table::Flat };
/// The last one is in the eighth level-2 table, at offset 0x4080.
const TWO_LEVELS: Devices = Devices { step: 11_880, ..Devices { table: Table::TwoLevels, ..FLAT } };
/// A device of the first ITS whose ITT is declared with room for all EventIDs: its events are in the first 4 KiB and behind 16 KiB.
const WIDE: u32 = 6200;
const WIDE_ITT: u64 = layout::SPARE;

/// A table, where memory is missing in it, and what of the guest it is with.
struct Hole {
    what: &'static str,
    devices: &'static Devices,
    address: u64,
    table: &'static str,
}

const fn hole(what: &'static str, devices: &'static Devices, address: u64, table: &'static str) -> Hole {
    Hole { what, devices, address, table }
}

/// 16 KiB from the end of tables of 64 KiB, so that pages of the machine may have 16 KiB.
const UNUSED: [Hole; 7] = [
    hole("flat device table", &FLAT, layout::device_table(0) + 0xc000, "device table of"),
    hole("level-1 device table", &TWO_LEVELS, layout::device_table(0) + 0xc000, "device table of"),
    hole("level-2 device table", &TWO_LEVELS, layout::level2(0, 7) + 0xc000, "level-2 device table 7 of"),
    hole("collection table", &FLAT, layout::collection_table(0) + 0xc000, "collection table of"),
    hole("configuration table", &FLAT, layout::CONFIGURATION + 0xc000, "LPI configuration table"),
    hole("ITT", &TWO_LEVELS, WIDE_ITT + 0xc000, "ITT of device 0x1838 of"),
    hole("command queue", &FLAT, layout::queue(0) + 0xc000, "command queue of"),
];

/// Half of a pending table is a page of 4 KiB, and no page of 16 KiB.
const UNUSED_PENDING: Hole = hole("pending table", &FLAT, layout::pending(1) + 0x1000, "LPI pending table of");

const USED: [Hole; 7] = [
    hole("flat device table", &FLAT, layout::device_table(0), "device table of"),
    hole("level-1 device table", &TWO_LEVELS, layout::device_table(0), "device table of"),
    hole("level-2 device table", &TWO_LEVELS, layout::level2(0, 7) + 0x4000, "level-2 device table 7 of"),
    hole("collection table", &FLAT, layout::collection_table(0), "collection table of"),
    hole("configuration table", &FLAT, layout::CONFIGURATION, "LPI configuration table"),
    hole("ITT", &TWO_LEVELS, WIDE_ITT + 0x4000, "ITT of device 0x1838 of"),
    hole("pending table", &FLAT, layout::pending(1), "LPI pending table of"),
];

/// A guest with LPIs, some of them pending, and its state.
fn source<R: Rig>(devices: &Devices) -> (R, Gicv3State) {
    let mut source = R::new(Config::default());
    program::basics(&mut source);
    lpis(&mut source, devices);
    if devices.table == Table::TwoLevels {
        let mut commands = vec![program::mapd(WIDE, 16, WIDE_ITT)];
        // EventID 0x900 has its entry at 0x4800.
        commands.extend([(3, 9000), (0x900, 9001)].map(|(event, lpi)| program::mapti(WIDE, event, lpi, program::collection(0))));
        program::commands(&mut source, 0, &commands);
        assert_eq!(source.msi(0, WIDE, 3), Ok(1));
    }
    let state = save(&mut source);
    (source, state)
}

/// What is restored, is served, and is saved as it was.
pub(crate) fn what_nobody_uses<R: Rig>(log: &mut Log) {
    let sources = [FLAT, TWO_LEVELS].map(|devices| source::<R>(&devices));
    let pending = (crate::memory::page() == 4096).then_some(UNUSED_PENDING);
    for Hole { what, devices, address, table } in UNUSED.into_iter().chain(pending) {
        let (source, state) = &sources[usize::from(devices.table == Table::TwoLevels)];
        let mut target = R::with_memory(source.config(), with_a_hole(source.memory(), address));
        let report = target.gicv3().restore(state).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found: Vec<Problem> = report.findings.iter().map(|finding| finding.problem).collect();
        assert_eq!(found, [Problem::TableBeyondMemory], "{what}: {report}");
        let text = report.findings[0].to_string();
        assert!(text.starts_with(table), "{what}: {text}");
        log.value(what, text);
        // A second save writes its tables beside the hole.
        assert_eq!(save(&mut target), *state, "{what}");
        assert_eq!(target.msi(0, devices.id(5), 1), Ok(1), "{what}");
        // Those of one priority come in any order.
        let served = [0, 1].map(|vcpu| {
            let mut served = target.acknowledge(vcpu);
            served.sort_unstable();
            served
        });
        log.value("served", served);
        // Who wants to know of it is told before anything happens.
        let mut strict = R::with_memory(source.config(), with_a_hole(source.memory(), address));
        strict.gicv3().options_mut().refuse_at = Some(Severity::Low);
        assert!(matches!(strict.gicv3().restore(state), Err(Error::Refused(_))), "{what}");
    }
}

/// What is refused, and what the kernel says of it.
pub(crate) fn what_is_used<R: Rig>(log: &mut Log) {
    let sources = [FLAT, TWO_LEVELS].map(|devices| source::<R>(&devices));
    for Hole { what, devices, address, table } in USED {
        let (source, state) = &sources[usize::from(devices.table == Table::TwoLevels)];
        let mut target = R::with_memory(source.config(), with_a_hole(source.memory(), address));
        match target.gicv3().restore(state) {
            Err(Error::Refused(refusal)) => {
                let Refusal::Problem(worst) = *refusal else { panic!("{what}: {refusal}") };
                assert_eq!(worst.problem, Problem::TableOutsideMemory, "{what}");
                assert!(worst.to_string().starts_with(table), "{what}: {worst}");
            }
            other => panic!("{what}: {other:?}"),
        }
        target.gicv3().options_mut().refuse_at = None;
        let report = target.gicv3().check(state).expect("check");
        assert!(report.find(Problem::PendingUnmapped).is_none(), "{what}: what follows is judged as it is: {report}");
        log.value(what, target.gicv3().restore(state).expect_err(what).to_string());
    }
}
