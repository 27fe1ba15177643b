//! A state in a form that a person can read.
//!
//! Rule: of thousands of interrupts, only those that are pending or active are listed.

use super::gicv5::SW_PPI;
use comfy_table::{CellAlignment, Table, presets};
use vgic_state::IntId;
use vgic_state::gicv5::{Gicv5State, Iste, VcpuState};

/// Prints sizes, and the interrupts that are pending or active.
pub(crate) fn state(state: &Gicv5State<'_>) {
    println!("{} vCPUs, {} SPIs: {} bytes", state.vcpus.len(), state.spi_ist.len(), state.spi_ist.as_bytes().len());
    if let Some(lpis) = &state.lpi_ist {
        println!("{} LPIs, {} in use: {} bytes", lpis.len(), lpis.nonzero().count(), lpis.as_bytes().len());
    }
    println!("\npending or active:");
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["interrupt", "state", "mode", "priority", "target"]);
    for (id, entry) in interrupts(state).filter(|(_, entry)| entry.pending() || entry.active()) {
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

/// PPIs of each vCPU, then the SPIs and LPIs that are in use.
pub(crate) fn interrupts(state: &Gicv5State<'_>) -> impl Iterator<Item = (IntId, Iste)> {
    let tables = state.spi_ist.nonzero().chain(state.lpi_ist.iter().flat_map(|table| table.nonzero()));
    state.vcpus.iter().flat_map(ppis).chain(tables)
}

/// PPIs are in registers of the vCPU; here in the form that SPIs and LPIs have.
fn ppis(own: &VcpuState) -> impl Iterator<Item = (IntId, Iste)> {
    let iaffid = own.vcpu.id.iaffid();
    let registers = own.registers;
    let priorities = [
        registers.ppi_priorityr0,
        registers.ppi_priorityr1,
        registers.ppi_priorityr2,
        registers.ppi_priorityr3,
        registers.ppi_priorityr4,
        registers.ppi_priorityr5,
        registers.ppi_priorityr6,
        registers.ppi_priorityr7,
    ];
    let priorities = priorities.into_iter().flat_map(u64::to_le_bytes);
    (0..u64::BITS).zip(priorities).map(move |(ppi, priority)| {
        let holds = |bits: u64| bits >> ppi & 1 != 0;
        let entry = Iste::new()
            .with_pending(holds(registers.ppi_spendr0))
            .with_active(holds(registers.ppi_sactiver0))
            .with_hm(ppi != SW_PPI) // the only PPI of KVM that is edge-triggered
            .with_enable(holds(registers.ppi_enabler0))
            .with_priority(priority & 0x1f)
            .with_iaffid(iaffid);
        (IntId::Ppi(ppi), entry)
    })
}

fn words(entry: Iste) -> String {
    let words = [(entry.pending(), "pending"), (entry.active(), "active"), (!entry.enable(), "disabled")];
    words.iter().filter(|(holds, _)| *holds).map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
}

/// Interrupts, one behind the other.
pub(crate) fn list(ids: &[IntId]) -> String {
    if ids.is_empty() { "nothing".to_owned() } else { ids.iter().map(IntId::to_string).collect::<Vec<_>>().join(", ") }
}
