//! Record of accesses, faults on demand, and use from several threads.
//!
//! Source: none of the kernel's.
//!
//! Rule: an access is in the record once, under the device it went to.

use crate::common::*;
use vgic_state::model::gicv3::{Device, Origin, Vm};
use vgic_state::model::{Fault, Op, User};
use vgic_state::{Attr, AttrDevice, Command, Errno};

fn lines(rig: &Rig) -> Vec<String> {
    rig.vm.trace().iter().map(ToString::to_string).collect()
}

#[test]
fn one_line_for_each_access() {
    let mut rig = ready(2);
    rig.vm.clear_trace();
    rig.gic.set(Attr::dist(0), 0x12).unwrap();
    rig.gic.get(Attr::redist(VCPUS[1].1, 0x10100)).unwrap();
    rig.its[1].set(Attr::its(0x80), 0x4100_0003).unwrap();
    rig.its[0].command(Command::ItsSaveTables).unwrap();
    rig.gic.command(Command::SavePendingTables).unwrap();
    rig.gic.has(Attr::dist(0xe00).id()).unwrap_err();
    rig.gic.set(Attr::nr_irqs(), 64).unwrap_err();
    rig.its[1].get(Attr::its(0x140)).unwrap_err();
    rig.gic.ioctl(Op::Set, Attr::dist(0x104).id(), User::Null).unwrap_err();
    assert_eq!(
        lines(&rig),
        [
            "set GICD_CTLR = 0x12",
            "get GICR_ISENABLER0 of vCPU 0.0.4.1 = 0xffff",
            "its1 set GITS_CBASER = 0x41000003",
            "its0 command SAVE_TABLES",
            "command SAVE_PENDING_TABLES",
            "has group 1 attribute 0xe00 -> ENXIO",
            "set NR_IRQS = 64 -> EBUSY",
            "its1 get group 8 attribute 0x140 -> ENXIO",
            "set GICD_ISENABLER1 -> EFAULT",
        ]
        .map(|line| line.replace("group 1 attribute 0xe00", &Attr::dist(0xe00).id().to_string()))
    );
    assert_eq!((rig.vm.trace()[2].device, rig.its[1].origin(), rig.gic.origin()), (Origin::Its(1), Origin::Its(1), Origin::Gic));
    rig.vm.clear_trace();
    assert!(lines(&rig).is_empty());
    // What is no access leaves no line.
    rig.vm.set_spi_level(40, true).unwrap();
    rig.vm.run(vcpu(0).id, |guest| guest.dist_read32(0)).unwrap();
    assert!(lines(&rig).is_empty());
}

#[test]
fn a_fault_hits_the_access_it_is_set_for_once() {
    let mut rig = ready(2);
    // The third access from now, whatever device it is to.
    rig.vm.set_fault(Fault::access(2, Errno::EINTR));
    let _ = (rig.gic.get(Attr::dist(0)), rig.its[1].get(Attr::its(0)));
    assert_eq!(rig.its[0].set(Attr::its(0x80), 0x4100_0003), Err(Errno::EINTR));
    assert_eq!(rig.its[0].get(Attr::its(0x80)), Ok(0), "without any effect, and once");
    // Of one device: the second access to it.
    rig.its[1].set_fault(Fault::access(1, Errno::ENOMEM));
    for _ in 0..3 {
        rig.its[0].get(Attr::its(0)).unwrap();
    }
    assert_eq!((rig.its[1].get(Attr::its(0)), rig.its[1].get(Attr::its(0))), (Ok(0x8000_0000), Err(Errno::ENOMEM)));
    // An attribute of one ITS, then of every device.
    let id = Command::ItsRestoreTables.id();
    rig.its[0].set_fault(Fault::attribute(id, Errno::EACCES));
    assert_eq!(rig.its[0].command(Command::ItsRestoreTables), Err(Errno::EACCES));
    assert_eq!(rig.its[1].command(Command::ItsRestoreTables), Ok(()));
    assert_eq!(rig.its[0].has(id), Ok(()), "HAS is not a transfer");
    rig.vm.set_fault(Fault::attribute(id, Errno::EFAULT));
    assert_eq!(rig.its[1].command(Command::ItsRestoreTables), Err(Errno::EFAULT));
    rig.vm.clear_faults();
    assert_eq!([0, 1].map(|index| rig.its[index].command(Command::ItsRestoreTables)), [Ok(()); 2]);
    assert!(lines(&rig).contains(&"its0 command RESTORE_TABLES -> EACCES".to_string()));
}

#[test]
fn a_vm_is_shared_between_threads() {
    fn is_shared<T: Send + Sync + Clone>() {}
    is_shared::<Vm>();
    is_shared::<Device>();
    let mut rig = running();
    let expected = populate(&mut rig, 0).len();
    let mut taken = 0;
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let run = |index: usize| {
            let vm = rig.vm.clone();
            scope.spawn(move || {
                vm.run(vcpu(index).id, |guest| {
                    guest.enable_interface();
                    core::iter::from_fn(|| guest.acknowledge().inspect(|intid| guest.eoi(*intid))).count()
                })
            })
        };
        let threads = [0, 1, 2].map(run);
        threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
    });
    for count in counts {
        taken += count;
    }
    assert_eq!(taken, expected);
}
