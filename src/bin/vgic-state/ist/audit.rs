//! What is wrong with an interrupt state table.
//!
//! Source: the library's judgement, for the entries; Arm GICv5 specification, `L1_ISTE`, for the first level.
//!
//! Rule: an entry is judged as one of an image would be.

use super::memory::{Level1, Shape, Walked};
use crate::failure::Failure;
use crate::findings::Finding;
use vgic_state::gicv5::{Gicv5State, Idr1, Idr2, Ist, IstBaser, IstCfgr, VcpuState};
use vgic_state::judge;
use vgic_state::report::{Problem, Severity};
use vgic_state::{IstKind, SpiCount, VcpuId, Vcpus};

/// Judges the entries. Without vCPUs, any IAFFID that KVM can have is right.
pub(super) fn table(table: &Ist<'_>, vcpus: Option<&Vcpus>) -> Result<Vec<Finding>, Failure> {
    let all = Vcpus::with_default_mpidrs(VcpuId::LIMIT)?;
    let vcpus = vcpus.unwrap_or(&all).iter();
    let mut state = match table.kind() {
        IstKind::Spi => Gicv5State::new(SpiCount::new(table.len() as u32)?, table.clone()),
        _ => {
            let bits = table.lpi_id_bits().map_or(0, |bits| bits.get() as u8);
            // Registers that the table is right for: it alone is judged.
            let spis = Ist::new(IstKind::Spi, vec![0; SpiCount::MIN.ist_bytes()])?;
            let mut state = Gicv5State::new(SpiCount::MIN, spis);
            state.identity.idr2 = Idr2::new().with_id_bits(bits).into_bits();
            state.irs.ist_cfgr = IstCfgr::new().with_lpi_id_bits(bits).into_bits();
            state.irs.ist_baser = IstBaser::new().with_valid(true).into_bits();
            state.lpi_ist = Some(table.clone());
            state
        }
    };
    state.identity.idr1 = Idr1::new().with_priority_bits(4).into_bits();
    state.vcpus = vcpus.map(VcpuState::new).collect();
    Ok(judge::gicv5::problems(&state).findings.iter().map(Finding::from).collect())
}

/// Judges the first level. What is not in the dump is outside of memory if the dump has all of it.
pub(super) fn memory(shape: &Shape, walked: &Walked, is_all: bool) -> Vec<Finding> {
    let Some(level2) = shape.level2 else { return Vec::new() };
    let mut findings: Vec<Finding> = Vec::new();
    let mut add = |severity, code: &'static str, level1: &Level1, what: &str, consequence: &str| match findings
        .iter_mut()
        .find(|finding| finding.code == code)
    {
        Some(finding) => finding.count += 1,
        None => {
            let place = format!("level-1 entry {}, {:#x}", level1.index, level1.word);
            let (what, consequence) = (what.to_owned(), consequence.to_owned());
            findings.push(Finding { severity, code, place, count: 1, what, consequence, refused: false });
        }
    };
    for (n, level1) in walked.level1.iter().enumerate() {
        if !level1.is_valid() {
            let problem = Problem::EntryNotValid;
            add(Severity::High, problem.code(), level1, problem.what(), problem.consequence());
            continue;
        }
        if level1.reserved() != 0 {
            let problem = Problem::ReservedBits;
            add(Severity::Low, problem.code(), level1, problem.what(), "they should be zero");
        }
        if !level1.address().is_multiple_of(level2) {
            let what = "the address is no multiple of the size of a level-2 table";
            add(Severity::High, "level-2-table-unaligned", level1, what, "hardware uses another");
        }
        if !level1.is_there() {
            let what = "its level-2 table is not in the dump";
            if is_all {
                add(Severity::Critical, Problem::TableOutsideMemory.code(), level1, what, "hardware uses what is not there");
            } else {
                add(Severity::High, Problem::TableNotRead.code(), level1, what, "what is there was not judged");
            }
        }
        let before = walked.level1.iter().take(n).filter(|other| other.is_valid());
        if before.into_iter().any(|other| other.address() == level1.address()) {
            let problem = Problem::Level2Shared;
            add(Severity::Critical, problem.code(), level1, problem.what(), "every interrupt there has two IDs");
        }
    }
    findings
}
