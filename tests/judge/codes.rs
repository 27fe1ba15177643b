//! One vocabulary: of every state, `check_image`, the report of a restore and the tool's `check` name the same problems.
//!
//! The states: the images of released versions, those that fuzzing begins with, and each that is crafted here.
//!
//! Rule: the tool is run as a user runs it, with the memory of the VM as a dump.

#[path = "../common/gicv2.rs"]
mod gicv2;
#[path = "../common/codes.rs"]
mod shared;

use crate::cases::{CHAINS, COMMANDS, ENTRIES, PLACES, REGISTERS};
use crate::common::{RAM, RAM_BYTES};
use crate::rig::*;
use crate::{ist, mappings};
use shared::{Fate, Said, compare};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use vgic_state::gicv2::Gicv2State;
use vgic_state::gicv3::Gicv3State;
use vgic_state::gicv5::Gicv5State;
use vgic_state::image::{self, IstCoding, Kind};
use vgic_state::report::Problem;
use vgic_state::{DynInterruptState, Mpidr};
use vm_memory::{Bytes as _, GuestAddress};

/// Files for the tool.
struct Files {
    image: PathBuf,
    memory: PathBuf,
}

impl Files {
    fn new(test: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("codes-{test}-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("directory");
        Files { image: directory.join("image"), memory: directory.join("memory") }
    }

    /// A dump of memory, which takes as much space as is in use.
    fn dump(&self, memory: &crate::common::Memory) {
        let mut bytes = vec![0; RAM_BYTES];
        memory.read_slice(&mut bytes, GuestAddress(RAM)).expect("memory");
        let mut file = fs::File::create(&self.memory).expect("file");
        file.set_len(RAM_BYTES as u64).expect("file");
        for (at, page) in (0..).step_by(4096).zip(bytes.chunks(4096)).filter(|(_, page)| page.iter().any(|byte| *byte != 0)) {
            file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(page)).expect("file");
        }
    }

    /// What the tool prints of an image.
    fn check(&self, image: &[u8], with_memory: bool) -> Vec<Said> {
        fs::write(&self.image, image).expect("file");
        let mut tool = Command::new(env!("CARGO_BIN_EXE_vgic-state"));
        tool.args(["check", "--format", "json"]).arg(&self.image);
        if with_memory {
            tool.args(["--all-memory", "--base", &RAM.to_string(), "--ram"]).arg(&self.memory);
        }
        let output = tool.output().expect("the tool starts");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        value["findings"].as_array().expect("list").iter().map(finding).collect()
    }

    /// Says the same of a GICv3 in a VM with this memory.
    fn gicv3(&self, state: &Gicv3State, memory: &crate::common::Memory) -> Option<Fate> {
        let image = state.to_image().ok()?;
        shared::gicv3(state, crate::common::copy(memory))?;
        self.dump(memory);
        let found = self.check(&image, true);
        let fresh =
            || -> Box<dyn DynInterruptState> { Box::new(shared::gicv3(state, crate::common::copy(memory)).expect("as before")) };
        Some(compare(&found, &image, fresh))
    }

    fn gicv2(&self, state: &Gicv2State) -> Option<Fate> {
        let image = state.to_image().ok()?;
        shared::gicv2(state)?;
        let fresh = || -> Box<dyn DynInterruptState> { Box::new(shared::gicv2(state).expect("as before")) };
        Some(compare(&self.check(&image, false), &image, fresh))
    }

    fn gicv5(&self, state: &Gicv5State<'_>) -> Option<Fate> {
        let image = state.to_image(IstCoding::Sparse).ok()?;
        shared::gicv5(state)?;
        let fresh = || -> Box<dyn DynInterruptState> { Box::new(shared::gicv5(state).expect("as before")) };
        Some(compare(&self.check(&image, false), &image, fresh))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = self.image.parent().map(fs::remove_dir_all);
    }
}

/// A finding as the tool prints it.
fn finding(row: &serde_json::Value) -> Said {
    let text = |column: &str| row[column].as_str().expect("text");
    let problem = Problem::ALL.iter().copied().find(|problem| problem.code() == text("code"));
    let problem = problem.unwrap_or_else(|| panic!("{}: no code of the library", text("code")));
    assert_eq!(text("severity"), problem.severity().to_string());
    assert_eq!((text("what"), text("consequence")), (problem.what(), problem.consequence()));
    let (count, refused) = (row["count"].as_u64().expect("number"), row["refused"].as_bool().expect("flag"));
    Said { problem, place: text("where").to_owned(), count, refused }
}

/// How often what became of a state.
type Fates = BTreeMap<Option<Fate>, u32>;

fn count(fates: &mut Fates, fate: Option<Fate>) {
    *fates.entry(fate).or_default() += 1;
}

#[test]
fn of_images_that_there_are() {
    let files = Files::new("images");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The fuzz targets are no part of the package.
    let directories = [root.join("tests/images/v1"), root.join("fuzz/seeds/image")];
    let paths =
        directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().map(|file| file.expect("file").path());
    // What fuzzing has kept is named by its hash, and mostly no image.
    let is_input = |path: &Path| {
        let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
        name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let is_image = |path: &PathBuf| path.extension().is_none_or(|extension| extension == "image") && !is_input(path);
    let mut paths: Vec<PathBuf> = paths.filter(is_image).collect();
    paths.sort();
    assert!(paths.len() >= 4, "{paths:?}");
    let (zeros, used) = (crate::common::memory(), subject(2, false).memory);
    for path in paths {
        let image = fs::read(&path).expect("image");
        match image::kind(&image).expect("kind") {
            Kind::Gicv2 => {
                let state = Gicv2State::parse(&image).expect("GICv2");
                assert_eq!(files.gicv2(&state), Some(Fate::Restored), "{}", path.display());
            }
            Kind::Gicv3 => {
                let state = Gicv3State::parse(&image).expect("GICv3");
                for memory in [&zeros, &used] {
                    assert!(files.gicv3(&state, memory).is_some(), "{}: no VM for it", path.display());
                }
            }
            _ => {
                let state = Gicv5State::parse(&image).expect("GICv5");
                assert_eq!(files.gicv5(&state), Some(Fate::Restored), "{}", path.display());
            }
        }
    }
}

#[test]
fn of_crafted_tables_and_commands() {
    let files = Files::new("tables");
    let clean = [subject(1, false), subject(1, true)];
    let (mut fates, mut without_vm) = (Fates::new(), Vec::new());
    for (what, indirect, change, _) in [PLACES, CHAINS, ENTRIES, REGISTERS].concat() {
        println!("{what}");
        let mut subject = clean[usize::from(indirect)].copy();
        change(&mut subject);
        let fate = files.gicv3(&subject.state, &subject.memory);
        count(&mut fates, fate);
        if fate.is_none() {
            without_vm.push(what);
        }
    }
    for (what, command, _) in COMMANDS {
        println!("{what}");
        let mut subject = clean[0].copy();
        let registers = &mut subject.state.its[0].registers;
        (registers.creadr, registers.cwriter) = (0xffe0, 0);
        for (at, word) in (queue(0) + 0xffe0..).step_by(8).zip(command) {
            subject.write(at, *word);
        }
        count(&mut fates, files.gicv3(&subject.state, &subject.memory));
    }
    println!("{fates:?}");
    // No image has the SPIs out of order; no VM has such a GITS_TYPER or GICR_TYPER.
    assert_eq!(without_vm, ["device: DeviceID above Devbits", "SPIs out of order", "LPIs of a vCPU without PLPIS"]);
    assert!([Fate::Restored, Fate::Refused, Fate::Kernel].iter().all(|fate| fates.contains_key(&Some(*fate))), "{fates:?}");
}

#[test]
fn of_crafted_mappings() {
    let files = Files::new("mappings");
    let subject = subject(2, false);
    let clean = mappings::as_data(&subject);
    let mut fates = Fates::new();
    for (what, change, _) in mappings::CASES {
        println!("{what}");
        let mut lpis = clean.clone();
        change(&mut lpis);
        let mut state = subject.state.clone();
        state.lpis = Some(lpis);
        count(&mut fates, files.gicv3(&state, &subject.memory));
    }
    println!("{fates:?}");
    // The others are in no image: lists that are out of order, numbers that have no room there.
    assert!(fates.get(&None).is_some_and(|count| *count < 10));
    assert!([Fate::Restored, Fate::Refused].iter().all(|fate| fates.contains_key(&Some(*fate))), "{fates:?}");
}

#[test]
fn of_crafted_registers() {
    type Change = fn(&mut Gicv3State);
    const CHANGES: &[(Change, Problem)] = &[
        (|s| s.vcpus[1].private.config[0] = 0, Problem::TriggerMode),
        (|s| s.vcpus[1].icc.sre = 0, Problem::SreClear),
        (|s| s.vcpus[0].icc.ap1r3 = 1, Problem::ActivePriority),
        (|s| s.vcpus[0].private.priority[3] = 0x0700_0000, Problem::IgnoredBits),
        (|s| s.spis[0].interrupts.priority[0] = 1, Problem::IgnoredBits),
        (|s| (s.spis[0].interrupts.enable, s.spis[0].router[0]) = (1, 0x1234), Problem::SpiTargetUnknown),
        (|s| s.spis[0].router[5] = 1 << 24, Problem::IgnoredBits),
        (|s| s.its[0].registers.baser7 = 1, Problem::RegisterNotImplemented),
    ];
    let files = Files::new("registers");
    let subject = subject(1, false);
    for (change, expected) in CHANGES {
        let mut state = subject.state.clone();
        change(&mut state);
        let image = state.to_image().expect("image");
        files.dump(&subject.memory);
        assert!(files.check(&image, true).iter().any(|said| said.problem == *expected), "{expected:?}");
        assert!(files.gicv3(&state, &subject.memory).is_some(), "{expected:?}");
    }
    // Without an ITS.
    let mut state = subject.state.clone();
    state.its.clear();
    assert_eq!(files.gicv3(&state, &subject.memory), None, "GICD_TYPER.LPIS is of a VM with ITSes");
    let mut state = subject.state;
    state.vcpus[1].vcpu.mpidr = Mpidr::new(0, 9, 9, 9);
    assert_eq!(files.gicv3(&state, &subject.memory), None, "GICR_TYPER has the affinity");
}

#[test]
fn of_a_gicv2() {
    type Change = fn(&mut Gicv2State);
    const CHANGES: &[(Change, Problem, Fate)] = &[
        (|s| s.identity.iidr &= !0xf000, Problem::RevisionUnknown, Fate::Refused),
        (|s| s.dist.ctlr = 2, Problem::IgnoredBits, Fate::Restored),
        (|s| s.spis[0].interrupts.targets[5] = 0x80, Problem::IgnoredBits, Fate::Restored),
        (|s| s.vcpus[1].private.pending[0] ^= 1, Problem::SgiSenders, Fate::Restored),
        (|s| s.vcpus[1].sgi_sources[0] |= 0x80, Problem::SgiSenderUnknown, Fate::Restored),
        (|s| s.vcpus[0].private.active[0] |= 1, Problem::ActiveSgi, Fate::Restored),
        (|s| s.vcpus[0].gicc.apr3 = 1, Problem::ActiveSgi, Fate::Restored),
        (|s| s.vcpus[0].gicc.pmr = 0xff, Problem::IgnoredBits, Fate::Restored),
    ];
    let files = Files::new("gicv2");
    let clean = gicv2::full_state(3, 96);
    assert_eq!(files.gicv2(&clean), Some(Fate::Restored));
    for (n, (change, expected, fate)) in CHANGES.iter().enumerate() {
        let mut state = clean.clone();
        change(&mut state);
        let found = files.check(&state.to_image().expect("image"), false);
        assert!(found.iter().any(|said| said.problem == *expected), "{n}: {found:?}");
        assert_eq!(files.gicv2(&state), Some(*fate), "{n}");
    }
    let mut state = clean;
    state.identity.typer = 0;
    assert_eq!(files.gicv2(&state), None, "GICD_TYPER has the number of vCPUs and of interrupts");
}

#[test]
fn of_crafted_interrupt_state_tables() {
    let files = Files::new("ist");
    let mut fates = Fates::new();
    for (problem, entry) in ist::CASES {
        count(&mut fates, files.gicv5(&ist::state(&[(7, *entry)], &[(64, *entry), (65, *entry)])));
        println!("{problem:?}: {fates:?}");
    }
    for change in ist::MISFITS.iter().map(|(change, _)| change) {
        let mut state = ist::state(&[], &[]);
        change(&mut state);
        count(&mut fates, files.gicv5(&state));
    }
    println!("{fates:?}");
    assert!([Fate::Restored, Fate::Refused].iter().all(|fate| fates.contains_key(&Some(*fate))), "{fates:?}");
}
