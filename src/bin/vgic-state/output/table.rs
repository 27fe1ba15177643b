//! A document as columns for a person.
//!
//! Source: nothing.
//!
//! Rule: no line is wider than asked for, as long as its last column can be wrapped; without colours there is no escape sequence.

use super::document::{Cell, Document, Ink, Section};
use std::io::{self, Write};

const GAP: &str = "  ";
/// A last column that wraps has at least this many columns.
const LEAST: usize = 24;

pub(super) fn print(document: &Document, coloured: bool, width: usize, out: &mut impl Write) -> io::Result<()> {
    let mut separator = "";
    if !document.summary.is_empty() {
        for line in wrap(&document.summary, width) {
            writeln!(out, "{line}")?;
        }
        separator = "\n";
    }
    for section in &document.sections {
        write!(out, "{separator}")?;
        print_section(section, coloured, width, out)?;
        separator = "\n";
    }
    if !document.missing.is_empty() || !document.notes.is_empty() {
        write!(out, "{separator}")?;
    }
    for note in document.missing.iter().chain(&document.notes) {
        for line in wrap(note, width) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

fn print_section(section: &Section, coloured: bool, width: usize, out: &mut impl Write) -> io::Result<()> {
    if section.rows.is_empty() {
        return writeln!(out, "{}: {}", section.name, section.empty);
    }
    // A column with nothing in it says nothing.
    let is_used = |place: usize| section.rows.iter().any(|row| row.cells.get(place).is_some_and(|cell| *cell != Cell::None));
    let mut columns = section.seen(true);
    columns.retain(|(place, _)| is_used(*place));
    let texts: Vec<Vec<String>> = section
        .rows
        .iter()
        .map(|row| columns.iter().map(|(place, _)| row.cells.get(*place).map_or(String::new(), |cell| cell.show(true))).collect())
        .collect();
    let right: Vec<bool> = columns
        .iter()
        .map(|(place, _)| section.rows.iter().all(|row| row.cells.get(*place).is_some_and(Cell::is_number)))
        .collect();
    let mut widths: Vec<usize> = columns.iter().map(|(_, name)| name.chars().count()).collect();
    for row in &texts {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    let before: usize = widths.iter().rev().skip(1).map(|width| width + GAP.len()).sum::<usize>() + GAP.len();
    let room = width.saturating_sub(before).max(LEAST);

    writeln!(out, "{}{}{}", start(coloured, "1"), section.name, end(coloured))?;
    let header: Vec<String> = columns.iter().map(|(_, name)| (*name).to_owned()).collect();
    let line = Line { widths: &widths, right: &right, before, room };
    line.print(&header, if coloured { "2" } else { "" }, out)?;
    for (row, texts) in section.rows.iter().zip(&texts) {
        line.print(texts, if coloured { colour(row.ink) } else { "" }, out)?;
    }
    Ok(())
}

struct Line<'a> {
    widths: &'a [usize],
    right: &'a [bool],
    before: usize,
    room: usize,
}

impl Line<'_> {
    fn print(&self, cells: &[String], colour: &str, out: &mut impl Write) -> io::Result<()> {
        let Some((last, others)) = cells.split_last() else { return Ok(()) };
        let mut line = String::from(GAP);
        for ((text, width), right) in others.iter().zip(self.widths).zip(self.right) {
            if *right {
                line.push_str(&format!("{text:>width$}"))
            } else {
                line.push_str(&format!("{text:<width$}"))
            }
            line.push_str(GAP);
        }
        let is_right = self.right.last().copied().unwrap_or_default();
        let width = self.widths.last().copied().unwrap_or_default();
        let mut wrapped = wrap(last, self.room).into_iter();
        let first = wrapped.next().unwrap_or_default();
        if is_right {
            line.push_str(&format!("{first:>width$}"))
        } else {
            line.push_str(&first)
        }
        let (start, end) = (start(!colour.is_empty(), colour), end(!colour.is_empty()));
        writeln!(out, "{start}{}{end}", line.trim_end())?;
        for rest in wrapped {
            writeln!(out, "{start}{:before$}{rest}{end}", "", before = self.before)?;
        }
        Ok(())
    }
}

/// Stands for a space at which no line is cut: a value and what it means stay together.
const GLUE: char = '\u{a0}';

/// Cuts a text at spaces that are neither in nor in front of parentheses; what is longer than a line stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut used, mut depth) = (0, 0_usize);
    let text = text.replace(" (", &format!("{GLUE}("));
    let words = text.split(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ' ' && depth == 0
    });
    let too_long = |word: &str| word.chars().count() > width;
    let words = words.flat_map(|word| word.split(move |character| too_long(word) && matches!(character, ' ' | GLUE)));
    for word in words {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(&word.replace(GLUE, " "));
            used += length;
        }
    }
    lines
}

fn colour(ink: Ink) -> &'static str {
    match ink {
        Ink::Plain => "",
        Ink::Dim => "2",
        Ink::Good => "32",
        Ink::Odd => "33",
        Ink::Bad => "31",
    }
}

fn start(coloured: bool, code: &str) -> String {
    if coloured { format!("\x1b[{code}m") } else { String::new() }
}

fn end(coloured: bool) -> &'static str {
    if coloured { "\x1b[0m" } else { "" }
}
