//! The judgement of tables in guest memory, with registers and memory that hold anything.
//!
//! Rule: what is read stays within the limit, whatever leads where; the report is small.

use crate::bound::bounded;
use arbitrary::Arbitrary;
use std::cell::Cell;
use vgic_state::gicv3::Gicv3State;
use vgic_state::judge::{Limits, Ranges, gicv3};
use vgic_state::report::{Finding, Problem};
use vgic_state::{GuestMemoryRead, GuestRange, MemoryError};

const PAGE: u64 = 4096;
pub const RAM: u64 = 0x4000_0000;

/// For each entry that may be read: a table, a device, a collection with their places, in lists that double.
const PROBLEMS: (usize, usize) = (256, 256 * 1024);

/// Words somewhere, again and again.
#[derive(Arbitrary, Debug)]
struct Patch {
    /// In words, from the start of memory.
    at: u32,
    repeat: u16,
    words: Vec<u64>,
}

#[derive(Arbitrary, Debug)]
struct Registers {
    /// A bit for each register: taken from here, not from the guest that was saved.
    which: u8,
    typer: u64,
    ctlr: u32,
    cbaser: u64,
    creadr: u64,
    cwriter: u64,
    baser0: u64,
    baser1: u64,
    baser2: u64,
}

#[derive(Arbitrary, Debug)]
struct Input {
    limit: u16,
    /// What is elsewhere in memory.
    fill: u64,
    holes: Vec<u16>,
    its: Vec<Registers>,
    propbaser: Option<u64>,
    pendbaser: [Option<u64>; 2],
    ctlr: u8,
    everything: bool,
    protected: Vec<(u32, u16)>,
    patches: Vec<Patch>,
}

/// Memory of pages, and what has been read of it.
struct Memory {
    pages: crate::rig::Pages,
    fill: u64,
    holes: Vec<u16>,
    read: Cell<u64>,
}

impl GuestMemoryRead for Memory {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.read.set(self.read.get() + bytes.len().div_ceil(8) as u64);
        let Some(end) = address.checked_add(bytes.len() as u64) else { return Err(MemoryError::NotMemory) };
        if (address / PAGE..end.div_ceil(PAGE)).any(|page| self.holes.contains(&(page as u16))) {
            return Err(MemoryError::NotMemory);
        }
        // A page at a time: an judgement reads a lot.
        let mut left = bytes;
        let mut at = address;
        while !left.is_empty() {
            let offset = (at % PAGE) as usize;
            let (part, rest) = left.split_at_mut(left.len().min(PAGE as usize - offset));
            match self.pages.get(&(at / PAGE)) {
                Some(page) => part.copy_from_slice(&page.as_flattened()[offset..offset + part.len()]),
                None => {
                    part.iter_mut().zip(self.fill.to_le_bytes().iter().cycle().skip(offset % 8)).for_each(|(to, byte)| *to = *byte)
                }
            }
            at += part.len() as u64;
            left = rest;
        }
        Ok(())
    }
}

impl Memory {
    fn patch(&mut self, patch: &Patch) {
        let fill = self.fill;
        let words = patch.words.iter().cycle().take(patch.words.len() * (usize::from(patch.repeat) + 1).min(64));
        for (at, word) in (RAM / 8 + u64::from(patch.at % (1 << 21))..).zip(words) {
            let page = self.pages.entry(at * 8 / PAGE).or_insert_with(|| vec![fill.to_le_bytes(); PAGE as usize / 8]);
            page[(at % (PAGE / 8)) as usize] = word.to_le_bytes();
        }
    }
}

fn state(input: &Input) -> Gicv3State {
    let mut state = crate::rig::saved().clone();
    for (its, change) in state.its.iter_mut().zip(&input.its) {
        let registers = &mut its.registers;
        let own = [
            (&mut its.identity.typer, change.typer),
            (&mut registers.cbaser, change.cbaser),
            (&mut registers.creadr, change.creadr),
            (&mut registers.cwriter, change.cwriter),
            (&mut registers.baser0, change.baser0),
            (&mut registers.baser1, change.baser1),
            (&mut registers.baser2, change.baser2),
        ];
        for (n, (register, value)) in own.into_iter().enumerate() {
            if change.which >> n & 1 != 0 {
                *register = value;
            }
        }
        if change.which >> 7 != 0 {
            registers.ctlr = change.ctlr;
        }
    }
    for (n, vcpu) in state.vcpus.iter_mut().enumerate() {
        vcpu.redist.propbaser = input.propbaser.unwrap_or(vcpu.redist.propbaser);
        vcpu.redist.pendbaser = input.pendbaser.get(n).copied().flatten().unwrap_or(vcpu.redist.pendbaser);
        vcpu.redist.ctlr ^= u32::from(input.ctlr >> n & 1);
    }
    state
}

pub fn run(data: &[u8]) {
    let Ok(mut input) = Input::arbitrary_take_rest(arbitrary::Unstructured::new(data)) else { return };
    input.holes.truncate(8);
    let state = state(&input);
    let mut memory = Memory { pages: crate::rig::saved_pages().clone(), fill: input.fill, holes: input.holes, read: Cell::new(0) };
    input.patches.iter().for_each(|patch| memory.patch(patch));
    let protected = input.protected.iter().map(|(at, length)| GuestRange::new(RAM + u64::from(*at), (*length).into()));
    let mut own = vec![GuestRange::new(RAM, 16 << 20)];
    if input.everything {
        own.push(GuestRange { start: 0, end: u64::MAX });
    }
    let ranges = Ranges::new(own, protected.collect());
    let limit = u64::from(input.limit);
    let problems = || gicv3::problems(&state, &memory, &ranges, &Limits::entries(limit));
    let report = bounded(limit as usize, PROBLEMS, problems);
    // What is not memory is asked for a second time, entry by entry.
    assert!(memory.read.get() <= 2 * limit, "{} of {limit} entries", memory.read.get());
    assert!(report.findings.len() <= Problem::ALL.len());
    assert!(report.findings.iter().map(Finding::severity).rev().is_sorted());
    assert!(report.queued.len() <= state.its.len());
    drop(report.to_string());
    assert_eq!(problems(), report, "the same twice");
}
