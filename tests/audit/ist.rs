//! Interrupt state tables of a GICv5.

#[path = "../common/gicv5.rs"]
mod common;

use common::{filled, fresh, vcpus};
use vgic_state::audit;
use vgic_state::audit::Problem::{self, *};
use vgic_state::gicv5::{Gicv5State, Ist, Iste};
use vgic_state::{IntId, InterruptState, IstKind};

const ENTRY: Iste = Iste::from_bits(0x0003_2008);

/// An entry that is found, on a VM with vCPUs 0 and 3 and 5 bits of priority.
pub(crate) const CASES: &[(Problem, Iste)] = &[
    (IstReservedBits, ENTRY.with_res0(8)),
    (IstTargetUnknown, ENTRY.with_iaffid(1)),
    (IstTargetUnknown, ENTRY.with_iaffid(0xffff).with_enable(false)),
    (IstOneOfN, ENTRY.with_irm(true)),
    (IstPriority, ENTRY.with_priority(1)),
    (IstHardwareUse, ENTRY.with_hwu(1)),
    (IstMisfit, ENTRY),
];

/// SPIs and LPIs with these entries, 2 bits of priority.
fn state(spis: &[(usize, Iste)], lpis: &[(usize, Iste)]) -> Gicv5State<'static> {
    let mut state = fresh(&vcpus(2), 32).save().expect("save");
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
    assert_eq!(audit::gicv5(&fresh(&vcpus, 64).save().expect("save")).to_string(), "");
    assert_eq!(audit::gicv5(&filled(&vcpus, 64, Some(10)).save().expect("save")).to_string(), "");
}

#[test]
fn each_is_found_as_what_it_is_and_as_nothing_else() {
    let clean = ENTRY.with_priority(8);
    let none = audit::gicv5(&state(&[(0, clean), (1, Iste::new().with_priority(24))], &[(255, clean.with_pending(true))]));
    assert_eq!(none.to_string(), "");
    for (problem, entry) in CASES.iter().filter(|(problem, _)| *problem != IstMisfit) {
        let entry = if *problem == IstPriority { *entry } else { entry.with_priority(8) };
        let report = audit::gicv5(&state(&[(7, entry)], &[(64, entry), (65, entry)]));
        assert_eq!(report.findings.len(), 1, "{report}");
        let finding = report.find(*problem).expect("found");
        assert_eq!((finding.first.interrupt, finding.count), (Some(IntId::Spi(7)), 3));
    }
}

#[test]
fn a_table_that_is_not_the_one_of_its_registers() {
    type Change = fn(&mut Gicv5State<'static>);
    let cases: [(Change, u64); 7] = [
        (|s| s.irs.ist_cfgr = 7, 1),
        (|s| s.irs.ist_cfgr = 31, 1),
        (|s| s.irs.ist_baser = 0, 1),
        (|s| s.lpi_ist = None, 1),
        (|s| s.spi_ist = Ist::new(IstKind::Spi, vec![0; 256]).expect("table"), 1),
        (|s| s.spi_ist = Ist::new(IstKind::Lpi, vec![0; 128]).expect("table"), 1),
        (|s| core::mem::swap(&mut s.spi_ist, s.lpi_ist.as_mut().expect("table")), 2),
    ];
    for (change, count) in cases {
        let mut state = state(&[], &[]);
        change(&mut state);
        let report = audit::gicv5(&state);
        assert_eq!((report.findings.len(), report.find(IstMisfit).expect("found").count), (1, count));
    }
}
