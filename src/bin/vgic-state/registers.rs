//! The registers of a state: what each is called, whose it is, its value.
//!
//! Source: the register tables of the library, by their rows.
//!
//! Rule: a register that several vCPUs have with one value is one line.

use crate::fields;
use crate::input::State;
use crate::output::{Cell, Column, Ink, Section, column, for_people, for_programs};
use std::collections::BTreeMap;
use vgic_state::gicv2::Gicv2State;
use vgic_state::gicv3::Gicv3State;
use vgic_state::gicv5::Gicv5State;
use vgic_state::uapi::vgic_v2::dist::GICD_SPENDSGIR;
use vgic_state::{Attr, AttrId, Mpidr, Row};

/// Whose a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Machine,
    /// By its `vcpu_id`.
    Vcpu(u32),
    /// By the address of its registers.
    Its(u64),
}

/// A register with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Register {
    pub(crate) name: String,
    pub(crate) owner: Owner,
    pub(crate) value: u64,
    /// Of its values, all 64 bits count.
    pub(crate) wide: bool,
    /// `None` of a register that is in no table of its own: one number.
    pub(crate) row: Option<&'static Row>,
}

const COLUMNS: &[Column] =
    &[column("register"), for_people("of"), for_programs("vcpus"), for_programs("its"), column("value"), column("fields")];

/// All registers of a state, in the order of the tables.
pub(crate) fn registers(state: &State) -> Vec<Register> {
    match state {
        State::Gicv2(state) => gicv2(state),
        State::Gicv3(state) => gicv3(state),
        State::Gicv5(state) => gicv5(state),
    }
}

fn register(id: AttrId, owner: Owner, row: &'static Row, value: u64) -> Register {
    let name = id.register_name().map_or_else(|| id.to_string(), |name| name.to_string());
    Register { name, owner, value, wide: row.is_wide(), row: Some(row) }
}

fn gicv5(state: &Gicv5State<'_>) -> Vec<Register> {
    let irs = state.identity.values().chain(state.irs.values());
    let mut registers: Vec<Register> =
        irs.map(|(row, value)| register(Attr::irs(row.key).id(), Owner::Machine, row, value)).collect();
    for vcpu in &state.vcpus {
        let owner = Owner::Vcpu(vcpu.vcpu.id.get());
        let name = |row: &Row| Attr::cpu_sysreg(vcpu.vcpu.mpidr, row.key as u16).id();
        registers.extend(vcpu.registers.values().map(|(row, value)| register(name(row), owner, row, value)));
    }
    registers
}

fn gicv2(state: &Gicv2State) -> Vec<Register> {
    let dist = state.identity.values().chain(state.dist.values());
    let mut registers: Vec<Register> =
        dist.map(|(row, value)| register(Attr::dist(row.key).id(), Owner::Machine, row, value)).collect();
    for vcpu in &state.vcpus {
        let owner = Owner::Vcpu(vcpu.vcpu.id.get());
        let values = vcpu.identity.values().chain(vcpu.gicc.values());
        registers.extend(values.map(|(row, value)| register(Attr::gicv2_cpu(vcpu.vcpu.id, row.key).id(), owner, row, value)));
        for (n, word) in (0..).zip(vcpu.sgi_sources) {
            let id = Attr::gicv2_dist(vcpu.vcpu.id, GICD_SPENDSGIR + 4 * n).id();
            let name = id.register_name().map_or_else(|| id.to_string(), |name| name.to_string());
            registers.push(Register { name, owner, value: word.into(), wide: false, row: None });
        }
    }
    registers
}

fn gicv3(state: &Gicv3State) -> Vec<Register> {
    let dist = state.identity.values().chain(state.dist.values());
    let mut registers: Vec<Register> =
        dist.map(|(row, value)| register(Attr::dist(row.key).id(), Owner::Machine, row, value)).collect();
    for vcpu in &state.vcpus {
        let owner = Owner::Vcpu(vcpu.vcpu.id.get());
        let redist = |row: &Row| Attr::redist(vcpu.vcpu.mpidr, row.key).id();
        let icc = |row: &Row| Attr::cpu_sysreg(Mpidr::from_packed(0), row.key as u16).id();
        registers.extend(vcpu.identity.values().map(|(row, value)| register(redist(row), owner, row, value)));
        registers.extend(vcpu.redist.values().map(|(row, value)| register(redist(row), owner, row, value)));
        registers.extend(vcpu.icc.values().map(|(row, value)| register(icc(row), owner, row, value)));
        let el2 = vcpu.el2.iter().flat_map(|el2| el2.identity.values().chain(el2.registers.values()));
        registers.extend(el2.map(|(row, value)| register(icc(row), owner, row, value)));
    }
    if state.maintenance_irq != 0 {
        let (name, value) = (Attr::maintenance_irq().id().to_string(), state.maintenance_irq.into());
        registers.push(Register { name, owner: Owner::Machine, value, wide: false, row: None });
    }
    for its in &state.its {
        let values = its.identity.values().chain(its.registers.values());
        registers.extend(values.map(|(row, value)| register(Attr::its(row.key).id(), Owner::Its(its.base), row, value)));
    }
    registers
}

/// Whether a register says little: bits of PPIs are shown as interrupts, and some registers are mostly zero.
fn is_quiet(register: &Register) -> bool {
    let name = register.name.as_str();
    let mostly_zero = ["ICC_AP0R", "ICC_AP1R", "ICH_AP0R", "ICH_AP1R", "ICH_LR", "ICC_ICSR_EL1", "GICC_APR", "GICD_SPENDSGIR"];
    let mostly_zero = mostly_zero.iter().any(|start| name.starts_with(start));
    let not_there = matches!(name.strip_prefix("GITS_BASER"), Some("2" | "3" | "4" | "5" | "6" | "7"));
    name.starts_with("ICC_PPI_") || ((mostly_zero || not_there) && register.value == 0)
}

/// What is on one line: the kind of owner, the ITS, the place of the name, the value.
type Line = (u8, u64, usize, u64);

/// The registers as a table. `vcpus`: how many there are.
pub(crate) fn section(registers: &[Register], vcpus: usize, all: bool) -> Section {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lines: BTreeMap<Line, (&Register, Vec<u32>)> = BTreeMap::new();
    for register in registers.iter().filter(|register| all || !is_quiet(register)) {
        let next = places.len();
        let place = *places.entry(&register.name).or_insert(next);
        let key = match register.owner {
            Owner::Machine => (0, 0, place, register.value),
            Owner::Vcpu(_) => (1, 0, place, register.value),
            Owner::Its(base) => (2, base, place, register.value),
        };
        let (_, ids) = lines.entry(key).or_insert((register, Vec::new()));
        if let Owner::Vcpu(id) = register.owner {
            ids.push(id);
        }
    }
    let mut section = Section::new("registers", COLUMNS);
    // The same register of different vCPUs side by side.
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_by_key(|((kind, its, place, _), (_, ids))| (*kind, *its, *place, ids.first().copied()));
    for (_, (register, ids)) in lines {
        let (of, its) = match register.owner {
            Owner::Machine => (Cell::None, Cell::None),
            Owner::Its(base) => (Cell::text(format!("ITS {base:#x}")), Cell::hex(base)),
            Owner::Vcpu(_) if ids.len() == vcpus && vcpus > 1 => (Cell::text("all vCPUs"), Cell::None),
            Owner::Vcpu(_) => (Cell::text(format!("vCPU {}", list(&ids))), Cell::None),
        };
        let vcpus = if ids.is_empty() { Cell::None } else { Cell::text(list(&ids)) };
        let digits = if register.wide && register.value > u64::from(u32::MAX) { 16 } else { 8 };
        let decoded = register.row.map_or(String::new(), |row| fields::decode(row, register.value, all));
        let value = Cell::Hex(register.value, digits);
        section.push(Ink::Plain, vec![Cell::text(&register.name), of, vcpus, its, value, Cell::Text(decoded)]);
    }
    section
}

/// Numbers that ascend, as `0-3,7`.
pub(crate) fn list(ids: &[u32]) -> String {
    let runs = ids.chunk_by(|one, next| one.checked_add(1) == Some(*next));
    let words = runs.map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    words.collect::<Vec<String>>().join(",")
}
