//! States with tables in them that cannot be restored: refused by name, and neither device nor slot sees anything of it.

use super::{Rig, config, copy, lpis, saved};
use crate::common::{CONFIGURATION, RAM, RAM_BYTES, area, its_base, pending, trace};
use crate::snapshot::snapshot;
use vgic_state::gicv3::Gicv3State;
use vgic_state::its::{Collection, Device, Event, ItsMappings, LpiConfiguration, PendingLpis};
use vgic_state::report::Refusal;
use vgic_state::shadow::ShadowKind;
use vgic_state::{DynInterruptState, Error, InterruptState, Options, Vcpu, VcpuId};

type Change = (&'static str, fn(&mut Gicv3State));

fn its(state: &mut Gicv3State) -> &mut ItsMappings {
    &mut lpis(state).its[0]
}

fn device(state: &mut Gicv3State) -> &mut Device {
    &mut its(state).devices[0]
}

fn end() -> u64 {
    RAM + RAM_BYTES as u64
}

/// An ITS without devices, whose table has room for all of them in memory, and is declared larger.
fn empty_its(state: &mut Gicv3State) {
    its(state).devices.clear();
    let base = its_base(0);
    lpis(state).pending.clear();
    lpis(state).configuration.retain(|lpi| lpi.intid >= 8192 + 100);
    let unit = state.its.iter_mut().find(|unit| unit.base == base).expect("ITS");
    unit.registers.baser0 = 1 << 63 | 0xff | (end() - 0x8_0000);
}

const MAPPINGS: &[Change] = &[
    ("an ITS twice", |state| lpis(state).its[1].base = its_base(0)),
    ("an ITS too few", |state| drop(lpis(state).its.pop())),
    ("an ITS too many", |state| lpis(state).its.push(ItsMappings { base: 0x0bad_0000, ..ItsMappings::default() })),
    ("ITSes out of order", |state| lpis(state).its.reverse()),
    ("no ITS", |state| lpis(state).its.clear()),
    ("collections without a table", |state| {
        state.its.iter_mut().for_each(|its| (its.registers.baser1, its.registers.ctlr) = (0, 0))
    }),
    ("devices without a table", |state| state.its.iter_mut().for_each(|its| (its.registers.baser0, its.registers.ctlr) = (0, 0))),
    ("collections out of order", |state| its(state).collections.reverse()),
    ("a collection twice", |state| its(state).collections[1] = its(state).collections[0]),
    ("a collection beyond the table", |state| its(state).collections.push(Collection { icid: 8192, target: None })),
    ("a target that is no vCPU", |state| its(state).collections[0].target = Some(2)),
    ("a target that is none", |state| its(state).collections[0].target = Some(u32::MAX)),
    ("devices out of order", |state| its(state).devices.swap(0, 1)),
    ("a device twice", |state| its(state).devices[1].id = its(state).devices[0].id),
    ("a device beyond the table", |state| its(state).devices[2].id = 8192),
    ("no EventID bits", |state| device(state).event_bits = 0),
    ("17 EventID bits", |state| device(state).event_bits = 17),
    ("u32::MAX EventID bits", |state| device(state).event_bits = u32::MAX),
    ("an ITT at an odd address", |state| device(state).itt += 8),
    ("an ITT beyond 52 bits", |state| device(state).itt = 1 << 52),
    ("events out of order", |state| device(state).events.swap(0, 1)),
    ("an event twice", |state| device(state).events[1].id = device(state).events[0].id),
    ("an event beyond the ITT", |state| device(state).events[7].id = 16),
    ("an INTID below LPIs", |state| device(state).events[0].intid = 8191),
    ("an INTID of 17 bits", |state| device(state).events[0].intid = 1 << 16),
    ("an event without a collection", |state| device(state).events[0].icid = 99),
];

const LPIS: &[Change] = &[
    ("a configuration too few", |state| lpis(state).configuration.truncate(3)),
    ("a configuration too many", |state| lpis(state).configuration.push(LpiConfiguration { intid: 60_000, byte: 3 })),
    ("configurations out of order", |state| lpis(state).configuration.swap(0, 1)),
    ("no configuration", |state| lpis(state).configuration.clear()),
    ("pending LPIs out of order", |state| lpis(state).pending[0].intids = vec![8201, 8200]),
    ("a pending LPI twice", |state| lpis(state).pending[0].intids = vec![8200, 8200]),
    ("no pending LPI", |state| lpis(state).pending[0].intids.clear()),
    ("a pending SPI", |state| lpis(state).pending[0].intids = vec![40]),
    ("a pending INTID of 17 bits", |state| lpis(state).pending[0].intids = vec![65_536]),
    ("a vCPU twice", |state| {
        let twice = lpis(state).pending[0].clone();
        lpis(state).pending.push(twice);
    }),
    ("pending LPIs of another vCPU", |state| {
        let vcpu = lpis(state).pending[0].vcpu;
        lpis(state).pending = vec![PendingLpis { vcpu: Vcpu { id: VcpuId::new(7).expect("id"), ..vcpu }, intids: vec![8200] }];
    }),
    ("pending LPIs of a vCPU that has none", |state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.redist.ctlr = 0)),
];

const MEMORY: &[Change] = &[
    ("two ITTs", |state| its(state).devices[1].itt = its(state).devices[0].itt),
    ("ITTs of two ITSes", |state| lpis(state).its[1].devices[0].itt = lpis(state).its[0].devices[2].itt),
    ("an ITT and the device table", |state| device(state).itt = area(0) + 0x1_0000),
    ("an ITT and the collection table", |state| device(state).itt = area(0) + 0x2_0000),
    ("an ITT and the configuration table", |state| device(state).itt = CONFIGURATION),
    ("an ITT and a pending table", |state| device(state).itt = pending(1) + 0x1f00),
    ("two pending tables", |state| state.vcpus[1].redist.pendbaser = state.vcpus[0].redist.pendbaser),
    ("an ITT that is nowhere", |state| device(state).itt = 0x9000_0000),
    ("an ITT that ends outside", |state| {
        let device = device(state);
        (device.itt, device.event_bits) = (end() - 0x1000, 16);
        device.events = [(0, 8192), (511, 8193), (512, 8194)].map(|(id, intid)| Event { id, intid, icid: 7 }).to_vec();
        let gone = 8195..8200;
        lpis(state).configuration.retain(|lpi| !gone.contains(&lpi.intid));
    }),
    ("an ITT without events that ends outside", |state| {
        let device = device(state);
        (device.itt, device.event_bits) = (end() - 0x1000, 16);
        device.events.clear();
        lpis(state).configuration.retain(|lpi| lpi.intid >= 8200);
    }),
    ("a device table without devices that ends outside", empty_its),
    ("a device table without devices over the collection table", |state| {
        empty_its(state);
        state.its[0].registers.baser0 = 1 << 63 | 1 | (area(0) + 0x1_0000);
    }),
    ("a collection table that is nowhere", |state| state.its[0].registers.baser1 = 1 << 63 | 0x9000_0000),
    ("a configuration table that is nowhere", |state| {
        state.vcpus.iter_mut().for_each(|vcpu| vcpu.redist.propbaser = 0x9000_000f);
    }),
    ("a pending table that is nowhere", |state| state.vcpus[1].redist.pendbaser = 0x9000_0000),
    ("a pending table that is nowhere, of a vCPU without LPIs", |state| {
        lpis(state).pending.clear();
        (state.vcpus[1].redist.pendbaser, state.vcpus[1].redist.ctlr) = (0x9000_0000, 0);
    }),
];

#[test]
fn each_rule_is_refused_by_name() {
    let (good, memory) = saved();
    let mut text = String::new();
    let mut destination = Rig::new(config(), copy(&memory), ShadowKind::Zero);
    for (what, change) in [MAPPINGS, LPIS, MEMORY].concat() {
        let mut state = good.clone();
        change(&mut state);
        let error = match destination.gic.restore(&state) {
            Err(Error::Refused(error)) => error,
            other => panic!("{what}: {other:?}"),
        };
        assert!(matches!(*error, Refusal::Tables(_) | Refusal::Problem(_)), "{what}: {error}");
        assert_eq!(destination.gic.check(&state), Err(Error::Refused(error.clone())));
        // And by every threshold.
        destination.gic.options_mut().refuse_at = None;
        let lenient = destination.gic.check(&state).expect_err(what);
        assert!(matches!(lenient, Error::Refused(_)), "{what}: {lenient}");
        destination.gic.set_options(Options::default());
        text.push_str(&format!("{what}:\n  {error}\n"));
    }
    assert_eq!((trace(&destination.vm), destination.touched()), (String::new(), 0));
    assert_eq!(destination.vm.written(), []);
    snapshot!("gicv3_lpis_refusals", text);
    destination.gic.restore(&good).expect("the state itself");
}

/// What a guest can have is not refused, and is restored as it was.
#[test]
fn what_a_guest_can_have_is_restored() {
    let (good, memory) = saved();
    let cases: &[Change] = &[
        ("tables that touch", |state| {
            let first = its(state).devices[0].itt;
            its(state).devices[1].itt = first + 256;
        }),
        ("an ITT that is declared larger than there is memory", |state| {
            let device = device(state);
            (device.itt, device.event_bits) = (end() - 0x1000, 16);
        }),
        ("an ITT that is declared larger than there is room", |state| {
            let first = its(state).devices[0].itt;
            its(state).devices[0].event_bits = 16;
            its(state).devices[1].itt = first + 256;
        }),
        ("a collection without a target", |state| {
            its(state).collections[0].target = None;
            lpis(state).pending.clear();
        }),
        ("an ITS without devices and collections", |state| {
            its(state).devices.clear();
            its(state).collections.clear();
            let kept = 8192 + 100;
            lpis(state).configuration.retain(|lpi| lpi.intid >= kept);
            lpis(state).pending.clear();
        }),
        ("the last LPI and the last event", |state| {
            let device = device(state);
            device.events.push(Event { id: 15, intid: 65_535, icid: 7 });
            lpis(state).configuration.push(LpiConfiguration { intid: 65_535, byte: 0xa3 });
        }),
        ("the last LPI, and its pending bit where memory begins", |state| {
            state.vcpus[0].redist.pendbaser = RAM;
            device(state).events.push(Event { id: 15, intid: 65_535, icid: 7 });
            lpis(state).configuration.push(LpiConfiguration { intid: 65_535, byte: 0xa3 });
        }),
        ("nothing pending and no memory for that of a vCPU that no LPI targets", |state| {
            for mappings in &mut lpis(state).its {
                mappings.collections.iter_mut().for_each(|collection| collection.target = Some(0));
            }
            lpis(state).pending.clear();
            state.vcpus[1].redist.pendbaser = 0x9000_0000;
        }),
        // As a guest that resumed from hibernation may have: the kernel stops at the last device.
        ("an ITT behind the last device", |state| device(state).itt = area(0) + 0x2_0000 - 256),
    ];
    for (what, change) in cases {
        for kind in [ShadowKind::Zero, ShadowKind::CopyOnWrite] {
            let mut state = good.clone();
            change(&mut state);
            let mut destination = Rig::new(config(), copy(&memory), kind);
            let report = destination.gic.restore(&state).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(report.findings, [], "{what}");
            let again = destination.flush_and_save();
            assert_eq!(again.lpis, state.lpis, "{what}, {kind:?}");
        }
    }
}
