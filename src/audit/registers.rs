//! The registers of an ITS: tables that are not valid, bits that KVM forces, commands that wait.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_mmio_write_its_*` and `vgic_mmio_uaccess_write_its_*`.
//!
//! Rule: what KVM would make of a value is what counts; what it drops on the way is reported.

use super::judge::Judge;
use super::problem::Problem;
use super::report::{Place, QueuedCommands};
use crate::Attr;
use crate::gicv3::ItsUnit;
use crate::guest_memory::GuestRange;
use crate::its::{Table, TableRange};
use crate::uapi::vgic_v3::its::*;

/// `GITS_BASER` as KVM forces it: a type, entries of 8 bytes, pages of 64 KiB.
const fn shape(kind: u64) -> u64 {
    kind << GITS_BASER_TYPE.trailing_zeros()
        | 7 << GITS_BASER_ENTRY_SIZE.trailing_zeros()
        | 2 << GITS_BASER_PAGE_SIZE.trailing_zeros()
}

const SHAPE: u64 = GITS_BASER_TYPE | GITS_BASER_ENTRY_SIZE | GITS_BASER_PAGE_SIZE;
const DEVICES: u64 = 1;
const COLLECTIONS: u64 = 4;

/// Judges the registers of an ITS, and notes its command queue.
pub(super) fn registers(its: &ItsUnit, judge: &mut Judge<'_>) {
    let registers = &its.registers;
    let place = |offset: u32| Place { register: Some(Attr::its(offset).id()), its: Some(its.base), ..Place::default() };
    let enabled = u64::from(registers.ctlr) & GITS_CTLR_ENABLE != 0;
    let valid = registers.cbaser & GITS_CBASER_VALID != 0;
    // Bit 63 is Valid in all three.
    for (offset, value) in [(GITS_CBASER, registers.cbaser), (GITS_BASER, registers.baser0), (GITS_BASER + 8, registers.baser1)] {
        if enabled && value & GITS_BASER_VALID == 0 {
            judge.report.add(Problem::TableNotValid, place(offset));
        }
    }
    let ignored = [
        // KVM aligns the queue to 64 KiB.
        (GITS_CBASER, registers.cbaser & 0xf000 != 0),
        (GITS_BASER, registers.baser0 & SHAPE != shape(DEVICES)),
        (GITS_BASER + 8, registers.baser1 & SHAPE != shape(COLLECTIONS) || registers.baser1 & GITS_BASER_INDIRECT != 0),
        (GITS_BASER + 16, registers.baser2 != 0),
        (GITS_BASER + 24, registers.baser3 != 0),
        (GITS_BASER + 32, registers.baser4 != 0),
        (GITS_BASER + 40, registers.baser5 != 0),
        (GITS_BASER + 48, registers.baser6 != 0),
        (GITS_BASER + 56, registers.baser7 != 0),
    ];
    for (offset, _) in ignored.into_iter().filter(|(_, ignored)| *ignored) {
        judge.report.add(Problem::RegisterShape, place(offset));
    }

    let start = registers.cbaser & GITS_CBASER_ADDRESS & !0xffff;
    let bytes = ((registers.cbaser & GITS_CBASER_SIZE) + 1) * 4096;
    if valid {
        judge.add_table(TableRange { range: GuestRange::new(start, bytes), table: Table::Commands { its: its.base } });
    }
    let (from, to) = (registers.creadr, registers.cwriter);
    let mut outside = false;
    for (offset, value) in [(GITS_CREADR, from), (GITS_CWRITER, to)] {
        if value & !GITS_CMD_OFFSET != 0 || value >= bytes {
            judge.report.add(Problem::QueueOffset, place(offset));
            outside = true;
        }
    }
    if enabled && valid && !outside && from != to {
        let range = |from, to| GuestRange { start: start + from, end: start + to };
        let ranges = if from < to { [range(from, to), range(to, to)] } else { [range(from, bytes), range(0, to)] };
        let place = Place { table: Some(Table::Commands { its: its.base }), address: Some(start + from), ..place(GITS_CWRITER) };
        judge.report.add(Problem::CommandsQueued, place);
        judge.report.queued.push(QueuedCommands { its: its.base, ranges });
    }
}
