//! What KVM does not check as it restores tables: the model believes it, as KVM does, and the audit would have refused it.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_restore_tables_v0` and the functions below it.

use crate::common::{CONFIGURATION, Config, fresh, pending};
use crate::rig::*;
use vgic_state::its::Cte;
use vgic_state::model::gicv3::{Host, Kernel};
use vgic_state::report::Problem::{self, *};
use vgic_state::report::Severity;
use vgic_state::uapi::vgic_v3::{its, redist};
use vgic_state::{Attr, AttrDevice, Command, Errno};

/// What `RESTORE_TABLES` of a kernel answers.
fn restore(subject: &Subject, kernel: Kernel) -> Result<(), Errno> {
    let host = Host { kernel, ..Host::default() };
    let (_, mut gic) = fresh(Config { host, ..Config::default() }, crate::common::copy(&subject.memory));
    for vcpu in &subject.state.vcpus {
        let registers = [(redist::GICR_PROPBASER, vcpu.redist.propbaser), (redist::GICR_PENDBASER, vcpu.redist.pendbaser)];
        for (offset, value) in registers {
            gic.gic_mut().set(Attr::redist(vcpu.vcpu.mpidr, offset), value as u32)?;
            gic.gic_mut().set(Attr::redist(vcpu.vcpu.mpidr, offset + 4), (value >> 32) as u32)?;
        }
        gic.gic_mut().set(Attr::redist(vcpu.vcpu.mpidr, redist::GICR_CTLR), 1)?;
    }
    let registers = &subject.state.its[0].registers;
    let device = &mut gic.its_mut()[0];
    for (offset, value) in [
        (its::GITS_CBASER, registers.cbaser),
        (its::GITS_CREADR, registers.creadr),
        (its::GITS_CWRITER, registers.cwriter),
        (its::GITS_BASER, registers.baser0),
        (its::GITS_BASER + 8, registers.baser1),
    ] {
        device.set(Attr::its(offset), value)?;
    }
    device.command(Command::ItsRestoreTables)
}

/// KVM takes it, and the worst that the audit says of it.
fn believed(indirect: bool, kernel: Kernel, change: impl Fn(&mut Subject), problem: Problem, refused: bool) {
    let mut subject = subject(1, indirect);
    assert_eq!(restore(&subject, kernel), Ok(()), "as saved");
    change(&mut subject);
    assert_eq!(restore(&subject, kernel), Ok(()), "KVM believes it");
    let report = subject.audit();
    assert!(report.find(problem).is_some(), "{report}");
    assert_eq!(report.max_severity() >= Some(Severity::DEFAULT_THRESHOLD), refused, "{report}");
}

#[test]
fn dte_more_than_16_event_id_bits() {
    for size in [16, 27, 28, 31] {
        let change = |s: &mut Subject| s.dte(40000, |e| e.with_size(size));
        // The older kernel reads wherever that leads: only an event right at the start ends it.
        let change = |s: &mut Subject| {
            change(s);
            s.write(itts(0) + 0x2000, 8500 << 16 | 8);
        };
        believed(false, Kernel::V6_12_74, change, EventWidth, true);
    }
}

#[test]
fn dte_next_beyond_the_table() {
    believed(false, Kernel::V7_3, |s| s.dte(3, |e| e.with_next(0x3fff)), EntryJumpedOver, true);
    let last = |s: &mut Subject| {
        s.write(dte(0, 65000), s.read(dte(0, 40000)) | 1000 << 49);
        s.write(dte(0, 40000), 0);
    };
    believed(false, Kernel::V7_3, last, DeviceNextBeyondTable, true);
}

#[test]
fn dte_next_of_zero_loses_devices() {
    believed(false, Kernel::V7_3, |s| s.dte(3, |e| e.with_next(0)), EntryBehindChain, true);
}

#[test]
fn dte_itt_beyond_memory() {
    // KVM looks at the pages of the entries that it visits: the first one is in memory, and ends the table.
    let change = |s: &mut Subject| {
        let end = crate::common::RAM + crate::common::RAM_BYTES as u64;
        s.write(end - 256, 8500 << 16 | 8);
        s.dte(40000, |e| e.with_itt(end - 256).with_size(15));
    };
    believed(false, Kernel::V7_3, change, TableBeyondMemory, false);
}

#[test]
fn itt_over_every_other_table() {
    let change = |at: u64| move |s: &mut Subject| s.dte(40000, |e| e.with_itt(at));
    for at in [itts(0) + 0x1000, queue(0) + 0x8000, collections(0) + 0x8000, devices(0) + 0x8000, pending(1) + 0x1800] {
        // The ITT of device 70 leads an event on beyond the two of device 40000, which KVM does check.
        let change = |s: &mut Subject| {
            change(at)(s);
            s.dte(40000, |e| e.with_size(4));
        };
        believed(false, Kernel::V7_3, change, TablesOverlap, true);
    }
    let configuration = |s: &mut Subject| {
        s.write(CONFIGURATION + 0xd000, 0);
        s.write(CONFIGURATION + 0xd008, 0);
        s.dte(40000, |e| e.with_itt(CONFIGURATION + 0xd000));
    };
    believed(false, Kernel::V7_3, configuration, TablesOverlap, true);
}

#[test]
fn itt_in_protected_memory() {
    let change = |s: &mut Subject| {
        let ram = vgic_state::GuestRange::new(crate::common::RAM, crate::common::RAM_BYTES as u64);
        s.ranges = vgic_state::judge::Ranges::new([ram].into(), [vgic_state::GuestRange::new(itts(0), PAGE)].into());
    };
    believed(false, Kernel::V7_3, change, TableProtected, true);
}

#[test]
fn ite_lpi_beyond_idbits() {
    believed(false, Kernel::V7_3, |s| s.ite(17, |e| e.with_pintid(65536)), LpiBeyondTable, true);
    // As far as the configuration table may be put away, within memory.
    believed(false, Kernel::V7_3, |s| s.ite(17, |e| e.with_pintid(0x80_0000)), LpiBeyondTable, true);
}

#[test]
fn ite_one_lpi_twice() {
    believed(false, Kernel::V7_3, |s| s.ite(17, |e| e.with_pintid(8400)), LpiTwice, true);
    believed(false, Kernel::V7_3, |s| s.ite(17, |e| e.with_pintid(8500)), LpiTwice, true);
}

#[test]
fn level_1_two_entries_with_one_level_2_table() {
    believed(true, Kernel::V7_3, |s| s.write(level1(0) + 8 * 2, VALID | devices(0)), Level2Shared, true);
}

#[test]
fn cte_and_level_1_reserved_bits() {
    believed(false, Kernel::V7_3, |s| s.cte(0, |e| e.with_res0(0x7ff)), ReservedBits, false);
    believed(true, Kernel::V7_3, |s| s.write(level1(0), VALID | devices(0) | 0xffff), ReservedBits, false);
}

#[test]
fn cte_not_valid_ends_the_table() {
    // A collection that no event uses: nothing misses it.
    let change = |s: &mut Subject| {
        s.cte(2, |_| Cte::new());
        s.cte(3, |_| Cte::new().with_valid(true).with_icid(9));
    };
    believed(false, Kernel::V7_3, change, CollectionBehindEnd, false);
}

#[test]
fn cwriter_outside_of_the_queue() {
    believed(false, Kernel::V7_3, |s| s.state.its[0].registers.cwriter = 0x1_0000, QueueOffset, true);
}

#[test]
fn stale_entries() {
    let stale = |s: &mut Subject| s.write(dte(0, 16384), VALID | (itts(0) + 0x4000) >> 8 << 5 | 0x3fff << 49);
    believed(true, Kernel::V7_3, stale, EntryOffChain, true);
    believed(false, Kernel::V7_3, |s| s.write(dte(0, 60), VALID), EntryJumpedOver, true);
    believed(false, Kernel::V7_3, |s| s.write(dte(0, 60000), VALID), EntryBehindChain, true);
    believed(false, Kernel::V7_3, |s| s.write(itts(0) + 8 * 30, 9000 << 16 | 7), EntryBehindChain, true);
}
