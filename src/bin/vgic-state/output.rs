//! What a command says, and the three forms it is printed in.
//!
//! Source: nothing; this is where the form is decided.
//!
//! Rule: a command makes a document and prints nothing itself. A table is for a person, tab-separated values are for a shell, JSON
//! is for a program; all say the same.

use crate::failure::Failure;
use clap::{Args, ValueEnum};
use std::io::{self, IsTerminal, Write};

mod document;
mod json;
mod table;
mod tsv;

pub(crate) use document::{Cell, Column, Document, Ink, Section, column, for_people, for_programs};

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
