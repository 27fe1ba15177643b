//! The text of recorded conversations: which lines belong to which, and what each says.
//!
//! Source: none; the format is described in `data/README.md`.
//!
//! Rule: a text that is not of this format panics with its line, so that nothing is skipped in silence.

use flate2::read::GzDecoder;
use std::io::Read;

/// What the first line of every file is.
const HEADER: &str = "kvm-gicv5-trace 1";

/// A file of conversations, by its name in `data/`, unpacked.
pub(crate) fn unpack(gzip: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(gzip).read_to_string(&mut text).unwrap();
    text
}

/// One operation with its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// In the file, from 1.
    pub(crate) number: usize,
    pub(crate) operation: &'a str,
    /// `None` where the operation has none.
    pub(crate) answer: Option<&'a str>,
}

/// The operations of one conversation, in order.
#[derive(Debug)]
pub(crate) struct Conversation<'a> {
    pub(crate) name: &'a str,
    pub(crate) lines: Vec<Line<'a>>,
}

/// All conversations of a file.
pub(crate) fn conversations(text: &str) -> Vec<Conversation<'_>> {
    let mut lines = (1..).zip(text.lines());
    assert_eq!(lines.next(), Some((1, HEADER)));
    let mut all: Vec<Conversation<'_>> = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.starts_with('#')) {
        if let Some(title) = line.strip_prefix("conv ") {
            let name = title.strip_suffix(" faults").unwrap_or(title);
            all.push(Conversation { name, lines: Vec::new() });
            continue;
        }
        let (operation, answer) = line.split_once(" -> ").map_or((line, None), |(operation, answer)| (operation, Some(answer)));
        let conversation = all.last_mut().unwrap_or_else(|| panic!("line {number}: before the first conversation"));
        conversation.lines.push(Line { number, operation, answer });
    }
    all
}

/// The fields of an operation, taken one after the other.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    whole: &'a str,
    rest: std::str::SplitAsciiWhitespace<'a>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(operation: &'a str) -> Self {
        Fields { whole: operation, rest: operation.split_ascii_whitespace() }
    }

    /// The next field, if there is one.
    pub(crate) fn optional(&mut self) -> Option<&'a str> {
        self.rest.next()
    }

    /// The next field.
    pub(crate) fn text(&mut self) -> &'a str {
        self.optional().unwrap_or_else(|| panic!("{:?}: a field is missing", self.whole))
    }

    /// The next field, a decimal number.
    pub(crate) fn decimal<T: TryFrom<u64>>(&mut self) -> T {
        decimal(self.text())
    }

    /// The next field, a hexadecimal number with or without a prefix.
    pub(crate) fn hex(&mut self) -> u64 {
        hex(self.text())
    }

    /// The next field, 0 or 1.
    pub(crate) fn bit(&mut self) -> bool {
        match self.text() {
            "0" => false,
            "1" => true,
            other => panic!("{:?}: {other:?} is no level", self.whole),
        }
    }
}

pub(crate) fn decimal<T: TryFrom<u64>>(text: &str) -> T {
    let number = text.parse::<u64>().ok().and_then(|number| T::try_from(number).ok());
    number.unwrap_or_else(|| panic!("{text:?}: not a decimal number of this width"))
}

pub(crate) fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_else(|_| panic!("{text:?}: not a hexadecimal number"))
}
