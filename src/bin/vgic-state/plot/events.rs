//! Devices of ITSes against their events.
//!
//! Source: `LpiState` of the library.
//!
//! Rule: a row for a device and a column for an event; where there are many, several share one, and the most urgent is seen.

use super::canvas::{Canvas, MARGIN, WIDTH};
use super::mood::{Mood, Tally};
use crate::interrupts::{Interrupt, Kind};
use std::collections::BTreeMap;
use vgic_state::its::{Device, LpiState};

/// Rows and columns at most.
const ROWS: usize = 64;
const COLUMNS: u32 = 64;

/// Draws what is mapped.
pub(super) fn draw(canvas: &mut Canvas, mapped: &LpiState, used: &[&Interrupt]) {
    let moods: BTreeMap<u32, Mood> =
        used.iter().filter(|row| row.kind == Kind::Lpi).map(|row| (row.intid, Mood::of(row))).collect();
    let devices: Vec<(u64, &Device)> =
        mapped.its.iter().flat_map(|its| its.devices.iter().map(|device| (its.base, device))).collect();
    let y = canvas.advance(34.0);
    canvas.text(20.0, y + 24.0, 14.0, "Devices (rows) against events (columns)");
    if devices.is_empty() {
        return canvas.line("No device is mapped.");
    }
    let last = devices.iter().flat_map(|(_, device)| &device.events).map(|event| event.id).max().unwrap_or_default();
    let per_column = (last / COLUMNS) + 1;
    let columns = last / per_column + 1;
    let width = ((WIDTH - MARGIN - 20.0) / columns as f32).min(38.0);
    header(canvas, columns, per_column, width);
    for row in devices.chunks(devices.len().div_ceil(ROWS).max(1)) {
        let y = canvas.advance(19.0);
        canvas.text(20.0, y + 13.0, 11.0, &name(row));
        canvas.rule(MARGIN, y, MARGIN + columns as f32 * width, y);
        let mut cells: BTreeMap<u32, (Tally, Vec<String>)> = BTreeMap::new();
        for (device, event) in row.iter().flat_map(|(_, device)| device.events.iter().map(move |event| (device, event))) {
            let (tally, names) = cells.entry(event.id / per_column).or_default();
            tally.add(moods.get(&event.intid).copied().unwrap_or(Mood::Disabled));
            if names.len() < 2 {
                names.push(format!("device {:#x} event {}: LPI {}", device.id, event.id, event.intid));
            }
        }
        for (column, (tally, names)) in &cells {
            let Some(mood) = Mood::ALL.into_iter().find(|mood| tally.of(*mood) > 0) else { continue };
            let tip = match names.as_slice() {
                [one] => format!("{one}, {}", mood.name()),
                _ => tally.words(),
            };
            canvas.mark(MARGIN + *column as f32 * width + 1.0, y + 2.0, (width - 2.0).max(3.0), 15.0, mood, &tip);
        }
    }
}

fn header(canvas: &mut Canvas, columns: u32, per_column: u32, width: f32) {
    let y = canvas.advance(18.0);
    // Numbers need room.
    let step = (34.0 / width).ceil().max(1.0) as usize;
    for column in (0..columns).step_by(step) {
        canvas.text(MARGIN + column as f32 * width + 1.0, y + 13.0, 10.0, &(column * per_column).to_string());
    }
    if per_column > 1 {
        canvas.text_at(WIDTH - 20.0, y - 2.0, 10.0, "end", &format!("{per_column} events a column"));
    }
}

fn name(row: &[(u64, &Device)]) -> String {
    match row {
        [(_, one)] => format!("{:#x} ({})", one.id, one.events.len()),
        [(_, first), .., (_, last)] => format!("{:#x}-{:#x}", first.id, last.id),
        [] => String::new(),
    }
}
