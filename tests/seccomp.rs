//! The system calls of `docs/seccomp.md`: each operation runs in a process under a filter that is made of the tables there.
//!
//! Source: `tests/common/seccomp.rs`.
//!
//! Rule: no row is missing, and none is there for nothing. Real devices and slots: `tests/kvm/seccomp.rs`.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]
#![cfg(target_os = "linux")]

#[path = "common/gicv3.rs"]
#[allow(dead_code, reason = "of what the tests share, a part")]
mod common;
#[path = "common/seccomp.rs"]
mod filters;

use common::{Config, Memory, RAM, RAM_BYTES, fill, fill_its, fresh, vcpus};
use filters::{Operation, Row, done, listed_only, operate, refuse, rows, run};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use vgic_state::gicv3::Gicv3;
use vgic_state::its::TableError;
use vgic_state::kvm::{KvmDevice, VmMemslot, VmMemslots, probe, vcpu_numbers};
use vgic_state::model::gicv3::{Device, Slots, Vm};
use vgic_state::shadow::{Backing, Memslot, Memslots, ShadowKind, Shadowed};
use vgic_state::{Attr, AttrDevice, DynInterruptState, Errno, Error, GuestRange, InterruptState, TableStrategy};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryBackend};

fn shared_memory() -> Memory {
    let path = std::env::temp_dir().join(format!("vgic-state-seccomp-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).expect("file");
    std::fs::remove_file(path).expect("file");
    file.set_len(RAM_BYTES as u64).expect("file");
    Memory::from_ranges_with_files([(GuestAddress(RAM), RAM_BYTES, Some(FileOffset::new(file, 0)))]).expect("memory")
}

type Gic = Gicv3<Device, Shadowed<Memory, Slots>>;

/// A VM whose memory can be diverted; its second ITS has device tables of two levels.
fn vm(kind: ShadowKind, memory: Memory, is_source: bool) -> Gic {
    let config = Config { its: 2, ..Config::default() };
    let (vm, mut gic) = fresh(config, memory.clone());
    if is_source {
        fill(&mut gic);
        fill_its(&vm, &mut gic);
        two_levels(&vm, &mut gic);
    }
    let (gic, its, _) = gic.into_parts();
    Gicv3::attach(gic, its, Shadowed::new(memory, Slots::new(&vm), kind), vcpus(config.vcpus)).expect("attach")
}

fn two_levels(vm: &Vm, gic: &mut common::Gic) {
    use vgic_state::uapi::vgic_v3::its::{GITS_BASER, GITS_CTLR};
    let table = common::area(5);
    vm.memory().write_obj(1_u64 << 63 | common::area(6), GuestAddress(table)).expect("memory");
    let its = &mut gic.its_mut()[1];
    for (offset, value) in [(GITS_CTLR, 0), (GITS_BASER, 1 << 63 | 1 << 62 | table), (GITS_CTLR, 1)] {
        its.set(Attr::its(offset), value).expect("register");
    }
}

/// Flush, save, check and restore.
fn moves(kind: ShadowKind, tables: TableStrategy, filter: impl FnOnce()) {
    let memory = shared_memory();
    let mut source = vm(kind, memory.clone(), true);
    let mut target = vm(kind, memory, false);
    source.options_mut().tables = tables;
    source.options_mut().verify_flush = tables == TableStrategy::GuestMemory && kind == ShadowKind::CopyOnWrite;
    filter();
    let flushed = source.flush_tables().expect("flush");
    let image = source.save(flushed).expect("save").to_image().expect("image");
    target.check_image(&image).expect("check");
    target.restore_image(&image).expect("restore");
    done();
}

/// Flush and check where guest memory can be read in no way: an error with a name, and the kernel is given no command.
fn unreadable(filter: impl FnOnce()) {
    let memory = shared_memory();
    let mut source = vm(ShadowKind::Zero, memory.clone(), true);
    let target = vm(ShadowKind::Zero, memory, false);
    let flushed = source.flush_tables().expect("flush");
    let image = source.save(flushed).expect("save").to_image().expect("image");
    filter();
    let is_unreadable =
        |error: &TableError| matches!(error, TableError::Unreadable { errno, .. } if *errno == Errno::from_raw(libc::EMFILE));
    let Err(Error::Tables(error)) = source.flush_tables() else { panic!("flushed") };
    assert!(is_unreadable(&error), "{error}");
    let Err(Error::Refused(refusal)) = target.check_image(&image) else { panic!("checked") };
    assert!(refusal.to_string().contains("table-not-read"), "{refusal}");
    done();
}

const OPERATIONS: &[Operation] = &[
    ("devices", devices, &["Devices"]),
    ("slots", slots, &["Memory slots"]),
    ("guest memory", |headings| moves(ShadowKind::Zero, TableStrategy::GuestMemory, || listed_only(headings)), &["Guest memory"]),
    (
        "guest memory through a pipe",
        |headings| {
            moves(ShadowKind::Zero, TableStrategy::GuestMemory, || {
                refuse(&["process_vm_readv"], libc::EPERM);
                listed_only(headings);
            });
        },
        &["Guest memory", "Guest memory without `process_vm_readv`"],
    ),
    (
        "guest memory that cannot be read",
        |headings| {
            unreadable(|| {
                refuse(&["process_vm_readv"], libc::EPERM);
                refuse(&["pipe2"], libc::EMFILE);
                listed_only(headings);
            });
        },
        &["Guest memory", "Guest memory without `process_vm_readv`"],
    ),
    (
        "guest memory after another thread was refused",
        |headings| {
            moves(ShadowKind::Zero, TableStrategy::GuestMemory, || {
                let refused = std::thread::spawn(|| {
                    refuse(&["process_vm_readv"], libc::EPERM);
                    vgic_state::GuestMemoryRead::read(&shared_memory(), RAM, &mut [1; 8])
                });
                assert_eq!(refused.join().expect("thread"), Ok(()));
                listed_only(headings);
            });
        },
        &["Guest memory"],
    ),
    (
        "zero shadow",
        |headings| moves(ShadowKind::Zero, TableStrategy::Image, || listed_only(headings)),
        &["Guest memory", "Zero shadow"],
    ),
    (
        "zero shadow in a file",
        |headings| {
            moves(ShadowKind::Zero, TableStrategy::Image, || {
                refuse(&["openat"], libc::EACCES);
                listed_only(headings);
            });
        },
        &["Guest memory", "Zero shadow in a file"],
    ),
    (
        "copy-on-write shadow",
        |headings| moves(ShadowKind::CopyOnWrite, TableStrategy::Image, || listed_only(headings)),
        &["Guest memory", "Copy-on-write shadow"],
    ),
    (
        "verified flush",
        |headings| moves(ShadowKind::CopyOnWrite, TableStrategy::GuestMemory, || listed_only(headings)),
        &["Guest memory", "Copy-on-write shadow"],
    ),
];

/// A device that is none: what matters is what it is asked.
fn null() -> File {
    File::options().read(true).write(true).open("/dev/null").expect("file")
}

fn devices(headings: &[&str]) {
    #[expect(unsafe_code, reason = "the kernel is told nothing about memory: it answers that this is no device")]
    // SAFETY: every request ends in `ENOTTY`, and no address is followed.
    let mut device = unsafe { KvmDevice::from_fd(null()) };
    let vm = null();
    listed_only(headings);
    let none = Errno::from_raw(libc::ENOTTY);
    assert_eq!(device.get(Attr::dist(0)), Err(none));
    assert_eq!(device.set(Attr::dist(0), 1), Err(none));
    assert_eq!(device.has(Attr::dist(0).id()), Err(none));
    assert_eq!(probe(&vm), Err(none));
    assert_eq!(vcpu_numbers(&vm), Err(none));
    done();
}

fn slots(headings: &[&str]) {
    let memory = Memory::from_ranges(&[(GuestAddress(RAM), RAM_BYTES)]).expect("memory");
    let slot = Memslot::new(0, 1, GuestRange::new(RAM, RAM_BYTES as u64), Backing::Anonymous);
    let slot = VmMemslot { memslot: slot, userspace_addr: memory.get_host_address(GuestAddress(RAM)).expect("address") as u64 };
    #[expect(unsafe_code, reason = "the kernel answers that this is no VM")]
    // SAFETY: every request ends in `ENOTTY`: there is no slot.
    let mut slots = unsafe { VmMemslots::new(null(), [slot]) };
    listed_only(headings);
    let none = Errno::from_raw(libc::ENOTTY);
    assert_eq!(slots.dirty_log(0), Err(none));
    assert_eq!(slots.delete(0), Err(none));
    done();
}

/// The process that does one of them.
#[test]
fn operation() {
    operate(OPERATIONS);
}

#[test]
fn each_operation_runs_under_the_filter_of_its_rows() {
    for (name, ..) in OPERATIONS {
        let output = run("operation", name, None);
        assert!(output.status.success(), "{name}: {}; {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
}

/// Rows that a process here does without, since this kernel or the way there is another, or since the allocator's rows have them.
fn is_elsewhere(row: &Row) -> bool {
    row.call == "munmap" || row.when.contains("where ") || row.when.contains("Where ")
}

#[test]
fn no_row_is_there_for_nothing() {
    let mut needed: BTreeMap<String, bool> = BTreeMap::new();
    for (name, _, headings) in OPERATIONS {
        for (heading, row) in headings.iter().flat_map(|heading| rows(heading).into_iter().map(move |row| (heading, row))) {
            let is_needed = is_elsewhere(&row) || run("operation", name, Some(&row)).status.signal() == Some(libc::SIGSYS);
            *needed.entry(format!("{heading}: {} {:x?}", row.call, row.arguments)).or_default() |= is_needed;
        }
    }
    let idle: Vec<&String> = needed.iter().filter(|(_, needed)| !**needed).map(|(row, _)| row).collect();
    assert!(idle.is_empty(), "no operation calls {idle:#?}");
}

/// The requests are those of the kernel's header.
#[test]
fn requests_are_those_that_are_made() {
    use vgic_state::uapi::device::{KVM_CHECK_EXTENSION, KVM_CREATE_DEVICE};
    use vgic_state::uapi::device::{KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR, KVM_SET_DEVICE_ATTR};
    use vgic_state::uapi::memory::{KVM_GET_DIRTY_LOG, KVM_SET_USER_MEMORY_REGION};
    let of = |heading: &str| rows(heading).iter().map(|row| row.arguments[0].1).collect::<Vec<u64>>();
    let devices = [KVM_GET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR, KVM_CREATE_DEVICE, KVM_CHECK_EXTENSION];
    assert_eq!(of("Devices"), devices.map(u64::from));
    assert_eq!(of("Memory slots"), [KVM_SET_USER_MEMORY_REGION, KVM_GET_DIRTY_LOG].map(u64::from));
}
