//! Guest memory of which nobody can tell: no descriptor is left for a pipe, and the system call that copies is refused. It is never taken
//! for memory that is not there.

use super::{Rig, Watched, config, copy, saved};
use crate::common::{Memory, RAM, RAM_BYTES, filled, fresh, its_base, trace, vcpus};
use std::cell::Cell;
use vgic_state::gicv3::{Gicv3, Gicv3State};
use vgic_state::its::{Table, TableError};
use vgic_state::judge::gicv3::problems;
use vgic_state::judge::{Limits, Ranges};
use vgic_state::model::gicv3::{Device, Vm};
use vgic_state::report::{Problem, Refusal};
use vgic_state::shadow::{Divert, ShadowKind, Shadowed};
use vgic_state::{DynInterruptState, Errno, Error, GuestMemoryRead, GuestRange, InterruptState, MemoryError, TableStrategy};

const EMFILE: Errno = Errno::from_raw(24);

/// Memory that can be read so many times more; to whoever asks, its extent is known or not.
#[derive(Debug)]
struct Dimmed<M> {
    memory: M,
    reads: Cell<u32>,
    has_ranges: bool,
}

impl<M: GuestMemoryRead> GuestMemoryRead for Dimmed<M> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let left = self.reads.get().checked_sub(1).ok_or(MemoryError::Failed(EMFILE))?;
        self.reads.set(left);
        self.memory.read(address, bytes)
    }

    fn ranges(&self) -> Option<Vec<GuestRange>> {
        self.memory.ranges().filter(|_| self.has_ranges)
    }

    fn diverts(&self) -> bool {
        self.memory.diverts()
    }

    fn diverted(&self) -> Option<Vec<GuestRange>> {
        self.memory.diverted()
    }

    fn divert(&mut self) -> Option<&mut dyn Divert> {
        self.memory.divert()
    }
}

fn dimmed<M>(memory: M, reads: u32) -> Dimmed<M> {
    Dimmed { memory, reads: Cell::new(reads), has_ranges: true }
}

fn attach(vm: &Vm, gic: crate::common::Gic, reads: u32) -> Gicv3<Device, Dimmed<Memory>> {
    let (gic, its, memory) = gic.into_parts();
    let gic = Gicv3::attach(gic, its, dimmed(memory, reads), vcpus(config().vcpus)).expect("attach");
    vm.clear_trace();
    gic
}

fn shadowed(rig: Rig, reads: u32) -> (Vm, Gicv3<Device, Dimmed<Shadowed<Memory, Watched>>>) {
    let (gic, its, memory) = rig.gic.into_parts();
    let gic = Gicv3::attach(gic, its, dimmed(memory, reads), vcpus(config().vcpus));
    let mut gic = gic.expect("attach");
    gic.options_mut().tables = TableStrategy::Image;
    rig.vm.clear_trace();
    (rig.vm, gic)
}

/// What a state is saved as, and its memory.
fn saved_in_memory() -> (Gicv3State, Memory) {
    let (vm, mut gic) = filled(config());
    let flushed = gic.flush_tables().expect("flush");
    (gic.save(flushed).expect("save"), vm.memory())
}

/// Reads before the first command.
const BEFORE: u32 = 1;

/// How often a flush reads.
fn reads_of_a_flush() -> u32 {
    let (vm, gic) = filled(config());
    let mut gic = attach(&vm, gic, u32::MAX);
    let _ = gic.flush_tables().expect("flush");
    u32::MAX - gic.memory().reads.get()
}

#[test]
fn a_flush_is_refused_before_the_kernel_is_given_a_command() {
    let (vm, gic) = filled(config());
    let mut gic = attach(&vm, gic, 0);
    let Err(Error::Tables(error)) = gic.flush_tables() else { panic!("flushed") };
    let TableError::Unreadable { table: Table::Devices { its }, errno: EMFILE, .. } = *error else { panic!("{error}") };
    assert_eq!(its, its_base(0));
    assert!(error.to_string().ends_with("cannot be read: EMFILE"), "{error}");
    assert!(!trace(&vm).contains("SAVE"), "{}", trace(&vm));
    assert_eq!(vm.written(), vec![]);
    // With descriptors, it can.
    gic.memory().reads.set(u32::MAX);
    assert!(gic.flush_tables().is_ok());
}

/// When the kernel has written, and where can no longer be read: all of memory may have been.
#[test]
fn whatever_a_flush_cannot_read_behind_the_command_was_written() {
    let all = reads_of_a_flush();
    assert!(all > BEFORE + 2);
    let expected = {
        let (_, mut gic) = filled(config());
        gic.flush_tables().expect("flush").written().to_vec()
    };
    for reads in BEFORE..=all {
        for has_ranges in [true, false] {
            let (vm, gic) = filled(config());
            let mut gic = attach(&vm, gic, reads);
            gic.memory_mut().has_ranges = has_ranges;
            let flushed = gic.flush_tables().expect("flush");
            let everything = match has_ranges {
                true => GuestRange::new(RAM, RAM_BYTES as u64),
                false => GuestRange::new(0, 1 << 52),
            };
            if reads == all {
                assert_eq!(flushed.written(), expected);
            } else {
                assert_eq!(flushed.written(), [everything], "{reads} reads");
            }
            gic.save(flushed).expect("save");
        }
    }
}

/// Tables in guest memory: from the first read to the last, a judgement says what it did not read, and a restore is refused.
#[test]
fn a_check_says_what_it_has_not_read() {
    let (state, memory) = saved_in_memory();
    let ranges = Ranges::new([GuestRange::new(RAM, RAM_BYTES as u64)].into(), [].into());
    let all = {
        let memory = dimmed(&memory, u32::MAX);
        let report = problems(&state, &memory, &ranges, &Limits::default());
        assert!(report.find(Problem::TableNotRead).is_none(), "{report}");
        u32::MAX - memory.reads.get()
    };
    for reads in 0..all {
        let report = problems(&state, &dimmed(&memory, reads), &ranges, &Limits::default());
        let finding = report.find(Problem::TableNotRead).expect("finding");
        assert!(finding.first.table.is_some() && finding.first.address.is_some(), "{report}");
        for never in [Problem::TableOutsideMemory, Problem::TableBeyondMemory, Problem::PendingUnmapped, Problem::NextNamesNone] {
            assert!(report.find(never).is_none(), "{reads} reads: {report}");
        }
    }
    let image = state.to_image().expect("image");
    let (vm, gic) = fresh(config(), memory);
    let mut gic = attach(&vm, gic, 0);
    for refused in [gic.check(&state), gic.restore(&state), gic.check_image(&image), gic.restore_image(&image)] {
        let Err(Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert!(refusal.to_string().contains("table-not-read"), "{refusal}");
    }
    assert_eq!(trace(&vm), "");
    // By a VMM that takes everything.
    gic.options_mut().refuse_at = None;
    assert!(gic.restore(&state).expect("restore").find(Problem::TableNotRead).is_some());
}

/// Into the image: what the guest's memory has as configuration is no zero.
#[test]
fn tables_in_the_image() {
    let kind = ShadowKind::Zero;
    let all = {
        let (_, mut gic) = shadowed(Rig::filled(config(), kind), u32::MAX);
        let _ = gic.flush_tables().expect("flush");
        u32::MAX - gic.memory().reads.get()
    };
    for reads in 0..all {
        let (_, mut gic) = shadowed(Rig::filled(config(), kind), reads);
        let Err(Error::Tables(error)) = gic.flush_tables() else { panic!("flushed") };
        assert!(matches!(*error, TableError::Unreadable { errno: EMFILE, .. }), "{error}");
    }
    let (state, memory): (Gicv3State, Memory) = saved();
    let (vm, mut gic) = shadowed(Rig::new(config(), copy(&memory), kind), 0);
    for refused in [gic.check(&state), gic.restore(&state)] {
        let Err(Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert!(matches!(*refusal, Refusal::Tables(TableError::Unreadable { errno: EMFILE, .. })), "{refusal}");
    }
    assert_eq!(trace(&vm), "");
}

#[test]
fn verification_of_a_flush() {
    let kind = ShadowKind::Zero;
    let reads = || {
        let (_, mut gic) = shadowed(Rig::filled(config(), kind), u32::MAX);
        (gic.options_mut().tables, gic.options_mut().verify_flush) = (TableStrategy::GuestMemory, true);
        let _ = gic.flush_tables().expect("flush");
        u32::MAX - gic.memory().reads.get()
    };
    let list = reads_of_a_flush() - BEFORE;
    for reads in 0..reads() - list {
        let (_, mut gic) = shadowed(Rig::filled(config(), kind), reads);
        (gic.options_mut().tables, gic.options_mut().verify_flush) = (TableStrategy::GuestMemory, true);
        let Err(Error::Tables(error)) = gic.flush_tables() else { panic!("flushed with {reads} reads") };
        assert!(matches!(*error, TableError::Unreadable { errno: EMFILE, .. }), "{error}");
    }
}
