//! What is found at the end, and what was seen on the way.
//!
//! Rule: lost is what was sent and never counted; doubled is what was counted without having been sent, by the guest's own judgement.

use super::Result;
use super::devices::{Devices, Kind};
use super::layout::*;
use super::memory::Memory;
use super::vcpu;
use super::wire::Wire;
use kvm_ioctls::VcpuFd;
use std::fmt;
use std::sync::atomic::Ordering;
use vm_memory::{Bytes, GuestAddress};

/// Seen on the way, by all VMMs so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) moves: u64,
    /// Messages that were on their way when the guest was stopped.
    pub(super) in_flight: u64,
    /// vCPUs that were stopped in their interrupt handler.
    pub(super) in_handler: u64,
    /// Pages that were sent after the guest was stopped.
    pub(super) dirty_pages: u64,
    /// The longest image.
    pub(super) image_bytes: u64,
    /// The longest time from one VMM's stop to the next one's start, in microseconds, and the sum of all.
    pub(super) pause_max: u64,
    pub(super) pause_sum: u64,
    /// Time of the flushes, saves and restores of the interrupt controller, in microseconds.
    pub(super) gic_sum: u64,
}

impl Totals {
    fn numbers(&mut self) -> [&mut u64; 8] {
        let Totals { moves, in_flight, in_handler, dirty_pages, image_bytes, pause_max, pause_sum, gic_sum } = self;
        [moves, in_flight, in_handler, dirty_pages, image_bytes, pause_max, pause_sum, gic_sum]
    }

    pub(super) fn put(mut self, wire: &mut Wire) -> Result<()> {
        self.numbers().into_iter().try_for_each(|number| wire.put(*number))
    }

    pub(super) fn get(wire: &mut Wire) -> Result<Self> {
        let mut totals = Totals::default();
        for number in totals.numbers() {
            *number = wire.get()?;
        }
        Ok(totals)
    }
}

/// Interrupts of a kind.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    sent: u64,
    received: u64,
}

/// What is found at the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report {
    totals: Totals,
    /// MSIs, level-triggered SPIs, edge-triggered SPIs, SGIs, ticks.
    rows: [Row; 5],
    doubled: u64,
    /// INTIDs that nobody uses.
    strange: u64,
    /// LPIs that were moved from one vCPU to the other.
    moved: u64,
}

const NAMES: [&str; 5] = ["MSIs (LPIs)", "SPIs, level", "SPIs, edge", "SGIs", "timer ticks"];

fn read(memory: &Memory, vcpu: u32, offset: u64) -> Result<u64> {
    Ok(memory.load(GuestAddress(counter(vcpu, offset)), Ordering::Acquire)?)
}

fn sum(memory: &Memory, offset: u64) -> Result<u64> {
    (0..VCPUS).try_fold(0, |sum, vcpu| Ok(sum + read(memory, vcpu, offset)?))
}

/// Whether a vCPU has had as many ticks as time has passed, and has taken what SGIs it was sent.
pub(super) fn complete(memory: &Memory, vcpu: u32) -> Result<bool> {
    Ok(read(memory, vcpu, DONE)? == 1 && read(memory, vcpu, SGIS)? == read(memory, 1 - vcpu, SGIS_SENT)?)
}

/// Ticks of a vCPU so far.
pub(super) fn ticks(memory: &Memory, vcpu: u32) -> Result<u64> {
    read(memory, vcpu, TICKS)
}

impl Report {
    /// Of vCPUs that have stopped for good.
    pub(super) fn of(devices: &Devices, memory: &Memory, vcpus: &[VcpuFd], totals: Totals) -> Result<Self> {
        let mut report = Report { totals, ..Report::default() };
        let mut ticks = Row::default();
        for (vcpu, fd) in (0..).zip(vcpus) {
            ticks.received += read(memory, vcpu, TICKS)?;
            // A vCPU that is not done waits for ticks that do not come.
            ticks.sent += match read(memory, vcpu, DONE)? {
                1 => read(memory, vcpu, EXPECTED)?,
                _ => vcpu::count(fd)?.saturating_sub(read(memory, vcpu, START)?) / read(memory, vcpu, PERIOD)?.max(1),
            };
        }
        let counted = |kind| devices.count(&[kind]).map(|count| Row { sent: count.sent, received: count.received });
        report.rows = [
            counted(Kind::Msi)?,
            counted(Kind::Level)?,
            counted(Kind::Edge)?,
            Row { sent: sum(memory, SGIS_SENT)?, received: sum(memory, SGIS)? },
            ticks,
        ];
        report.doubled = sum(memory, DOUBLED)?;
        report.strange = sum(memory, STRANGE)?;
        report.moved = sum(memory, MOVES)?;
        Ok(report)
    }

    pub(super) fn put(&self, wire: &mut Wire) -> Result<()> {
        self.totals.put(wire)?;
        let rows = self.rows.iter().flat_map(|row| [row.sent, row.received]);
        rows.chain([self.doubled, self.strange, self.moved]).try_for_each(|number| wire.put(number))
    }

    pub(super) fn get(wire: &mut Wire) -> Result<Self> {
        let mut report = Report { totals: Totals::get(wire)?, ..Report::default() };
        for row in &mut report.rows {
            *row = Row { sent: wire.get()?, received: wire.get()? };
        }
        for number in [&mut report.doubled, &mut report.strange, &mut report.moved] {
            *number = wire.get()?;
        }
        Ok(report)
    }

    fn lost(&self) -> u64 {
        self.rows.iter().map(|row| row.sent.saturating_sub(row.received)).sum()
    }

    /// Nothing was lost, nothing came twice, and something came at all of each kind.
    pub(super) fn good(&self, moves: u64) -> bool {
        let seen = self.rows.iter().all(|row| row.received != 0) && self.moved != 0;
        self.totals.moves == moves && seen && self.lost() == 0 && self.doubled == 0 && self.strange == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<14}{:>10}{:>10}", "", "sent", "received")?;
        for (name, row) in NAMES.iter().zip(&self.rows) {
            writeln!(f, "{name:<14}{:>10}{:>10}", row.sent, row.received)?;
        }
        let (sent, received) = self.rows.iter().fold((0, 0), |(sent, received), row| (sent + row.sent, received + row.received));
        let Totals { moves, in_flight, in_handler, dirty_pages, image_bytes, pause_max, pause_sum, gic_sum } = self.totals;
        writeln!(f, "{:<14}{sent:>10}{received:>10}   lost {}, doubled {}", "all", self.lost(), self.doubled)?;
        writeln!(
            f,
            "at {moves} stops: {in_flight} messages on their way, {in_handler} vCPUs in their handler; the guest moved {} LPIs to its \
             other vCPU",
            self.moved
        )?;
        let ms = |us: u64| format!("{}.{} ms", us / 1000, us / 100 % 10);
        write!(
            f,
            "images up to {image_bytes} bytes; {dirty_pages} pages sent after the stops; a pause took {}, of them {} for the interrupt \
             controller, the longest {}",
            ms(pause_sum / moves.max(1)),
            ms(gic_sum / moves.max(1)),
            ms(pause_max)
        )
    }
}
