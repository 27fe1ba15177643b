//! Numbers on the command line.
//!
//! Source: nothing.
//!
//! Rule: as debuggers and manuals write them: decimal, hexadecimal with 0x, underscores, and K, M or G for powers of 1024.

/// A number of up to 64 bits.
pub(crate) fn number(text: &str) -> Result<u64, String> {
    let plain = text.replace('_', "");
    let (digits, shift) = match plain.char_indices().last() {
        Some((end, 'k' | 'K')) => (plain.get(..end), 10),
        Some((end, 'm' | 'M')) => (plain.get(..end), 20),
        Some((end, 'g' | 'G')) => (plain.get(..end), 30),
        _ => (Some(plain.as_str()), 0),
    };
    let digits = digits.unwrap_or_default();
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    let value = value.ok().and_then(|value| value.checked_mul(1 << shift));
    value.ok_or_else(|| "not a number: use 4096, 0x1000 or 4K".to_owned())
}

/// A number of up to 32 bits.
pub(crate) fn number32(text: &str) -> Result<u32, String> {
    number(text).and_then(|value| u32::try_from(value).map_err(|_| "more than 32 bits".to_owned()))
}

/// A range of numbers, both ends included: `32`, `32-63`, `8192-`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    first: u32,
    last: u32,
}

impl Span {
    pub(crate) fn contains(&self, value: u32) -> bool {
        (self.first..=self.last).contains(&value)
    }
}

pub(crate) fn span(text: &str) -> Result<Span, String> {
    let (first, last) = match text.split_once('-') {
        None => (number32(text)?, number32(text)?),
        Some((first, "")) => (number32(first)?, u32::MAX),
        Some((first, last)) => (number32(first)?, number32(last)?),
    };
    if first > last { Err("the end is before the start".to_owned()) } else { Ok(Span { first, last }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_hex_underscores_and_units_and_nothing_else() {
        for (text, value) in
            [("0", 0), ("4096", 4096), ("0x4000_0000", 1 << 30), ("4K", 4096), ("2g", 2 << 30), ("0x10M", 16 << 20)]
        {
            assert_eq!(number(text), Ok(value), "{text}");
        }
        for text in ["", "K", "0x", "x", "-1", "99999999999999999999", "17179869184G"] {
            assert!(number(text).is_err(), "{text}");
        }
        assert!(span("8192-").is_ok_and(|span| span.contains(9000) && !span.contains(8191)));
        assert!(span("5-3").is_err() && span("7").is_ok_and(|span| span.contains(7) && !span.contains(8)));
    }
}
