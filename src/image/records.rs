//! Registers inside sections: as a list of keys and values, or as a row of values under a row of keys.
//!
//! Specification: `docs/image-format.md`, sections 1, 2, 16, 17 and 18.
//!
//! Rule: an image names the registers it holds; a reader compares the names before it takes a value.

use super::{Cursor, ImageError, Put};
use crate::registers::{RegisterTable, Row};

/// Bytes of a register with its key in front.
pub(crate) const LISTED_BYTES: usize = 16;

/// Writes each register with its key: key (4), zero (4), value (8).
pub(crate) fn put_listed<T: RegisterTable>(put: &mut Put<'_>, registers: &T) -> Option<()> {
    registers.rows().try_for_each(|(row, value)| {
        put.u32(row.key)?;
        put.u32(0)?;
        put.u64(value)
    })
}

/// Reads what [`put_listed`] writes.
pub(crate) fn take_listed<T: RegisterTable>(cursor: &mut Cursor<'_>, id: u32, length: ImageError) -> Result<T, ImageError> {
    T::read(|row| {
        check_key(id, row.key, cursor.u32().ok_or(length)?)?;
        if cursor.u32().ok_or(length)? != 0 {
            return Err(ImageError::Reserved { id });
        }
        check_value(id, row, cursor.u64().ok_or(length)?)
    })
}

/// Writes the keys of a table: 4 bytes each.
pub(crate) fn put_keys<T: RegisterTable>(put: &mut Put<'_>) -> Option<()> {
    T::ROWS.iter().try_for_each(|row| put.u32(row.key))
}

/// Compares the keys of a table.
pub(crate) fn take_keys<T: RegisterTable>(cursor: &mut Cursor<'_>, id: u32, length: ImageError) -> Result<(), ImageError> {
    T::ROWS.iter().try_for_each(|row| check_key(id, row.key, cursor.u32().ok_or(length)?))
}

/// Writes the values of a table: 8 bytes each.
pub(crate) fn put_values<T: RegisterTable>(put: &mut Put<'_>, registers: &T) -> Option<()> {
    registers.rows().try_for_each(|(_, value)| put.u64(value))
}

/// Reads what [`put_values`] writes.
pub(crate) fn take_values<T: RegisterTable>(cursor: &mut Cursor<'_>, id: u32, length: ImageError) -> Result<T, ImageError> {
    T::read(|row| check_value(id, row, cursor.u64().ok_or(length)?))
}

/// Compares a count that has one possible value.
pub(crate) fn check_count(what: &'static str, found: u32, expected: usize) -> Result<(), ImageError> {
    if found as usize == expected { Ok(()) } else { Err(ImageError::Count { what, found: found.into(), max: expected as u64 }) }
}

fn check_key(id: u32, expected: u32, found: u32) -> Result<(), ImageError> {
    if found == expected { Ok(()) } else { Err(ImageError::Register { id, expected, found }) }
}

fn check_value(id: u32, row: &Row, value: u64) -> Result<u64, ImageError> {
    if value <= row.max { Ok(value) } else { Err(ImageError::RegisterValue { id, register: row.key, value }) }
}
