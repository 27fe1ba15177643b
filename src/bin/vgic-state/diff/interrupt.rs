//! What changed of interrupts.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst: what a restore makes of `ISTE.HWU` and `ISTE.Pending`.
//!
//! Rule: an interrupt is found again by its kind and ID, and by its vCPU if each has one of its own.

use super::change::{Change, change};
use crate::interrupts::{Interrupt, Kind, Target};
use std::collections::BTreeMap;

type Name = (Kind, u32, Option<Target>);

fn by_name(interrupts: &[Interrupt]) -> BTreeMap<Name, &Interrupt> {
    let name = |interrupt: &Interrupt| (interrupt.kind, interrupt.intid, interrupt.is_private().then(|| interrupt.target.clone()));
    interrupts.iter().map(|interrupt| (name(interrupt), interrupt)).collect()
}

/// Everything that changed, in the order of interrupts.
pub(super) fn changes(before: &[Interrupt], after: &[Interrupt]) -> Vec<Change> {
    let (old, new) = (by_name(before), by_name(after));
    let mut names: Vec<&Name> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut changes = Vec::new();
    for name in names {
        match (old.get(name), new.get(name)) {
            (Some(before), Some(after)) if before.used && !after.used && !before.is_private() && is_blank(after) => {
                changes.push(change(before, "configured", describe(before), "no", "vanished"));
            }
            (Some(before), Some(after)) if !before.used && after.used && !after.is_private() && is_blank(before) => {
                changes.push(change(after, "configured", "no", describe(after), "appeared"));
            }
            (Some(before), Some(after)) => compare(before, after, &mut changes),
            (Some(before), None) if before.used => {
                changes.push(change(before, "configured", describe(before), "no", "vanished"));
            }
            (None, Some(after)) if after.used => {
                changes.push(change(after, "configured", "no", describe(after), "appeared"));
            }
            _ => {}
        }
    }
    changes
}

/// Whether nothing is left of an interrupt: of a GICv5, its entry is zero.
fn is_blank(interrupt: &Interrupt) -> bool {
    interrupt.word == Some(0)
}

fn describe(interrupt: &Interrupt) -> String {
    let words = [(interrupt.pending, "pending"), (interrupt.active, "active"), (interrupt.enabled, "enabled")];
    let words: Vec<&str> = words.iter().filter(|(holds, _)| *holds).map(|(_, word)| *word).collect();
    if words.is_empty() { "disabled".to_owned() } else { words.join(" ") }
}

fn compare(before: &Interrupt, after: &Interrupt, changes: &mut Vec<Change>) {
    let mut flag = |what: &str, old: bool, new: bool, set: &str, cleared: &str, restore: bool| {
        if old != new {
            let yes = |flag: bool| if flag { "yes" } else { "no" };
            let words = if new { set } else { cleared };
            changes.push(Change { restore, ..change(before, what, yes(old), yes(new), words) });
        }
    };
    // Taken, or taken and served: what was pending has not been lost.
    let taken = before.pending && !after.pending;
    let acknowledged = taken && after.active && !before.active;
    let words = if acknowledged { "was taken, and is being served" } else { "no longer pending" };
    flag("pending", before.pending, after.pending, "became pending", words, taken);
    if before.pending == after.pending {
        // The line keeps it pending.
        flag("latch", before.latch, after.latch, "its pending latch was set", "its pending latch was cleared", !after.latch);
    }
    flag("active", before.active, after.active, "became active", "was deactivated", acknowledged);
    flag("enabled", before.enabled, after.enabled, "got its enable bit", "lost its enable bit", false);
    flag("line", before.line, after.line, "its line went high", "its line went low", false);
    flag("level", before.level, after.level, "became level-triggered", "became edge-triggered", false);
    flag("irm", before.irm, after.irm, "became 1-of-N", "is targeted now", false);
    let mut value = |what: &str, old: String, new: String, words: &str, restore: bool| {
        if old != new {
            changes.push(Change { restore, ..change(before, what, old, new, words) });
        }
    };
    let number = |value: Option<u8>| value.map_or("-".to_owned(), |value| value.to_string());
    let moved = format!("moved from vCPU {} to vCPU {}", before.target, after.target);
    value("vcpu", before.target.to_string(), after.target.to_string(), &moved, false);
    value("priority", number(before.priority), number(after.priority), "", false);
    value("group", number(before.group), number(after.group), "", false);
    value("hwu", before.hwu.to_string(), after.hwu.to_string(), "", after.hwu == 0);
    value("reserved", format!("{:#x}", before.reserved), format!("{:#x}", after.reserved), "", false);
}
