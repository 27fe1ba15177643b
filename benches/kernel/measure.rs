//! The operations, and the table.
//!
//! Rule: a flush is a part of the save: a VMM does both while the guest stands still.

use crate::faults::Faults;
use crate::kernel::{KernelRig, release};
use crate::program::{self, Devices, Table};
use crate::rig::{Config, Rig};
use crate::{layout, memory};
use comfy_table::{CellAlignment, presets};
use std::time::{Duration, Instant};
use vgic_state::DynInterruptState;
use vgic_state::{Options, TableStrategy};

const TURNS: usize = 25;

/// One run: all of it, what was inside of the kernel, how many calls.
pub(crate) type Sample = (Duration, Duration, u32);

/// What looking at the clock twice takes.
pub(crate) fn clock() -> Duration {
    let faults = || (0..100).map(|_| Instant::now().elapsed()).sum::<Duration>() / 100;
    (0..200).map(|_| faults()).min().unwrap_or_default()
}

pub(crate) fn measure<T>(faults: &Faults, act: impl FnOnce() -> T) -> (Sample, T) {
    faults.take();
    let start = Instant::now();
    let result = act();
    let elapsed = start.elapsed();
    let (inside, calls) = faults.take();
    ((elapsed, inside, calls), result)
}

fn options(tables: TableStrategy) -> Options {
    Options::default().with_tables(tables)
}

/// A VM whose guest has so many LPIs, in devices of 64 events.
fn source(lpis: u32) -> KernelRig {
    let mut rig = KernelRig::new(Config::default());
    program::basics(&mut rig);
    program::wires(&mut rig);
    program::enable_its(&mut rig, 0, Table::Flat);
    program::map(&mut rig, 0, &Devices { devices: lpis / 64, events: 64, first_id: 8, step: 8, table: Table::Flat });
    rig
}

/// The least of the kernel's part, and of the crate's.
fn row(name: [String; 3], samples: &[Sample], clock: Duration) -> [String; 7] {
    let calls = samples[0].2;
    // Each call was looked at twice: half of that is inside.
    let watched = clock * calls / 2;
    let least = |part: fn(&Sample) -> Duration| samples.iter().map(part).min().unwrap_or_default().saturating_sub(watched);
    let (kernel, own) = (least(|sample| sample.1), least(|sample| sample.0 - sample.1));
    let share = |part: Duration| format!("{:.1} %", 100.0 * part.as_secs_f64() / (kernel + own).as_secs_f64());
    let [lpis, operation, tables] = name;
    [lpis, operation, tables, calls.to_string(), format!("{:.0} us", (kernel + own).as_secs_f64() * 1e6), share(kernel), share(own)]
}

pub(crate) fn all() {
    let clock = clock();
    let mut table = comfy_table::Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["LPIs", "operation", "tables", "calls", "time", "in the kernel", "in the crate"]);
    for lpis in [64, 1024, 4096] {
        let mut source = source(lpis);
        let faults = source.faults().clone();
        for (tables, strategy) in [("guest memory", TableStrategy::GuestMemory), ("image, shadow", TableStrategy::Image)] {
            *source.gicv3().options_mut() = options(strategy);
            let (mut flushes, mut saves, mut checks, mut restores) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for _ in 0..TURNS {
                let (flush, result) = measure(&faults, || source.gicv3().flush_tables());
                let flushed = result.expect("flush");
                let mut image = vec![0; source.gicv3().image_max(&flushed).expect("size")];
                let (save, length) = measure(&faults, || source.gicv3().save_image(flushed, &mut image));
                let image = &image[..length.expect("save")];
                flushes.push(flush);
                saves.push((flush.0 + save.0, flush.1 + save.1, flush.2 + save.2));

                let mut target = KernelRig::with_memory(Config::default(), memory::copy(source.memory()));
                *target.gicv3().options_mut() = options(strategy);
                let faults = target.faults().clone();
                let (check, result) = measure(&faults, || target.gicv3().check_image(image));
                result.expect("check");
                let (restore, result) = measure(&faults, || target.gicv3().restore_image(image));
                result.expect("restore");
                checks.push(check);
                restores.push(restore);
                assert_eq!(target.gicv3().kind(), source.gicv3().kind());
            }
            for (operation, samples) in
                [("flush", &flushes), ("flush and save", &saves), ("check", &checks), ("restore", &restores)]
            {
                table.add_row(row([lpis.to_string(), operation.into(), tables.into()], samples, clock));
            }
        }
    }
    for column in 3..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("Linux {}, RAM {} MiB, 2 vCPUs, 96 SPIs\n\n{table}", release(), layout::RAM_BYTES >> 20);
}
