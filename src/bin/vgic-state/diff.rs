//! `vgic-state diff`: what changed from one image to another.
//!
//! Source: the same rows that `show` prints.
//!
//! Rule: registers are compared field by field, everything else by name. What a restore is allowed to change is told apart, never
//! hidden unless asked.

mod allowed;
mod change;
mod interrupt;
mod mapping;

use crate::failure::Failure;
use crate::fields;
use crate::input::{Image, State};
use crate::interrupts;
use crate::output::{Cell, Column, Document, Ink, OutputArgs, Section, column, count, for_people, for_programs};
use crate::registers::{self, Owner, Register, list};
use crate::show;
use change::{Change, change};
use clap::Args as ClapArgs;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// Say what changed between two images: registers field by field, interrupts, mappings.
///
/// Exit code 0: the same. 1: different. 2: an error. A change is marked `restore` if a restore may make it: hardware-use bits that KVM
/// clears, an interrupt that was pending and has been taken, commands of an ITS that have run, bits that KVM does not keep.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  vgic-state diff before.img after.img
  vgic-state diff --ignore-restore source.img destination.img && echo migrated
  vgic-state diff --format json before.img after.img | jq '.changes[] | select(.what == \"enabled\")'")]
pub(crate) struct Args {
    /// The older image.
    before: PathBuf,
    /// The newer image.
    after: PathBuf,
    /// Leave out what a restore may change; the exit code too.
    #[arg(long)]
    ignore_restore: bool,
    #[command(flatten)]
    output: OutputArgs,
}

const COLUMNS: &[Column] = &[
    column("of"),
    for_programs("what"),
    for_programs("before"),
    for_programs("after"),
    for_programs("restore"),
    for_programs("change"),
    for_people("restore"),
    for_people("change"),
];

pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<u8, Failure> {
    let (before, after) = (Image::open(&args.before)?, Image::open(&args.after)?);
    let mut changes = topology(&before.state, &after.state);
    if before.kind() == after.kind() {
        changes.extend(registers(&before.state, &after.state));
        let rows = |state| interrupts::interrupts(state, None);
        changes.extend(interrupt::changes(&rows(&before.state), &rows(&after.state)));
        if let (State::Gicv3(before), State::Gicv3(after)) = (&before.state, &after.state) {
            changes.extend(mapping::changes(before.lpis.as_ref(), after.lpis.as_ref()));
        }
    }
    if changes.is_empty() && before.state != after.state {
        changes.push(change("image", "bits", "some", "others", "differs in bits that have no meaning to this tool"));
    }
    let allowed = changes.iter().filter(|change| change.restore).count();
    if args.ignore_restore {
        changes.retain(|change| !change.restore);
    }
    let summary = match (changes.len(), allowed) {
        (0, 0) => "no difference".to_owned(),
        (0, allowed) => format!("no difference but {allowed} that a restore may make"),
        (all, 0) => count(all, "difference", "differences"),
        (all, allowed) if args.ignore_restore => {
            format!(
                "{}, beside {} that a restore may make",
                count(all, "difference", "differences"),
                count(allowed, "one", "others")
            )
        }
        (all, allowed) => format!("{}, of which a restore may make {allowed}", count(all, "difference", "differences")),
    };
    let mut document = Document { summary, ..Document::default() };
    if before.kind() != after.kind() {
        document.notes.push("Of different controllers, nothing else can be compared.".to_owned());
    }
    if !changes.is_empty() {
        document.sections.push(section(&changes));
    }
    args.output.print(&document, out)?;
    Ok(u8::from(!changes.is_empty()))
}

fn section(changes: &[Change]) -> Section {
    let mut section = Section::new("changes", COLUMNS);
    for change in changes {
        let row = vec![
            Cell::text(&change.of),
            Cell::text(&change.what),
            Cell::text(&change.before),
            Cell::text(&change.after),
            Cell::Flag(change.restore),
            Cell::text(&change.words),
            if change.restore { Cell::text("may") } else { Cell::None },
            Cell::Text(change.line()),
        ];
        section.push(if change.restore { Ink::Dim } else { Ink::Plain }, row);
    }
    section
}

fn topology(before: &State, after: &State) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut compare = |what: &str, before: String, after: String, words: &str| {
        if before != after {
            changes.push(change("image", what, before, after, words));
        }
    };
    let kind = |state: &State| match state {
        State::Gicv2(_) => "GICv2".to_owned(),
        State::Gicv3(_) => "GICv3".to_owned(),
        State::Gicv5(_) => "GICv5".to_owned(),
    };
    compare("controller", kind(before), kind(after), "");
    let spis = |state: &State| match state {
        State::Gicv2(state) => state.nr_irqs.get().saturating_sub(32).to_string(),
        State::Gicv3(state) => state.nr_irqs.get().saturating_sub(32).to_string(),
        State::Gicv5(state) => state.spi_count.get().to_string(),
    };
    compare("SPIs", spis(before), spis(after), "");
    let lpis = |state: &State| match state {
        State::Gicv2(_) | State::Gicv3(_) => String::new(),
        State::Gicv5(state) => state.lpi_ist.as_ref().map_or(0, |ist| ist.len()).to_string(),
    };
    compare("LPIs", lpis(before), lpis(after), "");
    let vcpus = |state: &State| show::vcpus(state).iter().map(|vcpu| (vcpu.id, vcpu.mpidr)).collect::<BTreeMap<_, _>>();
    let (old, new) = (vcpus(before), vcpus(after));
    for (id, mpidr) in &old {
        match new.get(id) {
            Some(other) if other == mpidr => {}
            Some(other) => changes.push(change(format!("vCPU {id}"), "affinity", mpidr, other, "")),
            None => changes.push(change(format!("vCPU {id}"), "there", mpidr, "no", "vanished")),
        }
    }
    for (id, mpidr) in new.iter().filter(|(id, _)| !old.contains_key(id)) {
        changes.push(change(format!("vCPU {id}"), "there", "no", mpidr, "appeared"));
    }
    changes
}

/// A field that changed: register, field, before, after, whether a restore may do that; and the owners, for one line of all.
type Key = (String, String, String, String, bool, Option<u64>);

fn registers(before: &State, after: &State) -> Vec<Change> {
    let new = registers::registers(after);
    let new: BTreeMap<(Owner, &str), &Register> =
        new.iter().map(|register| ((register.owner, register.name.as_str()), register)).collect();
    let mut order: Vec<Key> = Vec::new();
    let mut vcpus: BTreeMap<Key, Vec<u32>> = BTreeMap::new();
    let mut note = |register: &Register, key: Key| {
        if !vcpus.contains_key(&key) {
            order.push(key.clone());
        }
        let ids = vcpus.entry(key).or_default();
        if let Owner::Vcpu(id) = register.owner {
            ids.push(id);
        }
    };
    for register in registers::registers(before).iter().filter(|register| !is_shown_as_interrupts(&register.name)) {
        let its = match register.owner {
            Owner::Its(base) => Some(base),
            _ => None,
        };
        let Some(other) = new.get(&(register.owner, register.name.as_str())) else { continue };
        for (field, from, to, restore) in field_changes(register, other) {
            note(register, (register.name.clone(), field, from, to, restore, its));
        }
    }
    let change = |key: Key| {
        let ids = vcpus.get(&key).map_or(String::new(), |ids| list(ids));
        let (register, field, before, after, restore, its) = key;
        let of = match its {
            Some(base) => format!("{register} of ITS {base:#x}"),
            None if ids.is_empty() => register,
            None => format!("{register} of vCPU {ids}"),
        };
        Change { restore, ..self::change(of, field, before, after, "") }
    };
    order.into_iter().map(change).collect()
}

/// Whether all bits of a register are those of PPIs that are compared as interrupts.
fn is_shown_as_interrupts(name: &str) -> bool {
    let bits = ["ICC_PPI_ENABLER0_EL1", "ICC_PPI_SACTIVER0_EL1", "ICC_PPI_SPENDR0_EL1"];
    let priorities = name.strip_prefix("ICC_PPI_PRIORITYR").and_then(|rest| rest.strip_suffix("_EL1"));
    bits.contains(&name) || priorities.is_some_and(|number| number.parse().is_ok_and(|number: u32| number < 8))
}

/// The fields that differ, and what no field has.
fn field_changes(before: &Register, after: &Register) -> Vec<(String, String, String, bool)> {
    let name = before.name.as_str();
    let (old, new) = (before.value, after.value);
    let row = before.row.filter(|row| !row.fields.is_empty());
    let differing = row.iter().flat_map(|row| row.fields).filter(|field| field.of(old) != field.of(new));
    let mut changes: Vec<(String, String, String, bool)> = differing
        .map(|field| {
            let restore = allowed::field(name, field.name, field.of(old), field.of(new));
            (field.name.to_owned(), fields::show(field, old), fields::show(field, new), restore)
        })
        .collect();
    let rest = row.map_or(u64::MAX, |row| !row.known_bits());
    if (old ^ new) & rest != 0 {
        let what = if rest == u64::MAX { "value" } else { "reserved" };
        changes.push((what.to_owned(), format!("{:#x}", old & rest), format!("{:#x}", new & rest), false));
    }
    changes
}
