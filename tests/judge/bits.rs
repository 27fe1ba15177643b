//! Every single bit of a small set of tables, changed: found, or the tables still mean something that a guest could have meant.
//!
//! Rule: what is not found is listed by field, with the reason; nothing else may go unnoticed.

use crate::common::CONFIGURATION;
use crate::rig::*;
use crate::snapshot::snapshot;
use std::collections::BTreeMap;
use vgic_state::report::Severity;

/// 70 and 8200 are in different level-2 tables. Of each device the first event is pending.
const PROGRAM: Program = &[
    (3, 5, 0, &[(2, 8400, 7), (17, 8401, 8)]),
    (70, 4, 0x1000, &[(0, 8300, 7), (9, 8301, 8)]),
    (8200, 1, 0x2000, &[(1, 8500, 8)]),
];

/// How many changes of a field are found as how bad, the worst first, then those not found; why a change may go unnoticed.
type Row = ([u32; 4], Option<&'static str>);

/// Entries that are changed: those in use, and of those that are zero the ones at every kind of place.
fn entries(indirect: bool) -> Vec<(&'static str, u64)> {
    let mut entries: Vec<(&str, u64)> = (0..4).map(|index| ("CTE", collections(0) + index * 8)).collect();
    entries.extend([0, 2, 3, 4, 69, 70, 71, 8191, 8192, 8199, 8200, 8201, 16383].map(|id| ("DTE", dte(0, id))));
    let itts = [(0, [0, 1, 2, 3, 16, 17, 18, 31]), (0x1000, [0, 1, 2, 8, 9, 10, 14, 15])];
    entries.extend(itts.into_iter().flat_map(|(at, ids)| ids.map(|event| ("ITE", crate::rig::itts(0) + at + event * 8))));
    entries.extend([0, 1].map(|event| ("ITE", crate::rig::itts(0) + 0x2000 + event * 8)));
    if indirect {
        entries.extend([0, 1, 2, 8191].map(|index| ("L1", level1(0) + index * 8)));
    }
    entries
}

/// The field that a bit belongs to, and why a change of it may go unnoticed; none where it must not.
fn field(table: &str, bit: u32, before: u64) -> (&'static str, Option<&'static str>) {
    match (table, bit) {
        // Bit 63 makes the end of the table a collection 0 on vCPU 0.
        ("CTE", 63) if before == 0 => ("end", Some("one collection more")),
        _ if before == 0 => ("zero", None),
        ("CTE", 0..16) => ("ICID", None),
        ("CTE", 16..52) => ("RDbase", Some("another vCPU that there is")),
        // Where none of its LPIs is pending, nobody tells that it had events: this and the next.
        ("DTE", 0..5) => ("Size", Some("an ITT with room for more events, or for fewer with all in it that there are")),
        ("DTE", 5..49) => ("ITT_addr", Some("an empty ITT elsewhere")),
        ("DTE", 49..63) => ("Next", None),
        ("ITE", 0..16) => ("ICID", Some("another collection that there is")),
        ("ITE", 16..48) => ("pINTID", Some("another LPI that is free")),
        ("ITE", 48..64) => ("Next", None),
        ("L1", 16..52) => ("address", Some("an empty level-2 table elsewhere")),
        (_, 63) => ("V", None),
        _ => ("RES0", None),
    }
}

fn every_bit(indirect: bool) -> String {
    // 14 bits of DeviceID and of INTID: a walk is short.
    let mut subject = programmed(1, indirect, PROGRAM);
    subject.state.its[0].identity.typer = 0x1_af71;
    subject.state.vcpus.iter_mut().for_each(|vcpu| vcpu.redist.propbaser = CONFIGURATION | 13);
    if indirect {
        (2..8).for_each(|index| subject.write(level1(0) + index * 8, 0));
    } else {
        subject.state.its[0].registers.baser0 -= 6;
    }
    assert_eq!(subject.audit().to_string(), "");

    let mut tally: BTreeMap<(&str, &str), Row> = BTreeMap::new();
    for (table, address) in entries(indirect) {
        let before = subject.read(address);
        for bit in 0..64 {
            subject.write(address, before ^ 1 << bit);
            let (name, reason) = field(table, bit, before);
            let row = tally.entry((table, name)).or_insert(([0; 4], reason));
            row.0[match subject.audit().max_severity() {
                None => 3,
                Some(Severity::Low) => 2,
                Some(Severity::Medium) => 1,
                _ => 0,
            }] += 1;
        }
        subject.write(address, before);
    }
    let mut lines = String::new();
    for ((table, name), ([high, medium, low, none], reason)) in tally {
        lines += &format!("{table:<3} {name:<8} high or critical {high:>4}, medium {medium:>2}, low {low:>2}");
        lines += &match (none, reason) {
            (0, _) => "\n".into(),
            (none, Some(reason)) => format!(", not found {none:>2}: {reason}\n"),
            (none, None) => panic!("{table} {name}: {none} changes are not found, and nothing says why"),
        };
    }
    lines
}

#[test]
fn every_bit_of_flat_tables_is_found_or_means_something() {
    snapshot!("audit_bits_flat", every_bit(false));
}

#[test]
fn every_bit_of_tables_of_two_levels_is_found_or_means_something() {
    snapshot!("audit_bits_two_levels", every_bit(true));
}
