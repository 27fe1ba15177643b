//! A host that changes its queue and its tables at any time, and an ITS that believes what it reads.
//!
//! Rule: the trusted queue has only what the policy allows, and the ITS uses no memory that it does not own at that time.

mod its;

use crate::commands::VERSIONS;
use arbitrary::Arbitrary;
use its::{Its, allows, reaches};
use std::collections::VecDeque;
use vgic_state::GuestRange;
use vgic_state::forward::*;
use vgic_state::its::command::{ItsCommand, Version};

const RAM: u64 = 0x8000_0000;
const AREA: u64 = 0x100_0000;

/// For ITTs, pending tables, configuration tables and second levels; the last MiB of each is protected.
const AREAS: [GuestRange; 4] = [
    GuestRange::new(RAM, AREA),
    GuestRange::new(RAM + AREA, AREA),
    GuestRange::new(RAM + 2 * AREA, AREA),
    GuestRange::new(RAM + 3 * AREA, AREA),
];
const PROTECTED: [GuestRange; 4] = [
    GuestRange::new(RAM + 0xf0_0000, 0x10_0000),
    GuestRange::new(RAM + 0x1f0_0000, 0x10_0000),
    GuestRange::new(RAM + 0x2f0_0000, 0x10_0000),
    GuestRange::new(RAM + 0x3f0_0000, 0x10_0000),
];
const ADDRESSES: [u64; 3] = [0x800_0000, 0x802_0000, 0x804_0000];
const PAGE: u64 = 0x1000;
const ENTRY: u64 = 8;

#[derive(Arbitrary, Debug)]
struct Setup {
    version: u8,
    device_bits: u8,
    event_bits: u8,
    collections: u8,
    vpes: u8,
    itt_entry_bytes: u8,
    granule: u8,
    batch: u8,
    queue: u8,
    live: u8,
    /// Strict; stalls; targets by address; levels of both tables; `VMOVP` with a list; the owner keeps some memory.
    flags: u8,
}

/// A command that may mean something: an opcode, IDs in reach, an address in one of the areas.
#[derive(Arbitrary, Debug)]
struct Hint {
    opcode: u8,
    id: u8,
    event: u16,
    size: u8,
    area: u8,
    place: u16,
    intid: u16,
    target: u8,
    flags: u8,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Put(Hint),
    Raw([u64; 4]),
    /// The host changes what it has written.
    Change(u8, [u64; 4]),
    Writer(u64),
    Go,
    Retry,
    Execute(u8),
    Retire(u64),
    ReleaseVpe(u8),
    Reset,
}

#[derive(Arbitrary, Debug)]
struct Input {
    setup: Setup,
    /// What first levels hold, one after the other.
    level1: Vec<u64>,
    steps: Vec<Step>,
}

const QUEUE: usize = 32;

struct Host {
    queue: [[u64; 4]; QUEUE],
    /// What is put in the place of a command that was fetched.
    afterwards: [u64; 4],
    level1: VecDeque<u64>,
    missing: bool,
}

impl Untrusted for Host {
    fn fetch(&mut self, offset: u64) -> Option<[u8; 32]> {
        let place = self.queue.get_mut(offset as usize / 32).filter(|_| !self.missing)?;
        let words = std::mem::replace(place, self.afterwards);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(words.map(u64::to_le_bytes).as_flattened());
        Some(bytes)
    }

    fn level1(&mut self, _: IdTable, index: u32) -> Option<u64> {
        // Never the same twice.
        let entry = self.level1.pop_front()?;
        Some(if entry & 1 == 0 { 1 << 63 | (AREAS[3].start + (entry >> 1) % 64 * PAGE) } else { entry ^ u64::from(index) })
    }
}

#[derive(Default)]
struct Pages {
    owned: Vec<GuestRange>,
    keeps: bool,
    asked: u64,
}

fn overlap(a: &GuestRange, b: &GuestRange) -> bool {
    a.start < b.end && b.start < a.end
}

impl Pages {
    /// Whether all of it was handed over; granules may have come one by one.
    fn owns(&self, range: GuestRange) -> bool {
        let mut at = range.start;
        while at < range.end {
            let Some(owned) = self.owned.iter().find(|owned| owned.start <= at && at < owned.end) else { return false };
            at = owned.end;
        }
        true
    }
}

impl Owner for Pages {
    fn donate(&mut self, range: GuestRange, holder: Holder) -> bool {
        self.asked += 1;
        if self.keeps && self.asked.is_multiple_of(5) {
            return false;
        }
        let area = match holder {
            Holder::Device { .. } => 0,
            Holder::Vpt { .. } => 1,
            Holder::Vconf { .. } => 2,
            _ => 3,
        };
        assert!(AREAS[area].start <= range.start && range.end <= AREAS[area].end && range.start < range.end);
        assert!(PROTECTED.iter().all(|protected| !overlap(protected, &range)));
        assert!(self.owned.iter().all(|owned| !overlap(owned, &range)), "{range} handed over twice");
        self.owned.push(range);
        true
    }

    fn clear(&mut self, range: GuestRange, holder: Holder) {
        assert!(self.owns(range) && matches!(holder, Holder::Device { .. }), "{range} cleared, and not owned");
    }

    fn release(&mut self, range: GuestRange, _: Holder) {
        assert!(self.owns(range), "{range} given back, and never handed over");
        let around = |owned: &GuestRange| {
            [GuestRange { end: owned.end.min(range.start), ..*owned }, GuestRange { start: owned.start.max(range.end), ..*owned }]
        };
        self.owned = self.owned.iter().flat_map(around).filter(|rest| rest.start < rest.end).collect();
    }

    fn refused(&mut self, refused: &Refused) {
        drop((refused.word().to_string(), refused.refusal.to_string()));
    }
}

fn words(hint: &Hint, version: Version) -> [u64; 4] {
    const OPCODES: [u64; 22] = [
        0x08, 0x29, 0x08, 0x25, 0x0a, 0x29, 0x08, 0x01, 0x03, 0x04, 0x05, 0x09, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x21, 0x22, 0x23,
        0x2a, 0x2b,
    ];
    let opcode = OPCODES[usize::from(hint.opcode) % OPCODES.len()];
    let valid = u64::from(hint.flags & 1) << 63;
    let (id, size) = (u64::from(hint.id % 16) << u64::from(hint.id >> 6), u64::from(hint.size % 32));
    let area = |n: usize, unit: u64| AREAS[n].start + u64::from(hint.place) % (AREA / unit) * unit;
    let target = u64::from(hint.target % 6);
    match opcode {
        0x08 => [opcode | id << 32, size, valid | area(usize::from(hint.area / 64), 0x100), 0],
        0x29 => {
            let vconf = if version == Version::V41 { area(2, PAGE * 16) | u64::from(hint.flags >> 1 & 3) << 8 } else { 0 };
            let doorbell = if version == Version::V41 { 1023 } else { 0 };
            [opcode | vconf, id << 32 | doorbell, valid | target << 16, area(1, PAGE * 16) | size]
        }
        0x0a => [opcode | id << 32, u64::from(hint.intid) << 32 | u64::from(hint.event), target, 0],
        0x09 => [opcode, 0, valid | target << 16 | id, 0],
        _ => {
            let doorbell = if hint.flags & 2 != 0 { 1023 } else { u64::from(hint.intid) };
            let dw1 = id << 32 | u64::from(hint.event);
            [
                opcode | id << 32 | u64::from(hint.flags & 7) << 8,
                dw1,
                doorbell << 32 | u64::from(hint.intid) | target << 16,
                target << 16,
            ]
        }
    }
}

fn policy(setup: &Setup, version: Version) -> Policy<'static> {
    let flag = |bit: u8| setup.flags >> bit & 1 != 0;
    Policy {
        limits: IdLimits {
            version,
            itt_entry_bytes: u32::from(setup.itt_entry_bytes % 16) + 1,
            device_bits: u32::from(setup.device_bits % 32) + 1,
            event_bits: u32::from(setup.event_bits % 32) + 1,
            collections: u32::from(setup.collections),
            intid_bits: 14 + u32::from(setup.vpes >> 4),
            vpes: u32::from(setup.vpes % 16),
            its_list: flag(5).then_some(ItsList { number: 2, all: 0b1101 }),
        },
        targets: if flag(2) { Targets::Addresses(&ADDRESSES) } else { Targets::Processors(5) },
        memory: TableMemory {
            itts: &AREAS[..1],
            vpts: &AREAS[1..2],
            vconfs: &AREAS[2..3],
            level2: &AREAS[3..],
            protected: &PROTECTED,
            granule: [0, 1, PAGE, 0x1_0000][usize::from(setup.granule % 4)],
        },
        on_refusal: if flag(1) { OnRefusal::Stall } else { OnRefusal::Skip },
        strict: flag(0),
        batch: u32::from(setup.batch % 40),
    }
}

/// A table of IDs, of one level or two.
fn table(two_levels: bool, entries: &mut [u64]) -> TableLevels<'_> {
    if two_levels {
        TableLevels::TwoLevel(TrustedLevel1::new(entries, PAGE, ENTRY).expect("shape"))
    } else {
        TableLevels::Flat(900)
    }
}

/// Everything, and what has to hold at any time.
struct Rig<'a> {
    forwarder: Forwarder<'a>,
    policy: Policy<'a>,
    host: Host,
    pages: Pages,
    its: Its,
    /// `GITS_CWRITER` of the host.
    cwriter: u64,
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(arbitrary::Unstructured::new(data)) else { return };
    let Input { setup, level1, steps } = input;
    let policy = policy(&setup, VERSIONS[usize::from(setup.version) % 3]);
    let (mut queue, mut live) =
        (vec![[0; 4]; 2 + usize::from(setup.queue % 20)], vec![LiveRange::EMPTY; usize::from(setup.live % 24)]);
    let (mut devices, mut vpes) = ([0; 16], [0; 4]);
    let flag = |bit: u8| setup.flags >> bit & 1 != 0;
    let storage =
        Storage { queue: &mut queue, live: &mut live, devices: table(flag(3), &mut devices), vpes: table(flag(4), &mut vpes) };
    let forwarder = Forwarder::new(policy, storage, QUEUE as u64 * 32).expect("a setup that there is");
    let host = Host { queue: [[0; 4]; QUEUE], afterwards: [u64::MAX; 4], level1: level1.into(), missing: false };
    let pages = Pages { keeps: flag(6), ..Pages::default() };
    let mut rig = Rig { forwarder, policy, host, pages, its: Its::default(), cwriter: 0 };
    for step in steps {
        rig.step(step);
        rig.check();
    }
    rig.reset();
    assert_eq!((rig.pages.owned.len(), rig.forwarder.live().count()), (0, 0));
}

impl Rig<'_> {
    fn length(&self) -> usize {
        self.forwarder.queue().len()
    }

    fn put(&mut self, words: [u64; 4]) {
        self.host.queue[self.cwriter as usize / 32] = words;
        self.cwriter = (self.cwriter + 32) % (QUEUE as u64 * 32);
    }

    fn go(&mut self, cwriter: u64) {
        let before = self.forwarder.cwriter();
        let progress = self.forwarder.forward(cwriter, &mut self.host, &mut self.pages);
        assert!(progress.passed + progress.refused <= self.policy.batch);
        let advanced = (self.forwarder.cwriter() + self.length() as u64 * 32 - before) / 32 % self.length() as u64;
        assert_eq!(u64::from(progress.passed), advanced);
    }

    fn execute(&mut self, count: usize) {
        for _ in 0..count {
            self.its.execute(self.policy.limits.itt_entry_bytes.into(), self.forwarder.queue().len());
        }
        let creadr = self.its.creadr as u64 * 32;
        self.forwarder.retire(creadr, &mut self.pages).expect("where commands were passed on");
    }

    fn reset(&mut self) {
        self.forwarder.reset(&mut self.pages);
        (self.its, self.cwriter) = (Its::default(), 0);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Put(hint) => self.put(words(&hint, self.policy.limits.version)),
            Step::Raw(words) => self.put(words),
            Step::Change(at, words) => {
                self.host.queue[usize::from(at) % QUEUE] = words;
                self.host.afterwards = words;
                self.host.missing = words[3] == 7;
            }
            Step::Writer(offset) => self.go(offset),
            Step::Go => self.go(self.cwriter),
            Step::Retry => self.go(self.cwriter | 1),
            Step::Execute(count) => self.execute(usize::from(count)),
            Step::Retire(creadr) => {
                let slot = (creadr & 0xf_ffe0) as usize / 32;
                let distance = (slot + self.length()).wrapping_sub(self.its.creadr) % self.length();
                if slot >= self.length() || distance > self.its.queue.len() {
                    assert!(self.forwarder.retire(creadr, &mut self.pages).is_err());
                } else {
                    self.execute(distance);
                }
            }
            Step::ReleaseVpe(vpe) => {
                let vpe = u16::from(vpe % 16);
                let queued =
                    self.its.queue.iter().any(|command| matches!(command, ItsCommand::Vmapp41 { vpe: id, .. } if *id == vpe));
                if self.policy.limits.version == Version::V41 && !queued && !self.its.vpes.contains_key(&vpe) {
                    self.forwarder.release_vpe(vpe, &mut self.pages);
                }
            }
            Step::Reset => self.reset(),
        }
    }

    fn check(&mut self) {
        let version = self.policy.limits.version;
        while self.its.read != self.forwarder.cwriter() as usize / 32 {
            let words = self.forwarder.queue()[self.its.read].map(u64::from_le);
            self.its.read = (self.its.read + 1) % self.length();
            let decoded = ItsCommand::decode(words, version).expect("a command");
            assert_eq!(decoded.reserved, [0; 4]);
            assert!(allows(&self.policy, &self.its, decoded.command), "{}", decoded.command);
            if let ItsCommand::Mapd { device, .. } = decoded.command {
                assert!(reaches(self.forwarder.devices(), device), "{}", decoded.command);
            }
            if let ItsCommand::Vmapp { vpe, valid: true, .. } | ItsCommand::Vmapp41 { vpe, valid: true, .. } = decoded.command {
                assert!(reaches(self.forwarder.vpes(), vpe.into()), "{}", decoded.command);
            }
            self.its.queue.push_back(decoded.command);
            assert!(self.its.queue.len() < self.length());
        }
        let owned = |range: GuestRange| self.pages.owns(range);
        for range in self.its.in_use(version, self.policy.limits.itt_entry_bytes.into()) {
            assert!(owned(range), "{range} is in use, and not owned");
        }
        for table in [self.forwarder.devices(), self.forwarder.vpes()] {
            let TableLevels::TwoLevel(level1) = table else { continue };
            for entry in level1.entries().iter().map(|entry| u64::from_le(*entry)).filter(|entry| *entry != 0) {
                assert!(entry >> 63 == 1 && owned(GuestRange::new(entry & !(1 << 63), PAGE)), "{entry:#x}");
            }
        }
        let creadr = self.forwarder.creadr();
        assert!(creadr & !1 < QUEUE as u64 * 32 && creadr % 32 <= 1);
        assert!(self.forwarder.live().all(|(range, _)| owned(range)));
    }
}
