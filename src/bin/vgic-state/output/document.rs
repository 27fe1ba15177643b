//! What a command says: tables with names, in one document.
//!
//! Source: nothing; this is where the parts are decided.
//!
//! Rule: a value is kept as what it is; how it is printed, each form decides.

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
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<Row>,
    /// Said in a table instead of no rows.
    pub(super) empty: &'static str,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) ink: Ink,
    pub(super) cells: Vec<Cell>,
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
    pub(super) fn seen(&self, people: bool) -> Vec<(usize, &'static str)> {
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
    pub(super) fn show(&self, people: bool) -> String {
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

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Cell::None | Cell::Number(_) | Cell::Hex(..))
    }
}
