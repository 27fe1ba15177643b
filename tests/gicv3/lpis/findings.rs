//! What is odd about LPIs, and restored all the same.

use super::{Rig, config, copy, lpis, saved};
use vgic_state::check::{Oddity, Refusal};
use vgic_state::gicv3::Gicv3State;
use vgic_state::its::{LpiConfiguration, PendingLpis};
use vgic_state::shadow::ShadowKind;
use vgic_state::{Error, InterruptState};

type Change = fn(&mut Gicv3State);

#[test]
fn each_is_counted_and_names_the_first() {
    let (good, memory) = saved();
    let cases: [(Change, Oddity, u32, &str); 4] = [
        (
            |state| lpis(state).configuration[2..5].iter_mut().for_each(|lpi| lpi.byte = 0xa1),
            Oddity::LpiConfiguration,
            3,
            "LPI 8194 and 2 more: its configuration lacks RES1: the guest may have put other data there",
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
            Oddity::LpiBeyondTables,
            1,
            "LPI 20000: beyond the configuration table that GICR_PROPBASER describes",
        ),
        (
            |state| {
                let vcpu = state.vcpus[1].vcpu;
                lpis(state).pending.retain(|pending| pending.vcpu != vcpu);
                lpis(state).pending.push(PendingLpis { vcpu, intids: vec![30_000, 65_535] });
            },
            Oddity::PendingUnmapped,
            2,
            "LPI 30000 and 1 more: pending, and no event is mapped to it: lost",
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
            Oddity::LpiShared,
            1,
            "LPI 8192: several events are mapped to it",
        ),
    ];
    for (change, oddity, count, text) in cases {
        let mut state = good.clone();
        change(&mut state);
        let mut destination = Rig::new(config(), copy(&memory), ShadowKind::Zero);
        destination.gic.options_mut().refuse_at = None;
        let report = destination.gic.restore(&state).expect("restore");
        assert_eq!(report.findings.iter().map(|finding| finding.to_string()).collect::<Vec<_>>(), [text]);
        assert_eq!((report.findings[0].oddity, report.findings[0].count), (oddity, count));
        assert_eq!(destination.gic.check(&state).map(|report| report.findings), Ok(report.findings.clone()));
        destination.gic.options_mut().strict = true;
        assert_eq!(destination.gic.check(&state), Err(Error::Refused(Refusal::Strict(report.findings[0]))));
    }
}
