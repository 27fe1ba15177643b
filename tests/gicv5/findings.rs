//! What a running guest could have made although it looks wrong: reported, and refused only on request.

use crate::common::{fresh, trace, vcpus};
use crate::save::Save as _;
use crate::snapshot::snapshot;
use vgic_state::Options;
use vgic_state::gicv5::{Gicv5, Gicv5State, Ist, Iste};
use vgic_state::model::gicv5::Vm;
use vgic_state::report::{Finding, Problem, Refusal, Severity};
use vgic_state::{Attr, AttrId, Error, IntId, InterruptState, IstKind};

fn strict(gic: Gicv5<Vm>) -> Gicv5<Vm> {
    gic.with_options(Options::default().with_refuse_at(Some(Severity::Low)))
}

/// Each finding: the problem, the interrupt or the register where it is first, the number of places.
fn summary(findings: &[Finding]) -> Vec<(Problem, Option<IntId>, Option<AttrId>, u64)> {
    findings.iter().map(|finding| (finding.problem, finding.first.interrupt, finding.first.register, finding.count)).collect()
}

/// What a strict check refuses.
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> Finding {
    match result {
        Err(Error::Refused(refusal)) => match *refusal {
            Refusal::Problem(finding) => *finding,
            other => panic!("{other}"),
        },
        other => panic!("{other:?}"),
    }
}

/// A state of a fresh VM with two vCPUs (ids 0 and 3) and these entries of SPIs and LPIs.
fn state(spis: &[(usize, u32)], lpis: &[(usize, u32)]) -> Gicv5State<'static> {
    let mut state = fresh(&vcpus(2), 32).flush_and_save().expect("save");
    let table = |size: usize, entries: &[(usize, u32)]| {
        let mut bytes = vec![0; size];
        for (id, word) in entries {
            bytes[id * 4..id * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    };
    state.spi_ist = Ist::new(IstKind::Spi, table(128, spis)).expect("table");
    state.irs.ist_cfgr = 8;
    state.irs.ist_baser = 0x4000_0001;
    state.lpi_ist = Some(Ist::new(IstKind::Lpi, table(1024, lpis)).expect("table"));
    state
}

fn word(enable: bool, iaffid: u16) -> Iste {
    Iste::new().with_enable(enable).with_priority(4).with_iaffid(iaffid)
}

#[test]
fn each_problem_is_one_finding_of_each_table_with_its_first_place_and_its_count() {
    let cases = [
        (Problem::IstTargetUnknown, word(true, 1)),
        (Problem::IstTargetUnknown, word(false, 512)),
        (Problem::IstTargetUnknown, word(true, 0xffff)),
        (Problem::IstOneOfN, word(true, 3).with_irm(true)),
        (Problem::PendingDisabled, word(false, 3).with_pending(true)),
        (Problem::IstHardwareUse, word(true, 3).with_hwu(2)),
    ];
    for (problem, entry) in cases {
        let entry = entry.into_bits();
        let state = state(&[(7, entry)], &[(64, entry), (65, entry), (255, entry)]);
        let mut destination = fresh(&vcpus(2), 32);
        let expected = [(problem, Some(IntId::Spi(7)), None, 1), (problem, Some(IntId::Lpi(64)), None, 3)];
        assert_eq!(summary(&destination.check(&state).expect("only odd").findings), expected);
        assert_eq!(summary(&destination.restore(&state).expect("only odd").findings), expected);

        let mut destination = strict(fresh(&vcpus(2), 32));
        assert_eq!(summary(&[refused(destination.check(&state))]), expected[..1]);
        assert_eq!(summary(&[refused(destination.restore(&state))]), expected[..1]);
        assert_eq!(trace(&destination), "");
    }
}

#[test]
fn what_is_not_odd_is_not_reported() {
    let entries = [
        (0, word(true, 0)),
        (1, word(true, 3).with_active(true).with_pending(true)),
        (2, word(true, 3).with_active(true).with_hm(true)),
        (3, word(false, 3)),
        (4, Iste::new().with_priority(31)),
    ];
    let entries: Vec<(usize, u32)> = entries.iter().map(|(id, entry)| (*id, entry.into_bits())).collect();
    let report = strict(fresh(&vcpus(2), 32)).check(&state(&entries, &entries)).expect("nothing odd");
    assert_eq!(report.findings, []);
}

#[test]
fn a_vm_without_vcpu_0_does_not_find_fault_with_interrupts_that_were_never_configured() {
    let vcpus = vgic_state::Vcpus::new([vgic_state::Vcpu::with_default_mpidr(5).expect("id")]).expect("vCPUs");
    let mut state = fresh(&vcpus, 32).flush_and_save().expect("save");
    let bytes: Vec<u8> = (0..32_u32).flat_map(|_| 0x0000_f800_u32.to_le_bytes()).collect();
    state.spi_ist = Ist::new(IstKind::Spi, bytes).expect("table");
    assert_eq!(strict(fresh(&vcpus, 32)).check(&state).expect("fine").findings, []);
}

#[test]
fn priorities_below_what_the_irs_implements() {
    use vgic_state::model::gicv5::Host;
    let host = Host { priority_bits: 3, ..Host::default() };
    let new = || crate::common::on_host(host, &vcpus(2), 32);
    for (priority, odd) in [(0, false), (4, false), (28, false), (1, true), (2, true), (30, true)] {
        let mut state = new().flush_and_save().expect("save");
        let mut bytes = [0; 128];
        bytes[..4].copy_from_slice(&word(true, 3).with_priority(priority).into_bits().to_le_bytes());
        state.spi_ist = Ist::new(IstKind::Spi, bytes.to_vec()).expect("table");
        let findings = new().check(&state).expect("restorable").findings;
        let expected = (Problem::IstPriority, Some(IntId::Spi(0)), None, 1);
        assert_eq!(summary(&findings), if odd { vec![expected] } else { vec![] }, "priority {priority}");
    }
}

#[test]
fn bits_that_kvm_ignores() {
    let first = vcpus(2).iter().next().expect("vCPU").mpidr;
    type Change = fn(&mut Gicv5State<'static>);
    let cases: [(Change, vgic_state::AttrId, u64); 19] = [
        (|state| state.irs.spi_selr |= 1 << 24, Attr::irs(0x108).id(), 1),
        (|state| state.irs.pe_selr |= 1 << 16, Attr::irs(0x140).id(), 1),
        (|state| state.irs.ist_cfgr |= 1 << 9, Attr::irs(0x190).id(), 1),
        (|state| state.irs.cr1 |= 1 << 9, Attr::irs(0x84).id(), 1),
        (|state| state.irs.cr1 |= 1 << 11, Attr::irs(0x84).id(), 1),
        (|state| state.irs.cr1 |= 1 << 16, Attr::irs(0x84).id(), 1),
        (|state| state.irs.cr0 |= 4, Attr::irs(0x80).id(), 1),
        (|state| state.irs.ist_baser |= 2, Attr::irs(0x180).id(), 1),
        (|state| state.irs.ist_baser |= 1 << 56, Attr::irs(0x180).id(), 1),
        (|state| state.vcpus[0].registers.pcr |= 0x20, Attr::cpu_sysreg(first, 0xce02).id(), 1),
        (|state| state.irs.cr0 &= !2, Attr::irs(0x80).id(), 1),
        (|state| state.vcpus[0].registers.cr0 &= !2, Attr::cpu_sysreg(first, 0xce01).id(), 1),
        (|state| state.vcpus[0].registers.cr0 &= !4, Attr::cpu_sysreg(first, 0xce01).id(), 1),
        (|state| state.vcpus[0].registers.cr0 |= 8, Attr::cpu_sysreg(first, 0xce01).id(), 1),
        (|state| state.vcpus[0].registers.apr |= 1 << 32, Attr::cpu_sysreg(first, 0xce00).id(), 1),
        (|state| state.vcpus[0].registers.icsr |= 1 << 6, Attr::cpu_sysreg(first, 0xc654).id(), 1),
        (|state| state.vcpus[0].registers.ppi_enabler1 = 1, Attr::cpu_sysreg(first, 0xc657).id(), 1),
        (|state| state.vcpus[0].registers.ppi_priorityr3 |= 0x20, Attr::cpu_sysreg(first, 0xc673).id(), 1),
        (
            |state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.registers.ppi_priorityr15 = 1),
            Attr::cpu_sysreg(first, 0xc67f).id(),
            2,
        ),
    ];
    for (change, attr, count) in cases {
        let mut state = fresh(&vcpus(2), 32).flush_and_save().expect("save");
        change(&mut state);
        let expected = [(Problem::IgnoredBits, None, Some(attr), count)];
        assert_eq!(summary(&fresh(&vcpus(2), 32).check(&state).expect("restorable").findings), expected);
        assert_eq!(summary(&[refused(strict(fresh(&vcpus(2), 32)).check(&state))]), expected);
    }
    // What is kept is no oddity.
    let mut state = fresh(&vcpus(2), 32).flush_and_save().expect("save");
    state.irs.cr1 = 0xffff & !(1 << 9 | 1 << 11);
    state.irs.cr0 = 3;
    state.irs.ist_baser = 0x00ff_ffff_ffff_ffc0;
    state.irs.ist_cfgr = 0x0001_01ff;
    state.irs.spi_selr = 0x00ff_ffff;
    state.irs.pe_selr = 0xffff;
    state.vcpus[1].registers.icsr = 0x0000_ffff_0000_f83f;
    state.vcpus[1].registers.apr = 0xffff_ffff;
    state.vcpus[1].registers.pcr = 0x1f;
    state.vcpus[1].registers.ppi_priorityr7 = 0x1f1f_1f1f_1f1f_1f1f;
    state.vcpus[1].registers.ppi_enabler0 = u64::MAX;
    assert_eq!(fresh(&vcpus(2), 32).check(&state).expect("restorable").findings, []);
}

#[test]
fn a_report_has_a_line_for_each_problem() {
    let entry = |entry: Iste| entry.into_bits();
    let spis = [(3, entry(word(true, 9))), (4, entry(word(true, 9))), (5, entry(word(true, 3).with_irm(true)))];
    let lpis = [(200, entry(word(false, 3).with_pending(true))), (201, entry(word(true, 3).with_hwu(3)))];
    let mut state = state(&spis, &lpis);
    state.identity.idr1 &= !0x0070_0000;
    state.irs.cr1 |= 1 << 9;
    state.vcpus[1].registers.pcr = 0x20;
    let report = fresh(&vcpus(2), 32).check(&state).expect("restorable");
    snapshot!("gicv5_findings", report.to_string());
    let error = strict(fresh(&vcpus(2), 32)).check(&state).expect_err("strict");
    assert_eq!(error.to_string(), format!("medium, ist-target-unknown: {}", report.findings[0]));
}

#[test]
fn a_report_stays_small_whatever_the_table() {
    let all = |entries: usize| -> Vec<(usize, u32)> { (0..entries).map(|id| (id, 0xffff_fe11)).collect() };
    let mut state = state(&all(32), &all(256));
    state.vcpus.iter_mut().for_each(|vcpu| vcpu.registers.apr = u64::MAX);
    let report = fresh(&vcpus(2), 32).check(&state).expect("restorable");
    assert_eq!(report.findings.len(), 4 + 4 + 1);
    let (registers, tables): (Vec<&Finding>, Vec<&Finding>) =
        report.findings.iter().partition(|finding: &&Finding| finding.first.register.is_some());
    assert_eq!((registers.len(), registers[0].count), (1, 2));
    assert!(tables.iter().all(|finding| [32, 256].contains(&finding.count)), "{report}");
}
