//! A state in a form that a person can read.

use comfy_table::{CellAlignment, Table, presets};
use vgic_state::IntId;
use vgic_state::gicv5::{Gicv5State, Iste};

/// Prints sizes, and the interrupts that are pending or active.
pub(crate) fn state(state: &Gicv5State<'_>) {
    println!("{} vCPUs, {} SPIs: {} bytes", state.vcpus.len(), state.spi_ist.len(), state.spi_ist.as_bytes().len());
    if let Some(lpis) = &state.lpi_ist {
        println!("{} LPIs, {} in use: {} bytes", lpis.len(), lpis.nonzero().count(), lpis.as_bytes().len());
    }
    println!("\npending or active:");
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["interrupt", "state", "mode", "priority", "target"]);
    let entries = state.spi_ist.nonzero().chain(state.lpi_ist.iter().flat_map(|table| table.nonzero()));
    for (id, entry) in entries.filter(|(_, entry)| entry.pending() || entry.active()) {
        table.add_row([
            id.to_string(),
            words(entry),
            if entry.hm() { "level" } else { "edge" }.to_owned(),
            entry.priority().to_string(),
            format!("vCPU {}", entry.iaffid()),
        ]);
    }
    if let Some(column) = table.column_mut(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for line in table.lines() {
        println!("{}", line.trim_end());
    }
}

fn words(entry: Iste) -> String {
    let words = [(entry.pending(), "pending"), (entry.active(), "active"), (!entry.enable(), "disabled")];
    words.iter().filter(|(holds, _)| *holds).map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
}

/// Interrupts, one behind the other.
pub(crate) fn list(ids: &[IntId]) -> String {
    if ids.is_empty() { "nothing".to_owned() } else { ids.iter().map(IntId::to_string).collect::<Vec<_>>().join(", ") }
}
