//! Interrupts by target vCPU and priority.
//!
//! Source: the rows of `show`.
//!
//! Rule: a column for each target and a row for each priority that occurs. The most urgent is on top.

use super::canvas::{Canvas, MARGIN, WIDTH};
use super::mood::{Mood, Tally};
use crate::interrupts::{Interrupt, Kind, Target};
use crate::output::commas;
use std::collections::{BTreeMap, BTreeSet};

/// Up to so many are drawn with their number in them.
const NAMED: usize = 300;
/// Up to so many are drawn one by one.
const SINGLE: usize = 3000;
/// More targets than this share columns.
const COLUMNS: usize = 32;

struct Grid<'a> {
    /// Targets of each column.
    columns: Vec<Vec<Target>>,
    /// By priority and column.
    cells: BTreeMap<(Option<u8>, usize), Vec<&'a Interrupt>>,
    column_width: f32,
}

/// Draws interrupts that are in use.
pub(super) fn draw(canvas: &mut Canvas, used: &[&Interrupt]) {
    let y = canvas.advance(26.0);
    let title = "Interrupts by priority (rows, the most urgent on top) and target vCPU (columns)";
    let letters = if used.iter().any(|interrupt| interrupt.group.is_none()) { "; P is a PPI, S an SPI, L an LPI" } else { "" };
    let letters = if used.len() <= NAMED { letters } else { "" };
    canvas.text(20.0, y + 16.0, 14.0, &format!("{title}{letters}"));
    if used.is_empty() {
        return canvas.line("No interrupt is in use.");
    }
    let grid = Grid::new(used);
    grid.header(canvas);
    let mut priorities: Vec<Option<u8>> = grid.cells.keys().map(|(priority, _)| *priority).collect();
    priorities.dedup();
    let most = grid.cells.values().map(Vec::len).max().unwrap_or(1);
    for priority in priorities {
        if used.len() <= NAMED {
            grid.marks(canvas, priority, 38.0, 16.0, true);
        } else if used.len() <= SINGLE {
            grid.marks(canvas, priority, 9.0, 9.0, false);
        } else {
            grid.bars(canvas, priority, most);
        }
    }
    canvas.advance(10.0);
}

impl<'a> Grid<'a> {
    fn new(used: &[&'a Interrupt]) -> Self {
        let all: BTreeSet<Target> = used.iter().map(|interrupt| interrupt.target.clone()).collect();
        let all: Vec<Target> = all.into_iter().collect();
        let columns: Vec<Vec<Target>> = all.chunks(all.len().div_ceil(COLUMNS).max(1)).map(<[Target]>::to_vec).collect();
        let mut cells: BTreeMap<(Option<u8>, usize), Vec<&'a Interrupt>> = BTreeMap::new();
        let places: BTreeMap<&Target, usize> =
            columns.iter().enumerate().flat_map(|(place, column)| column.iter().map(move |target| (target, place))).collect();
        for interrupt in used {
            let column = places.get(&interrupt.target).copied().unwrap_or_default();
            cells.entry((interrupt.priority, column)).or_default().push(interrupt);
        }
        let column_width = (WIDTH - MARGIN - 20.0) / columns.len().max(1) as f32;
        Grid { columns, cells, column_width }
    }

    fn header(&self, canvas: &mut Canvas) {
        let y = canvas.advance(20.0);
        for (n, column) in self.columns.iter().enumerate() {
            let name = match column.as_slice() {
                [one] => one.to_string(),
                [first, .., last] if self.column_width > 60.0 => format!("{first}-{last}"),
                // The next column says where this one ends.
                [first, ..] => format!("{first}-"),
                [] => String::new(),
            };
            let name = if self.columns.len() <= 8 { format!("vCPU {name}") } else { name };
            canvas.text_at(self.x(n) + self.column_width / 2.0, y + 14.0, 11.0, "middle", &name);
        }
    }

    fn x(&self, column: usize) -> f32 {
        MARGIN + column as f32 * self.column_width
    }

    fn cell(&self, priority: Option<u8>, column: usize) -> &[&'a Interrupt] {
        self.cells.get(&(priority, column)).map_or(&[], Vec::as_slice)
    }

    /// The line above a row, and its name.
    fn frame(&self, canvas: &mut Canvas, priority: Option<u8>, height: f32) -> f32 {
        let y = canvas.advance(height);
        canvas.rule(20.0, y, WIDTH - 20.0, y);
        for n in 0..=self.columns.len() {
            canvas.rule(self.x(n), y, self.x(n), y + height);
        }
        let name = priority.map_or("priority unknown".to_owned(), |priority| format!("priority {priority}"));
        let row = (0..self.columns.len()).map(|column| self.cell(priority, column).len()).sum::<usize>();
        canvas.text(20.0, y + 16.0, 12.0, &format!("{name} ({})", commas(row as u64)));
        y
    }

    /// A row in which each interrupt is a mark.
    fn marks(&self, canvas: &mut Canvas, priority: Option<u8>, width: f32, height: f32, named: bool) {
        let per_line = (((self.column_width - 8.0) / (width + 3.0)) as usize).max(1);
        let width = width.min(self.column_width - 6.0);
        let most = (0..self.columns.len()).map(|column| self.cell(priority, column).len()).max().unwrap_or_default();
        let lines = most.div_ceil(per_line);
        let y = self.frame(canvas, priority, (lines as f32 * (height + 3.0) + 8.0).max(26.0));
        for column in 0..self.columns.len() {
            for (n, interrupt) in self.cell(priority, column).iter().enumerate() {
                let x = self.x(column) + 5.0 + (n % per_line) as f32 * (width + 3.0);
                let y = y + 5.0 + (n / per_line) as f32 * (height + 3.0);
                canvas.mark(x, y, width, height, Mood::of(interrupt), &tip(interrupt));
                if named && width > 30.0 {
                    canvas.text_at(x + width / 2.0, y + 12.0, 10.0, "middle", &label(interrupt));
                }
            }
        }
    }

    /// A row in which each cell is a bar: its length says how many there are.
    fn bars(&self, canvas: &mut Canvas, priority: Option<u8>, most: usize) {
        let y = self.frame(canvas, priority, 36.0);
        for column in 0..self.columns.len() {
            let cell = self.cell(priority, column);
            if cell.is_empty() {
                continue;
            }
            let mut tally = Tally::default();
            cell.iter().for_each(|interrupt| tally.add(Mood::of(interrupt)));
            let (mut x, room) = (self.x(column) + 4.0, self.column_width - 8.0);
            for mood in Mood::ALL.into_iter().filter(|mood| tally.of(*mood) > 0) {
                let count = tally.of(mood);
                let tip = format!("{} {}", commas(count as u64), mood.name());
                // Few of many are still to be seen.
                let width = (room * count as f32 / most as f32).max(2.0);
                canvas.mark(x, y + 4.0, width, 14.0, mood, &tip);
                x += width;
            }
            let pending = tally.of(Mood::Pending) + tally.of(Mood::PendingDisabled);
            let text = match pending {
                0 => commas(tally.all() as u64),
                pending => format!("{} ({} pending)", commas(tally.all() as u64), commas(pending as u64)),
            };
            // A narrow column has no room for words.
            let text = if self.column_width < 90.0 { tally.all().to_string() } else { text };
            canvas.text(self.x(column) + 4.0, y + 30.0, 10.0, &text);
        }
    }
}

/// INTIDs of a GICv3 say the kind; those of a GICv5 count within it.
fn label(interrupt: &Interrupt) -> String {
    let letter = match (interrupt.group, interrupt.kind) {
        (Some(_), _) => "",
        (None, Kind::Sgi) => "G",
        (None, Kind::Ppi) => "P",
        (None, Kind::Spi) => "S",
        (None, Kind::Lpi) => "L",
    };
    format!("{letter}{}", interrupt.intid)
}

fn tip(interrupt: &Interrupt) -> String {
    let sources: String = interrupt.sources.iter().map(|source| format!(", {source}")).collect();
    let priority = interrupt.priority.map_or(String::new(), |priority| format!(", priority {priority}"));
    format!("{interrupt}: {}, vCPU {}{priority}{sources}", Mood::of(interrupt).name(), interrupt.target)
}
