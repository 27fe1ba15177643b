//! The checksum of an image.
//!
//! Specification: `docs/image-format.md`, "Header".
//!
//! Rule: every byte counts but its own four.

use super::format::CHECKSUM_OFFSET;

/// CRC-32 (ISO-HDLC) of the whole image, with zeros in place of the checksum itself.
pub(super) fn checksum(image: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let (head, tail) = image.split_at(CHECKSUM_OFFSET.min(image.len()));
    hasher.update(head);
    hasher.update(&[0; 4]);
    hasher.update(tail.get(4..).unwrap_or_default());
    hasher.finalize()
}
