//! Mappings and LPIs as data: the same judgement.

use crate::common::{CONFIGURATION, its_base, pending};
use crate::rig::*;
use crate::snapshot::snapshot;
use vgic_state::its::{Collection, Device, Event, ItsMappings, LpiConfiguration, LpiState, PendingLpis};
use vgic_state::judge::{self, Limits};
use vgic_state::report::Problem::{self, *};
use vgic_state::report::Report;
use vgic_state::{GuestRange, Vcpu, VcpuId};

pub(crate) type Change = fn(&mut LpiState);

pub(crate) const CASES: &[(&str, Change, &[Problem])] = &[
    ("nothing", |_| {}, &[]),
    ("ITS unknown", |s| s.its[0].base = 0x100, &[ItsUnknown, ItsMappingsMissing, PendingUnmapped, ConfigurationUnmapped]),
    ("ITSes out of order", |s| s.its.swap(0, 1), &[NotInOrder]),
    ("collection twice", |s| s.its[0].collections[1].icid = 7, &[CollectionUnknown, CollectionTwice]),
    ("collections out of order", |s| s.its[0].collections.swap(0, 1), &[NotInOrder]),
    (
        "collection beyond the table",
        |s| s.its[0].collections.push(Collection { icid: 8192, target: None }),
        &[CollectionBeyondTable],
    ),
    ("collection of no vCPU", |s| s.its[0].collections[0].target = Some(2), &[TargetUnknown]),
    ("device twice", |s| s.its[0].devices[1].id = 3, &[NotInOrder]),
    ("device beyond the table", |s| s.its[0].devices[2].id = 65536, &[DeviceBeyondTable]),
    ("ITT not a multiple of 256", |s| s.its[0].devices[0].itt += 0x80, &[IttAddress]),
    ("ITT above 52 bits", |s| s.its[0].devices[0].itt = 1 << 52, &[TableOutsideMemory, IttAddress]),
    ("ITT in that of the other ITS", |s| s.its[0].devices[0].itt = itts(1), &[TablesOverlap]),
    ("ITT on collections", |s| s.its[0].devices[0].itt = collections(1), &[TablesOverlap]),
    ("ITT in a part of the collection table that KVM does not use", |s| s.its[0].devices[0].itt = collections(1) + 256, &[]),
    ("ITT in the configuration table", |s| s.its[0].devices[0].itt = CONFIGURATION, &[TablesOverlap]),
    ("17 bits of EventID", |s| s.its[0].devices[2].event_bits = 17, &[EventWidth]),
    ("no bits of EventID", |s| s.its[0].devices[2].event_bits = 0, &[EventWidth, EventBeyondTable]),
    ("event beyond the device", |s| s.its[0].devices[2].events[0].id = 2, &[EventBeyondTable]),
    ("events out of order", |s| s.its[0].devices[0].events.swap(0, 1), &[NotInOrder]),
    ("LPI twice", |s| s.its[1].devices[0].events[0].intid = 8400, &[LpiTwice, PendingUnmapped, ConfigurationUnmapped]),
    ("INTID 0", |s| s.its[0].devices[0].events[1].intid = 0, &[IntidNotLpi, ConfigurationUnmapped]),
    ("LPI of more than 16 bits", |s| s.its[0].devices[0].events[1].intid = 65536, &[LpiBeyondTable, ConfigurationUnmapped]),
    ("configuration missing", |s| s.configuration.truncate(4), &[ConfigurationMissing]),
    ("configuration twice", |s| s.configuration.insert(0, s.configuration[0]), &[NotInOrder]),
    ("configuration not credible", |s| s.configuration[0].byte = 0xa1, &[ConfigurationNotCredible]),
    ("pending without a mapping", |s| s.pending[0].intids.push(65535), &[PendingUnmapped]),
    ("pending twice", |s| s.pending[0].intids.insert(0, 8300), &[NotInOrder]),
    ("pending, of nothing", |s| s.pending[1].intids.clear(), &[NotInOrder]),
    ("pending, and no LPI", |s| s.pending[1].intids[0] = 65536, &[IntidNotLpi, PendingUnmapped]),
    ("pending on no vCPU", |s| s.pending[1].vcpu.id = VcpuId::new(8).expect("id"), &[TargetUnknown]),
];

pub(crate) fn as_data(subject: &Subject) -> LpiState {
    let its: Vec<ItsMappings> = (0..)
        .zip(&subject.mappings)
        .map(|(n, mappings)| ItsMappings {
            base: its_base(n),
            collections: mappings.collections.iter().map(|c| Collection { icid: c.id, target: c.target }).collect(),
            devices: mappings
                .devices
                .iter()
                .map(|device| Device {
                    id: device.id,
                    itt: device.itt,
                    event_bits: device.event_bits,
                    events: device
                        .events
                        .iter()
                        .map(|event| Event { id: event.id, intid: event.intid, icid: event.collection.expect("mapped") })
                        .collect(),
                })
                .collect(),
        })
        .collect();
    let mut intids: Vec<u32> =
        its.iter().flat_map(|its| &its.devices).flat_map(|device| &device.events).map(|event| event.intid).collect();
    intids.sort_unstable();
    let configuration = intids.iter().map(|intid| LpiConfiguration { intid: *intid, byte: 0xa3 }).collect();
    let vcpu = |n: usize| -> Vcpu { subject.state.vcpus[n].vcpu };
    let pending =
        vec![PendingLpis { vcpu: vcpu(0), intids: vec![8300, 8400, 9400] }, PendingLpis { vcpu: vcpu(1), intids: vec![8500] }];
    LpiState { its, configuration, pending }
}

fn judged_as_data(subject: &Subject, lpis: LpiState) -> Report {
    let mut state = subject.state.clone();
    state.lpis = Some(lpis);
    judge::gicv3::problems(&state, &subject.memory, &subject.ranges, &Limits::default())
}

#[test]
fn each_is_found_as_what_it_is_and_as_nothing_else() {
    let subject = subject(2, false);
    let clean = as_data(&subject);
    let mut lines = String::new();
    for (what, change, expected) in CASES {
        let mut lpis = clean.clone();
        change(&mut lpis);
        let report: Report = judged_as_data(&subject, lpis);
        lines += &judged(what, &report, expected);
    }
    snapshot!("audit_mappings", lines);
}

#[test]
fn pending_lpis_of_a_vcpu_whose_lpis_are_disabled() {
    let mut subject = subject(2, false);
    subject.state.vcpus[1].redist.ctlr &= !1;
    let lpis = as_data(&subject);
    let report = judged_as_data(&subject, lpis);
    let finding = report.find(PendingLpisDisabled).expect("found");
    assert!(finding.refused && report.findings.len() == 1, "{report}");
    assert_eq!(finding.first.table, Some(vgic_state::its::Table::LpiPending { vcpu: subject.state.vcpus[1].vcpu.id }));
}

/// Nothing is lost in the pending table of a vCPU that no LPI is for, wherever the mappings are: in memory or in the state.
#[test]
fn pending_tables_at_one_address_matter_if_lpis_are_for_both() {
    const ONE: Program = &[(3, 4, 0, &[(0, 8300, 7), (1, 8301, 7)]), (4, 4, 0x1000, &[(0, 8400, 7)])];
    // ICID 8 is that of vCPU 1.
    const BOTH: Program = &[(3, 4, 0, &[(0, 8300, 7), (1, 8301, 8)]), (4, 4, 0x1000, &[(0, 8400, 7)])];
    for (program, expected) in [(ONE, &[][..]), (BOTH, &[PendingTablesShared])] {
        let mut subject = programmed(1, false, program);
        let mut lpis = as_data(&subject);
        lpis.pending = vec![PendingLpis { vcpu: subject.state.vcpus[0].vcpu, intids: vec![8300, 8400] }];
        // The guest may route an LPI to vCPU 1 later: its table is nowhere where it must not be.
        let mut protected = subject.copy();
        protected.protect(GuestRange::new(pending(1) + 0x400, 1));
        assert_eq!(problems(&protected.audit()), [TableProtected]);
        assert_eq!(problems(&judged_as_data(&protected, lpis.clone())), [TableProtected]);
        subject.state.vcpus[1].redist.pendbaser = pending(0);
        assert_eq!(problems(&subject.audit()), expected);
        assert_eq!(problems(&judged_as_data(&subject, lpis)), expected);
    }
}

#[test]
fn a_refusal_names_what_is_refused() {
    let subject = subject(2, false);
    let mut lpis = as_data(&subject);
    // GICR_PROPBASER has room for neither, and a table for the first.
    let mut state = subject.state.clone();
    for vcpu in &mut state.vcpus {
        vcpu.redist.propbaser = CONFIGURATION | 0xd;
    }
    lpis.its[0].devices[0].events[0].intid = 16500;
    lpis.its[0].devices[0].events[1].intid = 70000;
    state.lpis = Some(lpis);
    let report = judge::gicv3::problems(&state, &subject.memory, &subject.ranges, &Limits::default());
    let finding = report.find(LpiBeyondTable).expect("found");
    assert!(finding.refused && finding.count == 2, "{report}");
    assert_eq!(finding.first.interrupt, Some(vgic_state::IntId::Lpi(70000)));
}

#[test]
fn mappings_of_two_level_tables_are_clean() {
    let subject = subject(2, true);
    let report = judged_as_data(&subject, as_data(&subject));
    assert_eq!(report.to_string(), "");
}
