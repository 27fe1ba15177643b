//! Walks the tables of an ITS in guest memory in the order in which `RESTORE_TABLES` does, and shows what it passes by as well.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `scan_its_table` and what calls it; Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS
//! Table ABI REV0".
//!
//! Rule: the walker judges nothing. Every entry that it reads is paid from a budget; when that is spent it stops. An entry that is not
//! memory is told apart by whether KVM needs it; where nobody can tell, the rest of that table is not known.

pub use crate::its::scan::Budget;
use crate::its::scan::{Exhausted, InGuest, Scan};
use crate::its::{Cte, Dte, ENTRY_BYTES, Ite, Level1, PAGE_ENTRIES, Table, TableRange, baser_address, baser_bytes};
use crate::memory::{GuestMemoryRead, GuestRange, MemoryError};
use crate::state::gicv3::ItsUnit;
use crate::uapi::vgic_v3::its::{GITS_BASER_INDIRECT, GITS_BASER_VALID, GITS_TYPER_DEVBITS};
use core::ops::ControlFlow;

/// Bits of EventID and of DeviceID that KVM has at most.
pub const MAX_ID_BITS: u32 = 16;
/// The budget is spent: what follows was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The table that was being read.
    pub table: Table,
    /// Address of the first entry that was not read.
    pub address: u64,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Its table.
    pub table: Table,
    /// DeviceID in a device table, EventID in an interrupt translation table, index in another.
    pub id: u32,
    /// Its guest physical address.
    pub address: u64,
}

/// How KVM comes to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// KVM reads it.
    Taken,
    /// KVM does not: it lies within the `next` of one before.
    JumpedOver,
    /// KVM does not: it lies behind the last.
    Behind,
}

/// What is wrong with a `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It leads to an entry that is not valid.
    NamesNone,
    /// It leads to an event whose entry is zero. KVM leaves that for an event whose collection the guest has unmapped, which nobody can
    /// tell from an entry that was lost; it goes on at the next entry.
    NamesZero,
    /// It leads beyond the last ID.
    Leaves,
    /// The entry is one that KVM takes although a `next` before leads beyond it: the scan of a level-2 table begins at its start.
    Unnamed,
}

/// Is shown what a walk finds: entries that are not zero, in the order of addresses within each table.
pub trait Visitor {
    /// A table, before its entries. False: they are not to be read.
    fn table(&mut self, table: TableRange) -> bool;
    /// A collection table entry.
    fn collection(&mut self, at: At, reach: Reach, entry: Cte);
    /// A level-1 device table entry. Its level-2 table follows if it is valid and of DeviceIDs that there are.
    fn level1(&mut self, at: At, entry: Level1);
    /// A device table entry; a translation table follows if it is valid, KVM takes it, and it has at most 16 bits of EventID.
    fn device(&mut self, at: At, reach: Reach, entry: Dte);
    /// An interrupt translation entry.
    fn event(&mut self, at: At, reach: Reach, entry: Ite);
    /// A `next` in a device or an interrupt translation table that leads where no entry is.
    fn chain(&mut self, at: At, broken: Broken);
    /// An entry that KVM would read and that is not memory, or one of which nobody can tell; no more of that table is read.
    fn unreadable(&mut self, at: At, error: MemoryError);
    /// The first entry of a table that is not memory, where KVM reads none that follows: what was declared is more than is there.
    fn unused(&mut self, _at: At) {}
}

/// Number of DeviceIDs of an ITS: `GITS_TYPER.Devbits`, as far as KVM has them.
#[must_use]
pub fn device_ids(typer: u64) -> u64 {
    let bits = (typer & GITS_TYPER_DEVBITS) >> GITS_TYPER_DEVBITS.trailing_zeros();
    1 << (bits + 1).min(MAX_ID_BITS.into())
}

/// Walks the collection table, then the device tables with the interrupt translation tables of the devices that KVM would take.
///
/// # Errors
///
/// [`Spent`]: the budget did not suffice.
pub fn walk(its: &ItsUnit, memory: &impl GuestMemoryRead, budget: &mut Budget, visitor: &mut impl Visitor) -> Result<(), Spent> {
    let mut walk = Walk { its: its.base, device_ids: device_ids(its.identity.typer), memory, budget, visitor };
    walk.collections(its.registers.baser1)?;
    walk.devices(its.registers.baser0)
}

struct Walk<'a, M, V> {
    its: u64,
    device_ids: u64,
    memory: &'a M,
    budget: &'a mut Budget,
    visitor: &'a mut V,
}

/// Where the scans of one table have got to.
#[derive(Default)]
struct Chain {
    /// The last entry was met.
    ended: bool,
    /// The entry that was taken last, and the ID that its `next` leads to; not exact if it is the greatest distance that can be
    /// written: from there on KVM looks at one entry after the other.
    named: Option<(At, u64, bool)>,
}

/// A part of a table: where it is, how many entries it has, the ID of the first.
struct Part {
    table: Table,
    address: u64,
    entries: u64,
    first: u64,
}

impl<M: GuestMemoryRead, V: Visitor> Walk<'_, M, V> {
    fn table(&mut self, table: Table, start: u64, bytes: u64) -> bool {
        self.visitor.table(TableRange { range: GuestRange::new(start, bytes), table })
    }

    /// Reads entries one by one, each once, and shows all; those that are not memory as `None`. False if nobody can tell what one is: it
    /// is reported, and where a distance leads is not known from there.
    fn read(
        &mut self,
        part: &Part,
        mut entry: impl FnMut(&mut Self, At, Option<u64>) -> Result<ControlFlow<()>, Spent>,
    ) -> Result<bool, Spent> {
        let mut scan = Scan::new(part.address, part.entries);
        let spent = |exhausted: Exhausted| Spent { table: part.table, address: exhausted.address };
        while let Some(scanned) = scan.next(&InGuest(self.memory), self.budget).map_err(spent)? {
            // IDs have 32 bits; no table has more entries.
            let at = At { table: part.table, id: (part.first + scanned.index) as u32, address: scanned.address };
            if let Err(error @ MemoryError::Failed(_)) = scanned.word {
                self.visitor.unreadable(at, error);
                return Ok(false);
            }
            if entry(self, at, scanned.word.ok())?.is_break() {
                break;
            }
        }
        Ok(true)
    }

    /// An entry that is not memory: whether KVM reads it makes the difference.
    fn missing(&mut self, at: At, reach: Reach, seen: &mut bool) -> ControlFlow<()> {
        match reach {
            Reach::Taken => self.visitor.unreadable(at, MemoryError::NotMemory),
            _ if !core::mem::replace(seen, true) => self.visitor.unused(at),
            _ => {}
        }
        // Behind a distance, the table may go on.
        if reach == Reach::JumpedOver { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn collections(&mut self, baser: u64) -> Result<(), Spent> {
        let (table, address) = (Table::Collections { its: self.its }, baser_address(baser));
        if baser & GITS_BASER_VALID == 0 || !self.table(table, address, baser_bytes(baser)) {
            return Ok(());
        }
        let (mut reach, mut seen) = (Reach::Taken, false);
        let part = Part { table, address, entries: baser_bytes(baser) / ENTRY_BYTES, first: 0 };
        self.read(&part, |walk, at, word| {
            let Some(word) = word else { return Ok(walk.missing(at, reach, &mut seen)) };
            let entry = Cte::from_bits(word);
            if word != 0 {
                walk.visitor.collection(at, reach, entry);
            }
            if !entry.valid() {
                reach = Reach::Behind;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(())
    }

    fn devices(&mut self, baser: u64) -> Result<(), Spent> {
        let (table, address) = (Table::Devices { its: self.its }, baser_address(baser));
        if baser & GITS_BASER_VALID == 0 || !self.table(table, address, baser_bytes(baser)) {
            return Ok(());
        }
        let entries = baser_bytes(baser) / ENTRY_BYTES;
        let mut chain = Chain::default();
        if baser & GITS_BASER_INDIRECT == 0 {
            self.device_part(&Part { table, address, entries, first: 0 }, &mut chain)?;
            self.finish(&chain, entries.min(self.device_ids));
            return Ok(());
        }
        let mut seen = false;
        let read = self.read(&Part { table, address, entries, first: 0 }, |walk, at, word| {
            let Some(word) = word else {
                // KVM reads each, up to the one with the last device.
                let reach = if chain.ended { Reach::Behind } else { Reach::Taken };
                chain.named = None;
                return Ok(walk.missing(at, reach, &mut seen));
            };
            let entry = Level1::from_bits(word);
            if word != 0 {
                walk.visitor.level1(at, entry);
            }
            let table = Table::Level2 { its: walk.its, index: at.id };
            let first = u64::from(at.id) * PAGE_ENTRIES;
            // KVM would read a page of DeviceIDs that there are not, and refuse the first valid entry there.
            let in_use = entry.valid() && first < walk.device_ids;
            if in_use && walk.table(table, entry.address(), PAGE_ENTRIES * ENTRY_BYTES) {
                let entries = PAGE_ENTRIES.min(walk.device_ids - first);
                walk.device_part(&Part { table, address: entry.address(), entries, first }, &mut chain)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        chain.named = chain.named.filter(|_| read);
        self.finish(&chain, (entries * PAGE_ENTRIES).min(self.device_ids));
        Ok(())
    }

    fn device_part(&mut self, part: &Part, chain: &mut Chain) -> Result<(), Spent> {
        let (mut cursor, mut seen) = (part.first, false);
        let read = self.read(part, |walk, at, word| {
            let Some(word) = word else {
                let reach = walk.absent(chain, cursor, at);
                return Ok(walk.missing(at, reach, &mut seen));
            };
            let entry = Dte::from_bits(word);
            let next = entry.valid().then_some((u32::from(entry.next()), Dte::MAX_NEXT));
            let reach = walk.follow(chain, &mut cursor, at, next, Broken::NamesNone);
            if word != 0 {
                walk.visitor.device(at, reach, entry);
            }
            let is_device = entry.valid() && reach == Reach::Taken && u64::from(at.id) < walk.device_ids;
            if is_device && entry.event_bits() <= MAX_ID_BITS {
                walk.events(at.id, entry)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        chain.named = chain.named.filter(|_| read);
        Ok(())
    }

    fn events(&mut self, device: u32, entry: Dte) -> Result<(), Spent> {
        let (table, entries) = (Table::Itt { its: self.its, device }, 1 << entry.event_bits());
        if !self.table(table, entry.itt(), entries * ENTRY_BYTES) {
            return Ok(());
        }
        let (mut chain, mut cursor, mut seen) = (Chain::default(), 0, false);
        let read = self.read(&Part { table, address: entry.itt(), entries, first: 0 }, |walk, at, word| {
            let Some(word) = word else {
                let reach = walk.absent(&mut chain, cursor, at);
                return Ok(walk.missing(at, reach, &mut seen));
            };
            let entry = Ite::from_bits(word);
            // EventIDs have 16 bits: every distance is exact.
            let next = (entry.pintid() != 0).then_some((u32::from(entry.next()), u32::MAX));
            let missing = if word == 0 { Broken::NamesZero } else { Broken::NamesNone };
            let reach = walk.follow(&mut chain, &mut cursor, at, next, missing);
            if word != 0 {
                walk.visitor.event(at, reach, entry);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        chain.named = chain.named.filter(|_| read);
        self.finish(&chain, entries);
        Ok(())
    }

    /// How KVM comes to an entry that is not memory. If it does, it goes nowhere from there: where a distance leads is not known.
    fn absent(&self, chain: &mut Chain, cursor: u64, at: At) -> Reach {
        if chain.ended {
            return Reach::Behind;
        }
        if u64::from(at.id) < cursor {
            return Reach::JumpedOver;
        }
        chain.named = None;
        Reach::Taken
    }

    /// How KVM comes to an entry, and where it goes from it. `next` is that of a valid entry, with the greatest there is; `missing` is said
    /// of a distance that leads here if the entry is not valid.
    fn follow(&mut self, chain: &mut Chain, cursor: &mut u64, at: At, next: Option<(u32, u32)>, missing: Broken) -> Reach {
        let id = u64::from(at.id);
        if chain.ended {
            return Reach::Behind;
        }
        if id < *cursor {
            return Reach::JumpedOver;
        }
        *cursor = id + 1;
        if let Some((origin, named, exact)) = chain.named {
            if id >= named && (exact || next.is_some()) {
                chain.named = None;
                if exact && (id > named || next.is_none()) {
                    self.visitor.chain(origin, missing);
                }
            } else if id < named && next.is_some() {
                self.visitor.chain(at, Broken::Unnamed);
            }
        }
        match next {
            Some((0, _)) => (chain.ended, chain.named) = (true, None),
            Some((next, max)) => {
                *cursor = id + u64::from(next);
                chain.named = Some((at, *cursor, next < max));
            }
            None => {}
        }
        Reach::Taken
    }

    /// A chain whose last entry leads on was not ended by it.
    fn finish(&mut self, chain: &Chain, ids: u64) {
        if let Some((origin, named, _)) = chain.named {
            self.visitor.chain(origin, if named >= ids { Broken::Leaves } else { Broken::NamesNone });
        }
    }
}
