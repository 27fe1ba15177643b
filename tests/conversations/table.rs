//! Memory with words in it: what a conversation puts there, and how it writes down what it finds.
//!
//! Source: none; the format is described in `data/README.md`.
//!
//! Rule: what is written down says of every byte whether it is the expected one, by value or by a hash over all of them.

use crate::reader::{decimal, hex};

/// So many words that are not 0 are written one by one: entries, and KVM's software state.
const ENTRIES: usize = 24;
const SOFT: usize = 48;

/// Little-endian words, of which the last may have fewer than 4 bytes.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks(4).map(|word| word.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// 64-bit FNV-1a.
fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The output function of SplitMix64 on the increased state.
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// `{I:W,...}`, or `#COUNT/HASH` where more than `most` of the words are not 0.
fn listed(bytes: &[u8], most: usize) -> String {
    let set = (0..).zip(words(bytes)).filter(|(_, word)| *word != 0);
    let set: Vec<String> = set.map(|(i, word): (u32, u64)| format!("{i}:{word:x}")).collect();
    if set.len() > most {
        return format!("#{}/{:016x}", set.len(), fnv(bytes.iter().copied()));
    }
    format!("{{{}}}", set.join(","))
}

/// A table of entries.
pub(crate) fn entries(bytes: &[u8]) -> String {
    listed(bytes, ENTRIES)
}

/// A table of words, and the software state beside each.
pub(crate) fn spis(entries: &[u32], soft: &[u32]) -> String {
    let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    format!("{} {} soft {}", entries.len(), listed(&bytes(entries), ENTRIES), listed(&bytes(soft), SOFT))
}

/// Interrupts by name, or by their number and the hash of `TYPE << 29 | ID`.
pub(crate) fn interrupts(names: &[String], words: &[u32]) -> String {
    match names.len() {
        0 => "none".into(),
        count if count > ENTRIES => format!("#{count}/{:016x}", fnv(words.iter().flat_map(|word| word.to_le_bytes()))),
        _ => names.join(" "),
    }
}

/// What is at one of the two addresses of a `kvm_vgic_v5_ist`, and the size stated beside it.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) at: At,
    pub(crate) size: u64,
    before: Vec<u8>,
}

/// What is at an address.
#[derive(Debug)]
pub(crate) enum At {
    /// It is 0.
    Null,
    /// Nothing is mapped.
    Bad,
    /// Memory that can be written.
    Writable(Vec<u8>),
    /// Memory that cannot.
    ReadOnly(Vec<u8>),
}

impl Table {
    /// Reads `null/SIZE`, `bad/SIZE`, `rwLEN[CONTENT][/SIZE]` or `roLEN[CONTENT][/SIZE]`.
    pub(crate) fn parse(field: &str) -> Self {
        let (memory, stated) = field.split_once('/').map_or((field, None), |(memory, size)| (memory, Some(decimal(size))));
        let size = || stated.unwrap_or_else(|| panic!("{field:?}: no size"));
        let (writable, rest) = match (memory, memory.split_at_checked(2)) {
            ("null", _) => return Table { at: At::Null, size: size(), before: Vec::new() },
            ("bad", _) => return Table { at: At::Bad, size: size(), before: Vec::new() },
            (_, Some(("rw", rest))) => (true, rest),
            (_, Some(("ro", rest))) => (false, rest),
            _ => panic!("{field:?}: no memory"),
        };
        let (len, content) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let before = contents(decimal(len), content);
        let at = if writable { At::Writable(before.clone()) } else { At::ReadOnly(before.clone()) };
        Table { at, size: stated.unwrap_or(before.len() as u64), before }
    }

    /// What the operation left, if it is to be said: always after a `get` that succeeded, else if it is new.
    pub(crate) fn left(&self, name: &str, always: bool) -> Option<String> {
        let (At::Writable(after) | At::ReadOnly(after)) = &self.at else { return None };
        if *after != self.before {
            return Some(format!("{name}{}", entries(after)));
        }
        always.then(|| format!("{name}="))
    }
}

/// `len` bytes with this CONTENT.
fn contents(len: usize, content: &str) -> Vec<u8> {
    let mut bytes = vec![0; len];
    if let Some(byte) = content.strip_prefix('*') {
        bytes.fill(u8::try_from(hex(byte)).unwrap());
    } else if let Some(seed) = content.strip_prefix('~') {
        for (word, i) in bytes.chunks_mut(4).zip(0..) {
            word.copy_from_slice(&mix(hex(seed).wrapping_add(i)).to_le_bytes()[..word.len()]);
        }
    } else if let Some(list) = content.strip_prefix('{').and_then(|list| list.strip_suffix('}')) {
        for entry in list.split(',').filter(|entry| !entry.is_empty()) {
            let (index, word) = entry.split_once(':').unwrap_or_else(|| panic!("{entry:?}: no entry"));
            let index = decimal::<usize>(index);
            let word = u32::try_from(hex(word)).unwrap().to_le_bytes();
            bytes
                .get_mut(index * 4..index * 4 + 4)
                .unwrap_or_else(|| panic!("{content:?}: longer than {len}"))
                .copy_from_slice(&word);
        }
    } else {
        assert_eq!(content, "", "no content");
    }
    bytes
}
