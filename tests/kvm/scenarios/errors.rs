//! What goes wrong is told, with the register, and with what may be done next.

use super::{lpis, populate, save};
use crate::layout;
use crate::log::Log;
use crate::memory::{changed, copy};
use crate::program::{self, Devices};
use crate::rig::{Config, Memory, Rig};
use crate::save::Save as _;
use vgic_state::gicv3::Gicv3State;
use vgic_state::report::Problem;
use vgic_state::report::Refusal;
use vgic_state::uapi::vgic_v3::dist::{GICD_IIDR, GICD_TYPER};
use vgic_state::uapi::vgic_v3::its::{GITS_BASER, GITS_CTLR};
use vgic_state::uapi::vgic_v3::redist::{GICR_CTLR, GICR_PENDBASER, GICR_PROPBASER};
use vgic_state::{AccessError, Attr, AttrDevice, Command, DynInterruptState, Errno, Error, InterruptState};
use vm_memory::{Bytes, GuestAddress};

const DEVICES: Devices = Devices { devices: 5, ..Devices::FLAT };

/// The kernel's refusal.
fn access(log: &mut Log, what: &str, error: Error) -> AccessError {
    log.value(what, error.to_string());
    match error {
        Error::Access(error) => *error,
        other => panic!("{what}: {other}"),
    }
}

/// Every step is refused while a vCPU is in `KVM_RUN`, names what it wanted, and can be done when the vCPU has stopped.
pub(crate) fn a_vcpu_that_runs<R: Rig>(log: &mut Log) {
    let mut rig = R::new(Config::default());
    populate(&mut rig, &DEVICES);
    let state = save(&mut rig);
    let flushed = rig.gicv3().flush_tables().expect("flush");
    let before = copy(rig.memory());
    // A flush looks first where the tables are.
    let first_table = Attr::redist(rig.config().mpidr(0), GICR_PROPBASER).id();
    rig.while_running(1, |rig| {
        let error = access(log, "save", rig.gicv3().save(flushed).expect_err("a vCPU runs"));
        assert_eq!((error.errno, error.attr, error.applied), (Errno::EBUSY, Attr::dist(GICD_TYPER).id(), None));
        let error = access(log, "flush", rig.gicv3().flush_tables().expect_err("a vCPU runs"));
        assert_eq!((error.errno, error.attr), (Errno::EBUSY, first_table));
        let error = access(log, "restore", rig.gicv3().restore(&state).expect_err("a vCPU runs"));
        assert_eq!((error.errno, error.attr), (Errno::EBUSY, Attr::dist(GICD_IIDR).id()));
        let applied = error.applied.expect("it is a restore");
        assert_eq!((applied.done, applied.memory_consumed, applied.can_retry_on_same_memory()), (0, false, true));
        let its = &mut rig.gicv3().its_mut()[0];
        for command in [Command::ItsSaveTables, Command::ItsRestoreTables, Command::ItsReset] {
            assert_eq!(its.command(command), Err(Errno::EBUSY));
        }
        assert_eq!(its.get(Attr::its(GITS_CTLR)), Err(Errno::EBUSY));
    });
    assert_eq!(changed(&before, rig.memory()), NO_ADDRESS);
    // Of the CPU interface, hardware has made its own.
    let after = save(&mut rig);
    assert_eq!((after.spis, after.its), (state.spis, state.its));
}

/// Tables that are read into an ITS that has some are refused, and what it had is gone: a reset has to come first, as it does.
pub(crate) fn tables_restored_twice<R: Rig>(log: &mut Log) {
    let config = Config::default();
    let mut source = R::new(config);
    populate(&mut source, &DEVICES);
    let state = save(&mut source);
    let mut target = R::with_memory(config, copy(source.memory()));
    target.gicv3().restore(&state).expect("restore");
    assert_eq!(target.gicv3().its_mut()[0].command(Command::ItsRestoreTables), Err(Errno::EEXIST));
    log.value("to a mapped event", target.msi(0, DEVICES.id(0), 0));

    // The same VM, with memory as it came.
    crate::memory::overwrite(target.memory(), source.memory());
    target.gicv3().restore(&state).expect("restore");
    assert_eq!(target.msi(0, DEVICES.id(0), 0), Ok(1));
    assert_eq!(save(&mut target).its, state.its);
}

/// Memory without the host's page at an address: a memory slot is of whole pages.
pub(super) fn with_a_hole(of: &Memory, hole: u64) -> Memory {
    let length = crate::memory::page();
    let hole = hole / length * length;
    let end = layout::RAM + layout::RAM_BYTES as u64;
    let parts = [(layout::RAM, hole), (hole + length, end)];
    let ranges: Vec<_> = parts.iter().map(|(from, to)| (GuestAddress(*from), (to - from) as usize)).collect();
    let memory = Memory::from_ranges(&ranges).expect("memory");
    for (from, to) in parts {
        let mut bytes = vec![0; (to - from) as usize];
        of.read_slice(&mut bytes, GuestAddress(from)).expect("memory");
        memory.write_slice(&bytes, GuestAddress(from)).expect("memory");
    }
    memory
}

/// A snapshot of memory that lacks a table: which tables a restore needs, and what it says.
pub(crate) fn no_memory_under_a_table<R: Rig>(log: &mut Log) {
    let config = Config::default();
    let mut source = R::new(config);
    populate(&mut source, &DEVICES);
    let state = save(&mut source);
    for (name, hole) in [
        ("collection table", layout::collection_table(0)),
        ("device table", layout::device_table(0)),
        ("translation table", layout::itt(0, 2)),
        ("pending table", layout::pending(1)),
        ("configuration table", layout::CONFIGURATION),
    ] {
        let mut target = R::with_memory(config, with_a_hole(source.memory(), hole));
        match target.gicv3().restore(&state) {
            Err(Error::Refused(refusal)) => {
                assert!(matches!(*refusal, Refusal::Problem(finding) if finding.problem == Problem::TableOutsideMemory), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
        // What the kernel says.
        target.gicv3().options_mut().refuse_at = None;
        let error = access(log, name, target.gicv3().restore(&state).expect_err(name));
        assert_eq!((error.attr, error.its), (Command::ItsRestoreTables.id(), Some(layout::its(0))), "{name}");
        assert_eq!(error.errno, Errno::EFAULT, "{name}");
        let applied = error.applied.expect("it is a restore");
        assert!(applied.memory_consumed && !applied.can_retry_on_same_memory(), "{name}");
    }
    // The command queue is not looked at.
    let mut target = R::with_memory(config, with_a_hole(source.memory(), layout::queue(0)));
    target.gicv3().options_mut().refuse_at = None;
    target.gicv3().restore(&state).expect("restore");
}

/// A guest that says its tables are where there is no memory: a flush that did not happen is not passed over (QEMU).
pub(crate) fn no_memory_to_flush_to<R: Rig>(log: &mut Log) {
    let nowhere = 0x1000_0000;
    let mut rig = R::new(Config::default());
    program::basics(&mut rig);
    lpis(&mut rig, &DEVICES);
    // A translation table: the mapping is not made.
    program::commands(&mut rig, 0, &[program::mapd(900, 4, nowhere), program::mapti(900, 3, 9000, program::collection(0))]);
    assert_eq!(rig.msi(0, 900, 3), Ok(0));
    let written = rig.gicv3().flush_tables().expect("nothing is written there");
    log.value("written", written);

    let mut rig = R::new(Config::default());
    program::basics(&mut rig);
    for (offset, value) in program::its_registers(0, DEVICES.table) {
        let elsewhere = offset == GITS_BASER + 8;
        rig.set_its(0, offset, if elsewhere { 1 << 63 | nowhere } else { value }).expect("ITS register");
    }
    let error = access(log, "collection table", rig.gicv3().flush_tables().expect_err("no memory"));
    assert_eq!((error.errno, error.attr), (Errno::EFAULT, Command::ItsSaveTables.id()));
    assert_eq!(error.its, Some(layout::its(0)));

    let mut rig = R::new(Config::default());
    program::basics(&mut rig);
    lpis(&mut rig, &DEVICES);
    rig.set_redist(1, GICR_CTLR, 0);
    rig.set_redist64(1, GICR_PENDBASER, nowhere);
    rig.set_redist(1, GICR_CTLR, 1);
    log.value("delivered", rig.msi(0, DEVICES.id(0), 1));
    let error = access(log, "pending table", rig.gicv3().flush_tables().expect_err("no memory"));
    assert_eq!((error.errno, error.attr), (Errno::EFAULT, Command::SavePendingTables.id()));
}

/// A restore that fails before the tables are read leaves guest memory as it was, says so, and another VM takes it.
pub(crate) fn another_try_on_the_same_memory<R: Rig>(log: &mut Log) {
    let config = Config::default();
    let mut source = R::new(config);
    populate(&mut source, &DEVICES);
    let state = save(&mut source);
    let memory = copy(source.memory());
    let mut target = R::with_memory(config, memory.clone());
    let error = target.while_running(0, |target| target.gicv3().restore(&state).expect_err("a vCPU runs"));
    let applied = access(log, "restore", error).applied.expect("it is a restore");
    assert!(!applied.memory_consumed && applied.can_retry_on_same_memory());
    assert_eq!(changed(&memory, source.memory()), NO_ADDRESS);
    drop(target);

    let mut target = R::with_memory(config, memory);
    target.gicv3().restore(&state).expect("restore");
    assert_eq!(save(&mut target), state);
    assert_eq!(changed(target.memory(), source.memory()), NO_ADDRESS);
}

/// A state of a VM that is made otherwise is refused, and nothing at all is changed.
pub(crate) fn a_vm_that_is_made_otherwise<R: Rig>(log: &mut Log) {
    let config = Config { its: 2, ..Config::default() };
    let mut source = R::new(config);
    populate(&mut source, &DEVICES);
    let state = save(&mut source);
    for other in [
        Config { vcpus: 1, ..config },
        Config { vcpus: 3, ..config },
        Config { id_step: 2, ..config },
        Config { nr_irqs: 96, ..config },
        Config { nr_irqs: 160, ..config },
        Config { its: 0, ..config },
        Config { its: 1, ..config },
        Config { its: 3, ..config },
    ] {
        let mut target = R::new(other);
        program::basics(&mut target);
        let (before, memory) = (target.gicv3().flush_and_save().expect("save"), copy(target.memory()));
        let error = target.gicv3().restore(&state).expect_err("another VM");
        log.value("refused", error.to_string());
        assert!(matches!(error, Error::Refused(_)), "{error}");
        assert_eq!(target.gicv3().flush_and_save().expect("save"), before);
        assert_eq!(changed(&memory, target.memory()), NO_ADDRESS);
    }
}

/// Values that the kernel would refuse or drop are found before the first write.
pub(crate) fn values_that_no_kernel_takes<R: Rig>(log: &mut Log) {
    let mut source = R::new(Config::default());
    populate(&mut source, &DEVICES);
    let state = save(&mut source);
    type Damage = fn(&mut Gicv3State);
    let damages: [Damage; 9] = [
        |state| state.identity.iidr ^= 1,
        |state| state.identity.typer2 ^= 0x100,
        |state| state.vcpus[1].icc.ctlr |= 7 << 8,
        |state| state.vcpus[1].icc.sre = 0,
        |state| state.vcpus[0].identity.typer ^= 1 << 32,
        |state| state.its[0].identity.typer ^= 1 << 17,
        |state| state.its[0].identity.iidr |= 0x1000,
        |state| state.its[0].registers.cwriter = layout::QUEUE_BYTES,
        |state| state.its[0].registers.baser1 = 0,
    ];
    for damage in damages {
        let mut damaged = state.clone();
        damage(&mut damaged);
        let error = source.gicv3().restore(&damaged).expect_err("damaged");
        log.value("refused", error.to_string());
        let Error::Refused(refusal) = error else { panic!("{error:?}") };
        assert!(matches!(*refusal, Refusal::Identity { .. } | Refusal::Problem(_)), "{refusal:?}");
    }
    assert_eq!(save(&mut source), state);
}

const NO_ADDRESS: [u64; 0] = [];
