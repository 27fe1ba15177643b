//! The registers of an ITS: tables that are not valid, bits that KVM forces, commands that wait.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_mmio_write_its_*` and `vgic_mmio_uaccess_write_its_*`.
//!
//! Rule: what KVM would make of a value is what counts; what it drops on the way is reported.

use super::tables::Judge;
use crate::Attr;
use crate::its::{PAGE_BYTES, Table, TableRange};
use crate::memory::GuestRange;
use crate::report::{Place, Problem, QueuedCommands};
use crate::state::gicv3::ItsUnit;
use crate::uapi::vgic_v3::its::*;

/// `GITS_BASER` as KVM forces it: a type, entries of 8 bytes, pages of 64 KiB.
const fn shape(kind: u64) -> u64 {
    kind << GITS_BASER_TYPE.trailing_zeros()
        | 7 << GITS_BASER_ENTRY_SIZE.trailing_zeros()
        | 2 << GITS_BASER_PAGE_SIZE.trailing_zeros()
}

const SHAPE: u64 = GITS_BASER_TYPE | GITS_BASER_ENTRY_SIZE | GITS_BASER_PAGE_SIZE;
/// Bits of the address in `GITS_CBASER` that KVM clears: a queue begins at a multiple of 64 KiB.
pub(super) const QUEUE_MISALIGNED: u64 = GITS_CBASER_ADDRESS & (PAGE_BYTES - 1);
const DEVICES: u64 = 1;
const COLLECTIONS: u64 = 4;

/// Judges the registers of an ITS, and notes its command queue.
pub(super) fn registers(its: &ItsUnit, judge: &mut Judge<'_>) {
    let registers = &its.registers;
    let place = |offset: u32, value: u64| Place { its: Some(its.base), ..Place::register(Attr::its(offset).id(), value) };
    let enabled = u64::from(registers.ctlr) & GITS_CTLR_ENABLE != 0;
    let valid = registers.cbaser & GITS_CBASER_VALID != 0;
    // Bit 63 is Valid in all three.
    for (offset, value) in [(GITS_CBASER, registers.cbaser), (GITS_BASER, registers.baser0), (GITS_BASER + 8, registers.baser1)] {
        if enabled && value & GITS_BASER_VALID == 0 {
            judge.report.add_refused(Problem::TableNotValid, place(offset, value));
        }
    }
    if registers.cbaser & QUEUE_MISALIGNED != 0 {
        judge.report.add_refused(Problem::QueueAlignment, place(GITS_CBASER, registers.cbaser));
    }
    if registers.baser1 & GITS_BASER_INDIRECT != 0 {
        judge.report.add_refused(Problem::CollectionTableIndirect, place(GITS_BASER + 8, registers.baser1));
    }
    for (offset, value, kind) in [(GITS_BASER, registers.baser0, DEVICES), (GITS_BASER + 8, registers.baser1, COLLECTIONS)] {
        if value & SHAPE != shape(kind) {
            judge.report.add(Problem::RegisterShape, place(offset, value));
        }
    }
    for (offset, value) in [
        (GITS_BASER + 16, registers.baser2),
        (GITS_BASER + 24, registers.baser3),
        (GITS_BASER + 32, registers.baser4),
        (GITS_BASER + 40, registers.baser5),
        (GITS_BASER + 48, registers.baser6),
        (GITS_BASER + 56, registers.baser7),
    ] {
        if value != 0 {
            judge.report.add_refused(Problem::RegisterNotImplemented, place(offset, value));
        }
    }

    let start = registers.cbaser & GITS_CBASER_ADDRESS & !QUEUE_MISALIGNED;
    let bytes = ((registers.cbaser & GITS_CBASER_SIZE) + 1) * 4096;
    if valid {
        judge.add_declared(TableRange { range: GuestRange::new(start, bytes), table: Table::Commands { its: its.base } });
    }
    let (from, to) = (registers.creadr, registers.cwriter);
    let mut outside = false;
    for (offset, value) in [(GITS_CREADR, from), (GITS_CWRITER, to)] {
        if value & !GITS_CMD_OFFSET != 0 || value >= bytes {
            judge.report.add_refused(Problem::QueueOffset, place(offset, value).allowed(0_u64, bytes - 1));
            outside = true;
        }
    }
    if enabled && valid && !outside && from != to {
        let range = |from, to| GuestRange { start: start + from, end: start + to };
        let ranges = if from < to { [range(from, to), range(to, to)] } else { [range(from, bytes), range(0, to)] };
        let place =
            Place { table: Some(Table::Commands { its: its.base }), address: Some(start + from), ..place(GITS_CWRITER, to) };
        judge.report.add(Problem::CommandsQueued, place);
        judge.report.queued.push(QueuedCommands { its: its.base, ranges });
    }
}
