//! What is odd about LPIs, and restored all the same.

use super::{Rig, config, copy, lpis, saved};
use vgic_state::gicv3::Gicv3State;
use vgic_state::its::{LpiConfiguration, PendingLpis};
use vgic_state::report::{Problem, Refusal, Severity};
use vgic_state::shadow::ShadowKind;
use vgic_state::{Error, InterruptState};

type Change = fn(&mut Gicv3State);

#[test]
fn each_is_counted_and_names_the_first() {
    let (good, memory) = saved();
    let cases: [(Change, Problem, u64, &str); 4] = [
        (
            |state| lpis(state).configuration[2..5].iter_mut().for_each(|lpi| lpi.byte = 0xa1),
            Problem::ConfigurationNotCredible,
            3,
            "LPI configuration table, LPI 8194 and 2 more: bit 1 of the configuration byte, which is RES1, is 0; \
             the guest may have put other data there: priority and enable are by chance",
        ),
        (
            |state| {
                let device = &mut lpis(state).its[1].devices[0];
                device.events[7].intid = 20_000;
                let replaced = 8192 + 107;
                lpis(state).configuration.retain(|lpi| lpi.intid != replaced);
                lpis(state).configuration.push(LpiConfiguration { intid: 20_000, byte: 0xa3 });
                // 14 bits of INTID.
                state.vcpus.iter_mut().for_each(|vcpu| vcpu.redist.propbaser = vcpu.redist.propbaser & !0x1f | 13);
            },
            Problem::LpiBeyondTable,
            1,
            "ITT of device 0x6 of the ITS at 0xa020000, event 0x7, LPI 20000: the LPI is beyond GICR_PROPBASER.IDbits; \
             KVM reads its configuration and clears its pending bit outside of the tables",
        ),
        (
            |state| {
                let vcpu = state.vcpus[1].vcpu;
                lpis(state).pending.retain(|pending| pending.vcpu != vcpu);
                lpis(state).pending.push(PendingLpis { vcpu, intids: vec![30_000, 65_535] });
            },
            Problem::PendingUnmapped,
            2,
            "LPI pending table of vCPU 1, LPI 30000 and 1 more: an LPI is pending that nothing maps; \
             stale, and pending as soon as it is mapped; or its mapping is lost",
        ),
        (
            |state| {
                let intid = lpis(state).its[0].devices[0].events[0].intid;
                for device in &mut lpis(state).its[1].devices[1..] {
                    device.events[0].intid = intid;
                }
                let gone = [8192 + 108, 8192 + 116];
                lpis(state).configuration.retain(|lpi| !gone.contains(&lpi.intid));
                lpis(state).pending.iter_mut().for_each(|pending| pending.intids.retain(|intid| !gone.contains(intid)));
            },
            Problem::LpiTwice,
            2,
            "ITT of device 0x132 of the ITS at 0xa020000, event 0x0, LPI 8192 and 1 more: the LPI is mapped already; \
             two events share one interrupt",
        ),
    ];
    for (change, problem, count, text) in cases {
        let mut state = good.clone();
        change(&mut state);
        let mut destination = Rig::new(config(), copy(&memory), ShadowKind::Zero);
        destination.gic.options_mut().refuse_at = None;
        let report = destination.gic.restore(&state).expect("restore");
        assert_eq!(report.findings.iter().map(|finding| finding.to_string()).collect::<Vec<_>>(), [text]);
        assert_eq!((report.findings[0].problem, report.findings[0].count), (problem, count));
        assert_eq!(destination.gic.check(&state).map(|report| report.findings), Ok(report.findings.clone()));
        destination.gic.options_mut().refuse_at = Some(Severity::Low);
        let refusal = Refusal::Problem(Box::new(report.findings[0]));
        assert_eq!(destination.gic.check(&state), Err(Error::from(refusal)));
    }
}
