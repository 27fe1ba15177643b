//! The system calls of `docs/seccomp.md`: each operation runs in a process under a filter that is made of the tables there.
//!
//! Source: seccomp(2); seccompiler's documentation.
//!
//! Rule: the filter is of the document's own rows, and kills. What the allocator and the end of a process call is listed here, since it is
//! not the crate's.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]
#![cfg(target_os = "linux")]

#[path = "common/gicv3.rs"]
#[allow(dead_code, reason = "of what the tests share, a part")]
mod common;

use common::{Config, Memory, RAM, RAM_BYTES, fill, fill_its, fresh, vcpus};
use seccompiler::{SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use vgic_state::gicv3::Gicv3;
use vgic_state::kvm::{KvmDevice, VmMemslot, VmMemslots, probe};
use vgic_state::model::gicv3::{Device, Slots, Vm};
use vgic_state::shadow::{Backing, Memslot, Memslots, ShadowKind, Shadowed};
use vgic_state::{Attr, AttrDevice, DynInterruptState, Errno, GuestRange, InterruptState, TableStrategy};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryBackend};

const DOCUMENT: &str = include_str!("../docs/seccomp.md");
/// What a process is to do that this test starts, and which row of the document it is to do without.
const OPERATION: &str = "VGIC_STATE_SECCOMP";
const WITHOUT: &str = "VGIC_STATE_SECCOMP_WITHOUT";

/// A system call, and what some of its arguments are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    call: String,
    arguments: Vec<(u8, u64)>,
    when: String,
}

fn number(text: &str) -> u64 {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    }
    .expect("a number")
}

/// The rows below a heading of the document.
fn rows(heading: &str) -> Vec<Row> {
    let (_, section) = DOCUMENT.split_once(&format!("\n## {heading}\n")).expect(heading);
    let section = section.split("\n## ").next().expect("section");
    let rows = section.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [call, arguments, when] = cells[..] else { panic!("{line}") };
        let argument = |text: &str| {
            let (name, value) = text.split_once('=').expect("an argument and its value");
            let (_, place) = name.split_once('(').expect("the place of an argument");
            (number(place.trim().trim_end_matches(')')) as u8, number(value))
        };
        let arguments = arguments.split(',').filter(|text| !text.is_empty()).map(argument).collect();
        Row { call: call.trim_matches('`').to_owned(), arguments, when: when.to_owned() }
    });
    rows.collect()
}

fn call(name: &str) -> i64 {
    match name {
        "brk" => libc::SYS_brk,
        "close" => libc::SYS_close,
        "exit_group" => libc::SYS_exit_group,
        "fcntl" => libc::SYS_fcntl,
        "fstatfs" => libc::SYS_fstatfs,
        "ftruncate" => libc::SYS_ftruncate,
        "futex" => libc::SYS_futex,
        "gettid" => libc::SYS_gettid,
        "ioctl" => libc::SYS_ioctl,
        "lseek" => libc::SYS_lseek,
        "madvise" => libc::SYS_madvise,
        "memfd_create" => libc::SYS_memfd_create,
        "mmap" => libc::SYS_mmap,
        "mprotect" => libc::SYS_mprotect,
        "mremap" => libc::SYS_mremap,
        "munmap" => libc::SYS_munmap,
        "openat" => libc::SYS_openat,
        "pipe2" => libc::SYS_pipe2,
        "pread64" => libc::SYS_pread64,
        "prlimit64" => libc::SYS_prlimit64,
        "process_vm_readv" => libc::SYS_process_vm_readv,
        "process_vm_writev" => libc::SYS_process_vm_writev,
        "read" => libc::SYS_read,
        "sigaltstack" => libc::SYS_sigaltstack,
        "statx" => libc::SYS_statx,
        "write" => libc::SYS_write,
        other => panic!("a system call that is not listed here: {other}"),
    }
}

/// Allocator, end of the process, and a message of an assertion that fails.
fn own() -> Vec<Row> {
    let own: [(&str, &[(u8, u64)]); 12] = [
        ("brk", &[]),
        ("exit_group", &[]),
        // With debug assertions, before a descriptor is closed.
        ("fcntl", &[(1, libc::F_GETFD as u64)]),
        ("futex", &[]),
        ("mmap", &[(2, 3), (3, 0x22)]),
        ("mmap", &[(2, 0), (3, 0x4022)]),
        ("mprotect", &[]),
        ("mremap", &[]),
        ("munmap", &[]),
        ("sigaltstack", &[]),
        ("write", &[(0, 1)]),
        ("write", &[(0, 2)]),
    ];
    own.map(|(call, arguments)| Row { call: call.to_owned(), arguments: arguments.to_vec(), when: String::new() }).to_vec()
}

/// Filters this thread: what is in none of the rows ends in `otherwise`, the rest in `listed`.
fn filter(rows: &[Row], listed: SeccompAction, otherwise: SeccompAction) {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for row in rows {
        let of_call = rules.entry(call(&row.call)).or_default();
        let condition = |(place, value): &(u8, u64)| {
            SeccompCondition::new(*place, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, *value).expect("condition")
        };
        if !row.arguments.is_empty() {
            of_call.push(SeccompRule::new(row.arguments.iter().map(condition).collect()).expect("rule"));
        }
    }
    // A row without arguments is for any.
    for row in rows.iter().filter(|row| row.arguments.is_empty()) {
        rules.insert(call(&row.call), Vec::new());
    }
    let arch = std::env::consts::ARCH.try_into().expect("architecture");
    let filter = SeccompFilter::new(rules, otherwise, listed, arch).expect("filter");
    let program: seccompiler::BpfProgram = filter.try_into().expect("program");
    seccompiler::apply_filter(&program).expect("seccomp");
}

/// These system calls answer with an error.
fn refuse(calls: &[&str], errno: i32) {
    let row = |call: &&str| Row { call: (*call).to_owned(), arguments: Vec::new(), when: String::new() };
    filter(&calls.iter().map(row).collect::<Vec<_>>(), SeccompAction::Errno(errno as u32), SeccompAction::Allow);
}

/// From here on, only what the document lists below some headings.
fn listed_only(headings: &[&str]) {
    let without = std::env::var(WITHOUT).ok();
    let of_document = headings.iter().flat_map(|heading| rows(heading));
    let rows: Vec<Row> = of_document.filter(|row| without.as_deref() != Some(&format!("{row:?}"))).chain(own()).collect();
    filter(&rows, SeccompAction::Allow, SeccompAction::KillProcess);
}

fn shared_memory() -> Memory {
    let path = std::env::temp_dir().join(format!("vgic-state-seccomp-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).expect("file");
    std::fs::remove_file(path).expect("file");
    file.set_len(RAM_BYTES as u64).expect("file");
    Memory::from_ranges_with_files([(GuestAddress(RAM), RAM_BYTES, Some(FileOffset::new(file, 0)))]).expect("memory")
}

/// Ends the process before files and memory of the test are let go.
fn done() {
    #[expect(unsafe_code, reason = "what runs at an exit, the report of a coverage for one, makes calls that are not the crate's")]
    // SAFETY: the process ends, and nothing is left to be written.
    unsafe {
        libc::_exit(0);
    }
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

/// What a process does, by its name, and the headings of what it may call.
type Operation = (&'static str, fn(&[&str]), &'static [&'static str]);

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
        "guest memory after another thread was refused",
        |headings| {
            moves(ShadowKind::Zero, TableStrategy::GuestMemory, || {
                let refused = std::thread::spawn(|| {
                    refuse(&["process_vm_readv"], libc::EPERM);
                    vgic_state::GuestMemoryRead::read(&shared_memory(), RAM, &mut [1; 8])
                });
                assert!(refused.join().expect("thread"));
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
    let Ok(name) = std::env::var(OPERATION) else { return };
    let (_, operation, headings) = OPERATIONS.iter().find(|(other, ..)| *other == name).expect("operation");
    operation(headings);
    panic!("it returned");
}

fn run(name: &str, without: Option<&Row>) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "operation", "--nocapture", "--test-threads=2"]).env(OPERATION, name);
    // glibc looks at `/proc` before an arena of a thread shrinks.
    command.env("MALLOC_ARENA_MAX", "1");
    if let Some(row) = without {
        command.env(WITHOUT, format!("{row:?}"));
    }
    command.output().expect("process")
}

#[test]
fn each_operation_runs_under_the_filter_of_its_rows() {
    for (name, ..) in OPERATIONS {
        let output = run(name, None);
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
            let is_needed = is_elsewhere(&row) || run(name, Some(&row)).status.signal() == Some(libc::SIGSYS);
            *needed.entry(format!("{heading}: {} {:x?}", row.call, row.arguments)).or_default() |= is_needed;
        }
    }
    let idle: Vec<&String> = needed.iter().filter(|(_, needed)| !**needed).map(|(row, _)| row).collect();
    assert!(idle.is_empty(), "no operation calls {idle:#?}");
}

/// The requests are those of the kernel's header.
#[test]
fn requests_are_those_that_are_made() {
    use vgic_state::uapi::device::{KVM_CREATE_DEVICE, KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR, KVM_SET_DEVICE_ATTR};
    use vgic_state::uapi::memory::{KVM_GET_DIRTY_LOG, KVM_SET_USER_MEMORY_REGION};
    let of = |heading: &str| rows(heading).iter().map(|row| row.arguments[0].1).collect::<Vec<u64>>();
    let devices = [KVM_GET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR, KVM_CREATE_DEVICE];
    assert_eq!(of("Devices"), devices.map(u64::from));
    assert_eq!(of("Memory slots"), [KVM_SET_USER_MEMORY_REGION, KVM_GET_DIRTY_LOG].map(u64::from));
}
