//! Sparse tables: the entries that are not zero, and two levels of bits that say which they are.
//!
//! Specification: `docs/image-format.md`, "Sparse tables".
//!
//! A table of `n` entries is cut into groups of 64. One bit per group says whether the group has an entry that is not zero; then one
//! 64-bit mask per such group; then the entries themselves.
//!
//! Rule: one table has one encoding. A mask of zero, an entry of zero and a bit beyond the table are errors.

use alloc::vec;
use alloc::vec::Vec;

const GROUP: usize = 64;

/// Bytes of the bits that say which groups are there.
const fn index_bytes(entries: usize) -> usize {
    entries.div_ceil(GROUP).div_ceil(64) * 8
}

/// How much longer than the table its sparse form can be, in bytes: all groups are there, and all entries.
pub(crate) const fn overhead(entries: usize) -> usize {
    index_bytes(entries) + entries.div_ceil(GROUP) * 8
}

/// Encodes in place: the table of `entries` entries that begins at byte `from` of the buffer into the bytes that begin at `to`.
/// Returns the length of the encoding, or `None` if `from` is less than [`overhead`] behind `to` or the table leaves the buffer.
///
/// The encoding can run over the table's bytes, but never over one that is still to be read: an encoded entry lies at least
/// [`overhead`] before the entry it came from, less the masks written before it.
pub(crate) fn compact(buffer: &mut [u8], from: usize, entries: usize, to: usize) -> Option<usize> {
    let table = buffer.get(from..)?.get(..entries.checked_mul(4)?)?.len();
    if from < to.checked_add(overhead(entries))? {
        return None;
    }
    let groups = entries.div_ceil(GROUP);
    let index = to;
    buffer.get_mut(index..index + index_bytes(entries))?.fill(0);

    // First the masks, all in front of the table, then the entries.
    let mut mask_at = index + index_bytes(entries);
    for group in 0..groups {
        let start = from + group * GROUP * 4;
        let bytes = buffer.get(start..(start + GROUP * 4).min(from + table))?;
        let mask = mask_of(bytes);
        if mask == 0 {
            continue;
        }
        *buffer.get_mut(index + group / 8)? |= 1 << (group % 8);
        buffer.get_mut(mask_at..mask_at + 8)?.copy_from_slice(&mask.to_le_bytes());
        mask_at += 8;
    }

    let mut out = mask_at;
    for entry in (from..from + table).step_by(4) {
        let word: [u8; 4] = *buffer.get(entry..)?.first_chunk()?;
        if word != [0; 4] {
            buffer.get_mut(out..out + 4)?.copy_from_slice(&word);
            out += 4;
        }
    }
    Some(out - to)
}

/// One bit per entry that is not zero.
fn mask_of(group: &[u8]) -> u64 {
    let mut mask = 0;
    for (i, word) in group.as_chunks::<4>().0.iter().enumerate() {
        mask |= u64::from(*word != [0; 4]) << i;
    }
    mask
}

/// Decodes a table of `entries` entries. `None`: not the encoding of such a table. The caller has bounded `entries`.
pub(crate) fn expand(encoded: &[u8], entries: usize) -> Option<Vec<u8>> {
    let groups = entries.div_ceil(GROUP);
    let (index, rest) = encoded.split_at_checked(index_bytes(entries))?;
    let present = |group: usize| index.get(group / 8).is_some_and(|byte| byte >> (group % 8) & 1 != 0);
    let count: usize = index.iter().map(|byte| byte.count_ones() as usize).sum();
    if (0..groups).filter(|group| present(*group)).count() != count {
        return None; // a bit beyond the table
    }
    let (masks, words) = rest.split_at_checked(count * 8)?;
    let mut masks = masks.as_chunks::<8>().0.iter().map(|mask| u64::from_le_bytes(*mask));
    let (words, odd) = words.as_chunks::<4>();
    let mut words = words.iter();
    if !odd.is_empty() {
        return None;
    }

    let mut table = vec![0; entries * 4];
    for (_, group) in table.chunks_mut(GROUP * 4).enumerate().filter(|(group, _)| present(*group)) {
        let mut mask = masks.next().filter(|mask| *mask != 0)?;
        let (slots, _) = group.as_chunks_mut::<4>();
        while mask != 0 {
            let slot = slots.get_mut(mask.trailing_zeros() as usize)?;
            *slot = *words.next().filter(|word| **word != [0; 4])?;
            mask &= mask - 1;
        }
    }
    words.next().is_none().then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(table: &[u8]) -> Vec<u8> {
        let entries = table.len() / 4;
        let mut buffer = vec![0xaa; overhead(entries)];
        buffer.extend_from_slice(table);
        let length = compact(&mut buffer, overhead(entries), entries, 0).unwrap();
        buffer.truncate(length);
        buffer
    }

    #[test]
    fn sizes() {
        let mut table = vec![0; 65536 * 4];
        assert_eq!(encode(&table).len(), 128);
        for (i, entry) in table.as_chunks_mut::<4>().0.iter_mut().step_by(1024).enumerate() {
            *entry = (i as u32 + 1).to_le_bytes();
        }
        assert_eq!(encode(&table).len(), 128 + 64 * 8 + 64 * 4);
        table.fill(0xff);
        assert_eq!(encode(&table).len(), table.len() + overhead(65536));
    }

    #[test]
    fn a_sparse_table_is_at_most_4_percent_and_16_bytes_longer_than_raw() {
        for entries in 0..=65536 {
            assert!(overhead(entries) * 100 <= entries * 4 * 4 + 1600, "{entries} entries");
        }
    }

    #[test]
    fn a_table_that_is_too_close_is_refused() {
        let mut buffer = vec![0; overhead(32) + 128];
        assert_eq!(compact(&mut buffer, overhead(32) - 1, 32, 0), None);
        assert_eq!(compact(&mut buffer, overhead(32) + 1, 32, 0), None);
        assert_eq!(compact(&mut buffer, overhead(32), 32, 0), Some(8));
    }

    #[test]
    fn other_encodings_of_the_same_table_are_refused() {
        let mut table = vec![0; 96 * 4];
        table[4] = 7;
        let good = encode(&table);
        assert_eq!(good.len(), 8 + 8 + 4);
        assert_eq!(expand(&good, 96).unwrap(), table);

        let mut empty_group = good.clone();
        empty_group[0] |= 2;
        empty_group.splice(16..16, [0; 8]);
        let mut beyond_groups = good.clone();
        beyond_groups[0] |= 4;
        beyond_groups.splice(16..16, 1u64.to_le_bytes());
        let mut beyond_entries = encode(&[0, 0, 0, 0, 7, 0, 0, 0]);
        beyond_entries[8] = 4;
        let mut zero_entry = good.clone();
        zero_entry[16] = 0;
        let mut long = good.clone();
        long.extend([1, 0, 0, 0]);
        let mut odd = good.clone();
        odd.push(0);
        for bad in [empty_group, beyond_groups, zero_entry, long, odd] {
            assert_eq!(expand(&bad, 96), None);
        }
        assert_eq!(expand(&beyond_entries, 2), None);
        for length in 0..good.len() {
            assert_eq!(expand(&good[..length], 96), None, "prefix of {length} bytes");
        }
    }

    proptest! {
        #[test]
        fn decodes_to_what_was_encoded(
            words in prop::collection::vec(prop_oneof![3 => Just(0u32), 1 => any::<u32>()], 0..400),
        ) {
            let table: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let encoded = encode(&table);
            prop_assert!(encoded.len() <= table.len() + overhead(words.len()));
            prop_assert_eq!(expand(&encoded, words.len()).unwrap(), table);
        }

        #[test]
        fn what_decodes_is_the_encoding(encoded in prop::collection::vec(0u8..4, 0..200), entries in 0usize..300) {
            if let Some(table) = expand(&encoded, entries) {
                prop_assert_eq!(encode(&table), encoded);
            }
        }
    }
}
