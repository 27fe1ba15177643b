//! What an image of a GICv3 has at most.
//!
//! Specification: `docs/image-format.md`, "GICv3 sections".
//!
//! Rule: what is written is no more than what is read.

/// More ITSes than any VM has; a bound for a reader.
pub(crate) const MAX_ITS: u32 = 64;
