//! How a pause grows with the number of vCPUs.
//!
//! Rule: an attachment, which a VMM may make before the pause, is measured by itself; a restore has its check in it.

use crate::kernel::release;
use crate::measure::{Sample, clock, measure};
use crate::vm::{NR_IRQS, Vm};
use comfy_table::{CellAlignment, presets};
use std::time::Duration;
use vgic_state::{DynInterruptState as _, Options, TableStrategy};

const VCPUS: [u32; 6] = [1, 8, 32, 128, 256, 512];
const LPIS: u32 = 1024;

/// As many as a minute or so has.
const fn turns(vcpus: u32) -> usize {
    match vcpus {
        0..=8 => 15,
        9..=32 => 7,
        33..=128 => 3,
        _ => 2,
    }
}

/// Of each operation, every turn.
#[derive(Default)]
struct Samples([Vec<Sample>; 5]);

const OPERATIONS: [&str; 5] = ["attach", "flush", "room for the image", "save", "restore"];

fn operations(vcpus: u32, lpis: u32, strategy: TableStrategy) -> (Samples, Duration) {
    let mut samples = Samples::default();
    let mut source = Vm::new(vcpus, lpis != 0);
    source.boot();
    if lpis != 0 {
        source.map(lpis);
    }
    for _ in 0..turns(vcpus) {
        let faults = source.faults.clone();
        let (attach, gic) = measure(&faults, || source.attach());
        let mut gic = gic.with_options(Options::default().with_tables(strategy));
        let (flush, flushed) = measure(&faults, || gic.flush_tables());
        let flushed = flushed.expect("flush");
        // Written, so that its pages are there.
        let (room, mut image) = measure(&faults, || {
            let mut image = vec![0; gic.image_max(&flushed).expect("size")];
            image.iter_mut().step_by(4096).for_each(|byte| *byte = std::hint::black_box(1));
            image
        });
        let (save, length) = measure(&faults, || gic.save_image(flushed, &mut image));
        let image = &image[..length.expect("save")];
        drop(gic);
        let mut destination = source.destination();
        let faults = destination.faults.clone();
        let mut gic = destination.attach().with_options(Options::default().with_tables(strategy));
        let (restore, report) = measure(&faults, || gic.restore_image(image));
        report.expect("restore");
        for (samples, sample) in samples.0.iter_mut().zip([attach, flush, room, save, restore]) {
            samples.push(sample);
        }
    }
    (samples, source.access())
}

fn ms(time: Duration) -> String {
    match time.as_secs_f64() * 1e3 {
        ms if ms < 9.95 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

/// The least of all turns of an operation: in the kernel, outside of it; and its calls.
fn least(samples: &[Sample], clock: Duration) -> (Duration, Duration, u32) {
    let calls = samples[0].2;
    // Each call was looked at twice: half of that is inside.
    let watched = clock * calls / 2;
    let least = |part: fn(&Sample) -> Duration| samples.iter().map(part).min().unwrap_or_default().saturating_sub(watched);
    (least(|sample| sample.1), least(|sample| sample.0 - sample.1), calls)
}

/// What is drawn: vCPUs, and the times of an attachment, a save with its flush, a restore, and as many accesses as the save has calls.
type Row = (u32, [Duration; 4]);

/// Times on an axis of 12 columns for each power of ten, from 0.1 ms to 100 s.
fn plot(rows: &[Row]) -> String {
    const COLUMNS: usize = 12;
    let column = |time: Duration| ((time.as_secs_f64() * 1e4).max(1.0).log10() * COLUMNS as f64).round() as usize;
    let mut text = format!("{:>5}  ", "vCPUs");
    for decade in ["0.1 ms", "1 ms", "10 ms", "0.1 s", "1 s", "10 s", "100 s"] {
        text += &format!("{decade:<COLUMNS$}");
    }
    for (vcpus, times) in rows {
        let mut line = vec![b'.'; 6 * COLUMNS + 1];
        // What was measured is over what was estimated.
        for (time, mark) in times.iter().zip(*b"asr|").rev() {
            line[column(*time).min(6 * COLUMNS)] = mark;
        }
        text += &format!("\n{vcpus:>5}  {}", String::from_utf8(line).expect("ASCII"));
    }
    text
}

pub(crate) fn without_its() {
    all(&[(0, TableStrategy::GuestMemory, "no ITS")]);
}

pub(crate) fn with_its() {
    all(&[
        (LPIS, TableStrategy::GuestMemory, "1,024 LPIs, tables in guest memory"),
        (LPIS, TableStrategy::Image, "1,024 LPIs, tables in the image"),
    ]);
}

fn all(configurations: &[(u32, TableStrategy, &str)]) {
    let clock = clock();
    for (lpis, strategy, what) in configurations.iter().copied() {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["vCPUs", "us an access", "operation", "calls", "us a call", "ms", "in the kernel"]);
        let mut rows = Vec::new();
        for vcpus in VCPUS {
            let (samples, access) = operations(vcpus, lpis, strategy);
            let access = access.saturating_sub(clock);
            let least = samples.0.each_ref().map(|samples| least(samples, clock));
            for (name, (kernel, own, calls)) in OPERATIONS.iter().zip(least) {
                if kernel + own == Duration::ZERO {
                    continue;
                }
                table.add_row([
                    vcpus.to_string(),
                    format!("{:.0}", access.as_secs_f64() * 1e6),
                    (*name).to_string(),
                    calls.to_string(),
                    format!("{:.0}", kernel.as_secs_f64() * 1e6 / f64::from(calls.max(1))),
                    ms(kernel + own),
                    format!("{:.1} %", 100.0 * kernel.as_secs_f64() / (kernel + own).as_secs_f64()),
                ]);
            }
            let [attach, flush, _, save, restore] = least.map(|(kernel, own, _)| kernel + own);
            rows.push((vcpus, [attach, flush + save, restore, access * (least[1].2 + least[3].2)]));
        }
        for column in [0, 1, 3, 4, 5, 6] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!("Linux {}, {} SPIs, {what}\n\n{table}\n", release(), NR_IRQS - 32);
        println!("a: attach; s: flush and save; r: restore; |: the calls of s, by the time of one access\n\n{}\n", plot(&rows));
    }
}
