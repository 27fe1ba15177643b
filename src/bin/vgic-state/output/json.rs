//! A document as one JSON object.
//!
//! Source: RFC 8259.
//!
//! Rule: a line for each row. `summary` and `notes` are text; each table is a list of objects whose keys are its columns, with `_` for a space. A value
//! that is a register or an address is a string with `0x`: JSON numbers are doubles to many readers.

use super::document::{Cell, Document};
use serde_json::Value;
use std::io::{self, Write};

pub(super) fn print(document: &Document, out: &mut impl Write) -> io::Result<()> {
    let notes: Vec<Value> = document.missing.iter().chain(&document.notes).map(|note| text(note)).collect();
    write!(out, "{{\n  \"summary\": {},\n  \"notes\": {}", text(&document.summary), Value::from(notes))?;
    for section in &document.sections {
        write!(out, ",\n  {}: [", text(&key(section.name)))?;
        let columns: Vec<(usize, String)> = section.seen(false).into_iter().map(|(place, name)| (place, key(name))).collect();
        // Row by row: a table may have 65,536.
        for (n, row) in section.rows.iter().enumerate() {
            let cells = columns.iter().map(|(place, key)| (key.clone(), row.cells.get(*place).map_or(Value::Null, value)));
            write!(out, "{}\n    {}", if n == 0 { "" } else { "," }, Value::Object(cells.collect()))?;
        }
        write!(out, "{}]", if section.rows.is_empty() { "" } else { "\n  " })?;
    }
    writeln!(out, "\n}}")
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn key(name: &str) -> String {
    name.replace(' ', "_")
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::None => Value::Null,
        Cell::Text(text) => text.as_str().into(),
        Cell::Number(number) => (*number).into(),
        Cell::Hex(..) => cell.show(false).into(),
        Cell::Flag(flag) => (*flag).into(),
    }
}
