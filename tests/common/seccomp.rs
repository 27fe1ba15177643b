//! Filters made of the tables of `docs/seccomp.md`.
//!
//! Source: seccomp(2); seccompiler's documentation.
//!
//! Rule: the filter is of the document's own rows, and kills. What the allocator and the end of a process call is listed here, since it is
//! not the crate's.

use seccompiler::{SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule};
use std::collections::BTreeMap;
use std::process::{Command, Output};

const DOCUMENT: &str = include_str!("../../docs/seccomp.md");
/// What a process is to do that a test starts, and which row of the document it is to do without.
const OPERATION: &str = "VGIC_STATE_SECCOMP";
const WITHOUT: &str = "VGIC_STATE_SECCOMP_WITHOUT";

/// A system call, and what some of its arguments are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) call: String,
    pub(crate) arguments: Vec<(u8, u64)>,
    pub(crate) when: String,
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
pub(crate) fn rows(heading: &str) -> Vec<Row> {
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
        "fstat" => libc::SYS_fstat,
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
        "writev" => libc::SYS_writev,
        other => panic!("a system call that is not listed here: {other}"),
    }
}

/// Allocator, end of the process, and a message of an assertion that fails.
fn own() -> Vec<Row> {
    let own: [(&str, &[(u8, u64)]); 13] = [
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
        ("writev", &[(0, 2)]),
    ];
    own.map(|(call, arguments)| Row { call: call.to_owned(), arguments: arguments.to_vec(), when: String::new() }).to_vec()
}

/// Rows below some headings, as the C library of this process calls them.
fn of_document(headings: &[&str]) -> Vec<Row> {
    let mut all: Vec<Row> = headings.iter().flat_map(|heading| rows(heading)).collect();
    if cfg!(all(target_env = "musl", target_arch = "aarch64")) && all.iter().any(|row| row.call == "openat") {
        all.extend(rows("musl on arm64"));
    }
    all
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
pub(crate) fn refuse(calls: &[&str], errno: i32) {
    let row = |call: &&str| Row { call: (*call).to_owned(), arguments: Vec::new(), when: String::new() };
    filter(&calls.iter().map(row).collect::<Vec<_>>(), SeccompAction::Errno(errno as u32), SeccompAction::Allow);
}

/// From here on, only what the document lists below some headings.
pub(crate) fn listed_only(headings: &[&str]) {
    let without = std::env::var(WITHOUT).ok();
    let of_document = of_document(headings).into_iter().filter(|row| without.as_deref() != Some(&format!("{row:?}")));
    filter(&of_document.chain(own()).collect::<Vec<Row>>(), SeccompAction::Allow, SeccompAction::KillProcess);
}

/// Ends the process before files and memory of the test are let go.
pub(crate) fn done() {
    #[expect(unsafe_code, reason = "what runs at an exit, the report of a coverage for one, makes calls that are not the crate's")]
    // SAFETY: the process ends, and nothing is left to be written.
    unsafe {
        libc::_exit(0);
    }
}

/// What a process does, by its name, and the headings of what it may call.
pub(crate) type Operation = (&'static str, fn(&[&str]), &'static [&'static str]);

/// Does what this process was started for, if it was.
pub(crate) fn operate(operations: &[Operation]) {
    let Ok(name) = std::env::var(OPERATION) else { return };
    let (_, operation, headings) = operations.iter().find(|(other, ..)| *other == name).expect("operation");
    operation(headings);
    panic!("it returned");
}

/// Starts a process for the test of this name, which [operates](operate); without a row.
pub(crate) fn run(test: &str, name: &str, without: Option<&Row>) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", test, "--nocapture", "--test-threads=2"]).env(OPERATION, name);
    // glibc looks at `/proc` before an arena of a thread shrinks.
    command.env("MALLOC_ARENA_MAX", "1");
    if let Some(row) = without {
        command.env(WITHOUT, format!("{row:?}"));
    }
    command.output().expect("process")
}
