//! Differences between releases of Linux.
//!
//! Source: [`Behaviour`] and what it cites.
//!
//! Rule: a test runs on every kernel, and says with which behaviour what happens.

use crate::common::*;
use vgic_state::model::gicv3::{Behaviour, CommandError, Kernel, MappedCollection};
use vgic_state::model::{Op, User};
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno};
use vm_memory::GuestMemoryMmap;

/// Targets by the place of the vCPU in the order of creation on old kernels.
fn target(kernel: Kernel, index: u64) -> u64 {
    if kernel.has(Behaviour::NamesVcpusById) { VCPUS[index as usize].0.into() } else { index }
}

/// Devices 3 and 9000 of an indirect table with an event each; collection 4 for the second vCPU.
fn mapped(kernel: Kernel) -> Rig {
    let mut rig = running_with(on(kernel), 1, true);
    rig.command(mapc(4, target(kernel, 1))).unwrap();
    for (device, itt, intid) in [(3, ITTS, 8300), (9000, ITTS + 0x800, 8400)] {
        rig.command(mapd(device, 4, itt)).unwrap();
        rig.command(mapti(device, 6, intid, 4)).unwrap();
    }
    rig
}

#[test]
fn how_a_target_is_named() {
    for kernel in Kernel::ALL {
        let old = !kernel.has(Behaviour::NamesVcpusById);
        let mut rig = running_with(on(kernel), 1, false);
        let refused = its_error(0x01_0902);
        // vCPUs 5, 2 and 9 in this order.
        for (name, as_place, as_id) in [(1, Some(1), None), (2, Some(2), Some(1)), (5, None, Some(0))] {
            let index: Option<usize> = if old { as_place } else { as_id };
            assert_eq!(rig.command(mapc(4, name)), if index.is_some() { Ok(()) } else { refused }, "{kernel:?} {name}");
            let Some(index) = index else { continue };
            rig.command(mapd(70, 4, ITTS)).unwrap();
            rig.command(mapti(70, 6, 8300, 4)).unwrap();
            assert_eq!(rig.vm.lpi(8300).unwrap().target, Some(vcpu(index).id), "{kernel:?} {name}");
        }
        // An old kernel looks at the target even when there is none.
        let unmap = [0x09, 0, 9 << 16 | 4, 0];
        assert_eq!(rig.command(unmap), if old { refused } else { Ok(()) }, "{kernel:?}");
        assert_eq!(rig.vm.mappings(0).unwrap().collections.is_empty(), !old);
        // A line of vCPU 9, which is the third of three.
        let line = rig.vm.set_ppi_level(vcpu(2).id, 20, true);
        assert_eq!(line, if old { Err(Errno::EINVAL) } else { Ok(()) }, "{kernel:?}");
    }
}

#[test]
fn a_table_that_changes_its_place() {
    for kernel in Kernel::ALL {
        let mut rig = mapped(kernel);
        rig.its[0].set(Attr::its(0), 0).unwrap();
        let before = rig.vm.mappings(0).unwrap();
        for (offset, which) in [(0x100, 0), (0x108, 1)] {
            let value = rig.its[0].get(Attr::its(offset)).unwrap();
            rig.its[0].set(Attr::its(offset), value).unwrap();
            let frees = kernel.has(Behaviour::ChangedBaserFreesMappings);
            assert_eq!(rig.vm.mappings(0).unwrap().devices.len(), if which == 1 && frees { 0 } else { 2 });
            rig.its[0].set(Attr::its(offset), value + 0x1_0000).unwrap();
        }
        let after = rig.vm.mappings(0).unwrap();
        if kernel.has(Behaviour::ChangedBaserFreesMappings) {
            assert!(after.devices.is_empty() && after.collections.is_empty(), "{kernel:?}");
        } else {
            assert_eq!(after, before, "{kernel:?}");
        }
    }
}

#[test]
fn a_device_whose_entry_has_no_place() {
    for kernel in Kernel::ALL {
        let mut rig = mapped(kernel);
        rig.write64(devices(0), 0);
        let answer = rig.its[0].command(Command::ItsSaveTables);
        let saved =
            [level2(0, 0) + 24, ITTS + 48, level2(0, 1) + 808 * 8, ITTS + 0x830, collections(0)].map(|at| rig.read64(at) != 0);
        let skips = kernel.has(Behaviour::SaveSkipsDevicesWithoutEntry);
        if skips {
            assert_eq!((answer, saved), (Ok(()), [false, false, true, true, true]), "{kernel:?}: lost without a word");
        } else {
            assert_eq!((answer, saved), (Err(Errno::EINVAL), [false; 5]), "{kernel:?}");
        }
        rig.vm.set_memory(GuestMemoryMmap::new());
        let errno = if skips { Errno::EFAULT } else { Errno::EINVAL };
        assert_eq!(rig.its[0].command(Command::ItsSaveTables), Err(errno), "{kernel:?}: no slot at all");
    }
}

#[test]
fn distances_skip_what_is_not_saved() {
    let mut rig = mapped(Kernel::V7_3);
    rig.command(mapd(20000, 4, ITTS + 0x1000)).unwrap();
    rig.write64(devices(0) + 8, 0);
    rig.its[0].command(Command::ItsSaveTables).unwrap();
    assert_eq!(rig.read64(level2(0, 0) + 24) >> 49 & 0x3fff, 16383, "from 3 to 20000, past 9000");
}

#[test]
fn an_event_whose_collection_is_gone() {
    for kernel in Kernel::ALL {
        let mut rig = mapped(kernel);
        rig.command(mapc(11, target(kernel, 2))).unwrap();
        for (event, collection) in [(1, 11), (9, 11)] {
            rig.command(mapti(3, event, 8310 + event, collection)).unwrap();
        }
        rig.command(unmapc(4)).unwrap();
        rig.write64(ITTS + 48, 0x4444);
        let answer = rig.its[0].command(Command::ItsSaveTables);
        if kernel.has(Behaviour::SavesEventsWithoutCollection) {
            assert_eq!((answer, rig.read64(ITTS + 48)), (Ok(()), 0), "{kernel:?}: cleared");
            let next = if kernel.has(Behaviour::DistancesPassOverUnmapped) { 8 } else { 5 };
            assert_eq!(rig.read64(ITTS + 8) >> 48, next, "{kernel:?}: to event 9, or to what was event 6");
            let mut target = prepared_with(on(kernel), 1, true, copy(&rig.memory));
            target.its[0].command(Command::ItsRestoreTables).unwrap();
            let events: Vec<u32> = target.vm.mappings(0).unwrap().devices[0].events.iter().map(|event| event.id).collect();
            assert_eq!(events, [1, 9], "{kernel:?}: the same events");
        } else {
            assert_eq!((answer, rig.vm.is_dead()), (Err(Errno::EIO), true), "{kernel:?}: the host crashes");
        }
    }
}

#[test]
fn old_kernels_bring_unmapped_devices_back() {
    for kernel in Kernel::ALL {
        let mut rig = mapped(kernel);
        rig.its[0].command(Command::ItsSaveTables).unwrap();
        rig.command(event(DISCARD, 9000, 6)).unwrap();
        rig.command(unmapd(3)).unwrap();
        let cleared = [level2(0, 0) + 24, ITTS + 0x830].map(|at| rig.read64(at) == 0);
        assert_eq!(cleared, [kernel.has(Behaviour::ClearsUnmappedEntries); 2], "{kernel:?}");
        rig.its[0].command(Command::ItsSaveTables).unwrap();
        // What an old kernel left behind is a device again.
        let mut target = prepared_with(on(kernel), 1, true, copy(&rig.memory));
        target.its[0].command(Command::ItsRestoreTables).unwrap();
        let devices: Vec<u32> = target.vm.mappings(0).unwrap().devices.iter().map(|device| device.id).collect();
        assert_eq!(devices, if kernel.has(Behaviour::ClearsUnmappedEntries) { vec![9000] } else { vec![3, 9000] }, "{kernel:?}");
    }
}

#[test]
fn wide_event_ids() {
    for kernel in Kernel::ALL {
        let mut rig = mapped(kernel);
        rig.its[0].command(Command::ItsSaveTables).unwrap();
        let mut target = prepared_with(on(kernel), 1, true, copy(&rig.memory));
        target.write64(level2(0, 0) + 24, rig.read64(level2(0, 0) + 24) | 0x1f);
        let new = kernel.has(Behaviour::RefusesWideEventIds);
        assert_eq!(target.its[0].command(Command::ItsRestoreTables), if new { Err(Errno::EINVAL) } else { Ok(()) }, "{kernel:?}");
    }
}

#[test]
fn a_written_revision_takes_effect_where_the_kernel_has_it() {
    for kernel in Kernel::ALL {
        let mut rig = ready_with(on(kernel), 0, new_memory());
        assert_eq!(rig.gic.set(Attr::dist(8), 0x4b00_243b), Ok(()), "{kernel:?}");
        let applied = kernel.has(Behaviour::AppliesImplementationRevision);
        assert_eq!(rig.gic.get(Attr::dist(8)), Ok(if applied { 0x4b00_243b } else { 0x4b00_343b }), "{kernel:?}: read it back");
        let presets = kernel.has(Behaviour::PresetsBeforeInit);
        let errno = if presets { Errno::EBUSY } else { Errno::EINVAL };
        assert_eq!(rig.gic.set(Attr::dist(0xc), 0x100), Err(errno), "{kernel:?}");
        let rig = created_with(on(kernel), 0, new_memory());
        assert_eq!(rig.gic.get(Attr::dist(8)), if presets { Ok(0x4b00_343b) } else { Err(Errno::EBUSY) }, "{kernel:?}");
        let maintenance = AttrId::from_raw(9, 0);
        let known = kernel.has(Behaviour::HasMaintenanceIrq);
        let missing = Err(Errno::ENXIO);
        assert_eq!(rig.gic.get(Attr::maintenance_irq()), if known { Ok(0) } else { missing }, "{kernel:?}: before INIT");
        let after = if kernel.has(Behaviour::GivesMaintenanceIrqAfterInit) { Ok(0) } else { Err(Errno::EBUSY) };
        let ready = ready_with(on(kernel), 0, new_memory());
        assert_eq!(ready.gic.get(Attr::maintenance_irq()), if known { after } else { missing }, "{kernel:?}: after INIT");
        assert_eq!(rig.gic.has(maintenance), if known { Ok(()) } else { Err(Errno::ENXIO) }, "{kernel:?}");
        let init_first = kernel.has(Behaviour::IrqLineNeedsInitFirst);
        assert_eq!(rig.vm.set_spi_level(7, true), Err(if init_first { Errno::EBUSY } else { Errno::EINVAL }), "{kernel:?}");
    }
}

#[test]
fn pending_latches_are_written_on_every_kernel() {
    for kernel in Kernel::ALL {
        let mut rig = ready_with(on(kernel), 0, new_memory());
        for value in [0x00ff_1200, 0x0f0f_0034] {
            rig.gic.set(Attr::dist(0x204), value).unwrap();
            assert_eq!(rig.gic.get(Attr::dist(0x204)), Ok(value), "{kernel:?}: set and cleared");
        }
    }
}

#[test]
fn commands_that_an_its_does_not_have() {
    for kernel in Kernel::ALL {
        let rig = ready_with(on(kernel), 1, new_memory());
        let answer = if kernel.has(Behaviour::RefusesUnknownItsCommands) { Err(Errno::ENXIO) } else { Ok(()) };
        for id in [Command::SavePendingTables.id(), AttrId::from_raw(4, 77)] {
            assert_eq!(rig.its[0].ioctl(Op::Set, id, User::Null), answer, "{kernel:?} {id}");
            assert_eq!(rig.its[0].has(id), Err(Errno::ENXIO), "{kernel:?} {id}");
        }
    }
}

#[test]
fn a_migration_from_any_to_any() {
    for from in Kernel::ALL {
        for to in Kernel::ALL {
            // A target is a place here and an id there: what is 2 for both.
            let mut source = running_with(on(from), 1, false);
            source.command(mapc(4, 2)).unwrap();
            source.command(mapd(70, 4, ITTS)).unwrap();
            source.command(mapti(70, 6, 8300, 4)).unwrap();
            let target = migrate(&mut source, on(to), false);
            assert_eq!(
                target.vm.mappings(0).unwrap().collections,
                [MappedCollection { id: 4, target: Some(2) }],
                "{from:?} {to:?}"
            );
            assert_eq!(
                target.vm.lpi(8300).unwrap().target,
                Some(vcpu(if to.has(Behaviour::NamesVcpusById) { 1 } else { 2 }).id),
                "{from:?} {to:?}"
            );
        }
    }
}

#[test]
fn one_lpi_for_two_events() {
    for kernel in Kernel::ALL {
        let one = kernel.has(Behaviour::OneEventForAnLpi);
        let mut rig = mapped(kernel);
        let second = rig.command(mapti(9000, 7, 8300, 4));
        assert_eq!(second, if one { Err(CommandError::Host(Errno::EEXIST)) } else { Ok(()) }, "{kernel:?}");
        let events = |rig: &Rig| rig.vm.mappings(0).unwrap().devices.iter().map(|device| device.events.len()).sum::<usize>();
        assert_eq!(events(&rig), if one { 2 } else { 3 }, "{kernel:?}");

        // The same in tables: the second one that is read is left out, and the kernel says success.
        let mut rig = mapped(kernel);
        rig.its[0].command(Command::ItsSaveTables).unwrap();
        let mut target = prepared_with(on(kernel), 1, true, copy(&rig.memory));
        target.write64(ITTS + 0x830, 8300 << 16 | 4);
        assert_eq!(target.its[0].command(Command::ItsRestoreTables), Ok(()), "{kernel:?}");
        assert_eq!(events(&target), if one { 1 } else { 2 }, "{kernel:?}");
        assert_eq!(target.vm.lpi(8400), None);

        // Free again, it can be mapped.
        let mut rig = mapped(kernel);
        rig.command(event(DISCARD, 3, 6)).unwrap();
        assert_eq!(rig.command(mapti(9000, 7, 8300, 4)), Ok(()), "{kernel:?}");
    }
}

#[test]
fn whose_lpis_are_moved() {
    for kernel in Kernel::ALL {
        let mut rig = mapped(kernel);
        rig.command(mapc(6, target(kernel, 2))).unwrap();
        rig.command(mapti(3, 1, 8301, 6)).unwrap();
        // From the second to the first: the LPI of the third stays.
        rig.command([0x0e, 0, target(kernel, 1) << 16, target(kernel, 0) << 16]).unwrap();
        let stays = kernel.has(Behaviour::MovallKeepsOthers);
        assert_eq!(rig.vm.lpi(8300).unwrap().target, Some(vcpu(0).id), "{kernel:?}");
        assert_eq!(rig.vm.lpi(8301).unwrap().target, Some(vcpu(if stays { 2 } else { 0 }).id), "{kernel:?}");
    }
}

#[test]
fn active_interrupts_and_list_registers() {
    for kernel in Kernel::ALL {
        let mut rig = running_with(on(kernel), 0, false);
        rig.gic.set(Attr::dist(0), 2).unwrap();
        rig.gic.set(Attr::dist(0x84), u32::MAX).unwrap();
        // SPIs 32 to 35 are active, 40 is pending.
        rig.gic.set(Attr::dist(0x304), 0xf).unwrap();
        rig.gic.set(Attr::dist(0x104), 1 << 8).unwrap();
        rig.gic.set(Attr::dist(0x204), 1 << 8).unwrap();
        let crowded = rig.vm.run(vcpu(0).id, |guest| {
            guest.enable_interface();
            guest.acknowledge()
        });
        assert_eq!(crowded, Ok(kernel.has(Behaviour::PendingBeforeActive).then_some(40)), "{kernel:?}");
        if crowded == Ok(None) {
            rig.gic.set(Attr::dist(0x384), 1).unwrap();
            assert_eq!(rig.vm.run(vcpu(0).id, |guest| guest.acknowledge()), Ok(Some(40)), "{kernel:?}");
        }
    }
}

/// Six SGIs pend, of one priority and four list registers: which of group 1 the guest is given when those before are of group 0.
#[test]
fn pending_interrupts_and_list_registers() {
    for kernel in Kernel::ALL {
        let last = kernel.has(Behaviour::DisabledGroupsLast);
        // A kernel that has one of the two.
        let active_last = kernel.without(Behaviour::DisabledGroupsLast).with(Behaviour::PendingBeforeActive);
        for (kernel, group1, active, expected) in [
            // The first four fill the list registers.
            (kernel, 0b11_0000, 0, if last { &[4, 5][..] } else { &[] }),
            (kernel, 0b01_1000, 0, &[3, 4]),
            (kernel, 0b11_1111, 0, &[0, 1, 2, 3, 4, 5]),
            // One that is active is the first of them, or the last.
            (kernel, 0b01_1000, 1, if last { &[3, 4] } else { &[] }),
            (active_last, 0b01_1000, 1, &[3, 4]),
            (active_last, 0b11_0000, 0, &[]),
        ] {
            let mut rig = running_with(on(kernel), 0, false);
            rig.gic.set(Attr::dist(0), 2).unwrap();
            rig.gic.set(Attr::redist(VCPUS[0].1, 0x1_0080), group1).unwrap();
            rig.gic.set(Attr::redist(VCPUS[0].1, 0x1_0200), 0b11_1111).unwrap();
            rig.gic.set(Attr::redist(VCPUS[0].1, 0x1_0300), active << 8).unwrap();
            let served = rig.vm.run(vcpu(0).id, |guest| {
                guest.enable_interface();
                let mut served = Vec::new();
                while let Some(intid) = guest.acknowledge() {
                    guest.eoi(intid);
                    served.push(intid);
                }
                served
            });
            assert_eq!(served.unwrap(), expected, "{kernel:?}, {group1:#b}, {active}");
        }
    }
}

/// An LPI that is pending on a vCPU's list stays there, and in what is saved, until that vCPU runs: whatever became of its mapping, and
/// whichever other vCPU runs. What random conversations found (seed 6001).
#[test]
fn a_list_changes_when_its_vcpu_runs() {
    for kernel in Kernel::ALL {
        let mut rig = mapped(kernel);
        rig.gic.set(Attr::dist(0), 2).unwrap();
        rig.vm.signal_msi(doorbell(0), 3, 6).unwrap();
        assert_eq!(rig.vm.lpi(8300).unwrap().target, Some(vcpu(1).id));
        // The distributor is disabled: nothing belongs on a list.
        rig.gic.set(Attr::dist(0), 0).unwrap();
        rig.vm.run(vcpu(0).id, |_| ()).unwrap();
        rig.its[0].command(Command::ItsReset).unwrap();
        rig.gic.command(Command::SavePendingTables).unwrap();
        assert!(rig.pending(8300), "{kernel:?}");
        rig.vm.run(vcpu(1).id, |_| ()).unwrap();
        assert!(rig.vm.lpi(8300).is_none(), "{kernel:?}");
    }
}

#[test]
fn a_release_is_found_by_its_name_or_unknown() {
    for (release, expected) in [
        ("7.3.4", Kernel::V7_3_4),
        ("7.3-rc7", Kernel::V7_3),
        ("6.12.118+deb13-cloud-arm64", Kernel::V6_12_118),
        ("6.1.192", Kernel::V6_1_192),
        ("6.1.0", Kernel::V6_1),
    ] {
        assert_eq!(release.parse::<Kernel>(), Ok(expected), "{release}");
    }
    for release in [
        "",
        "6",
        "6.1",
        "7.3-cloud-arm64",
        "x",
        "5.10.200",
        "6.6.3",
        "7.4.0",
        "6.12.9999",
        "6.1.0-56-cloud-arm64",
        "99999999.1.1",
        "7.3.5",
        "7.0.3",
    ] {
        let error = release.parse::<Kernel>().expect_err(release).to_string();
        assert!(error.starts_with(&format!("the model does not know Linux {release}: ")), "{error}");
    }
    let debian = |release, version| Kernel::from_uname(release, version).map(|kernel| kernel.to_string());
    assert_eq!(debian("6.1.0-56-cloud-arm64", "#1 SMP Debian 6.1.192-2 (2026-11-20)").as_deref(), Ok("6.1.192"));
    assert_eq!(debian("7.3-cloud-arm64", "#1 SMP Debian 7.3~rc7-1~exp1 (2026-10-12)").as_deref(), Ok("7.3.0"));
    assert_eq!(debian("7.3.4", "#1 SMP").as_deref(), Ok("7.3.4"));

    // Of the releases between two packaged ones, which has a fix.
    for (behaviour, before, first) in [
        (Behaviour::AppliesImplementationRevision, "7.0.6", "7.0.7"),
        (Behaviour::RefusesWideEventIds, "7.0.10", "7.0.11"),
        (Behaviour::DisablingForgetsPendingLpis, "7.1.4", "7.1.5"),
    ] {
        let has = |release: &str| release.parse::<Kernel>().unwrap().has(behaviour);
        assert_eq!((has(before), has(first)), (false, true), "{behaviour:?}");
    }

    let patched = Kernel::V6_1.with(Behaviour::ClearsUnmappedEntries).without(Behaviour::MovallKeepsOthers);
    assert_eq!(format!("{patched:?}"), "Kernel(6.1.0 with ClearsUnmappedEntries without MovallKeepsOthers)");
    assert!(Kernel::ALL.is_sorted() && !patched.has(Behaviour::MovallKeepsOthers));
}
