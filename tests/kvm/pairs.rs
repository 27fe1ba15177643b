//! A guest that is saved on one machine and restored on another: of another kernel, another CPU, another QEMU.
//!
//! Source: `env/pairs`, which runs the two tests, carries files from one machine to the next, and counts.
//!
//! Rule: the guest of the first machine says what it is given there; the guest of the second is given exactly that, or the image is
//! refused before anything is written.
//!
//! A file of the first machine is what a VMM would send: an image, the pages of guest memory that are not empty, and how the VM was made.
//! `VGIC_STATE_PAIRS_AS` is the name of the machine, `/out` where the file goes, `/*.saved` the files of other machines.

use crate::kernel::KernelRig;
use crate::layout;
use crate::memory;
use crate::program::{Devices, Table};
use crate::rig::{Config, Memory, Rig};
use crate::save::Save as _;
use crate::scenarios::populate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use vgic_state::gicv3::Gicv3State;
use vgic_state::uapi::vgic_v3::dist::GICD_CTLR;
use vgic_state::{DynInterruptState, Error, TableStrategy};
use vm_memory::{Bytes, GuestAddress};

const PAGE: usize = 4096;

/// A VM and what its guest has.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    config: Config,
    devices: Devices,
    /// Each vCPU is stopped in the handler of an interrupt.
    in_handler: bool,
}

fn cases() -> Vec<Case> {
    let flat = Case {
        name: "flat tables",
        config: Config::default(),
        devices: Devices { devices: 5, ..Devices::FLAT },
        in_handler: false,
    };
    let with = |vcpus, id_step| Config { vcpus, id_step, ..flat.config };
    vec![
        flat,
        Case {
            name: "two levels",
            config: with(4, 1),
            devices: Devices { devices: 6, step: 9_000, table: Table::TwoLevels, ..Devices::TWO_LEVELS },
            ..flat
        },
        // A place among the vCPUs is the id of another.
        Case { name: "ids 0, 2, 4", config: with(3, 2), ..flat },
        Case { name: "ids 0, 11, 22", config: with(3, 11), ..flat },
        Case { name: "two ITSes", config: Config { its: 2, ..flat.config }, ..flat },
        Case { name: "no ITS", config: Config { its: 0, nr_irqs: 256, ..with(4, 1) }, ..flat },
        Case { name: "in a handler", in_handler: true, ..flat },
    ]
}

/// What a guest of a vCPU is given: before it ends the interrupt that it handles, and then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Served {
    handled: Option<u32>,
    before: Vec<u32>,
    then: Vec<u32>,
}

/// A VM on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    case: String,
    in_image: bool,
    image: Vec<u8>,
    pages: Vec<(u64, Vec<u8>)>,
    /// By vCPU.
    served: Vec<Served>,
}

fn pages(memory: &Memory) -> Vec<(u64, Vec<u8>)> {
    let mut page = vec![0; PAGE];
    let mut pages = Vec::new();
    for at in (layout::RAM..layout::RAM + layout::RAM_BYTES as u64).step_by(PAGE) {
        memory.read_slice(&mut page, GuestAddress(at)).expect("memory");
        if page.iter().any(|byte| *byte != 0) {
            pages.push((at, page.clone()));
        }
    }
    pages
}

fn name() -> String {
    std::env::var("VGIC_STATE_PAIRS_AS").expect("VGIC_STATE_PAIRS_AS: the name of this machine")
}

/// Lets the guest run on every vCPU. Interrupts of one priority come in any order.
fn serve(rig: &mut KernelRig, handled: &[Option<u32>]) -> Vec<Served> {
    let mut served = Vec::new();
    for (vcpu, handled) in handled.iter().copied().enumerate() {
        let sorted = |mut intids: Vec<u32>| {
            intids.sort_unstable();
            intids
        };
        let before = handled.map_or_else(Vec::new, |_| sorted(rig.acknowledge(vcpu)));
        if let Some(intid) = handled {
            rig.leave_handler(vcpu, intid);
        }
        served.push(Served { handled, before, then: sorted(rig.acknowledge(vcpu)) });
    }
    served
}

/// What another machine gets, or why it gets nothing.
fn saved(case: &Case, tables: TableStrategy) -> Result<Saved, Error> {
    let mut rig = KernelRig::new(case.config);
    rig.ask_for_vcpu_numbers();
    populate(&mut rig, &case.devices);
    let handled: Vec<_> = (0..case.config.vcpus).map(|vcpu| case.in_handler.then(|| rig.enter_handler(vcpu))).collect();
    rig.gicv3().options_mut().tables = tables;
    let image = rig.gicv3().flush_and_save()?.to_image().expect("image");
    let pages = pages(rig.memory());
    let served = serve(&mut rig, &handled);
    Ok(Saved { case: case.name.into(), in_image: tables == TableStrategy::Image, image, pages, served })
}

/// The first half: every case, into one file.
#[test]
#[ignore = "one half: env/pairs runs both"]
fn save() {
    let both = [TableStrategy::GuestMemory, TableStrategy::Image];
    let mut all = Vec::new();
    for (case, tables) in cases().iter().flat_map(|case| both.map(|tables| (case, tables))) {
        match saved(case, tables) {
            Ok(saved) => all.push(saved),
            Err(refused @ Error::Refused(_)) => println!("UNSAVED {}, {}: {refused}", name(), case.name),
            Err(error) => panic!("{}: {error}", case.name),
        }
    }
    let file = Path::new("/out").join(format!("{}.saved", name()));
    std::fs::write(file, postcard::to_stdvec(&all).expect("file")).expect("file");
    println!("SAVED {}: {} states", name(), all.len());
}

/// What became of a VM on this machine.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Served { interrupts: usize },
    Refused(String),
    Failed(String),
    Wrong { lost: usize, doubled: usize },
}

fn restored(case: &Case, saved: &Saved) -> Outcome {
    let memory = memory::fresh(1, false);
    for (at, page) in &saved.pages {
        memory.write_slice(page, GuestAddress(*at)).expect("memory");
    }
    let mut rig = KernelRig::with_memory(case.config, memory);
    rig.ask_for_vcpu_numbers();
    let checked = rig.gicv3().check_image(&saved.image);
    let before = checked.is_err().then(|| (memory::copy(rig.memory()), rig.dist(GICD_CTLR)));
    match (rig.gicv3().restore_image(&saved.image), before) {
        (Ok(_), None) => {}
        (Err(refused @ (Error::Refused(_) | Error::Image(_))), Some((before, ctlr))) => {
            assert_eq!(memory::changed(&before, rig.memory()).first(), None, "nothing is written");
            assert_eq!(rig.dist(GICD_CTLR), ctlr, "nothing is written");
            return Outcome::Refused(refused.to_string());
        }
        (restored, _) => return Outcome::Failed(format!("check: {checked:?}, restore: {restored:?}")),
    }
    // The same state again, before the guest goes on.
    rig.gicv3().options_mut().tables = if saved.in_image { TableStrategy::Image } else { TableStrategy::GuestMemory };
    let state = match rig.gicv3().flush_and_save() {
        Ok(state) => state,
        Err(error) => return Outcome::Failed(format!("the next save: {error}")),
    };
    let expected = Gicv3State::parse(&saved.image).expect("image");
    if state != expected {
        let (one, two) = (format!("{expected:#x?}"), format!("{state:#x?}"));
        let differ = one.lines().zip(two.lines()).find(|(one, two)| one != two).unwrap_or_default();
        return Outcome::Failed(format!("the state is another: {differ:?}"));
    }
    let handled: Vec<_> = saved.served.iter().map(|served| served.handled).collect();
    let served = serve(&mut rig, &handled);
    if served == saved.served {
        return Outcome::Served { interrupts: served.iter().map(|served| served.before.len() + served.then.len()).sum() };
    }
    let mut difference: BTreeMap<(usize, bool, u32), i32> = BTreeMap::new();
    for (served, sign) in [(&served, 1), (&saved.served, -1)] {
        for (vcpu, served) in served.iter().enumerate() {
            served.before.iter().for_each(|intid| *difference.entry((vcpu, true, *intid)).or_default() += sign);
            served.then.iter().for_each(|intid| *difference.entry((vcpu, false, *intid)).or_default() += sign);
        }
    }
    let count = |which: fn(i32) -> bool| difference.values().filter(|n| which(**n)).count();
    println!("  at (vCPU, in a handler, INTID): {:?}", difference.iter().filter(|(_, n)| **n != 0).collect::<Vec<_>>());
    Outcome::Wrong { lost: count(|n| n < 0), doubled: count(|n| n > 0) }
}

/// The second half: every file of every other machine.
#[test]
#[ignore = "one half: env/pairs runs both"]
fn restore() {
    let mut wrong = 0;
    let files = std::fs::read_dir("/").expect("files").map(|file| file.expect("file").path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|extension| extension == "saved")).collect();
    files.sort();
    assert!(!files.is_empty(), "VGIC_STATE_KVM_FILES names what another machine has saved");
    for file in files {
        let from = file.file_stem().expect("name").to_string_lossy().into_owned();
        let all: Vec<Saved> = postcard::from_bytes(&std::fs::read(&file).expect("file")).expect("file");
        for saved in &all {
            let case = *cases().iter().find(|case| case.name == saved.case).expect("case");
            let outcome = restored(&case, saved);
            let tables = if saved.in_image { "image" } else { "memory" };
            println!("PAIR {from} -> {}, {}, tables in {tables}: {outcome:?}", name(), saved.case);
            wrong += usize::from(matches!(outcome, Outcome::Failed(_) | Outcome::Wrong { .. }));
        }
    }
    assert_eq!(wrong, 0, "VMs of which something was lost");
}
