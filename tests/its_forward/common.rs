//! A host that changes its queue behind the forwarder's back, and an owner of memory that writes down what it is told.
//!
//! Rule: the owner fails if memory is handed over twice, or given back or cleared without having been handed over.

use std::collections::BTreeMap;
use vgic_state::GuestRange;
use vgic_state::forward::*;
use vgic_state::its::command::{ErrorWord, ItsCommand, RdBase, Version, words};

pub(crate) const RAM: u64 = 0x8000_0000;
pub(crate) const PAGE: u64 = 0x1000;

/// Ranges for ITTs, VPTs, configuration tables and second levels, 16 MiB each, in this order; the last MiB of each is protected.
pub(crate) const AREAS: [GuestRange; 4] = [
    GuestRange::new(RAM, 0x100_0000),
    GuestRange::new(RAM + 0x100_0000, 0x100_0000),
    GuestRange::new(RAM + 0x200_0000, 0x100_0000),
    GuestRange::new(RAM + 0x300_0000, 0x100_0000),
];
pub(crate) const PROTECTED: [GuestRange; 4] = [
    GuestRange::new(RAM + 0xf0_0000, 0x10_0000),
    GuestRange::new(RAM + 0x1f0_0000, 0x10_0000),
    GuestRange::new(RAM + 0x2f0_0000, 0x10_0000),
    GuestRange::new(RAM + 0x3f0_0000, 0x10_0000),
];
pub(crate) const VPTS: u64 = RAM + 0x100_0000;
pub(crate) const VCONFS: u64 = RAM + 0x200_0000;
pub(crate) const LEVEL2: u64 = RAM + 0x300_0000;

/// Devices below 2^10, events below 2^8, collections below 7, INTIDs of 15 bits, vPEs below 9, processors below 5.
pub(crate) fn policy(version: Version) -> Policy<'static> {
    Policy {
        limits: IdLimits {
            version,
            itt_entry_bytes: 8,
            device_bits: 10,
            event_bits: 8,
            collections: 7,
            intid_bits: 15,
            vpes: 9,
            its_list: Some(ItsList { number: 2, all: 0b1101 }),
        },
        targets: Targets::Processors(5),
        memory: TableMemory {
            itts: &AREAS[..1],
            vpts: &AREAS[1..2],
            vconfs: &AREAS[2..3],
            level2: &AREAS[3..],
            protected: &PROTECTED,
            granule: 0,
        },
        on_refusal: OnRefusal::Skip,
        strict: false,
        batch: 1000,
    }
}

/// The untrusted side.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) queue: Vec<[u8; 32]>,
    /// Offsets in the order of the fetches.
    pub(crate) fetched: Vec<u64>,
    /// What to put in the place of a command after its first fetch.
    pub(crate) afterwards: Option<[u8; 32]>,
    pub(crate) level1: BTreeMap<(u8, u32), u64>,
    pub(crate) level1_read: Vec<(IdTable, u32)>,
}

impl Untrusted for Host {
    fn fetch(&mut self, offset: u64) -> Option<[u8; 32]> {
        self.fetched.push(offset);
        let place = self.queue.get_mut(offset as usize / 32)?;
        let bytes = *place;
        *place = self.afterwards.unwrap_or(bytes);
        Some(bytes)
    }

    fn level1(&mut self, table: IdTable, index: u32) -> Option<u64> {
        self.level1_read.push((table, index));
        self.level1.get(&(table as u8, index)).copied()
    }
}

/// The owner of memory.
#[derive(Default)]
pub(crate) struct Pages {
    pub(crate) events: Vec<String>,
    pub(crate) owned: Vec<GuestRange>,
    pub(crate) refused: Vec<Refused>,
    /// Does not hand over what starts here.
    pub(crate) keeps: Option<u64>,
}

impl Pages {
    /// Whether all of it was handed over; granules may have come one by one.
    pub(crate) fn owns(&self, range: GuestRange) -> bool {
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
        if self.keeps == Some(range.start) {
            return false;
        }
        assert!(self.owned.iter().all(|owned| owned.end <= range.start || range.end <= owned.start), "{range} handed over twice");
        self.owned.push(range);
        self.events.push(format!("take {range}: {holder:x?}"));
        true
    }

    fn clear(&mut self, range: GuestRange, holder: Holder) {
        assert!(self.owns(range), "{range} cleared, and not owned");
        self.events.push(format!("clear {range}: {holder:x?}"));
    }

    fn release(&mut self, range: GuestRange, holder: Holder) {
        assert!(self.owns(range), "{range} given back, and never handed over");
        let around = |owned: &GuestRange| {
            [GuestRange { end: owned.end.min(range.start), ..*owned }, GuestRange { start: owned.start.max(range.end), ..*owned }]
        };
        self.owned = self.owned.iter().flat_map(around).filter(|rest| rest.start < rest.end).collect();
        self.events.push(format!("give {range}: {holder:x?}"));
    }

    fn level1_written(&mut self, table: IdTable, index: u32) {
        self.events.push(format!("{table:?} {index}"));
    }

    fn refused(&mut self, refused: &Refused) {
        self.refused.push(*refused);
    }
}

/// Everything.
pub(crate) struct Rig {
    pub(crate) forwarder: Forwarder<'static>,
    pub(crate) host: Host,
    pub(crate) pages: Pages,
    /// `GITS_CWRITER` of the host.
    pub(crate) cwriter: u64,
}

pub(crate) const QUEUE: u64 = 128;

pub(crate) fn leak<T: Clone>(value: T, count: usize) -> &'static mut [T] {
    vec![value; count].leak()
}

pub(crate) fn rig_with(
    policy: Policy<'static>,
    devices: TableLevels<'static>,
    vpes: TableLevels<'static>,
    queue: usize,
    live: usize,
) -> Rig {
    let storage = Storage { queue: leak([0; 4], queue), live: leak(LiveRange::EMPTY, live), devices, vpes };
    let forwarder = Forwarder::new(policy, storage, QUEUE * 32).unwrap();
    let host = Host { queue: vec![[0xff; 32]; QUEUE as usize], ..Host::default() };
    Rig { forwarder, host, pages: Pages::default(), cwriter: 0 }
}

pub(crate) fn rig(policy: Policy<'static>) -> Rig {
    rig_with(policy, TableLevels::Flat(1000), TableLevels::Flat(8), 16, 12)
}

pub(crate) fn v3() -> Rig {
    rig(policy(Version::V3))
}

impl Rig {
    pub(crate) fn put(&mut self, words: [u64; 4]) {
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.chunks_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        self.host.queue[self.cwriter as usize / 32] = bytes;
        self.cwriter = (self.cwriter + 32) % (QUEUE * 32);
    }

    pub(crate) fn go(&mut self) -> Progress {
        self.forwarder.forward(self.cwriter, &mut self.host, &mut self.pages)
    }

    /// The ITS executes everything.
    pub(crate) fn drain(&mut self) {
        self.forwarder.retire(self.forwarder.cwriter(), &mut self.pages).unwrap();
    }

    pub(crate) fn last(&self) -> [u64; 4] {
        let slot = (self.forwarder.cwriter() as usize / 32 + self.forwarder.queue().len() - 1) % self.forwarder.queue().len();
        self.forwarder.queue()[slot]
    }

    /// One command, and what is passed on for it. Nothing is executed.
    pub(crate) fn passes(&mut self, words: [u64; 4]) -> Result<[u64; 4], (CommandRefusal, ErrorWord)> {
        self.put(words);
        let progress = self.go();
        match (progress.passed, progress.refused) {
            (1, 0) => Ok(self.last()),
            (0, 1) => {
                let refused = self.pages.refused.last().unwrap();
                assert_eq!(refused.words, words);
                Err((refused.refusal, refused.word()))
            }
            _ => panic!("{progress:?}"),
        }
    }

    /// One command that is passed on and executed.
    pub(crate) fn run(&mut self, command: ItsCommand) {
        assert_eq!(self.passes(command.encode()), Ok(command.encode()), "{command}");
        self.drain();
    }

    /// One command that is refused; gives why, and the name of the word.
    pub(crate) fn refuses(&mut self, command: ItsCommand) -> (CommandRefusal, String) {
        let before = (self.forwarder.live().count(), self.pages.events.clone());
        let (refusal, word) = self.passes(command.encode()).expect_err(&command.to_string());
        assert_eq!((self.forwarder.live().count(), self.pages.events.clone()), before, "a refusal changes nothing");
        (refusal, word.to_string())
    }

    pub(crate) fn events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.pages.events)
    }
}

pub(crate) fn mapd(device: u32, size: u8, itt: u64) -> ItsCommand {
    ItsCommand::Mapd { device, size, itt, valid: true }
}

pub(crate) fn unmapd(device: u32) -> ItsCommand {
    ItsCommand::Mapd { device, size: 0, itt: 0, valid: false }
}

pub(crate) fn sync(target: u32) -> ItsCommand {
    ItsCommand::Sync { rdbase: RdBase::number(target) }
}

pub(crate) fn decoded(words_le: &[u8; 32]) -> ItsCommand {
    ItsCommand::decode(words(words_le), Version::V41).unwrap().command
}
