//! What a restore refuses, and what it believes.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_restore_tables_v0` and the functions below it.
//!
//! Rule: a row damages one entry of tables that restore, and has the kernel's answer to it.

use crate::common::*;
use vgic_state::model::gicv3::{Host, Kernel};
use vgic_state::{Attr, AttrDevice, Command, Errno};
use vm_memory::GuestMemoryMmap;

/// Devices 3 and 70 with two events each, on collections 4 and 11; saved.
fn saved(indirect: bool) -> GuestMemoryMmap<()> {
    let mut rig = running_with(Host::default(), 1, indirect);
    for command in [mapc(4, 2), mapc(11, 9), mapd(70, 4, ITTS + 0x1000), mapd(3, 5, ITTS)] {
        rig.command(command).unwrap();
    }
    for command in [mapti(70, 0, 8300, 4), mapti(70, 9, 8301, 11), mapti(3, 2, 8400, 4), mapti(3, 17, 8401, 11)] {
        rig.command(command).unwrap();
    }
    rig.its[0].command(Command::ItsSaveTables).unwrap();
    rig.memory
}

/// A VM whose registers are restored.
fn target(memory: &GuestMemoryMmap<()>, kernel: Kernel, indirect: bool) -> Rig {
    prepared_with(on(kernel), 1, indirect, copy(memory))
}

fn devices_of(rig: &Rig) -> Vec<u32> {
    rig.vm.mappings(0).unwrap().devices.iter().map(|device| device.id).collect()
}

const DTE: u64 = devices(0) + 3 * 8;
const LAST_DTE: u64 = devices(0) + 70 * 8;
const CTE: u64 = collections(0);
const ITE: u64 = ITTS + 2 * 8;
const LAST_ITE: u64 = ITTS + 17 * 8;

#[test]
fn entries_that_kvm_refuses_are_refused_with_its_errno() {
    let memory = saved(false);
    let rig = target(&memory, Kernel::V7_3, false);
    let (dte, cte, ite) = (rig.read64(DTE), rig.read64(CTE), rig.read64(ITE));
    for (what, address, entry, errno) in [
        ("CTE: a target that is no vCPU", CTE, 1 << 63 | 3 << 16 | 4, Errno::EINVAL),
        ("CTE: a collection twice", CTE + 8, cte, Errno::EEXIST),
        ("CTE: a collection beyond the table", CTE, cte | 0x2000, Errno::EINVAL),
        ("DTE: 17 bits of EventID", DTE, dte & !0x1f | 16, Errno::EINVAL),
        ("DTE: a translation table where no memory is", DTE, dte & !0x1_ffff_ffff_ffe0 | 0x2000_0000 >> 8 << 5, Errno::EFAULT),
        ("ITE: not an LPI", ITE, ite & !(0xffff_ffff << 16) | 8191 << 16, Errno::EINVAL),
        ("ITE: the next one beyond the device", ITE, ite & !(0xffff << 48) | 30 << 48, Errno::EINVAL),
        ("ITE: no such collection", ITE, ite & !0xffff | 5, Errno::EINVAL),
        ("ITE: an LPI whose configuration is not in memory", ITE, ite & !(0xffff_ffff << 16) | 0x7fff_0000 << 16, Errno::EFAULT),
    ] {
        let mut rig = target(&memory, Kernel::V7_3, false);
        rig.write64(address, entry);
        assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Err(errno), "{what}");
        let mappings = rig.vm.mappings(0).unwrap();
        assert!(mappings.devices.is_empty() && mappings.collections.is_empty(), "{what}: freed");
        assert!(rig.vm.lpis().is_empty(), "{what}: freed");
        // A second try starts from nothing.
        rig.write64(address, target(&memory, Kernel::V7_3, false).read64(address));
        assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Ok(()), "{what}");
    }
    let mut rig = target(&memory, Kernel::V7_3, false);
    rig.vm.set_memory(GuestMemoryMmap::new());
    assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Err(Errno::EFAULT), "no memory");
}

#[test]
fn a_device_out_of_range() {
    let memory = saved(true);
    // Level-1 entry 8 stands for DeviceID 65536.
    let mut rig = target(&memory, Kernel::V7_3, true);
    rig.write64(devices(0) + 64, VALID | level2(0, 0));
    rig.write64(level2(0, 0) + 70 * 8, rig.read64(level2(0, 0) + 70 * 8) | 0x3fff << 49);
    assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Err(Errno::EINVAL));
}

#[test]
fn believed() {
    let memory = saved(false);
    let rig = target(&memory, Kernel::V7_3, false);
    let (dte, last_dte, ite, last_ite) = (rig.read64(DTE), rig.read64(LAST_DTE), rig.read64(ITE), rig.read64(LAST_ITE));
    let no_next = !(0x3fff << 49);
    for (what, address, entry, devices, events) in [
        ("DTE: no next one: the devices after it are gone", DTE, dte & no_next, vec![3], 2),
        ("DTE: the next one beyond the table", DTE, dte | 0x3fff << 49, vec![3], 2),
        ("DTE: cleared", LAST_DTE, 0, vec![3], 2),
        ("DTE: a stale one before the first", devices(0) + 8, last_dte, vec![1], 2),
        ("DTE: a translation table shared with another device", LAST_DTE, dte & no_next, vec![3, 70], 4),
        (
            "DTE: a translation table over the command queue",
            LAST_DTE,
            last_dte & !0x1_ffff_ffff_ffe0 | queue(0) >> 8 << 5,
            vec![3, 70],
            2,
        ),
        ("ITE: no next one", ITE, ite & !(0xffff << 48), vec![3, 70], 3),
        ("ITE: an LPI beyond GICR_PROPBASER.IDbits", ITE, ite & !(0xffff_ffff << 16) | 65536 << 16, vec![3, 70], 4),
        ("ITE: an LPI that another event has", ITE, ite & !(0xffff_ffff << 16) | 8401 << 16, vec![3, 70], 4),
        ("ITE: cleared", LAST_ITE, 0, vec![3, 70], 3),
        ("ITE: a stale one before the first", ITTS, last_ite, vec![3, 70], 3),
    ] {
        let mut rig = target(&memory, Kernel::V7_3, false);
        if what.ends_with("command queue") {
            for offset in (0..0x1000).step_by(8) {
                rig.write64(queue(0) + offset, 0);
            }
        }
        rig.write64(address, entry);
        assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Ok(()), "{what}");
        let mappings = rig.vm.mappings(0).unwrap();
        assert_eq!(devices_of(&rig), devices, "{what}");
        assert_eq!(mappings.devices.iter().map(|device| device.events.len()).sum::<usize>(), events, "{what}");
    }
    // Reserved bits of a collection table entry; a collection that ends the table early, without anything on it.
    let mut rig = target(&memory, Kernel::V7_3, false);
    rig.write64(CTE, rig.read64(CTE) | 0x7ff << 52 | 0xf << 48);
    assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Ok(()));
    let mut rig = target(&memory, Kernel::V7_3, false);
    rig.write64(CTE + 8, 0);
    assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Err(Errno::EINVAL), "what was on it is missed");
}

#[test]
fn level_1_entries_are_believed() {
    let memory = saved(true);
    let entry = VALID | level2(0, 0);
    for (what, entries, devices) in [
        ("as saved", vec![(0, entry)], vec![3, 70]),
        ("reserved bits", vec![(0, entry | 0x7ff << 52 | 0xffff)], vec![3, 70]),
        ("not valid: the devices are gone", vec![(0, entry & !VALID)], vec![]),
        ("two entries for one page: every device twice", vec![(0, entry), (1, entry)], vec![3, 70, 8195, 8262]),
    ] {
        let mut rig = target(&memory, Kernel::V7_3, true);
        if devices.len() == 4 {
            // The last device says that there are more.
            rig.write64(level2(0, 0) + 70 * 8, rig.read64(level2(0, 0) + 70 * 8) | 0x3fff << 49);
        }
        for (index, entry) in entries {
            rig.write64(devices_at(index), entry);
        }
        assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Ok(()), "{what}");
        assert_eq!(devices_of(&rig), devices, "{what}");
    }
    let mut rig = target(&memory, Kernel::V7_3, true);
    rig.write64(devices_at(0), VALID | 0x2000_0000);
    assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Err(Errno::EFAULT), "a page that is not there");
}

fn devices_at(index: u64) -> u64 {
    devices(0) + index * 8
}

#[test]
fn wide_event_ids_of_an_older_kernel() {
    let memory = saved(false);
    for (bits, events) in [(17, 2), (28, 2), (29, 0), (32, 0)] {
        let mut rig = target(&memory, Kernel::V6_12_74, false);
        let dte = rig.read64(LAST_DTE);
        rig.write64(LAST_DTE, dte & !0x1f | (bits - 1));
        // From 29 bits on the length of the table comes out as 0: only the first event is looked at.
        rig.write64(ITTS + 0x1000, if events == 0 { 0 } else { rig.read64(ITTS + 0x1000) });
        assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Ok(()), "{bits}");
        assert_eq!(rig.vm.mappings(0).unwrap().devices[1].events.len(), events, "{bits}");
    }
}

#[test]
fn a_second_restore_fails_and_frees_collections() {
    let memory = saved(false);
    let mut rig = target(&memory, Kernel::V7_3, false);
    rig.its[0].command(Command::ItsRestoreTables).unwrap();
    let restored = rig.vm.mappings(0);
    // The failure frees the collections; the devices stay, and nothing reaches them.
    assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Err(Errno::EEXIST));
    let mappings = rig.vm.mappings(0).unwrap();
    assert!(mappings.collections.is_empty() && mappings.devices.len() == 2);
    rig.its[0].set(Attr::its(0), 1).unwrap();
    assert_eq!(rig.vm.signal_msi(doorbell(0), 3, 2), Ok(0));
    rig.its[0].set(Attr::its(0), 0).unwrap();
    // A third one succeeds, makes every device a second time, and the interrupts are still blocked.
    assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Ok(()));
    assert_eq!(devices_of(&rig), [3, 3, 70, 70]);
    rig.its[0].set(Attr::its(0), 1).unwrap();
    assert_eq!(rig.vm.signal_msi(doorbell(0), 3, 2), Ok(0));
    // RESET is what makes a restore repeatable.
    rig.its[0].command(Command::ItsReset).unwrap();
    rig.its_registers(0, false);
    assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Ok(()));
    assert_eq!(rig.vm.mappings(0), restored);
}
