//! What was found, as a table and as an exit code.
//!
//! Source: [`vgic_state::report`].
//!
//! Rule: a finding says what is wrong, where it is first, how often it is there, what comes of it, and whether any threshold accepts it.

use crate::output::{Cell, Column, Ink, Section, column, commas, for_people, for_programs};
use clap::{Args, ValueEnum};
use vgic_state::report::{self, Severity};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) code: &'static str,
    /// Where it is first, with what is there and what would do.
    pub(crate) place: String,
    /// In how many places.
    pub(crate) count: u64,
    pub(crate) what: String,
    pub(crate) consequence: String,
    /// No threshold accepts it.
    pub(crate) refused: bool,
}

impl From<&report::Finding> for Finding {
    fn from(finding: &report::Finding) -> Self {
        Finding {
            severity: finding.severity(),
            code: finding.problem.code(),
            place: finding.first.to_string(),
            count: finding.count,
            what: finding.problem.what().to_owned(),
            consequence: finding.problem.consequence().to_owned(),
            refused: finding.refused,
        }
    }
}

/// Exit codes by severity.
#[derive(Clone, Debug, Args)]
#[command(
    next_help_heading = "Exit code: 0 nothing found, 3 low, 4 medium, 5 high or a VM that cannot take it, 6 critical; 2 an error"
)]
pub(crate) struct ExitArgs {
    /// The least severity that makes the exit code other than 0.
    #[arg(long, default_value = "low", value_name = "SEVERITY")]
    fail_on: Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Level {
    Low,
    Medium,
    High,
    Critical,
}

impl From<Severity> for Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Low => Level::Low,
            Severity::Medium => Level::Medium,
            Severity::High => Level::High,
            _ => Level::Critical,
        }
    }
}

impl ExitArgs {
    /// `refused`: the VM cannot take the state, which is as bad as a finding of high severity.
    pub(crate) fn code(&self, findings: &[Finding], refused: bool) -> u8 {
        let refused = refused.then_some(Level::High);
        let worst = findings.iter().map(|finding| Level::from(finding.severity)).chain(refused).max();
        worst.filter(|worst| *worst >= self.fail_on).map_or(0, |worst| 3 + worst as u8)
    }
}

const COLUMNS: &[Column] = &[
    column("severity"),
    column("code"),
    for_programs("where"),
    for_programs("count"),
    for_programs("what"),
    for_programs("consequence"),
    for_programs("refused"),
    for_people("finding"),
];

/// The worst first.
pub(crate) fn section(findings: &mut [Finding]) -> Section {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut section = Section::new("findings", COLUMNS);
    for finding in findings.iter() {
        let more = match finding.count {
            0 | 1 => String::new(),
            count => format!(" and {} more", commas(count - 1)),
        };
        let refused = if finding.refused { "; no threshold accepts it" } else { "" };
        let row = vec![
            Cell::text(finding.severity),
            Cell::text(finding.code),
            Cell::text(&finding.place),
            Cell::number(finding.count),
            Cell::text(&finding.what),
            Cell::text(&finding.consequence),
            Cell::Flag(finding.refused),
            Cell::Text(format!("{}{more}: {}; {}{refused}", finding.place, finding.what, finding.consequence)),
        ];
        let ink = match Level::from(finding.severity) {
            Level::Low => Ink::Dim,
            Level::Medium => Ink::Plain,
            Level::High => Ink::Odd,
            Level::Critical => Ink::Bad,
        };
        section.push(ink, row);
    }
    section
}

/// In a few words.
pub(crate) fn summary(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing found".to_owned();
    }
    let count = |level| findings.iter().filter(|finding| Level::from(finding.severity) == level).count();
    let levels = [(Level::Critical, "critical"), (Level::High, "high"), (Level::Medium, "medium"), (Level::Low, "low")];
    let words = levels.into_iter().map(|(level, word)| (count(level), word)).filter(|(count, _)| *count > 0);
    let words: Vec<String> = words.map(|(count, word)| format!("{count} {word}")).collect();
    format!("{} found: {}", crate::output::count(findings.len(), "problem", "problems"), words.join(", "))
}
