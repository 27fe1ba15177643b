//! Tables as they are saved, and a VM that is restored from them and saved again.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0"; `arch/arm64/kvm/vgic/vgic-its.c`.
//!
//! Rule: formats are written out as numbers, so that model and test do not share a mistake.

use crate::common::*;
use vgic_state::model::gicv3::Host;
use vgic_state::{AttrDevice, Command, Errno};
use vm_memory::GuestMemoryMmap;

#[test]
fn tables_have_the_documented_format() {
    let mut rig = running();
    for command in [mapc(11, 9), mapc(4, 2), mapd(70, 4, ITTS + 0x1200), mapd(3, 5, ITTS), mapti(70, 0, 8300, 4)] {
        rig.command(command).unwrap();
    }
    for command in [mapti(3, 17, 8192, 30), mapti(3, 2, 65535, 11), mapti(3, 30, 8400, 4)] {
        rig.command(command).unwrap();
    }
    rig.vm.clear_written();
    rig.its[0].command(Command::ItsSaveTables).unwrap();
    for (address, entry) in [
        // Device 3: 5 bits, the next one is 67 further on. Device 70: the last.
        (devices(0) + 3 * 8, 1 << 63 | 67 << 49 | ITTS >> 8 << 5 | 4),
        (devices(0) + 70 * 8, 1 << 63 | (ITTS + 0x1200) >> 8 << 5 | 3),
        (ITTS + 2 * 8, 15 << 48 | 65535 << 16 | 11),
        (ITTS + 17 * 8, 13 << 48 | 8192 << 16 | 30),
        (ITTS + 30 * 8, 8400 << 16 | 4),
        (ITTS + 0x1200, 8300 << 16 | 4),
        // Collections in the order in which they were made; one without a target; the end.
        (collections(0), 1 << 63 | 9 << 16 | 11),
        (collections(0) + 8, 1 << 63 | 2 << 16 | 4),
        (collections(0) + 16, 1 << 63 | 0xffff_ffff << 16 | 30),
        (collections(0) + 24, 0),
    ] {
        assert_eq!(rig.read64(address), entry, "{address:#x}");
    }
    let entry = |address: u64| address..address + 8;
    assert_eq!(
        rig.vm.written(),
        [
            entry(devices(0) + 24),
            entry(devices(0) + 560),
            collections(0)..collections(0) + 32,
            entry(ITTS + 16),
            entry(ITTS + 136),
            entry(ITTS + 240),
            entry(ITTS + 0x1200)
        ]
    );
    assert_eq!(rig.vm.mappings(0).unwrap().devices.len(), 2, "saving changes nothing");
}

#[test]
fn distances_are_capped() {
    let mut rig = running_with(Host::default(), 1, true);
    for command in [mapd(2, 16, ITTS), mapd(16386, 1, ITTS + 0x10_0000), mapd(40000, 1, ITTS + 0x10_0100), mapc(4, 2)] {
        rig.command(command).unwrap();
    }
    for command in [mapti(2, 0, 8300, 4), mapti(2, 65535, 8301, 4)] {
        rig.command(command).unwrap();
    }
    rig.its[0].command(Command::ItsSaveTables).unwrap();
    let next = |address| rig.read64(address) >> 49 & 0x3fff;
    assert_eq!((next(level2(0, 0) + 16), next(level2(0, 2) + 16)), (16383, 16383));
    assert_eq!(rig.read64(ITTS) >> 48, 65535);
    let target = migrate(&mut rig, Host::default(), true);
    assert_eq!(target.vm.mappings(0), rig.vm.mappings(0));
}

#[test]
fn a_full_collection_table_has_no_end() {
    let mut rig = running();
    for collection in 0..8192 {
        rig.command(mapc(collection, 2)).unwrap();
    }
    rig.write64(collections(0) + 0x1_0000, 0x7777);
    rig.its[0].command(Command::ItsSaveTables).unwrap();
    assert_eq!(rig.read64(collections(0) + 0x1_0000), 0x7777);
    assert_eq!(rig.read64(collections(0) + 0xfff8), 1 << 63 | 2 << 16 | 8191);
    let target = migrate(&mut rig, Host::default(), false);
    assert_eq!(target.vm.mappings(0).unwrap().collections.len(), 8192);
}

#[test]
fn saved_restored_saved() {
    for (its, indirect) in [(1, false), (1, true), (3, false), (2, true)] {
        let mut source = running_with(Host::default(), its, indirect);
        let pending: Vec<u32> = (0..its).flat_map(|index| populate(&mut source, index)).collect();
        let mut target = migrate(&mut source, Host::default(), indirect);
        for index in 0..its {
            assert_eq!(target.vm.mappings(index), source.vm.mappings(index), "{its} {indirect}");
            assert_eq!(target.vm.mappings(index).unwrap().devices.len(), 5);
        }
        assert_eq!(target.vm.lpis(), source.vm.lpis());
        assert_eq!(pending.len(), 6 * its);
        assert!(pending.iter().all(|intid| target.pending(*intid)));
        // Again, and once more where nothing changes.
        target.gic.command(Command::SavePendingTables).unwrap();
        for its in &mut target.its {
            its.command(Command::ItsSaveTables).unwrap();
            its.command(Command::ItsSaveTables).unwrap();
        }
        assert!(same(&target.memory, &source.memory), "{its} {indirect}");
    }
}

#[test]
fn nothing_to_save() {
    let mut rig = ready(1);
    rig.its[0].command(Command::ItsSaveTables).unwrap();
    assert!(rig.vm.written().is_empty(), "no table is valid");
    let mut rig = running();
    rig.its[0].command(Command::ItsSaveTables).unwrap();
    assert_eq!(rig.vm.written(), vec![collections(0)..collections(0) + 8], "the end of an empty collection table");
}

#[test]
fn forwarded_interrupts() {
    for (nassgicap, answer) in [(false, Err(Errno::EACCES)), (true, Ok(()))] {
        let mut rig = running_with(Host { nassgicap, ..Host::default() }, 1, false);
        populate(&mut rig, 0);
        rig.vm.forward_lpi(8232, true).unwrap();
        assert_eq!(rig.its[0].command(Command::ItsSaveTables), answer, "a GICv4.1 tells, a GICv4 does not");
        rig.vm.forward_lpi(8232, false).unwrap();
        assert_eq!(rig.its[0].command(Command::ItsSaveTables), Ok(()));
        assert_eq!(rig.vm.forward_lpi(9999, true), Err(Errno::EINVAL));
    }
}

#[test]
fn a_save_without_memory_is_efault_and_loses_nothing() {
    let mut rig = running();
    populate(&mut rig, 0);
    rig.vm.set_memory(GuestMemoryMmap::new());
    assert_eq!(rig.its[0].command(Command::ItsSaveTables), Err(Errno::EFAULT));
    assert_eq!(rig.gic.command(Command::SavePendingTables), Err(Errno::EFAULT));
    rig.vm.set_memory(rig.memory.clone());
    assert_eq!(rig.its[0].command(Command::ItsSaveTables), Ok(()), "back again, nothing is lost");
    // A translation table of one device outside every slot.
    rig.command(mapd(500, 4, 0x1234_0000)).unwrap();
    assert_eq!(rig.command(mapti(500, 1, 8999, 4)), its_error(0x01_0a05), "an event there cannot be mapped");
    assert_eq!(rig.its[0].command(Command::ItsSaveTables), Ok(()));
}

#[test]
fn a_shadow_takes_the_tables() {
    let mut rig = running();
    populate(&mut rig, 0);
    let before = copy(&rig.memory);
    let shadow = new_memory();
    rig.vm.set_memory(shadow.clone());
    rig.its[0].command(Command::ItsSaveTables).unwrap();
    rig.gic.command(Command::SavePendingTables).unwrap();
    rig.vm.set_memory(rig.memory.clone());
    assert!(same(&rig.memory, &before), "guest memory is as it was");
    assert!(!same(&shadow, &new_memory()));
}
