//! Interrupt state tables in memory: linear or two-level, entries of 4, 8 or 16 bytes, level-2 tables of 4K, 16K or 64K.
//!
//! Source: Arm GICv5 specification, `IRS_IST_BASER`, `IRS_IST_CFGR`, `L1_ISTE`, `L2_ISTE`; `arch/arm64/kvm/vgic/vgic-v5-tables.c`.
//!
//! Rule: what a level-1 entry says is believed as an address in the dump and in no other way.

use super::entry::Entry;
use crate::failure::Failure;
use crate::output::{Cell, Column, Ink, Section, column};
use crate::ram::Ram;
use std::fmt;
use vgic_state::gicv5::{Ist, IstBaser, IstCfgr, Iste};
use vgic_state::{GuestMemoryRead, IstKind};

/// Bytes of a level-1 entry.
const LEVEL1_BYTES: u64 = 8;
const LEVEL1_VALID: u64 = 1;
const LEVEL1_ADDRESS: u64 = 0x00ff_ffff_ffff_f000;
/// Bytes that are read at once.
const CHUNK: u64 = 4096;
/// What a table in memory can have at most.
const MAX_ID_BITS: u32 = 24;

/// Where a table is, and what it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) address: u64,
    pub(super) id_bits: u32,
    pub(super) entry_bytes: u64,
    /// Bytes of a level-2 table, if there are two levels.
    pub(super) level2: Option<u64>,
}

impl Shape {
    pub(super) fn new(address: u64, id_bits: u32, entry_bytes: u64, level2: Option<u64>) -> Result<Self, Failure> {
        if id_bits > MAX_ID_BITS {
            return Err(format!("{id_bits} bits of interrupt ID: no table has more than {MAX_ID_BITS}").into());
        }
        Ok(Shape { address, id_bits, entry_bytes, level2 })
    }

    pub(super) fn from_registers(baser: IstBaser, cfgr: IstCfgr) -> Result<Self, Failure> {
        if !baser.valid() {
            return Err("IRS_IST_BASER.VALID is 0: there is no table".into());
        }
        let entry_bytes = match cfgr.istsz() {
            3 => return Err("IRS_IST_CFGR.ISTSZ is 3, which is reserved".into()),
            size => 4 << size,
        };
        let level2 = match (cfgr.structure(), cfgr.l2sz()) {
            (false, _) => None,
            (true, 3) => return Err("IRS_IST_CFGR.L2SZ is 3, which is reserved".into()),
            (true, size) => Some(4096 << (2 * size)),
        };
        Shape::new(baser.addr() << 6, cfgr.lpi_id_bits().into(), entry_bytes, level2)
    }

    fn entries(&self) -> u64 {
        1 << self.id_bits
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { address, entry_bytes, .. } = self;
        match self.level2 {
            None => write!(f, "linear IST at {address:#x} ({entry_bytes} bytes an entry)"),
            Some(bytes) => {
                write!(f, "two-level IST at {address:#x} (level-2 tables of {}K, {entry_bytes} bytes an entry)", bytes >> 10)
            }
        }
    }
}

/// A level-1 entry that is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level1 {
    pub(super) index: u64,
    pub(super) word: u64,
    /// ID of the first interrupt of its table.
    first: u64,
    /// Entries of its table that are not zero; `None` if it is not in the dump.
    used: Option<usize>,
}

impl Level1 {
    pub(super) fn is_valid(&self) -> bool {
        self.word & LEVEL1_VALID != 0
    }

    pub(super) fn address(&self) -> u64 {
        self.word & LEVEL1_ADDRESS
    }

    pub(super) fn reserved(&self) -> u64 {
        self.word & !(LEVEL1_ADDRESS | LEVEL1_VALID)
    }

    /// Its table is in the dump.
    pub(super) fn is_there(&self) -> bool {
        self.used.is_some()
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Entries that are not zero.
    pub(super) entries: Vec<Entry>,
    /// Level-1 entries that are not zero, if there are two levels.
    pub(super) level1: Vec<Level1>,
    /// Entries of the whole table.
    pub(super) capacity: u64,
}

impl From<&Ist<'_>> for Walked {
    fn from(ist: &Ist<'_>) -> Self {
        let entries = (0..).zip(ist.entries()).map(|(id, (_, entry))| Entry { id, entry, metadata: 0 });
        let entries = entries.filter(|entry| entry.entry.into_bits() != 0).collect();
        Walked { entries, level1: Vec::new(), capacity: ist.len() as u64 }
    }
}

/// Reads a table.
pub(super) fn walk(shape: &Shape, ram: &Ram) -> Result<Walked, Failure> {
    let mut walked = Walked { capacity: shape.entries(), ..Walked::default() };
    let Some(bytes) = shape.level2 else {
        if part(shape, ram, shape.address, 0, shape.entries(), &mut walked.entries).is_none() {
            let end = shape.address.saturating_add(shape.entries() * shape.entry_bytes);
            return Err(format!("the table, {:#x} to {end:#x}, is not all in the dump", shape.address).into());
        }
        return Ok(walked);
    };
    let per_table = bytes / shape.entry_bytes;
    for index in 0..shape.entries().div_ceil(per_table) {
        let mut word = [0; LEVEL1_BYTES as usize];
        let at = shape.address.saturating_add(index * LEVEL1_BYTES);
        if ram.read(at, &mut word).is_err() {
            return Err(format!("the level-1 table has an entry at {at:#x}, which is not in the dump").into());
        }
        let first = index * per_table;
        let mut level1 = Level1 { index, word: u64::from_le_bytes(word), first, used: None };
        if level1.word == 0 {
            continue;
        }
        if level1.is_valid() {
            let before = walked.entries.len();
            let read = part(shape, ram, level1.address(), first, per_table.min(shape.entries()), &mut walked.entries);
            level1.used = read.map(|()| walked.entries.len() - before);
        }
        walked.level1.push(level1);
    }
    Ok(walked)
}

/// Reads entries that lie one behind the other. `None`, and none of them, if not all are in the dump.
fn part(shape: &Shape, ram: &Ram, address: u64, first: u64, count: u64, entries: &mut Vec<Entry>) -> Option<()> {
    let before = entries.len();
    let mut bytes = [0; CHUNK as usize];
    let mut next = 0;
    while next < count {
        let now = (CHUNK / shape.entry_bytes).min(count - next);
        let read = bytes.get_mut(..(now * shape.entry_bytes) as usize)?;
        if ram.read(address.checked_add(next * shape.entry_bytes)?, read).is_err() {
            entries.truncate(before);
            return None;
        }
        for (id, entry) in (first + next..).zip(read.chunks_exact(shape.entry_bytes as usize)) {
            let value = entry.iter().rev().fold(0_u128, |value, byte| value << 8 | u128::from(*byte));
            if value != 0 {
                let (entry, metadata) = (Iste::from_bits(value as u32), value >> 32);
                entries.push(Entry { id: id as u32, entry, metadata });
            }
        }
        next += now;
    }
    Some(())
}

const COLUMNS: &[Column] =
    &[column("index"), column("word"), column("valid"), column("first intid"), column("level 2"), column("not zero")];

impl Walked {
    /// The table in the form of KVM's interface.
    pub(super) fn ist(&self, shape: &Shape) -> Result<Ist<'static>, Failure> {
        if shape.id_bits > 16 {
            return Err(format!("{} bits of interrupt ID: KVM has 16 at most, and an audit judges for KVM", shape.id_bits).into());
        }
        let mut ist = Ist::new(IstKind::Lpi, vec![0; 4 << shape.id_bits])?;
        for entry in &self.entries {
            // The walk has read no entry beyond the table.
            let _ = ist.set(entry.id, entry.entry);
        }
        Ok(ist)
    }

    pub(super) fn level1_section(&self) -> Option<Section> {
        let mut section = Section::new("level 1", COLUMNS);
        self.level1.first()?;
        for level1 in &self.level1 {
            let row = vec![
                Cell::number(level1.index),
                Cell::Hex(level1.word, 16),
                Cell::Flag(level1.is_valid()),
                Cell::number(level1.first),
                Cell::hex(level1.address()),
                match level1.used {
                    Some(used) => Cell::count(used),
                    None if level1.is_valid() => Cell::text("not in the dump"),
                    None => Cell::None,
                },
            ];
            section.push(if level1.is_valid() && level1.used.is_none() { Ink::Bad } else { Ink::Plain }, row);
        }
        Some(section)
    }

    /// Tables that are not in the dump.
    pub(super) fn missing(&self) -> Option<String> {
        let mut missing = self.level1.iter().filter(|level1| level1.is_valid() && !level1.is_there());
        let first = missing.next()?;
        let more = match missing.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(format!("Not all in the dump: the level-2 table of level-1 entry {}, at {:#x}{more}.", first.index, first.address()))
    }

    pub(super) fn metadata(&self) -> Option<String> {
        let metadata = self.entries.iter().filter(|entry| entry.metadata != 0).count();
        (metadata > 0).then(|| format!("{metadata} entries have metadata, which KVM never shows"))
    }
}
