//! Measures two things in turn, and collects the ratios.
//!
//! Rule: whatever slows the machine slows both. The ratio is the median of the ratios of short runs that follow each other; the time
//! is the least.

use comfy_table::{CellAlignment, Table, presets};
use criterion::Criterion;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Runs something so many times, and says how long that took.
pub(crate) type Runs<'a> = dyn FnMut(u64) -> Duration + 'a;

/// Times nothing but the calls.
pub(crate) fn calls<R>(mut code: impl FnMut() -> R) -> impl FnMut(u64) -> Duration {
    move |runs| {
        let start = Instant::now();
        for _ in 0..runs {
            black_box(code());
        }
        start.elapsed()
    }
}

/// Times calls that each need something new, which is made and dropped outside of the time.
pub(crate) fn calls_with<S, R>(mut setup: impl FnMut() -> S, mut code: impl FnMut(&mut S) -> R) -> impl FnMut(u64) -> Duration {
    move |runs| {
        (0..runs)
            .map(|_| {
                let mut input = setup();
                let start = Instant::now();
                let result = black_box(code(&mut input));
                let elapsed = start.elapsed();
                drop((input, result));
                elapsed
            })
            .sum()
    }
}

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) state: String,
    pub(crate) operation: &'static str,
    /// What does it.
    pub(crate) by: String,
    /// Bytes of the image, or of the serialised form.
    pub(crate) bytes: Option<usize>,
    /// What it is compared with.
    pub(crate) against: &'static str,
}

struct Row {
    name: Name,
    /// Nanoseconds.
    time: f64,
    ratio: f64,
}

/// One run: how many times, the baseline, the measured.
type Sample = (u64, Duration, Duration);

/// Measures and remembers.
pub(crate) struct Pairs {
    criterion: Criterion,
    rows: Vec<Row>,
}

impl Pairs {
    pub(crate) fn new(criterion: Criterion) -> Self {
        Pairs { criterion, rows: Vec::new() }
    }

    pub(crate) fn measure(&mut self, name: Name, baseline: &mut Runs<'_>, measured: &mut Runs<'_>) {
        let mut samples: Vec<Sample> = Vec::new();
        let id = format!("{}, {}, {}", name.state, name.operation, name.by);
        self.criterion.bench_function(&id, |bencher| {
            bencher.iter_custom(|runs| {
                // Turns as short as the clock allows: what disturbs one disturbs the other.
                let turns = runs.clamp(1, 10);
                let mut total = Duration::ZERO;
                for turn in 0..turns {
                    let runs = runs / turns + u64::from(turn < runs % turns);
                    let sample = (runs, baseline(runs), measured(runs));
                    total += sample.2;
                    samples.push(sample);
                }
                total
            });
        });
        // The first samples of the warm-up are single calls, on cold caches.
        let most = samples.iter().map(|(runs, ..)| *runs).max().unwrap_or(0);
        samples.retain(|(runs, ..)| *runs * 4 >= most);
        let mut ratios: Vec<f64> =
            samples.iter().map(|(_, baseline, measured)| measured.as_secs_f64() / baseline.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        let time = samples.iter().map(|(runs, _, measured)| measured.as_secs_f64() * 1e9 / *runs as f64).reduce(f64::min);
        // Nothing was measured where the command line filters it out.
        if let (Some(ratio), Some(time)) = (ratios.get(ratios.len() / 2), time) {
            self.rows.push(Row { name, time, ratio: *ratio });
        }
    }

    /// Prints the table.
    pub(crate) fn finish(self) {
        self.criterion.final_summary();
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["state", "what", "by", "bytes", "time", "ratio", "to"]);
        for row in &self.rows {
            let bytes = row.name.bytes.map_or(String::new(), |bytes| bytes.to_string());
            let ratio = if row.ratio < 10.0 { format!("{:.2}", row.ratio) } else { format!("{:.0}", row.ratio) };
            let time = nanoseconds(row.time);
            table.add_row([&row.name.state, row.name.operation, &row.name.by, &bytes, &time, &ratio, row.name.against]);
        }
        for column in [3, 4, 5] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!("\n{table}");
    }
}

fn nanoseconds(time: f64) -> String {
    match time {
        ..1e3 => format!("{time:.0} ns"),
        ..1e6 => format!("{:.1} us", time / 1e3),
        _ => format!("{:.1} ms", time / 1e6),
    }
}
