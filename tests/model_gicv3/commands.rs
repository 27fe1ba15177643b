//! Every command of the ITS, and every reason to skip one.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_handle_command`; Arm Generic Interrupt Controller Architecture
//! Specification, GICv3, ITS command errors.
//!
//! Rule: a row is a command and what comes of it; the guest sees none of it.

use crate::common::*;
use vgic_state::model::gicv3::{Kernel, MappedCollection, MappedDevice, MappedEvent};
use vgic_state::{Attr, AttrDevice, Errno};
use vm_memory::{Bytes, GuestAddress};

fn mapped() -> Rig {
    let mut rig = running();
    for command in
        [mapc(4, 2), mapc(11, 9), mapd(70, 4, ITTS), mapd(3, 5, ITTS + 0x100), mapti(70, 6, 8300, 4), mapti(3, 17, 8400, 11)]
    {
        rig.command(command).unwrap();
    }
    rig
}

#[test]
fn mapped_devices_collections_and_events_are_shown() {
    let rig = mapped();
    let mappings = rig.vm.mappings(0).unwrap();
    assert_eq!(mappings.collections, [MappedCollection { id: 4, target: Some(2) }, MappedCollection { id: 11, target: Some(9) }]);
    let event = |id, intid, collection| vec![MappedEvent { id, intid, collection: Some(collection) }];
    assert_eq!(
        mappings.devices,
        [
            MappedDevice { id: 3, itt: ITTS + 0x100, event_bits: 5, events: event(17, 8400, 11) },
            MappedDevice { id: 70, itt: ITTS, event_bits: 4, events: event(6, 8300, 4) },
        ]
    );
    let lpi = rig.vm.lpi(8400).unwrap();
    assert_eq!((lpi.target, lpi.enabled, lpi.pending, lpi.references), (Some(vcpu(2).id), true, false, 1));
    assert_eq!(lpi.priority, config(8400) & 0xfc);
}

#[test]
fn a_command_with_a_wrong_id_or_target_is_refused() {
    for (command, result) in [
        (movi(70, 5, 4), its_error(0x01_0107)),
        (movi(70, 6, 5), its_error(0x01_0109)),
        (event(INT, 70, 5), its_error(0x01_0307)),
        (event(CLEAR, 71, 6), its_error(0x01_0507)),
        (mapd(8192, 4, ITTS), its_error(0x01_0801)),
        (mapd(0x1_0000, 4, ITTS), its_error(0x01_0801)),
        (mapd(72, 17, ITTS), its_error(0x01_0802)),
        (mapc(6, 4), its_error(0x01_0902)),
        (mapc(8192, 2), its_error(0x01_0903)),
        (mapti(72, 6, 8301, 4), its_error(0x01_0a04)),
        (mapti(70, 16, 8301, 4), its_error(0x01_0a05)),
        (mapti(70, 7, 8191, 4), its_error(0x01_0a06)),
        (mapti(70, 7, 65536, 4), its_error(0x01_0a06)),
        (mapti(70, 7, 0xffff_ffff, 4), its_error(0x01_0a06)),
        (mapti(70, 7, 8301, 8192), its_error(0x01_0903)),
        (mapi(70, 7, 4), its_error(0x01_0a06)),
        (event(INV, 70, 5), its_error(0x01_0c07)),
        (invall(6), its_error(0x01_0d09)),
        (movall(2, 4), its_error(0x01_0e01)),
        (event(DISCARD, 70, 5), its_error(0x01_0f07)),
        // Not an opcode, and those of GICv4.
        ([0x02, 0, 0, 0], host_error(Errno::ENODEV)),
        ([0x21, 0, 0, 0], host_error(Errno::ENODEV)),
        ([0x22, 0, 0, 0], host_error(Errno::ENODEV)),
        ([0x23, 0, 0, 0], host_error(Errno::ENODEV)),
        ([0x25, 0, 0, 0], host_error(Errno::ENODEV)),
        ([0x29, 0, 0, 0], host_error(Errno::ENODEV)),
        ([0x2a, 0, 0, 0], host_error(Errno::ENODEV)),
        ([0x2d, 0, 0, 0], host_error(Errno::ENODEV)),
        ([0x2e, 0, 0, 0], host_error(Errno::ENODEV)),
        // Nothing to do, nothing wrong.
        ([0x05, 0, 9 << 16, 0], Ok(())),
        (mapti(70, 6, 8301, 11), Ok(())),
        (unmapc(6), Ok(())),
        (unmapd(72), Ok(())),
        (movall(9, 9), Ok(())),
    ] {
        let mut rig = mapped();
        let before = (rig.vm.mappings(0), rig.vm.lpis());
        assert_eq!(rig.command(command), result, "{command:x?}");
        assert_eq!((rig.vm.mappings(0), rig.vm.lpis()), before, "{command:x?} changed something");
    }
}

#[test]
fn of_two_reasons_the_first() {
    let mut rig = mapped();
    for (command, result) in [
        (mapd(8192, 17, ITTS), 0x01_0801),
        (mapti(72, 99, 1, 8192), 0x01_0a04),
        (mapti(70, 99, 1, 8192), 0x01_0a05),
        (mapti(70, 7, 1, 8192), 0x01_0a06),
        (mapc(8192, 4), 0x01_0902),
        (movi(70, 5, 5), 0x01_0107),
    ] {
        assert_eq!(rig.command(command), its_error(result), "{command:x?}");
    }
}

#[test]
fn lpi_ids_end_where_the_table_does() {
    let mut rig = mapped();
    // GICR_PROPBASER.IDbits is 13, through a vCPU whose LPIs are disabled for it.
    rig.gic.set(Attr::redist(VCPUS[0].1, 0), 0).unwrap();
    rig.redist64(VCPUS[0].1, 0x70, CONFIG | 13);
    assert_eq!(rig.command(mapti(70, 7, 16384, 4)), its_error(0x01_0a06));
    assert_eq!(rig.command(mapti(70, 7, 16383, 4)), Ok(()));
}

#[test]
fn a_collection_before_its_target() {
    let mut rig = mapped();
    rig.command(mapti(70, 1, 8310, 30)).unwrap();
    assert_eq!(rig.vm.mappings(0).unwrap().collections[2], MappedCollection { id: 30, target: None });
    assert_eq!(rig.vm.lpi(8310).unwrap().target, None);
    assert_eq!(rig.vm.signal_msi(doorbell(0), 70, 1), Ok(0));
    assert_eq!(rig.command(movi(70, 1, 4)), its_error(0x01_0109), "it has no target yet");
    assert_eq!(rig.command(event(DISCARD, 70, 1)), its_error(0x01_0f07));
    assert_eq!(rig.command(invall(30)), its_error(0x01_0d09));
    rig.command(mapc(30, 5)).unwrap();
    assert_eq!(rig.vm.lpi(8310).unwrap().target, Some(vcpu(0).id));
    // A collection that is mapped elsewhere takes its interrupts along.
    rig.command(mapc(30, 9)).unwrap();
    assert_eq!(rig.vm.lpi(8310).unwrap().target, Some(vcpu(2).id));
}

#[test]
fn movi_and_movall_move_lpis_and_not_collections() {
    let mut rig = mapped();
    rig.command(movi(70, 6, 11)).unwrap();
    assert_eq!(rig.vm.lpi(8300).unwrap().target, Some(vcpu(2).id));
    rig.command(movall(9, 5)).unwrap();
    // The collections stay where they are.
    assert_eq!(rig.vm.lpis().iter().map(|lpi| lpi.target).collect::<Vec<_>>(), [Some(vcpu(0).id); 2]);
    assert_eq!(rig.vm.mappings(0).unwrap().collections[1].target, Some(9));
}

#[test]
fn int_clear_and_messages_set_and_clear_pending() {
    let mut rig = mapped();
    rig.command(event(INT, 70, 6)).unwrap();
    assert!(rig.pending(8300) && !rig.pending(8400));
    rig.command(event(CLEAR, 70, 6)).unwrap();
    assert!(!rig.pending(8300));
    rig.gic.set(Attr::redist(VCPUS[1].1, 0), 0).unwrap();
    assert_eq!(rig.command(event(INT, 70, 6)), host_error(Errno::EBUSY), "LPIs are not enabled there");
    // From a device.
    for (doorbell, device, event, answer) in [
        (doorbell(0), 3, 17, Ok(1)),
        (doorbell(0) - 0x1_0040, 3, 17, Ok(1)),
        (doorbell(0) + 0xffbf, 3, 17, Ok(1)),
        (doorbell(0) + 0xffc0, 3, 17, Err(Errno::EINVAL)),
        (doorbell(0), 3, 16, Ok(0)),
        (doorbell(0), 4, 17, Ok(0)),
        (doorbell(0), 70, 6, Err(Errno::EBUSY)),
    ] {
        assert_eq!(rig.vm.signal_msi(doorbell, device, event), answer, "{doorbell:#x} {device} {event}");
    }
    assert!(rig.pending(8400));
    rig.its[0].set(Attr::its(0), 0).unwrap();
    assert_eq!(rig.vm.signal_msi(doorbell(0), 4, 17), Err(Errno::EBUSY), "disabled");
    assert_eq!(created(0).vm.signal_msi(doorbell(0), 4, 17), Err(Errno::ENODEV), "no ITS");
    assert_eq!(created(1).vm.signal_msi(doorbell(0), 4, 17), Err(Errno::EINVAL), "no address");
    let none = vgic_state::model::gicv3::Vm::new(vgic_state::model::gicv3::Host::default(), new_memory());
    assert_eq!(none.signal_msi(doorbell(0), 4, 17), Err(Errno::EINVAL), "no GIC");
}

#[test]
fn configuration_is_read_again_when_the_guest_asks() {
    let mut rig = mapped();
    let write = |rig: &Rig, intid: u64, config: u8| rig.memory.write_obj(config, GuestAddress(CONFIG + intid - 8192)).unwrap();
    let read = |rig: &Rig, intid| rig.vm.lpi(intid).map(|lpi| (lpi.priority, lpi.enabled)).unwrap();
    write(&rig, 8300, 0x56);
    write(&rig, 8400, 0x6b);
    assert_eq!(read(&rig, 8400).0, config(8400) & 0xfc, "not looked at before it is said");
    rig.command(event(INV, 70, 6)).unwrap();
    assert_eq!((read(&rig, 8300), read(&rig, 8400).1), ((0x54, false), true));
    rig.command(invall(11)).unwrap();
    assert_eq!(read(&rig, 8400), (0x68, true));
    // A redistributor's invalidation of one and of all.
    write(&rig, 8300, 0x91);
    write(&rig, 8400, 0x30);
    rig.vm.run(vcpu(0).id, |guest| guest.redist_write64(vcpu(1).id, 0xa0, 8300)).unwrap();
    assert_eq!((read(&rig, 8300), read(&rig, 8400)), ((0x90, true), (0x68, true)));
    rig.vm.run(vcpu(0).id, |guest| guest.redist_write64(vcpu(2).id, 0xb0, 0)).unwrap();
    assert_eq!(read(&rig, 8400), (0x30, false));
    // A table that is not there: the command fails, the configuration stays.
    rig.gic.set(Attr::redist(VCPUS[0].1, 0), 0).unwrap();
    rig.redist64(VCPUS[0].1, 0x70, 0x1000_0000 | 15);
    assert_eq!(rig.command(event(INV, 70, 6)), host_error(Errno::EFAULT));
    assert_eq!(rig.command(mapti(70, 7, 8301, 4)), host_error(Errno::EFAULT));
    assert_eq!((read(&rig, 8300), rig.vm.lpi(8301)), ((0x90, true), None));
}

#[test]
fn what_is_unmapped_is_cleared_in_memory() {
    let mut rig = mapped();
    rig.write64(ITTS + 6 * 8, 0x1111);
    rig.write64(devices(0) + 3 * 8, 0x2222);
    rig.vm.clear_written();
    rig.command(event(DISCARD, 70, 6)).unwrap();
    assert_eq!((rig.vm.lpi(8300), rig.read64(ITTS + 6 * 8)), (None, 0));
    rig.command(unmapd(3)).unwrap();
    assert_eq!((rig.vm.lpi(8400), rig.read64(devices(0) + 3 * 8)), (None, 0));
    assert_eq!(rig.vm.written(), [devices(0) + 24..devices(0) + 32, ITTS + 48..ITTS + 56]);
    // A device that is mapped again loses its events, and its entry is not touched.
    rig.command(mapti(70, 6, 8300, 4)).unwrap();
    rig.write64(devices(0) + 70 * 8, 0x3333);
    rig.command(mapd(70, 2, ITTS + 0x200)).unwrap();
    assert_eq!((rig.vm.lpi(8300), rig.read64(devices(0) + 70 * 8)), (None, 0x3333));
    // A collection that goes leaves its events behind, and nothing reaches them.
    rig.command(mapti(70, 1, 8302, 4)).unwrap();
    rig.command(unmapc(4)).unwrap();
    assert_eq!(rig.vm.mappings(0).unwrap().devices[0].events, [MappedEvent { id: 1, intid: 8302, collection: None }]);
    assert_eq!(rig.vm.signal_msi(doorbell(0), 70, 1), Ok(0));
    rig.command(mapc(4, 2)).unwrap();
    assert_eq!(rig.vm.signal_msi(doorbell(0), 70, 1), Ok(0), "another collection, even with the same ID");
}

#[test]
fn one_lpi_of_two_events() {
    let mut rig = mapped();
    rig.command(mapti(70, 1, 8400, 4)).unwrap();
    let lpi = rig.vm.lpi(8400).unwrap();
    assert_eq!((lpi.references, lpi.target), (2, Some(vcpu(2).id)), "as it was");
    rig.command(event(DISCARD, 3, 17)).unwrap();
    assert_eq!(rig.vm.lpi(8400).unwrap().references, 1);
    // A pending one outlives its last event, until a vCPU has run that takes it.
    rig.vm.signal_msi(doorbell(0), 70, 1).unwrap();
    assert!(rig.pending(8400));
    rig.command(event(DISCARD, 70, 1)).unwrap();
    assert_eq!(rig.vm.lpi(8400).map(|lpi| (lpi.pending, lpi.references)), Some((true, 0)));
    let taken = rig.vm.run(vcpu(2).id, |guest| {
        guest.enable_interface();
        guest.acknowledge()
    });
    assert_eq!((taken, rig.vm.lpi(8400)), (Ok(Some(8400)), None));
}

#[test]
fn a_queue_that_is_not_there() {
    let mut rig = prepared_with(on(Kernel::V7_3), 1, false, new_memory());
    rig.its[0].set(Attr::its(0x80), VALID | 0x2000_0000 | 15).unwrap();
    rig.its[0].set(Attr::its(0), 1).unwrap();
    rig.its[0].set(Attr::its(0x88), 0x40).unwrap();
    assert_eq!(rig.its[0].get(Attr::its(0x90)), Ok(0x40), "skipped");
    assert_eq!(rig.vm.commands().iter().map(|command| command.result).collect::<Vec<_>>(), [host_error(Errno::EFAULT); 2]);
}
