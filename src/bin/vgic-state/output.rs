//! What a command says, and the three forms it is printed in.
//!
//! Source: nothing; this is where the form is decided.
//!
//! Rule: a command makes a [`Document`] and prints nothing itself. A table is for a person, tab-separated values are for a shell, JSON
//! is for a program; all say the same.

use crate::Failure;
use clap::{Args, ValueEnum};
use std::io::{self, IsTerminal, Write};

mod json;
mod table;
mod tsv;

/// Options of every command that prints.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// How to print it.
    #[arg(long, default_value = "table", value_name = "FORM")]
    format: Format,
    /// When to colour a table. NO_COLOR in the environment says never.
    #[arg(long = "color", default_value = "auto", value_name = "WHEN")]
    colour: When,
    /// Columns of a table; the last column wraps, at spaces.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(40..))]
    width: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for a person.
    Table,
    /// An object with a list of objects for each table.
    Json,
    /// Tab-separated values; of several tables, the first column names the table.
    Tsv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    /// On a terminal.
    Auto,
    Always,
    Never,
}

impl OutputArgs {
    /// Prints a document.
    pub(crate) fn print(&self, document: &Document, out: &mut impl Write) -> Result<(), Failure> {
        match self.format {
            Format::Table => table::print(document, self.coloured(), usize::from(self.width), out)?,
            Format::Json => json::print(document, out)?,
            Format::Tsv => tsv::print(document, out)?,
        }
        Ok(())
    }

    fn coloured(&self) -> bool {
        match self.colour {
            When::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            When::Always => true,
            When::Never => false,
        }
    }
}

/// Everything that a command says.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// One line.
    pub(crate) summary: String,
    pub(crate) sections: Vec<Section>,
    /// What was not there, so that the tables do not say it: in every form, with tab-separated values on standard error. A line each.
    pub(crate) missing: Vec<String>,
    /// What a reader should know; a line each.
    pub(crate) notes: Vec<String>,
}

/// Who gets to see a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    All,
    People,
    Programs,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    name: &'static str,
    seen_by: For,
}

/// A column of every form.
pub(crate) const fn column(name: &'static str) -> Column {
    Column { name, seen_by: For::All }
}

/// A column of tables alone.
pub(crate) const fn for_people(name: &'static str) -> Column {
    Column { name, seen_by: For::People }
}

/// A column of JSON and tab-separated values alone.
pub(crate) const fn for_programs(name: &'static str) -> Column {
    Column { name, seen_by: For::Programs }
}

/// A table with a name.
#[derive(Debug)]
pub(crate) struct Section {
    name: &'static str,
    columns: &'static [Column],
    rows: Vec<Row>,
    /// Said in a table instead of no rows.
    empty: &'static str,
}

#[derive(Debug)]
struct Row {
    ink: Ink,
    cells: Vec<Cell>,
}

/// How a row stands out on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ink {
    #[default]
    Plain,
    Dim,
    Good,
    Odd,
    Bad,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    None,
    Text(String),
    Number(u64),
    /// Shown with this many digits at least.
    Hex(u64, usize),
    Flag(bool),
}

impl Section {
    pub(crate) fn new(name: &'static str, columns: &'static [Column]) -> Self {
        Section { name, columns, rows: Vec::new(), empty: "none" }
    }

    pub(crate) fn or_say(mut self, empty: &'static str) -> Self {
        self.empty = empty;
        self
    }

    pub(crate) fn push(&mut self, ink: Ink, cells: Vec<Cell>) {
        self.rows.push(Row { ink, cells });
    }

    /// The columns that are seen by people, or by programs, with their places.
    fn seen(&self, people: bool) -> Vec<(usize, &'static str)> {
        let hidden = if people { For::Programs } else { For::People };
        let seen = self.columns.iter().enumerate().filter(|(_, column)| column.seen_by != hidden);
        seen.map(|(place, column)| (place, column.name)).collect()
    }
}

impl Cell {
    pub(crate) fn text(text: impl ToString) -> Self {
        Cell::Text(text.to_string())
    }

    pub(crate) fn hex(value: impl Into<u64>) -> Self {
        Cell::Hex(value.into(), 1)
    }

    pub(crate) fn number(value: impl Into<u64>) -> Self {
        Cell::Number(value.into())
    }

    pub(crate) fn count(value: usize) -> Self {
        Cell::Number(value as u64)
    }

    pub(crate) fn or_none<T>(value: Option<T>, cell: impl FnOnce(T) -> Cell) -> Self {
        value.map_or(Cell::None, cell)
    }

    /// In a table, and in tab-separated values, where a flag is a number.
    fn show(&self, people: bool) -> String {
        match self {
            Cell::None if people => "-".to_owned(),
            Cell::None => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Number(number) => number.to_string(),
            Cell::Hex(number, digits) => format!("0x{number:0digits$x}"),
            Cell::Flag(flag) if people => if *flag { "yes" } else { "no" }.to_owned(),
            Cell::Flag(flag) => u8::from(*flag).to_string(),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Cell::None | Cell::Number(_) | Cell::Hex(..))
    }
}

/// A number with commas, and what is counted.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", commas(number as u64), if number == 1 { one } else { many })
}

/// 65536 as 65,536.
pub(crate) fn commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
