//! A document as tab-separated values.
//!
//! Source: nothing.
//!
//! Rule: one header line and one line for each row. If there are several tables, the first column names the table. Numbers are decimal
//! but for values with `0x`; a flag is 0 or 1; what is not there is empty. What makes the tables say less than they look like is said on
//! standard error, since there is no line for it here.

use super::document::{Document, Section};
use std::io::{self, Write};

pub(super) fn print(document: &Document, out: &mut impl Write) -> io::Result<()> {
    for line in &document.missing {
        // If nobody listens there, nobody misses it.
        let _ = writeln!(io::stderr(), "vgic-state: {line}");
    }
    let named = document.sections.len() > 1;
    document.sections.iter().try_for_each(|section| print_section(section, named, out))
}

fn print_section(section: &Section, named: bool, out: &mut impl Write) -> io::Result<()> {
    let columns = section.seen(false);
    let prefix = if named { format!("{}\t", section.name) } else { String::new() };
    let names: Vec<&str> = columns.iter().map(|(_, name)| *name).collect();
    writeln!(out, "{prefix}{}", names.join("\t"))?;
    for row in &section.rows {
        let cells = columns.iter().map(|(place, _)| row.cells.get(*place).map_or(String::new(), |cell| cell.show(false)));
        let cells: Vec<String> = cells.map(|text| text.replace(['\t', '\n', '\r'], " ")).collect();
        writeln!(out, "{prefix}{}", cells.join("\t"))?;
    }
    Ok(())
}
