//! Interrupt state tables of a GICv5.

#[path = "../common/gicv5.rs"]
mod common;

use crate::save::Save as _;
use common::{filled, fresh, vcpus};
use vgic_state::gicv5::{Gicv5State, Ist, Iste};
use vgic_state::judge;
use vgic_state::report::Problem::{self, *};
use vgic_state::{IntId, IstKind, SpiSet};

const ENTRY: Iste = Iste::from_bits(0x0003_2008);

/// An entry that is found, on a VM with vCPUs 0 and 3 and 5 bits of priority.
pub(crate) const CASES: &[(Problem, Iste)] = &[
    (IstReservedBits, ENTRY.with_res0(8)),
    (IstTargetUnknown, ENTRY.with_iaffid(1)),
    (IstTargetUnknown, ENTRY.with_iaffid(0xffff).with_enable(false)),
    (IstOneOfN, ENTRY.with_irm(true)),
    (IstPriority, ENTRY.with_priority(1)),
    (IstHardwareUse, ENTRY.with_hwu(1)),
    (PendingDisabled, ENTRY.with_enable(false).with_pending(true)),
];

pub(crate) type Change = fn(&mut Gicv5State<'static>);

/// A table that is not the one of its registers, and what is found, all of it refused.
pub(crate) const MISFITS: &[(Change, &[Problem])] = &[
    (|s| s.irs.ist_cfgr = 9, &[IstMisfit]),
    (|s| s.irs.ist_cfgr = 7, &[LpiIdBits]),
    (|s| s.irs.ist_cfgr = 31, &[LpiIdBits]),
    (|s| s.irs.ist_cfgr |= 1 << 16, &[IstCfgr]),
    (|s| s.irs.ist_cfgr |= 1 << 8, &[IstCfgr]),
    // No width is possible at all: that alone is said.
    (|s| s.identity.idr2 = s.identity.idr2 & !0x03df | 9 << 6 | 8, &[LpiIdBounds]),
    (|s| s.identity.idr2 = s.identity.idr2 & !0x03df | 8 << 6 | 7, &[LpiIdBounds]),
    (|s| s.irs.ist_baser = 0, &[IstMisfit]),
    (|s| s.lpi_ist = None, &[IstMisfit]),
    (|s| s.spi_ist = Ist::new(IstKind::Spi, vec![0; 256]).expect("table"), &[IstMisfit]),
    (|s| s.spi_ist = Ist::new(IstKind::Lpi, vec![0; 128]).expect("table"), &[IstKind]),
    (|s| core::mem::swap(&mut s.spi_ist, s.lpi_ist.as_mut().expect("table")), &[IstKind, IstKind, IstMisfit, IstMisfit]),
];

/// SPIs and LPIs with these entries, 2 bits of priority.
pub(crate) fn state(spis: &[(usize, Iste)], lpis: &[(usize, Iste)]) -> Gicv5State<'static> {
    let mut state = fresh(&vcpus(2), 32).flush_and_save().expect("save");
    let table = |kind, size: usize, entries: &[(usize, Iste)]| {
        let mut bytes = vec![0; size];
        for (id, entry) in entries {
            bytes[id * 4..id * 4 + 4].copy_from_slice(&entry.into_bits().to_le_bytes());
        }
        Ist::new(kind, bytes).expect("table")
    };
    state.identity.idr1 = state.identity.idr1 & !0x0070_0000 | 1 << 20;
    state.irs.ist_cfgr = 8;
    state.irs.ist_baser = 0x4000_0001;
    state.spi_ist = table(IstKind::Spi, 128, spis);
    state.lpi_ist = Some(table(IstKind::Lpi, 1024, lpis));
    state
}

#[test]
fn what_the_model_saves_has_no_finding() {
    let vcpus = vcpus(3);
    assert_eq!(judge::gicv5::problems(&fresh(&vcpus, 64).flush_and_save().expect("save")).to_string(), "");
    let state = filled(&vcpus, 64, Some(10)).flush_and_save().expect("save");
    let report = judge::gicv5::problems(&state);
    assert_eq!(report.findings, []);
    let level: Vec<u32> = (0..64).filter(|spi| state.spi_ist.get(*spi).expect("SPI").hm()).collect();
    assert_eq!(report.level_spis.iter().collect::<Vec<u32>>(), level);
    assert_eq!(report.to_string(), format!("lines to drive: {}\n", report.level_spis));
}

#[test]
fn level_triggered_spis_are_found_as_what_they_are_and_as_nothing_else() {
    let level = ENTRY.with_hm(true);
    let spis = [(0, ENTRY), (1, level), (2, level.with_pending(true)), (3, ENTRY.with_pending(true))];
    // Of LPIs, HM means nothing.
    let state = state(&spis, &spis);
    for (named, expected) in [
        (&[][..], vec![(SpiLevelPending, 2, 1)]),
        (&[1, 2], vec![(SpiLevelPending, 2, 1)]),
        (&[0, 2, 3, 31], vec![(SpiLevelLost, 0, 3), (SpiLevelPending, 2, 1)]),
    ] {
        let report = judge::gicv5::problems_of_vm(&state, &SpiSet::new(named.iter().copied()).expect("SPIs"));
        let found = report.findings.iter().filter(|finding| finding.problem != IstPriority);
        let found: Vec<_> = found.map(|finding| (finding.problem, finding.first.interrupt, finding.count)).collect();
        let expected: Vec<_> = expected.into_iter().map(|(problem, spi, count)| (problem, Some(IntId::Spi(spi)), count)).collect();
        assert_eq!(found, expected, "{named:?}");
        assert_eq!(report.level_spis, SpiSet::new([1, 2].iter().chain(named).copied()).expect("SPIs"));
    }
}

#[test]
fn each_is_found_as_what_it_is_and_as_nothing_else() {
    let clean = ENTRY.with_priority(8);
    let none =
        judge::gicv5::problems(&state(&[(0, clean), (1, Iste::new().with_priority(24))], &[(255, clean.with_pending(true))]));
    assert_eq!(none.to_string(), "");
    for (problem, entry) in CASES {
        let entry = if *problem == IstPriority { *entry } else { entry.with_priority(8) };
        let report = judge::gicv5::problems(&state(&[(7, entry)], &[(64, entry), (65, entry)]));
        let found = report.findings.iter().map(|finding| (finding.problem, finding.first.interrupt, finding.count));
        let expected = [(*problem, Some(IntId::Spi(7)), 1), (*problem, Some(IntId::Lpi(64)), 2)];
        assert_eq!(found.collect::<Vec<_>>(), expected, "{report}");
    }
}

#[test]
fn a_table_that_is_not_the_one_of_its_registers() {
    for (change, expected) in MISFITS {
        let mut state = state(&[], &[]);
        change(&mut state);
        let report = judge::gicv5::problems(&state);
        let found: Vec<Problem> = report.findings.iter().map(|finding| finding.problem).collect();
        assert_eq!(found, *expected, "{report}");
        assert!(report.findings.iter().all(|finding| finding.refused));
    }
}
