//! Pending LPIs and their tables in guest memory.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v3.c`, `vgic_v3_save_pending_tables`, `vgic_v3_lpi_sync_pending_status`; `vgic-its.c`,
//! `its_sync_lpi_pending_table`.
//!
//! Rule: a bit in guest memory and a latch in KVM are two things; each test says which one it looks at.

use crate::common::*;
use vgic_state::model::gicv3::{Behaviour, Host, Kernel};
use vgic_state::{Attr, AttrDevice, Command, Errno};
use vm_memory::{Bytes, GuestAddress};

/// The byte of an LPI in the pending table of a vCPU.
fn byte(index: u64, intid: u64) -> u64 {
    PENDING + index * 0x1_0000 + intid / 8
}

fn read(rig: &Rig, address: u64) -> u8 {
    rig.memory.read_obj(GuestAddress(address)).unwrap()
}

fn write(rig: &Rig, address: u64, value: u8) {
    rig.memory.write_obj(value, GuestAddress(address)).unwrap();
}

/// LPIs 8200 to 8203 and 9000 for the second vCPU (id 2), 8204 for the third (id 9).
fn mapped() -> Rig {
    mapped_on(Host::default())
}

fn mapped_on(host: Host) -> Rig {
    let mut rig = running_with(host, 1, false);
    for command in [mapc(4, 2), mapc(11, 9), mapd(70, 4, ITTS)] {
        rig.command(command).unwrap();
    }
    for (event, intid) in [(0, 8200), (1, 8201), (2, 8202), (3, 8203), (5, 9000)] {
        rig.command(mapti(70, event, intid, 4)).unwrap();
    }
    rig.command(mapti(70, 4, 8204, 11)).unwrap();
    rig
}

#[test]
fn pending_bits_are_saved_and_those_of_nobody_stay() {
    let mut rig = mapped();
    for event in [1, 3, 4] {
        rig.vm.signal_msi(doorbell(0), 70, event).unwrap();
    }
    // What is there and belongs to nobody stays; what is there and is not pending goes.
    write(&rig, byte(1, 8200), 0b1111_0101);
    write(&rig, PENDING + 0x1_0000, 0x77);
    rig.vm.clear_written();
    rig.gic.command(Command::SavePendingTables).unwrap();
    assert_eq!(read(&rig, byte(1, 8200)), 0b1111_1010);
    assert_eq!(read(&rig, byte(2, 8200)), 0b0001_0000);
    assert_eq!(read(&rig, PENDING + 0x1_0000), 0x77, "the first KiB is not KVM's");
    assert_eq!(rig.vm.written(), [byte(1, 8200)..byte(1, 8200) + 1, byte(2, 8200)..byte(2, 8200) + 1]);
    rig.vm.clear_written();
    rig.gic.command(Command::SavePendingTables).unwrap();
    assert!(rig.vm.written().is_empty(), "only bytes that change");
    assert!(rig.pending(8201), "still pending here");
}

#[test]
fn taken_over_by_a_mapping() {
    let mut rig = mapped();
    write(&rig, byte(1, 8320), 0b0110_0000);
    rig.command(mapti(70, 6, 8325, 4)).unwrap();
    assert!(rig.pending(8325));
    assert_eq!(read(&rig, byte(1, 8320)), 0b0100_0000, "consumed, and no other");
    // No target, no table.
    write(&rig, byte(1, 8328), 0xff);
    rig.command(mapti(70, 7, 8330, 30)).unwrap();
    assert!(!rig.pending(8330));
    assert_eq!(read(&rig, byte(1, 8328)), 0xff);
}

#[test]
fn consumed_by_a_restore() {
    let mut source = mapped();
    for event in [1, 3, 4] {
        source.vm.signal_msi(doorbell(0), 70, event).unwrap();
    }
    source.gic.command(Command::SavePendingTables).unwrap();
    source.its[0].command(Command::ItsSaveTables).unwrap();
    let mut target = prepared_with(Host::default(), 1, false, copy(&source.memory));
    target.its[0].command(Command::ItsRestoreTables).unwrap();
    assert_eq!([8200, 8201, 8202, 8203, 8204].map(|intid| target.pending(intid)), [false, true, false, true, true]);
    assert_eq!((read(&target, byte(1, 8200)), read(&target, byte(2, 8200))), (0, 0));
    assert_eq!(target.vm.written(), [byte(1, 8200)..byte(1, 8200) + 1, byte(2, 8200)..byte(2, 8200) + 1]);
    // On the memory that a failed restore left, the pending interrupts are gone: the LPIs outlive the failure only on a list.
    let mut again = prepared_with(Host::default(), 1, false, copy(&target.memory));
    again.its[0].command(Command::ItsRestoreTables).unwrap();
    assert!(again.vm.lpis().iter().all(|lpi| !lpi.pending));
}

#[test]
fn read_when_lpis_are_enabled() {
    for kernel in [Kernel::V6_18, Kernel::V7_3_4] {
        let forgets = kernel.has(Behaviour::DisablingForgetsPendingLpis);
        assert_eq!(forgets, kernel == Kernel::V7_3_4);
        let mut rig = mapped_on(Host { kernel, ..Host::default() });
        let mpidr = VCPUS[1].1;
        rig.vm.signal_msi(doorbell(0), 70, 0).unwrap();
        rig.gic.set(Attr::redist(mpidr, 0), 0).unwrap();
        assert_eq!(rig.pending(8200), !forgets, "the latch");
        assert_eq!(rig.vm.signal_msi(doorbell(0), 70, 1), Err(Errno::EBUSY));
        write(&rig, byte(1, 8200), 0b0000_1100);
        rig.gic.set(Attr::redist(mpidr, 0), 1).unwrap();
        assert_eq!([8200, 8201, 8202, 8203].map(|intid| rig.pending(intid)), [false, false, true, true]);
        assert_eq!(read(&rig, byte(1, 8200)), 0b0000_1100, "read, not consumed");
        // PTZ: the table is said to be zero and is not read.
        rig.gic.set(Attr::redist(mpidr, 0), 0).unwrap();
        rig.redist64(mpidr, 0x78, 1 << 62 | (PENDING + 0x1_0000));
        write(&rig, byte(1, 8200), 0b0000_0001);
        rig.gic.set(Attr::redist(mpidr, 0), 1).unwrap();
        assert_eq!([8200, 8202].map(|intid| rig.pending(intid)), [false, !forgets]);
    }
}

#[test]
fn follows_its_interrupt() {
    let mut rig = mapped();
    rig.vm.signal_msi(doorbell(0), 70, 0).unwrap();
    rig.command(movi(70, 0, 11)).unwrap();
    rig.gic.command(Command::SavePendingTables).unwrap();
    assert_eq!((read(&rig, byte(1, 8200)), read(&rig, byte(2, 8200))), (0, 1));
    // Taken by the vCPU where it is now.
    let take = |rig: &Rig, index| {
        rig.vm
            .run(vcpu(index).id, |guest| {
                guest.enable_interface();
                guest.acknowledge()
            })
            .unwrap()
    };
    assert_eq!((take(&rig, 1), take(&rig, 2), take(&rig, 2)), (None, Some(8200), None));
}

#[test]
fn a_table_that_is_not_there() {
    let mut rig = mapped();
    let mpidr = VCPUS[2].1;
    rig.gic.set(Attr::redist(mpidr, 0), 0).unwrap();
    rig.redist64(mpidr, 0x78, 0x2000_0000);
    rig.gic.set(Attr::redist(mpidr, 0), 1).unwrap();
    assert_eq!(rig.gic.command(Command::SavePendingTables), Err(Errno::EFAULT), "even with nothing pending there");
    assert_eq!(rig.command(mapti(70, 8, 8340, 11)), host_error(Errno::EFAULT));
    rig.command(event(DISCARD, 70, 4)).unwrap();
    assert_eq!(rig.gic.command(Command::SavePendingTables), Ok(()), "nobody's LPI is there any more");
}
