//! Save, restore into a fresh VM, save: the same, and not one byte of guest memory has changed.

use super::{Rig, commands, config, contents, copy, garbage, lpis, mapd, mapti, saved, shared_memory};
use crate::common::{Config, area, pending};
use crate::save::Save as _;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use vgic_state::gicv3::Gicv3State;
use vgic_state::its::{Collection, Device, Event, LpiConfiguration, LpiState, PendingLpis};
use vgic_state::model::gicv3::{Behaviour, Host, Kernel};
use vgic_state::shadow::ShadowKind;
use vgic_state::{DynInterruptState, InterruptState};

const KINDS: [ShadowKind; 2] = [ShadowKind::Zero, ShadowKind::CopyOnWrite];

#[test]
fn on_every_kernel() {
    for kernel in Kernel::ALL {
        for (kind, its) in KINDS.into_iter().zip([1, 3]) {
            let config = Config { host: Host { kernel, ..Host::default() }, vcpus: 3, its, ..Config::default() };
            let mut source = Rig::filled(config, kind);
            let before = contents(&source.memory);
            let state = source.flush_and_save();
            assert!(contents(&source.memory) == before && !state.lpis.as_ref().expect("LPIs").pending.is_empty());
            let image = state.to_image().expect("image");
            assert_eq!(Gicv3State::parse(&image).as_ref(), Ok(&state));

            let mut destination = Rig::new(config, copy(&source.memory), kind);
            let report = destination.gic.restore_image(&image).expect("restore");
            assert_eq!((report.findings, report.guest_memory_written), (vec![], vec![]));
            assert!(contents(&destination.memory) == before);
            assert_eq!(destination.flush_and_save(), state, "{kernel:?}");
            assert_eq!(destination.vm.lpis(), source.vm.lpis());
        }
    }
}

/// Of what a guest has put where its tables were, a copy-on-write shadow has it all.
#[test]
fn whatever_lies_where_the_tables_were() {
    // Events that do not begin with the first, and none at all.
    let sparse = |vm: &_, gic: &mut _| {
        let itt = area(0) + 0x6_0000;
        let map = [mapd(2000, 5, itt), mapti(2000, 9, 9000, 7), mapd(2001, 5, itt + 0x1000), mapd(2002, 16, itt + 0x2000)];
        commands(vm, gic, 0, &map);
        commands(vm, gic, 0, &[mapti(2002, 0xffff, 9001, 8)]);
    };
    let expected = Rig::filled_then(config(), ShadowKind::Zero, sparse).flush_and_save();
    for kind in KINDS {
        let mut source = Rig::filled_then(config(), kind, sparse);
        for n in 0..2 {
            garbage(&source.memory, area(n) + 0x1_0000, 0xf_0000);
            garbage(&source.memory, pending(n as u64), 0x1_0000);
        }
        let before = contents(&source.memory);
        assert_eq!(source.flush_and_save(), expected, "{kind:?}");
        let mut destination = Rig::new(config(), copy(&source.memory), kind);
        destination.gic.restore(&expected).expect("restore");
        assert_eq!(destination.flush_and_save(), expected, "{kind:?}");
        assert!(contents(&source.memory) == before && contents(&destination.memory) == before);
    }
}

/// The kernel reads on to the end of a table in which it finds no device.
#[test]
fn an_its_that_is_not_used_over_garbage() {
    let indirect = 1 << 62;
    for (baser0, kind) in [(0, KINDS[0]), (0, KINDS[1]), (indirect, KINDS[0]), (indirect, KINDS[1]), (15, KINDS[1])] {
        let (mut state, memory) = saved();
        garbage(&memory, area(3), 0x10_0000);
        let unit = &mut state.its[1];
        (unit.registers.baser0, unit.registers.ctlr) = (1 << 63 | baser0 | area(3), 0x8000_0000);
        let its = &mut lpis(&mut state).its[1];
        (its.devices, its.collections) = (vec![], vec![]);
        lpis(&mut state).configuration.retain(|lpi| lpi.intid < 8192 + 100);
        lpis(&mut state).pending.iter_mut().for_each(|pending| pending.intids.retain(|intid| *intid < 8192 + 100));
        lpis(&mut state).pending.retain(|pending| !pending.intids.is_empty());
        let mut destination = Rig::new(config(), memory, kind);
        destination.gic.restore(&state).expect("restore");
        assert_eq!(destination.flush_and_save().lpis, state.lpis, "{baser0:#x}, {kind:?}");
    }
}

/// A guest may declare an ITT larger than it is: what lies behind it is cleared, and written again.
#[test]
fn an_itt_that_is_declared_over_everything_else() {
    for indirect in [0, 1 << 62] {
        for kind in KINDS {
            let (mut state, memory) = saved();
            for unit in &mut state.its {
                unit.registers.baser0 |= indirect;
            }
            // 16 bits of EventID reach over the tables of both devices behind it, and the collection table.
            let its = &mut lpis(&mut state).its[0];
            its.devices[0].event_bits = 16;
            its.devices[0].itt = area(0) + 0x1_0000 - 0x1000;
            let mut destination = Rig::new(config(), copy(&memory), kind);
            destination.gic.restore(&state).expect("restore");
            assert_eq!(destination.flush_and_save().lpis, state.lpis, "{kind:?} {indirect:#x}");
        }
    }
}

/// KVM keeps the pending latches of LPIs that it does not deliver; the image has those of vCPUs whose LPIs are on.
#[test]
fn a_vcpu_whose_lpis_are_off() {
    for kind in KINDS {
        let (mut state, memory) = saved();
        garbage(&memory, area(4), 0x1_0000);
        let off = state.vcpus[1].vcpu;
        (state.vcpus[1].redist.ctlr, state.vcpus[1].redist.pendbaser) = (0, area(4));
        lpis(&mut state).pending.retain(|pending| pending.vcpu != off);
        let mut destination = Rig::new(config(), memory, kind);
        destination.gic.restore(&state).expect("restore");
        let of = |id| Some(id) == destination.vm.mappings(0).and_then(|its| its.collections.first()?.target);
        assert!(of(0));
        let pending: Vec<u32> = destination.vm.lpis().iter().filter(|lpi| lpi.pending).map(|lpi| lpi.intid).collect();
        let expected: Vec<u32> =
            state.lpis.iter().flat_map(|lpis| &lpis.pending).flat_map(|pending| pending.intids.clone()).collect();
        assert_eq!(pending, expected, "{kind:?}: nothing is pending that was not");
        let again = destination.flush_and_save();
        assert_eq!(again.lpis, state.lpis);
    }
}

/// Before a guest sets anything up, no table is anywhere.
#[test]
fn an_its_that_nobody_has_set_up() {
    for kernel in Kernel::ALL {
        for kind in KINDS {
            let config = Config { host: Host { kernel, ..Host::default() }, ..config() };
            let mut source = Rig::new(config, shared_memory(), kind);
            garbage(&source.memory, crate::common::RAM, 0x10_0000);
            let state = source.flush_and_save();
            let lpis = state.lpis.as_ref().expect("LPIs");
            assert!(lpis.its.len() == 2 && lpis.configuration.is_empty() && lpis.pending.is_empty());
            let mut destination = Rig::new(config, copy(&source.memory), kind);
            destination.gic.restore_image(&state.to_image().expect("image")).expect("restore");
            assert_eq!(destination.flush_and_save(), state);
        }
    }
}

/// The kernel may have the latch of an LPI on a vCPU whose LPIs are off; the state has not.
#[test]
fn an_lpi_that_pends_on_a_vcpu_whose_lpis_are_off_is_not_kept() {
    for kernel in [Kernel::V6_18, Kernel::V7_3_4] {
        let config = Config { host: Host { kernel, ..Host::default() }, ..config() };
        for kind in KINDS {
            let mut source = Rig::filled_then(config, kind, |_, gic| {
                use vgic_state::{Attr, AttrDevice};
                for vcpu in crate::common::vcpus(2).iter() {
                    gic.gic_mut().set(Attr::redist(vcpu.mpidr, 0), 0).expect("GICR_CTLR");
                }
            });
            let forgets = kernel.has(Behaviour::DisablingForgetsPendingLpis);
            assert_eq!((forgets, source.vm.lpis().iter().any(|lpi| lpi.pending)), (kernel == Kernel::V7_3_4, !forgets));
            let state = source.flush_and_save();
            assert_eq!(state.lpis.as_ref().map(|lpis| lpis.pending.len()), Some(0));
            let mut destination = Rig::new(config, copy(&source.memory), kind);
            destination.gic.restore(&state).expect("restore");
            assert!(destination.vm.lpis().iter().all(|lpi| !lpi.pending));
        }
    }
}

/// `MOVALL` moves LPIs, and not their collection: KVM saves the bit of one vCPU, and looks for that of another.
#[test]
fn lpis_that_were_moved_are_not_lost() {
    for kernel in Kernel::ALL {
        let config = Config { host: Host { kernel, ..Host::default() }, ..config() };
        let mut source = Rig::filled_then(config, ShadowKind::Zero, |vm, gic| {
            commands(vm, gic, 0, &[[0x0e, 0, 0, 1 << 16]]);
        });
        let state = source.flush_and_save();
        let pending = |rig: &Rig| {
            let lpis = rig.vm.lpis().into_iter().filter(|lpi| lpi.pending);
            lpis.map(|lpi| (lpi.intid, lpi.target.map(|id| id.get()))).collect::<Vec<_>>()
        };
        assert!(pending(&source).iter().all(|(_, target)| *target == Some(1)), "{:?}", pending(&source));
        assert_eq!(state.lpis.as_ref().map(|lpis| lpis.pending.len()), Some(1));
        let mut destination = Rig::new(config, copy(&source.memory), ShadowKind::Zero);
        destination.gic.restore(&state).expect("restore");
        let ids = |pending: Vec<(u32, Option<u32>)>| pending.into_iter().map(|(intid, _)| intid).collect::<Vec<_>>();
        assert_eq!(ids(pending(&destination)), ids(pending(&source)));
        assert!(pending(&destination).iter().any(|(_, target)| *target == Some(0)));
    }
}

#[test]
fn a_vm_without_its_has_nothing_to_flush() {
    let config = Config { its: 0, ..Config::default() };
    let mut rig = Rig::new(config, shared_memory(), ShadowKind::Zero);
    assert_eq!(rig.gic.flush_tables().expect("flush").written(), []);
    let state = rig.gic.flush_and_save().expect("save");
    assert_eq!((state.lpis.as_ref(), rig.touched()), (None, 0));
    assert_eq!(rig.gic.requirements().expect("requirements").image_max, state.image_bytes());
    rig.gic.restore(&state).expect("restore");
    // Not even with a section that says so.
    let mut with = state.clone();
    with.lpis = Some(LpiState::default());
    let parsed = Gicv3State::parse(&with.to_image().expect("image")).expect("parse");
    rig.gic.restore(&parsed).expect("restore");
    assert_eq!((rig.touched(), rig.gic.flush_and_save()), (0, Ok(state)));
}

/// Any state that a guest of [`config`] can have.
fn arbitrary() -> impl Strategy<Value = LpiState> {
    let collections = prop::collection::btree_map(0_u16..8192, prop::option::of(0_u32..2), 1..8);
    let events = prop::collection::btree_map(any::<u16>(), (8192_u32..1 << 16, any::<prop::sample::Index>()), 0..8);
    let devices = prop::collection::btree_map(0_u32..8192, (1_u32..=9, events), 0..12);
    let its = prop::collection::vec((collections, devices), 2);
    (its, any::<[u8; 8]>(), any::<u64>()).prop_map(|(its, bytes, bits)| {
        let mut lpis = LpiState::default();
        let mut targets = BTreeMap::new();
        let mut intids = BTreeSet::new();
        for (n, (collections, devices)) in its.into_iter().enumerate() {
            let collections: Vec<_> = collections.into_iter().map(|(icid, target)| Collection { icid, target }).collect();
            let mut mapped = vec![];
            for (k, (id, (event_bits, events))) in (0..).zip(devices) {
                let mut device = Device { id, itt: area(n) + 0x4_0000 + k * 0x1000, event_bits, events: vec![] };
                let events: BTreeMap<u32, _> =
                    events.into_iter().map(|(id, of)| (u32::from(id) >> (16 - event_bits), of)).collect();
                for (id, (intid, of)) in events {
                    let collection = of.get(&collections);
                    // Of an LPI that is mapped twice, one target counts.
                    if intids.insert(intid) {
                        targets.insert(intid, collection.target);
                        device.events.push(Event { id, intid, icid: collection.icid });
                    }
                }
                mapped.push(device);
            }
            let base = crate::common::its_base(n);
            lpis.its.push(vgic_state::its::ItsMappings { base, collections, devices: mapped });
        }
        let byte = |n: usize| bytes[n % 8] | 2;
        lpis.configuration =
            intids.iter().enumerate().map(|(n, intid)| LpiConfiguration { intid: *intid, byte: byte(n) }).collect();
        for vcpu in crate::common::vcpus(2).iter() {
            let own = targets.iter().filter(|(_, target)| **target == Some(vcpu.id.get()));
            let intids: Vec<u32> = own.map(|(intid, _)| *intid).filter(|intid| bits >> (intid % 64) & 1 != 0).collect();
            if !intids.is_empty() {
                lpis.pending.push(PendingLpis { vcpu, intids });
            }
        }
        lpis
    })
}

proptest! {
    #![proptest_config(crate::seeds::cases(16))]

    #[test]
    fn any_mappings_that_the_reader_takes_are_restored(mappings in arbitrary(), copy_on_write in any::<bool>()) {
        let (mut state, memory) = saved();
        // The configuration is the guest's.
        for lpi in &mappings.configuration {
            let at = crate::common::CONFIGURATION + u64::from(lpi.intid - 8192);
            vm_memory::Bytes::write_obj(&memory, lpi.byte, vm_memory::GuestAddress(at)).expect("memory");
        }
        state.lpis = Some(mappings);
        let image = state.to_image().expect("image");
        let parsed = Gicv3State::parse(&image);
        prop_assert_eq!(parsed.as_ref(), Ok(&state));
        let mut destination = Rig::new(config(), memory, KINDS[usize::from(copy_on_write)]);
        destination.gic.restore_image(&image).expect("restore");
        prop_assert_eq!(destination.flush_and_save().lpis, state.lpis);
    }
}
