//! What is wrong with bytes that were given as an image.
//!
//! Specification: `docs/image-format.md`, "Reading".
//!
//! Rule: each way of being wrong is a variant of its own; a message calls sections and registers by name.

use super::format::{Kind, VERSION};
use crate::AttrId;
use crate::buffer::IstKind;
use crate::topology::TopologyError;
use core::fmt;

/// A section by its number, and by its name if it has one.
struct Section(u32);

/// What the sections are, by number.
const SECTIONS: &[(u32, &str)] = &[
    (1, "IRS"),
    (2, "CPU interfaces"),
    (3, "SPI interrupt state table"),
    (4, "LPI interrupt state table"),
    (16, "distributor"),
    (17, "vCPUs"),
    (18, "ITSes"),
    (19, "mappings and LPIs"),
    (20, "virtual CPU interfaces"),
    (32, "GICv2 distributor"),
    (33, "GICv2 vCPUs"),
];

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "section {}", self.0)?;
        match SECTIONS.iter().find(|(id, _)| *id == self.0) {
            Some((_, name)) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

/// The section that a count is in; 0: none.
struct Within(u32);

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            id => write!(f, "{}: ", Section(id)),
        }
    }
}

/// A register without the vCPU that it is of: a column is of all of them.
struct Register(AttrId);

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.register_name() {
            Some(name) => name.fmt(f),
            None => write!(f, "the register {:#x} of group {}", self.0.attr(), self.0.group()),
        }
    }
}

/// Why bytes are not an image that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The first bytes are not the magic of an image.
    #[error("not an image of an interrupt controller")]
    NotAnImage,
    /// Written in a version of the format that this crate does not read.
    #[error("image version {found}: this build reads version {}", VERSION)]
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
    /// The length in the header is less than that of a header.
    #[error("the header says that the image has {found} bytes, and a header alone has {}", super::HEADER_BYTES)]
    HeaderLength {
        /// The length in the header.
        found: u64,
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
    /// Bytes at the end that no section of the section table has.
    #[error("the sections end at byte {end} of an image of {length} bytes")]
    BytesOfNoSection {
        /// Where the last section ends.
        end: u64,
        /// Bytes of the image.
        length: u64,
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
    #[error("{}impossible count: {found} {what}, at most {max}", Within(*id))]
    Count {
        /// The section; 0: the section table.
        id: u32,
        /// What is counted.
        what: &'static str,
        /// The count in the image.
        found: u64,
        /// The greatest count possible.
        max: u64,
    },
    /// A count that has one possible value.
    #[error("{}: {found} {what}, must be {expected}", Section(*id))]
    ExactCount {
        /// The section.
        id: u32,
        /// What is counted.
        what: &'static str,
        /// The only count possible.
        expected: u64,
        /// The count in the image.
        found: u64,
    },
    /// An interrupt state table with a number of entries that none can have.
    #[error("{}: {found} entries, must be {rule}", Section(*id))]
    TableEntries {
        /// The section.
        id: u32,
        /// The number of entries in the image.
        found: u32,
        /// The numbers that are possible.
        rule: &'static str,
    },
    /// A section that is not where the sections before it end, that overlaps, or that leaves the image.
    #[error("{} does not lie where the format puts it", Section(*id))]
    SectionPlace {
        /// The section.
        id: u32,
    },
    /// A section behind one with a greater id.
    #[error("{} is out of order", Section(*id))]
    SectionOrder {
        /// The section.
        id: u32,
    },
    /// Flags that this version does not know, or that the section cannot have.
    #[error("{} cannot have the flags {flags:#x}", Section(*id))]
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
    #[error("{} is there twice", Section(*id))]
    DuplicateSection {
        /// The section.
        id: u32,
    },
    /// A section that must be understood, and is not.
    #[error("{} is critical, and not one that this version knows in such an image", Section(*id))]
    UnknownCriticalSection {
        /// The section.
        id: u32,
    },
    /// A section that an image of this kind has to have.
    #[error("{} is missing", Section(*id))]
    MissingSection {
        /// The section.
        id: u32,
    },
    /// A section that is shorter or longer than its contents.
    #[error("{} has {found} bytes, and its contents take {}{expected}", Section(*id), if found < expected { "at least " } else { "" })]
    SectionLength {
        /// The section.
        id: u32,
        /// Its length.
        found: u64,
        /// The length of its contents, as they say; if it ends before they have said all, at least.
        expected: u64,
    },
    /// A virtual CPU interface of a vCPU that section 17 does not have, or has further in front.
    #[error("{}: a vCPU with the id {id} and the affinity {mpidr:#x} is not the next of section 17", Section(20))]
    El2Vcpu {
        /// Its `vcpu_id`.
        id: u32,
        /// Its affinity, as in an attribute.
        mpidr: u32,
    },
    /// A reserved word that is not zero.
    #[error("{}: reserved word is not zero", Section(*id))]
    Reserved {
        /// The section.
        id: u32,
    },
    /// A register that must be understood, and is not.
    #[error("{}: {} is critical, and not one that this version knows there", Section(*section), Register(*register))]
    UnknownRegister {
        /// The section.
        section: u32,
        /// The register, by its attribute.
        register: AttrId,
    },
    /// A register that every image has.
    #[error("{}: {} is missing", Section(*section), Register(*register))]
    MissingRegister {
        /// The section.
        section: u32,
        /// The register, by its attribute.
        register: AttrId,
    },
    /// The same register twice.
    #[error("{}: {} is there twice", Section(*section), Register(*register))]
    DuplicateRegister {
        /// The section.
        section: u32,
        /// The register, by its attribute.
        register: AttrId,
    },
    /// Flags that this version does not know, or that the register cannot have.
    #[error("{}: {} cannot have the flags {flags:#x}", Section(*section), Register(*register))]
    RegisterFlags {
        /// The section.
        section: u32,
        /// The register, by its attribute.
        register: AttrId,
        /// Its flags.
        flags: u8,
    },
    /// A register with a value that is wider or narrower than it is.
    #[error("{}: {} has {found} words of 32 bits, must have {expected}", Section(*section), Register(*register))]
    RegisterWidth {
        /// The section.
        section: u32,
        /// The register, by its attribute.
        register: AttrId,
        /// 32-bit words that it has.
        expected: u16,
        /// 32-bit words in the image.
        found: u16,
    },
    /// A way of writing a table that this version does not know.
    #[error("{}: unknown coding {found} of a table, must be 0 or 1", Section(*id))]
    Coding {
        /// The section.
        id: u32,
        /// The coding.
        found: u32,
    },
    /// A sparse table that is cut short, too long, or not in its only valid form.
    #[error("{}: no sparse table: it is cut short, too long, or not in the one form that it has", Section(*id))]
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
