//! What is wrong with bytes that were given as an image.
//!
//! Specification: `docs/image-format.md`, "Reading".
//!
//! Rule: each way of being wrong is a variant of its own.

use super::Kind;
use crate::buffer::IstKind;
use crate::topology::TopologyError;

/// Why bytes are not an image that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The first bytes are not the magic of an image.
    #[error("not an image of an interrupt controller")]
    NotAnImage,
    /// Written in a version of the format that this crate does not read.
    #[error("image version {found}: this build reads version {}", super::VERSION)]
    UnknownVersion {
        /// The version in the header.
        found: u32,
    },
    /// Of an interrupt controller that this version does not know.
    #[error("image of an unknown kind of interrupt controller ({found})")]
    UnknownKind {
        /// The kind in the header.
        found: u32,
    },
    /// Of another interrupt controller than the one it is given to.
    #[error("image of a {found}, expected one of a {expected}")]
    WrongKind {
        /// What the caller can restore.
        expected: Kind,
        /// What the image holds.
        found: Kind,
    },
    /// Fewer bytes than the image has.
    #[error("image is cut short: {found} of {expected} bytes")]
    Truncated {
        /// Bytes that the image has, or at least has.
        expected: u64,
        /// Bytes that were given.
        found: u64,
    },
    /// More bytes than the image has.
    #[error("{found} bytes given for an image of {expected} bytes")]
    TrailingBytes {
        /// Bytes that the image has.
        expected: u64,
        /// Bytes that were given.
        found: u64,
    },
    /// The bytes are not those that were written.
    #[error("image is damaged: checksum {found:#010x}, expected {expected:#010x}")]
    Checksum {
        /// The checksum in the header.
        expected: u32,
        /// The checksum of the bytes.
        found: u32,
    },
    /// A count that the format does not allow, or that the bytes cannot hold.
    #[error("impossible count: {found} {what}, at most {max}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The count in the image.
        found: u64,
        /// The greatest count possible.
        max: u64,
    },
    /// A section that is not where the sections before it end, that overlaps, or that leaves the image.
    #[error("section {id} does not lie where the format puts it")]
    SectionPlace {
        /// The section.
        id: u32,
    },
    /// A section behind one with a greater id.
    #[error("section {id} is out of order")]
    SectionOrder {
        /// The section.
        id: u32,
    },
    /// Flags that this version does not know, or that the section cannot have.
    #[error("section {id} cannot have the flags {flags:#x}")]
    SectionFlags {
        /// The section.
        id: u32,
        /// Its flags.
        flags: u32,
    },
    /// Bytes between sections that are not zero.
    #[error("bytes before offset {offset} that belong to no section are not zero")]
    Padding {
        /// Where the gap ends.
        offset: u64,
    },
    /// The same section twice.
    #[error("section {id} is there twice")]
    DuplicateSection {
        /// The section.
        id: u32,
    },
    /// A section that must be understood, and is not.
    #[error("section {id} is critical and unknown")]
    UnknownCriticalSection {
        /// The section.
        id: u32,
    },
    /// A section that an image of this kind has to have.
    #[error("section {id} is missing")]
    MissingSection {
        /// The section.
        id: u32,
    },
    /// A section that is shorter or longer than its contents.
    #[error("section {id} has the wrong length: {found} bytes")]
    SectionLength {
        /// The section.
        id: u32,
        /// Its length.
        found: u64,
    },
    /// A reserved word that is not zero.
    #[error("section {id}: reserved word is not zero")]
    Reserved {
        /// The section.
        id: u32,
    },
    /// A list of registers other than that of this version.
    #[error("section {id}: register {found:#x} where version {} has {expected:#x}", super::VERSION)]
    Register {
        /// The section.
        id: u32,
        /// The register of this version.
        expected: u32,
        /// The register in the image.
        found: u32,
    },
    /// A value that does not fit into its register.
    #[error("section {id}: value {value:#x} does not fit into register {register:#x}")]
    RegisterValue {
        /// The section.
        id: u32,
        /// The register.
        register: u32,
        /// The value.
        value: u64,
    },
    /// A way of writing a table that this version does not know.
    #[error("section {id}: unknown coding {found} of a table")]
    Coding {
        /// The section.
        id: u32,
        /// The coding.
        found: u32,
    },
    /// A sparse table that is cut short, too long, or not in its only valid form.
    #[error("section {id}: sparse table is malformed")]
    Sparse {
        /// The section.
        id: u32,
    },
    /// In writing: the SPIs of the state are not 32 by 32, each once and in order.
    #[error("the state does not have every SPI of its {nr_irqs} interrupts once and in order")]
    Spis {
        /// Interrupts of the state.
        nr_irqs: u32,
    },
    /// In writing: a table of one kind in the place of the other.
    #[error("an {found} where the {expected} belongs")]
    IstKind {
        /// The table that belongs there.
        expected: IstKind,
        /// The table that is there.
        found: IstKind,
    },
    /// A number of interrupts or a set of vCPUs that no VM has.
    #[error("image of an impossible VM: {0}")]
    Topology(#[from] TopologyError),
}
