//! A guest that has programmed its ITSes, flushed and saved: its registers, its memory.

use crate::common::{CONFIGURATION, Config, Gic, RAM, RAM_BYTES, area, fresh, its_base, memory, pending};
use crate::save::Save as _;
use vgic_state::gicv3::Gicv3State;
use vgic_state::its::{Cte, Dte, Ite};
use vgic_state::judge::{self, Limits, Ranges};
use vgic_state::model::gicv3::{Host, Mappings, Vm};
use vgic_state::report::{Problem, Report};
use vgic_state::uapi::vgic_v3::{its, redist};
use vgic_state::{Attr, AttrDevice, DynInterruptState, GuestRange};
use vm_memory::{Bytes, GuestAddress};

pub(crate) const VALID: u64 = 1 << 63;
pub(crate) const PAGE: u64 = 0x1_0000;

/// Where an ITS has what, in its area.
pub(crate) const fn queue(n: usize) -> u64 {
    area(n)
}

pub(crate) const fn collections(n: usize) -> u64 {
    area(n) + PAGE
}

pub(crate) const fn itts(n: usize) -> u64 {
    area(n) + 2 * PAGE
}

pub(crate) const fn level1(n: usize) -> u64 {
    area(n) + 3 * PAGE
}

/// Flat device table of 8 pages, or as many level-2 tables.
pub(crate) const fn devices(n: usize) -> u64 {
    area(n) + 4 * PAGE
}

/// Entry of a device, in either.
pub(crate) fn dte(n: usize, device: u64) -> u64 {
    devices(n) + device * 8
}

/// Devices: DeviceID, bits of EventID, place of the ITT, events with LPI and collection. 40000 is farther from 70 than an entry can say.
pub(crate) type Program = &'static [(u64, u64, u64, &'static [(u64, u64, u64)])];

pub(crate) const DEFAULT: Program = &[
    (3, 5, 0, &[(2, 8400, 7), (17, 8401, 8)]),
    (70, 4, 0x1000, &[(0, 8300, 7), (9, 8301, 8)]),
    (40000, 1, 0x2000, &[(1, 8500, 8)]),
];

/// What is audited.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) state: Gicv3State,
    pub(crate) memory: crate::common::Memory,
    pub(crate) ranges: Ranges,
    pub(crate) mappings: Vec<Mappings>,
}

pub(crate) fn subject(its: usize, indirect: bool) -> Subject {
    programmed(its, indirect, DEFAULT)
}

/// Lets the first ITS run more commands.
pub(crate) fn run(vm: &Vm, gic: &mut Gic, commands: &[[u64; 4]]) {
    let device = &mut gic.its_mut()[0];
    let at = device.get(Attr::its(its::GITS_CWRITER)).expect("GITS_CWRITER");
    for (at, word) in (queue(0) + at..).step_by(8).zip(commands.as_flattened()) {
        vm.memory().write_obj(*word, GuestAddress(at)).expect("memory");
    }
    device.set(Attr::its(its::GITS_CWRITER), at + 32 * commands.len() as u64).expect("GITS_CWRITER");
    assert!(vm.commands().iter().all(|command| command.result.is_ok()));
}

/// The registers and the queue of an ITS, as a guest sets them up; the same devices on each, other LPIs.
fn set_up(vm: &Vm, gic: &mut Gic, n: usize, indirect: bool, program: Program) {
    let memory = vm.memory();
    let offset = n as u64 * 1000;
    let mut commands = vec![[0x09, 0, VALID | 7, 0], [0x09, 0, VALID | 1 << 16 | 8, 0]];
    for (device, bits, itt, events) in program {
        commands.push([0x08 | device << 32, bits - 1, VALID | (itts(n) + itt), 0]);
        commands.extend(events.iter().map(|(event, lpi, icid)| [0x0a | device << 32, (lpi + offset) << 32 | event, *icid, 0]));
    }
    for (at, word) in (queue(n)..).step_by(8).zip(commands.as_flattened()) {
        memory.write_obj(*word, GuestAddress(at)).expect("memory");
    }
    let mut baser0 = VALID | devices(n) | 7;
    if indirect {
        baser0 = VALID | 1 << 62 | level1(n);
        for index in 0..8 {
            memory.write_obj(VALID | (devices(n) + index * PAGE), GuestAddress(level1(n) + index * 8)).expect("memory");
        }
    }
    let device = &mut gic.its_mut()[n];
    for (offset, value) in [
        (its::GITS_CBASER, VALID | queue(n) | 0xf),
        (its::GITS_BASER, baser0),
        (its::GITS_BASER + 8, VALID | collections(n)),
        (its::GITS_CTLR, 1),
        (its::GITS_CWRITER, commands.len() as u64 * 32),
    ] {
        device.set(Attr::its(offset), value).expect("ITS register");
    }
    assert!(vm.commands().iter().all(|command| command.result.is_ok()));
}

pub(crate) fn programmed(count: usize, indirect: bool, program: Program) -> Subject {
    let (vm, mut gic) = running(Host::default(), count, indirect, program);
    flushed(&vm, &mut gic)
}

/// A VM whose guest has mapped all of it; the first event of each device is pending.
pub(crate) fn running(host: Host, count: usize, indirect: bool, program: Program) -> (Vm, Gic) {
    let (vm, mut gic) = fresh(Config { host, its: count, ..Config::default() }, memory());
    vm.memory().write_slice(&[0xa3; 0xe000], GuestAddress(CONFIGURATION)).expect("memory");
    for (n, vcpu) in (0..).zip(gic.target().vcpus.clone().iter()) {
        let registers = [(redist::GICR_PROPBASER, CONFIGURATION | 0xf), (redist::GICR_PENDBASER, pending(n))];
        for (offset, value) in registers {
            gic.gic_mut().set(Attr::redist(vcpu.mpidr, offset), value as u32).expect("table");
            gic.gic_mut().set(Attr::redist(vcpu.mpidr, offset + 4), (value >> 32) as u32).expect("table");
        }
        gic.gic_mut().set(Attr::redist(vcpu.mpidr, redist::GICR_CTLR), 1).expect("GICR_CTLR");
    }
    for n in 0..count {
        set_up(&vm, &mut gic, n, indirect, program);
        for (device, _, _, events) in program {
            if let Some((event, ..)) = events.first() {
                let sent = vm.signal_msi(its_base(n) + its::GITS_TRANSLATER, *device as u32, *event as u32);
                assert_eq!(sent, Ok(1));
            }
        }
    }
    (vm, gic)
}

/// What is saved of it.
pub(crate) fn flushed(vm: &Vm, gic: &mut Gic) -> Subject {
    let _ = gic.flush_tables().expect("flush");
    let ranges = Ranges::new([GuestRange::new(RAM, RAM_BYTES as u64)].into(), [].into());
    let mappings = (0..gic.its().len()).map(|n| vm.mappings(n).expect("ITS")).collect();
    Subject { state: gic.flush_and_save().expect("save"), memory: vm.memory(), ranges, mappings }
}

impl Subject {
    /// The same with memory of its own.
    pub(crate) fn copy(&self) -> Subject {
        Subject { memory: crate::common::copy(&self.memory), ..self.clone() }
    }

    pub(crate) fn audit(&self) -> Report {
        judge::gicv3::problems(&self.state, &self.memory, &self.ranges, &Limits::default())
    }

    pub(crate) fn read(&self, address: u64) -> u64 {
        self.memory.read_obj(GuestAddress(address)).expect("memory")
    }

    pub(crate) fn write(&mut self, address: u64, value: u64) {
        self.memory.write_obj(value, GuestAddress(address)).expect("memory");
    }

    pub(crate) fn dte(&mut self, device: u64, change: impl Fn(Dte) -> Dte) {
        let entry = change(Dte::from_bits(self.read(dte(0, device))));
        self.write(dte(0, device), entry.into_bits());
    }

    /// An entry of the ITT of device 3.
    pub(crate) fn ite(&mut self, event: u64, change: impl Fn(Ite) -> Ite) {
        let entry = change(Ite::from_bits(self.read(itts(0) + event * 8)));
        self.write(itts(0) + event * 8, entry.into_bits());
    }

    pub(crate) fn cte(&mut self, index: u64, change: impl Fn(Cte) -> Cte) {
        let entry = change(Cte::from_bits(self.read(collections(0) + index * 8)));
        self.write(collections(0) + index * 8, entry.into_bits());
    }
}

pub(crate) fn problems(report: &Report) -> Vec<Problem> {
    report.findings.iter().map(|finding| finding.problem).collect()
}

/// What an audit found is what was expected, and nothing else; lines that say so, to be read.
pub(crate) fn judged(what: &str, report: &Report, expected: &[Problem]) -> String {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(problems(report), expected, "{what}:\n{report}");
    let lines = report.findings.iter();
    let lines = lines.map(|finding| format!("  {} x{} {}\n", finding.problem.code(), finding.count, finding.first));
    format!("{what}\n{}", lines.collect::<String>())
}
