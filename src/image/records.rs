//! Register tables inside sections: columns that say which registers there are, then a record of values for each device or vCPU.
//!
//! Specification: `docs/image-format.md`, "Register tables".
//!
//! Rule: an image names the registers it holds, and a reader goes by the names. What it does not know is refused or skipped, as the
//! image says; what is not there means the reset value, or is refused, as the row of the register says.

use super::{Cursor, ImageError, Put};
use crate::AttrId;
use crate::registers::{RegisterTable, Row};
use alloc::vec::Vec;

/// Number of columns, number of records.
const HEAD_BYTES: usize = 8;
/// Attribute, words, group, flags.
const COLUMN_BYTES: usize = 8;
/// What a record is of.
const NAME_BYTES: usize = 8;
/// A reader that does not know this column must refuse the image.
const COLUMN_CRITICAL: u8 = 1;
/// More columns than any table has; a bound for a reader.
const MAX_COLUMNS: u32 = 256;

/// Registers of one kind: one, or an array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) id: AttrId,
    /// 32-bit words of its value.
    pub(crate) words: u16,
    /// Its value in a table that has no such column, if it may have none.
    pub(crate) absent: Option<u64>,
}

impl Column {
    fn of(row: &Row) -> Self {
        let absent = row.reset.filter(|_| row.optional);
        Column { id: row.id(), words: if row.is_wide() { 2 } else { 1 }, absent }
    }

    fn to_bytes(self) -> [u8; COLUMN_BYTES] {
        let [a, b, c, d] = (self.id.attr() as u32).to_le_bytes();
        let [e, f] = self.words.to_le_bytes();
        [a, b, c, d, e, f, self.id.group() as u8, COLUMN_CRITICAL]
    }
}

/// Values that have columns, in a fixed order.
pub(crate) trait Record: Sized {
    /// Columns.
    const COLUMNS: usize;
    /// 32-bit words of all of them.
    const WORDS: usize;

    /// The columns.
    fn columns() -> impl Iterator<Item = Column>;

    /// Writes the values in the order of the columns.
    fn put(&self, put: &mut Put<'_>) -> Option<()>;

    /// Takes the values in the order of the columns.
    fn take(values: &mut Values<'_>) -> Option<Self>;
}

impl<T: RegisterTable> Record for T {
    const COLUMNS: usize = T::ROWS.len();
    const WORDS: usize = {
        let mut words = 0;
        let mut rows = T::ROWS;
        while let [row, rest @ ..] = rows {
            words += if row.is_wide() { 2 } else { 1 };
            rows = rest;
        }
        words
    };

    fn columns() -> impl Iterator<Item = Column> {
        T::ROWS.iter().map(Column::of)
    }

    fn put(&self, put: &mut Put<'_>) -> Option<()> {
        self.rows().try_for_each(|(row, value)| if row.is_wide() { put.u64(value) } else { put.u32(value as u32) })
    }

    fn take(values: &mut Values<'_>) -> Option<Self> {
        T::read(|row| if row.is_wide() { values.u64() } else { values.u32().map(u64::from) }.ok_or(())).ok()
    }
}

impl<A: Record, B: Record> Record for (A, B) {
    const COLUMNS: usize = A::COLUMNS + B::COLUMNS;
    const WORDS: usize = A::WORDS + B::WORDS;

    fn columns() -> impl Iterator<Item = Column> {
        A::columns().chain(B::columns())
    }

    fn put(&self, put: &mut Put<'_>) -> Option<()> {
        self.0.put(put)?;
        self.1.put(put)
    }

    fn take(values: &mut Values<'_>) -> Option<Self> {
        Some((A::take(values)?, B::take(values)?))
    }
}

/// Bytes of a record.
pub(crate) const fn record_bytes<R: Record>() -> usize {
    NAME_BYTES + 4 * R::WORDS
}

/// Bytes of a table.
pub(crate) const fn table_bytes<R: Record>(records: usize) -> usize {
    HEAD_BYTES + R::COLUMNS * COLUMN_BYTES + records * record_bytes::<R>()
}

/// Writes what is in front of the records.
pub(crate) fn put_head<R: Record>(put: &mut Put<'_>, records: usize) -> Option<()> {
    put.u32(R::COLUMNS as u32)?;
    put.u32(u32::try_from(records).ok()?)?;
    R::columns().try_for_each(|column| put.bytes(&column.to_bytes()))
}

/// Where the value of a column comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// The words of the record from here on.
    Record(usize),
    /// A value for all records.
    Value(u64),
}

/// A table whose columns are read.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    records: &'a [u8],
    record_bytes: usize,
    /// Where each column comes from; none if the columns are those that this version writes.
    sources: Option<Vec<Source>>,
}

/// Reads what is in front of the records, and takes the bytes of the records.
pub(crate) fn take_table<'a, R: Record>(
    cursor: &mut Cursor<'a>,
    section: u32,
    what: &'static str,
    max: u32,
) -> Result<Table<'a>, ImageError> {
    let columns = cursor.u32_of(section)?;
    let count = cursor.u32_of(section)?;
    if columns > MAX_COLUMNS {
        return Err(ImageError::Count { id: section, what: "registers", found: columns.into(), max: MAX_COLUMNS.into() });
    }
    if count > max {
        return Err(ImageError::Count { id: section, what, found: count.into(), max: max.into() });
    }
    let columns = cursor.take_of(section, columns as usize * COLUMN_BYTES)?.as_chunks::<COLUMN_BYTES>().0;
    let (record_bytes, sources) = if columns.iter().copied().eq(R::columns().map(Column::to_bytes)) {
        (record_bytes::<R>(), None)
    } else {
        let (words, sources) = match_columns::<R>(columns, section)?;
        (NAME_BYTES + 4 * words, Some(sources))
    };
    let records = cursor.take_of(section, record_bytes.saturating_mul(count as usize))?;
    Ok(Table { records, record_bytes, sources })
}

/// Words of a record in the image, and where each column of this version comes from.
fn match_columns<R: Record>(columns: &[[u8; COLUMN_BYTES]], section: u32) -> Result<(usize, Vec<Source>), ImageError> {
    // A place for each column of this version, a bounded number.
    let mut sources: Vec<Option<Source>> = R::columns().map(|column| column.absent.map(Source::Value)).collect();
    let mut at = 0;
    for (n, column) in columns.iter().enumerate() {
        let [a, b, c, d, e, f, group, flags] = *column;
        let register = AttrId::from_raw(group.into(), u32::from_le_bytes([a, b, c, d]).into());
        let words = u16::from_le_bytes([e, f]);
        let is_same =
            |other: &[u8; COLUMN_BYTES]| matches!(other, [h, i, j, k, _, _, l, _] if [*h, *i, *j, *k, *l] == [a, b, c, d, group]);
        if columns.iter().take(n).any(is_same) {
            return Err(ImageError::DuplicateRegister { section, register });
        }
        let known = R::columns().zip(&mut sources).find(|(known, _)| known.id == register);
        if flags & !COLUMN_CRITICAL != 0 || (known.is_some() && flags != COLUMN_CRITICAL) {
            return Err(ImageError::RegisterFlags { section, register, flags });
        }
        let expected = known.as_ref().map_or(words.max(1), |(known, _)| known.words);
        if words != expected {
            return Err(ImageError::RegisterWidth { section, register, expected, found: words });
        }
        match known {
            Some((_, source)) => *source = Some(Source::Record(at)),
            None if flags & COLUMN_CRITICAL != 0 => return Err(ImageError::UnknownRegister { section, register }),
            None => {}
        }
        at += usize::from(words);
    }
    let sources = R::columns()
        .zip(sources)
        .map(|(column, source)| source.ok_or(ImageError::MissingRegister { section, register: column.id }));
    Ok((at, sources.collect::<Result<_, _>>()?))
}

impl<'a> Table<'a> {
    /// The only record of a table that has one.
    pub(crate) fn single(&self, section: u32, what: &'static str) -> Result<(u32, u32, Values<'_>), ImageError> {
        self.records().next().ok_or(ImageError::ExactCount { id: section, what, expected: 1, found: 0 })
    }

    /// Number of records; each was there before memory is reserved for it.
    pub(crate) fn len(&self) -> usize {
        self.records.len() / self.record_bytes
    }

    /// The records: what each is of, as two numbers, and its values.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u32, u32, Values<'_>)> {
        self.records.chunks_exact(self.record_bytes).filter_map(|record| {
            let (name, values) = record.as_chunks::<4>().0.split_first_chunk()?;
            let [low, high] = name.map(u32::from_le_bytes);
            Some((low, high, Values { values, sources: self.sources.as_deref(), at: 0 }))
        })
    }
}

/// The values of a record, taken column by column.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    values: &'a [[u8; 4]],
    sources: Option<&'a [Source]>,
    /// Words taken, if the columns are those of this version.
    at: usize,
}

impl Values<'_> {
    /// Word `n` of the next column, which has so many; behind its last one comes the next column.
    pub(crate) fn word(&mut self, n: usize, of: usize) -> Option<u32> {
        let last = n + 1 == of;
        let start = match self.sources.as_mut() {
            None => {
                let start = self.at;
                self.at += if last { of } else { 0 };
                start
            }
            Some(sources) => {
                let (source, rest) = sources.split_first()?;
                if last {
                    *sources = rest;
                }
                match *source {
                    Source::Record(start) => start,
                    Source::Value(value) => return Some([value as u32, (value >> 32) as u32].get(n).copied().unwrap_or(0)),
                }
            }
        };
        self.values.get(start + n).map(|word| u32::from_le_bytes(*word))
    }

    /// The words of the next column.
    pub(crate) fn words<const N: usize>(&mut self) -> Option<[u32; N]> {
        let mut words = [0; N];
        for (n, word) in words.iter_mut().enumerate() {
            *word = self.word(n, N)?;
        }
        Some(words)
    }

    fn u32(&mut self) -> Option<u32> {
        self.words().map(|[word]| word)
    }

    fn u64(&mut self) -> Option<u64> {
        self.words().map(|[low, high]| u64::from(high) << 32 | u64::from(low))
    }
}
