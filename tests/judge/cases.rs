//! Each change to tables and registers that are clean, and what it is found as.

use crate::common::{CONFIGURATION, RAM, RAM_BYTES, its_base, pending};
use crate::rig::*;
use crate::snapshot::snapshot;
use vgic_state::GuestRange;
use vgic_state::VcpuId;
use vgic_state::its::{Cte, Dte, Ite, Table};
use vgic_state::judge::Ranges;
use vgic_state::report::Problem::{self, *};
use vgic_state::report::Severity;

pub(crate) type Change = fn(&mut Subject);

/// What is changed, in flat tables or in two levels, how, and exactly what is found.
pub(crate) type Case = (&'static str, bool, Change, &'static [Problem]);

const FLAT: bool = false;
const TWO_LEVELS: bool = true;

/// Memory of nobody, in the middle of what the guest owns otherwise.
const HOLE: u64 = RAM + 0xa0_0000;

pub(crate) const PLACES: &[Case] = &[
    (
        "device table of which nobody uses what is outside",
        FLAT,
        |s| s.owns_all_but(devices(0) + 7 * PAGE, PAGE),
        &[TableBeyondMemory],
    ),
    ("device table of which the last device is outside", FLAT, |s| s.owns_all_but(dte(0, 40000), 8), &[TableOutsideMemory]),
    ("device table with a hole that a distance passes over", FLAT, |s| s.owns_all_but(dte(0, 4), 66 * 8), &[TableBeyondMemory]),
    ("device table with a hole before the first device", FLAT, |s| s.owns_all_but(dte(0, 2), 8), &[TableOutsideMemory]),
    ("level-1 table behind the last device", TWO_LEVELS, |s| s.owns_all_but(level1(0) + 5 * 8, 8), &[TableBeyondMemory]),
    ("level-1 table before the last device", TWO_LEVELS, |s| s.owns_all_but(level1(0) + 3 * 8, 8), &[TableOutsideMemory]),
    ("level-2 table behind the last device", TWO_LEVELS, |s| s.owns_all_but(dte(0, 40001), 8), &[TableBeyondMemory]),
    ("level-2 table before the last device", TWO_LEVELS, |s| s.owns_all_but(dte(0, 39999), 8), &[TableOutsideMemory]),
    ("collection table behind its end", FLAT, |s| s.owns_all_but(collections(0) + 0x1000, 0x1000), &[TableBeyondMemory]),
    (
        "collection table: the entry that ends it",
        FLAT,
        |s| s.owns_all_but(collections(0) + 2 * 8, 8),
        // Entry 2 is not ICID 2's: the table is not indexed.
        &[TableOutsideMemory],
    ),
    (
        "collection table where ICID 8 would be",
        FLAT,
        |s| s.owns_all_but(collections(0) + 8 * 8, 8),
        &[TableOutsideMemory, TableBeyondMemory],
    ),
    ("ITT behind the last event", FLAT, |s| s.owns_all_but(itts(0) + 18 * 8, 8), &[TableBeyondMemory]),
    ("ITT before the first event", FLAT, |s| s.owns_all_but(itts(0) + 8, 8), &[TableOutsideMemory]),
    ("queue behind what is queued", FLAT, |s| s.owns_all_but(queue(0) + 0xf000, 0x1000), &[TableBeyondMemory]),
    ("configuration of an LPI that is mapped", FLAT, |s| s.owns_all_but(CONFIGURATION + 8401 - 8192, 1), &[TableOutsideMemory]),
    ("configuration of LPIs that are not", FLAT, |s| s.owns_all_but(CONFIGURATION + 0xd000, 0x1000), &[TableBeyondMemory]),
    ("pending bits of LPIs that are not mapped", FLAT, |s| s.owns_all_but(pending(1) + 0x1000, 0x1000), &[TableBeyondMemory]),
    // 8400 and 8300 go to vCPU 0, 8401, 8301 and 8500 to vCPU 1.
    ("pending bit of an LPI of another vCPU", FLAT, |s| s.owns_all_but(pending(0) + 8500 / 8, 1), &[TableBeyondMemory]),
    ("pending bit of an LPI", FLAT, |s| s.owns_all_but(pending(1) + 8500 / 8, 1), &[TableOutsideMemory]),
    (
        "memory of the guest that cannot be read",
        FLAT,
        |s| {
            s.ranges = Ranges::new([GuestRange::new(0, 1 << 52)].into(), [].into());
            s.dte(40000, |e| e.with_itt(RAM + RAM_BYTES as u64));
        },
        &[TableOutsideMemory],
    ),
    ("ITT outside", FLAT, |s| s.dte(40000, |e| e.with_itt(0x2000_0000)), &[TableOutsideMemory]),
    ("queue outside", FLAT, |s| s.state.its[0].registers.cbaser = VALID | 0x2000_0000 | 0xf, &[TableOutsideMemory]),
    ("pending table outside", FLAT, |s| s.state.vcpus[1].redist.pendbaser = 0x2000_0000, &[TableOutsideMemory]),
    (
        "configuration table outside",
        FLAT,
        |s| s.state.vcpus.iter_mut().for_each(|vcpu| vcpu.redist.propbaser = 0x2000_000f),
        &[TableOutsideMemory],
    ),
    ("the byte behind an ITT protected", FLAT, |s| s.protect(GuestRange::new(itts(0) + 0x1080, 1)), &[]),
    ("a pending table protected", FLAT, |s| s.protect(GuestRange::new(pending(1) + 0x400, 1)), &[TableProtected]),
    ("the last byte of an ITT protected", FLAT, |s| s.protect(GuestRange::new(itts(0) + 0x107f, 1)), &[TableProtected]),
    (
        "ITT that is that of another device",
        FLAT,
        |s| s.dte(40000, |e| e.with_itt(itts(0) + 0x1000)),
        &[TablesOverlap, LpiTwice, EventNextBeyondTable, PendingUnmapped],
    ),
    (
        "ITT in the ITT of another device",
        FLAT,
        |s| {
            s.dte(3, |e| e.with_size(8));
            s.dte(40000, |e| e.with_itt(itts(0) + 0x800));
        },
        &[TablesOverlap, PendingUnmapped],
    ),
    ("ITT in the command queue", FLAT, |s| s.dte(40000, |e| e.with_itt(queue(0) + 0x8000)), &[TablesOverlap, PendingUnmapped]),
    (
        "ITT in the collection table",
        FLAT,
        |s| s.dte(40000, |e| e.with_itt(collections(0) + 0x8000)),
        &[TablesOverlap, PendingUnmapped],
    ),
    ("ITT in the device table", FLAT, |s| s.dte(40000, |e| e.with_itt(devices(0) + 0x8000)), &[TablesOverlap, PendingUnmapped]),
    (
        "ITT in a level-2 table",
        TWO_LEVELS,
        |s| s.dte(40000, |e| e.with_itt(devices(0) + 0x8000)),
        &[TablesOverlap, PendingUnmapped],
    ),
    (
        "ITT in the level-1 table",
        TWO_LEVELS,
        |s| s.dte(40000, |e| e.with_itt(level1(0) + 0x8000)),
        &[TablesOverlap, PendingUnmapped],
    ),
    ("ITT in a pending table", FLAT, |s| s.dte(40000, |e| e.with_itt(pending(1) + 0x1800)), &[TablesOverlap, PendingUnmapped]),
    ("ITT in what no LPI has of a pending table", FLAT, |s| s.dte(40000, |e| e.with_itt(pending(1) + 0x300)), &[PendingUnmapped]),
    (
        "ITT in the configuration table",
        FLAT,
        |s| {
            s.write(CONFIGURATION + 0xd000, 0);
            s.write(CONFIGURATION + 0xd008, 0);
            s.dte(40000, |e| e.with_itt(CONFIGURATION + 0xd000));
        },
        &[TablesOverlap, PendingUnmapped],
    ),
    (
        "queue and collection table at one address",
        FLAT,
        |s| s.state.its[0].registers.cbaser = VALID | collections(0) | 0xf,
        &[TablesAtOneAddress],
    ),
    ("level-2 table twice", TWO_LEVELS, |s| s.write(level1(0) + 7 * 8, VALID | (devices(0) + 6 * PAGE)), &[Level2Shared]),
    ("pending tables of two vCPUs", FLAT, |s| s.state.vcpus[1].redist.pendbaser = pending(0), &[PendingTablesShared]),
];

pub(crate) const CHAINS: &[Case] = &[
    ("device: no next", FLAT, |s| s.dte(3, |e| e.with_next(0)), &[EntryBehindChain, PendingUnmapped]),
    ("device: next too far", FLAT, |s| s.dte(3, |e| e.with_next(100)), &[EntryJumpedOver, NextNamesNone, PendingUnmapped]),
    ("device: next too near", FLAT, |s| s.dte(3, |e| e.with_next(66)), &[NextNamesNone]),
    (
        "device: next to nothing, the greatest distance",
        FLAT,
        |s| s.dte(40000, |e| e.with_next(Dte::MAX_NEXT as u16)),
        &[NextNamesNone],
    ),
    (
        "device: next beyond the last DeviceID",
        FLAT,
        |s| {
            let entry = s.read(dte(0, 40000));
            s.write(dte(0, 40000), 0);
            s.write(dte(0, 65000), entry);
            s.dte(65000, |e| e.with_next(1000));
        },
        &[DeviceNextBeyondTable],
    ),
    ("device: next of the last to nothing", TWO_LEVELS, |s| s.dte(40000, |e| e.with_next(5)), &[NextNamesNone]),
    ("device: not valid", FLAT, |s| s.dte(70, |e| e.with_valid(false)), &[EntryNotValid, NextNamesNone, PendingUnmapped]),
    ("device: first not valid", FLAT, |s| s.dte(3, |e| e.with_valid(false)), &[EntryNotValid, PendingUnmapped]),
    ("device: last cleared", FLAT, |s| s.write(dte(0, 40000), 0), &[NextNamesNone, PendingUnmapped]),
    (
        "device: a stale one at the start of a level-2 table",
        TWO_LEVELS,
        |s| {
            s.write(
                dte(0, 16384),
                Dte::new().with_valid(true).with_itt(itts(0) + 0x4000).with_next(Dte::MAX_NEXT as u16).into_bits(),
            )
        },
        &[EntryOffChain],
    ),
    ("event: no next", FLAT, |s| s.ite(2, |e| e.with_next(0)), &[EntryBehindChain]),
    ("event: next too far", FLAT, |s| s.ite(2, |e| e.with_next(20)), &[EntryJumpedOver, EventNotSaved]),
    ("event: next beyond the table", FLAT, |s| s.ite(17, |e| e.with_next(15)), &[EventNextBeyondTable]),
    ("event: last cleared", FLAT, |s| s.write(itts(0) + 17 * 8, 0), &[EventNotSaved]),
    ("event: not an LPI and not zero", FLAT, |s| s.ite(17, |e| e.with_pintid(0)), &[EntryNotValid, NextNamesNone]),
    ("event: stale behind the last", FLAT, |s| s.ite(20, |_| Ite::new().with_pintid(9000).with_icid(7)), &[EntryBehindChain]),
    ("event: stale between two", FLAT, |s| s.ite(9, |_| Ite::new().with_pintid(9000).with_icid(7)), &[EntryJumpedOver]),
    ("level 1: not valid", TWO_LEVELS, |s| s.write(level1(0) + 6 * 8, devices(0) + 6 * PAGE), &[EntryNotValid]),
    ("level 1: not valid, with a device", TWO_LEVELS, |s| s.write(level1(0) + 4 * 8, 0), &[NextNamesNone, PendingUnmapped]),
    ("level 1: beyond", TWO_LEVELS, |s| s.write(level1(0) + 8 * 8, VALID | (devices(0) + 8 * PAGE)), &[Level1BeyondTable]),
    ("level 1: reserved bits", TWO_LEVELS, |s| s.write(level1(0), VALID | devices(0) | 1 << 52 | 1), &[ReservedBits]),
];

pub(crate) const ENTRIES: &[Case] = &[
    (
        "device: DeviceID above Devbits",
        FLAT,
        |s| s.state.its[0].identity.typer = 0x1_ef71 & !0x3e000 | 14 << 13,
        &[DeviceBeyondTable, PendingUnmapped],
    ),
    ("device: 17 bits", FLAT, |s| s.dte(70, |e| e.with_size(16)), &[EventWidth, PendingUnmapped]),
    ("event: INTID 8191", FLAT, |s| s.ite(17, |e| e.with_pintid(8191)), &[IntidNotLpi]),
    ("event: LPI 65536", FLAT, |s| s.ite(17, |e| e.with_pintid(65536)), &[LpiBeyondTable]),
    (
        "event: LPI 16384 with 14 bits",
        FLAT,
        |s| {
            s.state.vcpus.iter_mut().for_each(|vcpu| vcpu.redist.propbaser = CONFIGURATION | 13);
            s.ite(17, |e| e.with_pintid(16384));
        },
        &[LpiBeyondTable],
    ),
    ("event: LPI of another device", FLAT, |s| s.ite(17, |e| e.with_pintid(8500)), &[LpiTwice]),
    ("event: unknown collection", FLAT, |s| s.ite(17, |e| e.with_icid(9)), &[CollectionUnknown]),
    ("collection: no vCPU", FLAT, |s| s.cte(1, |e| e.with_rdbase(2)), &[TargetUnknown]),
    ("collection: no vCPU in 32 bits", FLAT, |s| s.cte(1, |e| e.with_rdbase(1 << 32 | 1)), &[ReservedBits]),
    ("collection: not mapped", FLAT, |s| s.cte(1, |e| e.with_rdbase(Cte::NOT_MAPPED.into())), &[]),
    ("collection: twice", FLAT, |s| s.cte(2, |_| Cte::new().with_valid(true).with_icid(7)), &[CollectionTwice]),
    (
        "collection: ICID beyond the table",
        FLAT,
        |s| s.cte(2, |_| Cte::new().with_valid(true).with_icid(8192)),
        &[CollectionBeyondTable],
    ),
    ("collection: reserved bits", FLAT, |s| s.cte(0, |e| e.with_res0(0x400)), &[ReservedBits]),
    ("collection: behind the end", FLAT, |s| s.cte(3, |_| Cte::new().with_valid(true).with_icid(9)), &[CollectionBehindEnd]),
    ("collection: not valid", FLAT, |s| s.cte(1, |e| e.with_valid(false)), &[EntryNotValid, CollectionUnknown]),
    ("LPI: configuration without RES1", FLAT, |s| s.write_byte(CONFIGURATION + 8300 - 8192, 0xa1), &[ConfigurationNotCredible]),
    ("LPI: configuration of one that nothing maps", FLAT, |s| s.write_byte(CONFIGURATION + 8310 - 8192, 0), &[]),
    ("LPI: pending without a mapping", FLAT, |s| s.write_byte(pending(1) + 9000 / 8, 1), &[PendingUnmapped]),
    ("no LPI: pending", FLAT, |s| s.write_byte(pending(1) + 1023, 0xff), &[]),
];

pub(crate) const REGISTERS: &[Case] = &[
    ("PROPBASER of the second vCPU", FLAT, |s| s.state.vcpus[1].redist.propbaser = CONFIGURATION | 14, &[PropbaserDiffers]),
    ("BASER0 not valid", FLAT, |s| s.state.its[0].registers.baser0 &= !VALID, &[TableNotValid, PendingUnmapped]),
    ("BASER1 not valid", FLAT, |s| s.state.its[0].registers.baser1 &= !VALID, &[CollectionUnknown, TableNotValid]),
    ("CBASER not valid", FLAT, |s| s.state.its[0].registers.cbaser &= !VALID, &[TableNotValid]),
    ("BASER0 of another type", FLAT, |s| s.state.its[0].registers.baser0 ^= 1 << 57, &[RegisterShape]),
    ("BASER0 with pages of 4 KiB", FLAT, |s| s.state.its[0].registers.baser0 &= !0x300, &[RegisterShape]),
    ("BASER1 with entries of 16 bytes", FLAT, |s| s.state.its[0].registers.baser1 |= 8 << 48, &[RegisterShape]),
    ("BASER1 in two levels", FLAT, |s| s.state.its[0].registers.baser1 |= 1 << 62, &[CollectionTableIndirect]),
    ("BASER2", FLAT, |s| s.state.its[0].registers.baser2 = 1, &[RegisterNotImplemented]),
    ("CBASER not aligned", FLAT, |s| s.state.its[0].registers.cbaser |= 0x1000, &[QueueAlignment]),
    ("SPIs out of order", FLAT, |s| s.state.spis[0].first = 64, &[SpisIncomplete]),
    ("revision 1", FLAT, |s| s.state.identity.iidr = s.state.identity.iidr & !0xf000 | 0x1000, &[RevisionUnknown]),
    ("LPIs of a vCPU without PLPIS", FLAT, |s| s.state.vcpus[1].identity.typer &= !1, &[LpisWithoutIts]),
    ("a distributor without affinity routing", FLAT, |s| s.state.dist.ctlr ^= 1 << 4, &[DistCtlr]),
    ("a distributor with two security states", FLAT, |s| s.state.dist.ctlr ^= 1 << 6, &[DistCtlr]),
    ("a distributor with group 0", FLAT, |s| s.state.dist.ctlr |= 1, &[DistCtlr]),
    ("nASSGIreq without nASSGIcap", FLAT, |s| s.state.dist.ctlr |= 1 << 8, &[DistCtlr]),
    ("an SGI that is level-triggered", FLAT, |s| s.state.vcpus[1].private.config[0] ^= 2, &[TriggerMode]),
    ("a PPI that is edge-triggered", FLAT, |s| s.state.vcpus[1].private.config[1] ^= 2, &[TriggerMode]),
    ("bit 0 of a trigger mode", FLAT, |s| s.state.spis[0].interrupts.config[0] |= 1, &[TriggerMode]),
    ("DFB and DIB clear", FLAT, |s| s.state.vcpus[1].icc.sre = 1, &[IgnoredBits]),
    ("bit 8 of a priority mask", FLAT, |s| s.state.vcpus[1].icc.pmr |= 0x100, &[IgnoredBits]),
    ("SRE of a vCPU clear", FLAT, |s| s.state.vcpus[1].icc.sre &= !1, &[SreClear]),
    ("active priorities beyond PRIbits", FLAT, |s| s.state.vcpus[1].icc.ap1r2 = 4, &[ActivePriority]),
    ("priority below what KVM keeps", FLAT, |s| s.state.vcpus[1].private.priority[3] |= 0x0400, &[IgnoredBits]),
    (
        "SPI routed to no vCPU, and to Aff3",
        FLAT,
        |s| {
            s.state.spis[0].interrupts.enable |= 1 << 9;
            s.state.spis[0].router[9] = 0x0700_0077;
        },
        &[SpiTargetUnknown, IgnoredBits],
    ),
    ("CREADR outside", FLAT, |s| s.state.its[0].registers.creadr = 0x1_0000, &[QueueOffset]),
    ("CWRITER in a command", FLAT, |s| s.state.its[0].registers.cwriter += 1, &[QueueOffset]),
    ("commands queued", FLAT, |s| s.state.its[0].registers.creadr -= 64, &[CommandsQueued]),
];

/// A command that is queued, alone, and what is found beside that.
pub(crate) const COMMANDS: &[(&str, [u64; 4], &[Problem])] = &[
    ("MAPD elsewhere", [0x08 | 9 << 32, 4, VALID | (itts(0) + 0x4000), 0], &[]),
    ("MAPD of a device to the table that it has", [0x08 | 3 << 32, 4, VALID | itts(0), 0], &[]),
    ("MAPD V=0", [0x08 | 3 << 32, 0, 0, 0], &[]),
    ("MAPD outside of memory", [0x08 | 9 << 32, 4, VALID | 0x9000_0000, 0], &[TableOutsideMemory]),
    ("MAPD into the queue", [0x08 | 9 << 32, 4, VALID | queue(0), 0], &[TablesOverlap]),
    ("MAPD into a live ITT", [0x08 | 9 << 32, 4, VALID | (itts(0) + 0x1000), 0], &[TablesOverlap]),
    ("MAPD of 17 bits", [0x08 | 9 << 32, 16, VALID | (itts(0) + 0x4000), 0], &[CommandRefused]),
    ("MAPD of a device that cannot be", [0x08 | 1 << 48, 4, VALID | (itts(0) + 0x4000), 0], &[CommandRefused]),
    ("MAPD with a reserved bit", [0x08 | 9 << 32 | 1 << 31, 4, VALID | (itts(0) + 0x4000), 0], &[ReservedBits]),
    ("MAPC", [0x09, 0, VALID | 1 << 16 | 9, 0], &[]),
    ("MAPC to no vCPU", [0x09, 0, VALID | 2 << 16 | 9, 0], &[CommandRefused]),
    ("MAPC beyond the table", [0x09, 0, VALID | 1 << 16 | 0x2000, 0], &[CommandRefused]),
    ("MAPTI", [0x0a | 3 << 32, 8600 << 32 | 3, 7, 0], &[]),
    ("MAPTI of no LPI", [0x0a | 3 << 32, 8191 << 32 | 3, 7, 0], &[CommandRefused]),
    ("MAPI of no LPI", [0x0b | 3 << 32, 3, 7, 0], &[CommandRefused]),
    ("MOVALL", [0x0e, 0, 0, 1 << 16], &[]),
    ("MOVALL to no vCPU", [0x0e, 0, 0, 2 << 16], &[CommandRefused]),
    ("VMAPP", [0x29, 0, VALID, 0], &[CommandUnknown]),
    ("nothing", [0; 4], &[CommandUnknown]),
];

#[test]
fn commands_that_are_queued() {
    let clean = subject(1, FLAT);
    for (what, command, expected) in COMMANDS {
        let mut subject = clean.copy();
        let registers = &mut subject.state.its[0].registers;
        // Around the end of the queue.
        (registers.creadr, registers.cwriter) = (0xffe0, 0);
        for (at, word) in (queue(0) + 0xffe0..).step_by(8).zip(command) {
            subject.write(at, *word);
        }
        let mut expected = expected.to_vec();
        expected.push(CommandsQueued);
        expected.sort_unstable();
        assert_eq!(problems(&subject.audit()), expected, "{what}");
    }
}

/// Kernels before Linux 6.7 take the place of a vCPU for its ID.
#[test]
fn targets_of_commands_are_ids_and_places() {
    let clean = subject(1, FLAT);
    for (target, accepted) in [(0, true), (1, true), (2, false), (4, false), (5, true), (6, false)] {
        let mut subject = clean.copy();
        subject.state.vcpus[0].vcpu.id = VcpuId::new(3).expect("id");
        subject.state.vcpus[1].vcpu.id = VcpuId::new(5).expect("id");
        let registers = &mut subject.state.its[0].registers;
        (registers.creadr, registers.cwriter) = (0, 32);
        for (at, word) in (queue(0)..).step_by(8).zip([0x09, 0, VALID | target << 16 | 7, 0]) {
            subject.write(at, word);
        }
        assert_eq!(subject.audit().find(CommandRefused).is_none(), accepted, "{target}");
    }
}

impl Subject {
    /// The guest owns everything but these bytes.
    fn owns_all_but(&mut self, start: u64, bytes: u64) {
        let owned = [GuestRange { start: RAM, end: start }, GuestRange { start: start + bytes, end: HOLE }];
        self.ranges = Ranges::new(owned.into(), [].into());
    }

    pub(crate) fn protect(&mut self, range: GuestRange) {
        self.ranges = Ranges::new([GuestRange::new(RAM, RAM_BYTES as u64)].into(), [range].into());
    }

    fn write_byte(&mut self, address: u64, byte: u8) {
        use vm_memory::{Bytes, GuestAddress};
        self.memory.write_obj(byte, GuestAddress(address)).expect("memory");
    }
}

#[test]
fn each_is_found_as_what_it_is_and_as_nothing_else() {
    let clean = [subject(1, false), subject(1, true)];
    let mut lines = String::new();
    for (what, indirect, change, expected) in [PLACES, CHAINS, ENTRIES, REGISTERS].concat() {
        let mut subject = clean[usize::from(indirect)].copy();
        change(&mut subject);
        let report = subject.audit();
        lines += &judged(what, &report, expected);
    }
    snapshot!("audit_places", lines);
}

#[test]
fn every_problem_has_a_case_and_a_line() {
    let gicv3 = [PLACES, CHAINS, ENTRIES, REGISTERS].concat().into_iter().flat_map(|(.., problems)| problems);
    let gicv3 = gicv3.chain(COMMANDS.iter().flat_map(|(.., problems)| *problems));
    let elsewhere = crate::mappings::CASES.iter().flat_map(|(.., problems)| *problems);
    let mut found: Vec<Problem> = gicv3.chain(elsewhere).copied().collect();
    found.extend(crate::ist::CASES.iter().map(|(problem, _)| *problem));
    // Each has a test of its own.
    found.extend([WorkExceeded, ItsTwice, NewerRevision, PendingLpisDisabled, AttributeMissing, IdentityMissing]);
    found.extend([SpiLevelLost, SpiLevelPending, IstMisfit, IstKind, IstCfgr, LpiIdBits, LpiIdBounds]);
    // In tests/gicv3/lpis/unreadable.rs.
    found.push(TableNotRead);
    // In tests/gicv3/el2.rs.
    found.extend([El2OfSome, MaintenanceIrq, ListRegisterIntid, ListRegisterTwice, ListRegisterHardware, ListRegisterBeyond]);
    // tests/gicv2/refusal.rs.
    found.extend([SgiSenders, SgiSenderUnknown, ActiveSgi]);
    for problem in Problem::ALL {
        assert!(found.contains(problem), "{problem:?}");
    }
    let line = |problem: &Problem| format!("{:<8} {}: {problem}\n", problem.severity(), problem.code());
    snapshot!("audit_problems", Problem::ALL.iter().map(line).collect::<String>());
}

#[test]
fn two_itses_with_one_lpi_and_one_table() {
    let mut subject = subject(2, FLAT);
    let lpi = Ite::from_bits(subject.read(itts(1) + 2 * 8)).with_pintid(8400);
    subject.write(itts(1) + 2 * 8, lpi.into_bits());
    subject.state.its[1].registers.baser1 = subject.state.its[0].registers.baser1;
    let report = subject.audit();
    assert_eq!(problems(&report), [TablesAtOneAddress, LpiTwice, PendingUnmapped]);
    assert_eq!(report.max_severity(), Some(Severity::Critical));
    let place = report.find(LpiTwice).expect("found").first;
    let itt = Table::Itt { its: its_base(1), device: 3 };
    assert_eq!((place.table, place.event, place.address), (Some(itt), Some(2), Some(itts(1) + 16)));
}

#[test]
fn two_itses_at_one_address() {
    let mut subject = subject(2, FLAT);
    subject.state.its[1].base = its_base(0);
    let report = subject.audit();
    let finding = report.find(ItsTwice).expect("found");
    assert_eq!((finding.first.its, finding.count, finding.refused), (Some(its_base(0)), 1, true));
}

#[test]
fn queued_commands_of_a_queue_that_wraps() {
    let mut subject = subject(1, FLAT);
    let registers = &mut subject.state.its[0].registers;
    (registers.creadr, registers.cwriter) = (0xffe0, 0x40);
    let report = subject.audit();
    let ranges = [GuestRange::new(queue(0) + 0xffe0, 32), GuestRange::new(queue(0), 64)];
    let queued = report.queued.iter().map(|queued| (queued.its, queued.ranges));
    assert_eq!(queued.collect::<Vec<_>>(), [(its_base(0), ranges)]);
    subject.state.its[0].registers.ctlr &= !1;
    assert_eq!(subject.audit(), Default::default(), "an ITS that is not enabled runs none");
}

#[test]
fn a_target_is_a_vcpu_id_or_a_place_before_linux_6_7() {
    let mut subject = subject(1, FLAT);
    // vCPUs 0 and 1 become 4 and 9: places 0 and 1 still name them.
    for (vcpu, id) in subject.state.vcpus.iter_mut().zip([4, 9]) {
        vcpu.vcpu.id = VcpuId::new(id).expect("id");
    }
    assert_eq!(subject.audit().to_string(), "");
    subject.cte(0, |e| e.with_rdbase(4));
    subject.cte(1, |e| e.with_rdbase(9));
    assert_eq!(subject.audit().to_string(), "");
    subject.cte(1, |e| e.with_rdbase(2));
    assert_eq!(problems(&subject.audit()), [TargetUnknown]);
}
