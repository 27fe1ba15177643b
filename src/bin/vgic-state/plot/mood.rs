//! What an interrupt is drawn as.
//!
//! Source: the rows of `show`.
//!
//! Rule: an interrupt has one mood; the most urgent comes first.

use crate::interrupts::Interrupt;
use crate::output::commas;

/// What an interrupt is drawn as; the first that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mood {
    PendingDisabled,
    Pending,
    Active,
    Disabled,
    Idle,
}

impl Mood {
    pub(super) const ALL: [Mood; 5] = [Mood::PendingDisabled, Mood::Pending, Mood::Active, Mood::Disabled, Mood::Idle];

    pub(super) fn of(interrupt: &Interrupt) -> Self {
        match (interrupt.pending, interrupt.active, interrupt.enabled) {
            (true, _, false) => Mood::PendingDisabled,
            (true, _, true) => Mood::Pending,
            (_, true, _) => Mood::Active,
            (_, _, false) => Mood::Disabled,
            _ => Mood::Idle,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Mood::PendingDisabled => "pending, disabled",
            Mood::Pending => "pending",
            Mood::Active => "active",
            Mood::Disabled => "disabled",
            Mood::Idle => "enabled, idle",
        }
    }
}

/// How many interrupts there are of each mood.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally([usize; 5]);

impl Tally {
    pub(super) fn add(&mut self, mood: Mood) {
        if let Some(count) = self.0.get_mut(mood as usize) {
            *count += 1;
        }
    }

    pub(super) fn of(&self, mood: Mood) -> usize {
        self.0.get(mood as usize).copied().unwrap_or_default()
    }

    pub(super) fn all(&self) -> usize {
        self.0.iter().sum()
    }

    /// Those that there are, in a line.
    pub(super) fn words(&self) -> String {
        let words = Mood::ALL.iter().filter(|mood| self.of(**mood) > 0);
        let words: Vec<String> = words.map(|mood| format!("{} {}", commas(self.of(*mood) as u64), mood.name())).collect();
        words.join("; ")
    }
}
