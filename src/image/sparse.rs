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
    let table = entries.checked_mul(4)?;
    if from < to.checked_add(overhead(entries))? {
        return None;
    }
    // First the masks, all in front of the table, then the entries.
    let (front, behind) = buffer.split_at_mut_checked(from)?;
    let masks = write_masks(behind.get(..table)?, front.get_mut(to..)?)?;
    let mut out = to + masks;
    let mut mask_at = to + index_bytes(entries);
    for group in 0..entries.div_ceil(GROUP) {
        if buffer.get(to + group / 8)? >> (group % 8) & 1 == 0 {
            continue;
        }
        let mask = u64::from_le_bytes(*buffer.get(mask_at..)?.first_chunk()?);
        mask_at += 8;
        let start = from + group * GROUP * 4;
        let length = (GROUP * 4).min(from + table - start);
        // Out of the way of what is written.
        let mut copy = [0; GROUP * 4];
        copy.get_mut(..length)?.copy_from_slice(buffer.get(start..start + length)?);
        out += pack(&copy, mask, buffer.get_mut(out..)?)?;
    }
    Some(out - to)
}

/// Encodes a table that lies elsewhere to the start of `room`. Returns the length of the encoding, or `None` if it does not fit.
pub(crate) fn encode(table: &[u8], room: &mut [u8]) -> Option<usize> {
    let index = index_bytes(table.len() / 4);
    let masks = write_masks(table, room)?;
    let (front, mut rest) = room.split_at_mut_checked(masks)?;
    let (index, masks) = front.split_at_checked(index)?;
    let mut masks = masks.as_chunks::<8>().0.iter();
    let mut length = front.len();
    for (group, bytes) in table.chunks(GROUP * 4).enumerate() {
        if index.get(group / 8)? >> (group % 8) & 1 == 0 {
            continue;
        }
        let packed = pack(bytes, u64::from_le_bytes(*masks.next()?), rest)?;
        rest = rest.get_mut(packed..)?;
        length += packed;
    }
    Some(length)
}

/// Writes the bits of a table that say which groups are there, and the masks of those groups. Returns the length of both.
fn write_masks(table: &[u8], room: &mut [u8]) -> Option<usize> {
    let index = index_bytes(table.len() / 4);
    let (index, masks) = room.split_at_mut_checked(index)?;
    index.fill(0);
    let mut written = 0;
    let mut slots = masks.as_chunks_mut::<8>().0.iter_mut();
    for (group, bytes) in table.chunks(GROUP * 4).enumerate() {
        let mask = mask_of(bytes);
        if mask == 0 {
            continue;
        }
        *index.get_mut(group / 8)? |= 1 << (group % 8);
        *slots.next()? = mask.to_le_bytes();
        written += 8;
    }
    Some(index.len() + written)
}

/// Writes the entries of a group that a mask names to the start of `out`. Returns how many bytes they have.
fn pack(group: &[u8], mut mask: u64, out: &mut [u8]) -> Option<usize> {
    let bytes = mask.count_ones() as usize * 4;
    let out = out.get_mut(..bytes)?;
    if let Some(all) = group.get(..bytes).filter(|_| mask == u64::MAX) {
        out.copy_from_slice(all);
        return Some(bytes);
    }
    let words = group.as_chunks::<4>().0;
    for slot in out.as_chunks_mut::<4>().0 {
        *slot = *words.get(mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
    }
    Some(bytes)
}

/// One bit per entry that is not zero.
///
/// The shape of the loops is what a compiler makes vectors of; most groups of most tables are zero.
fn mask_of(group: &[u8]) -> u64 {
    let Some(group) = group.first_chunk::<{ GROUP * 4 }>() else {
        return group.as_chunks::<4>().0.iter().rev().fold(0, |mask, word| mask << 1 | u64::from(*word != [0; 4]));
    };
    let words = group.as_chunks::<4>().0;
    if words.iter().fold(0, |all, word| all | u32::from_le_bytes(*word)) == 0 {
        return 0;
    }
    let mut there = [0_u8; GROUP];
    for (there, word) in there.iter_mut().zip(words) {
        *there = u8::from(*word != [0; 4]);
    }
    // Eight bytes that are 0 or 1 become the uppermost eight bits of a product: byte n is shifted to bit 56 + n.
    let eight = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    there.as_chunks::<8>().0.iter().rev().fold(0, |mask, bytes| mask << 8 | eight(bytes))
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
    let (mut words, odd) = words.as_chunks::<4>();
    if !odd.is_empty() {
        return None;
    }

    let mut table = vec![0; entries * 4];
    for (_, group) in table.chunks_mut(GROUP * 4).enumerate().filter(|(group, _)| present(*group)) {
        let mut mask = masks.next().filter(|mask| *mask != 0)?;
        let (entries, behind) = words.split_at_checked(mask.count_ones() as usize)?;
        words = behind;
        let slots = group.as_chunks_mut::<4>().0;
        if mask == u64::MAX {
            // By all of them, which the compiler makes vectors of.
            if entries.iter().fold(false, |zero, entry| zero | (*entry == [0; 4])) {
                return None;
            }
            slots.get_mut(..GROUP)?.copy_from_slice(entries);
            continue;
        }
        for entry in entries {
            if *entry == [0; 4] {
                return None;
            }
            *slots.get_mut(mask.trailing_zeros() as usize)? = *entry;
            mask &= mask - 1;
        }
    }
    words.is_empty().then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By both ways.
    fn encode(table: &[u8]) -> Vec<u8> {
        let entries = table.len() / 4;
        let mut buffer = vec![0xaa; overhead(entries)];
        buffer.extend_from_slice(table);
        let length = compact(&mut buffer, overhead(entries), entries, 0).unwrap();
        buffer.truncate(length);
        let mut other = vec![0xaa; length];
        assert_eq!(super::encode(table, &mut other), Some(length));
        assert_eq!(other, buffer);
        assert_eq!(super::encode(table, &mut other[..length.saturating_sub(1)]), (length == 0).then_some(0));
        buffer
    }

    #[test]
    fn a_mask_has_a_bit_for_each_entry_that_is_not_zero() {
        let mut group = [0; GROUP * 4];
        for n in 0..GROUP {
            group[n * 4 + n % 4] = 0x80;
            assert_eq!(mask_of(&group), u64::MAX >> (63 - n), "{n}");
            assert_eq!(mask_of(&group[..n * 4]), (1 << n) - 1, "{n}");
            let mut one = [0; GROUP * 4];
            one[n * 4] = 1;
            assert_eq!(mask_of(&one), 1 << n);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "minutes, for loops that are as long as a table")]
    fn a_sparse_table_is_as_long_as_the_format_says() {
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
    #[cfg_attr(miri, ignore = "minutes, for loops that are as long as a table")]
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
        let mut full = encode(&[7; 64 * 4]);
        full[16 + 4 * 63..].fill(0);
        assert_eq!(expand(&full, 64), None);
        for bad in [empty_group, beyond_groups, zero_entry, long, odd] {
            assert_eq!(expand(&bad, 96), None);
        }
        assert_eq!(expand(&beyond_entries, 2), None);
        for length in 0..good.len() {
            assert_eq!(expand(&good[..length], 96), None, "prefix of {length} bytes");
        }
    }

    proptest! {
        #![proptest_config(crate::seeds::cases(256))]
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
