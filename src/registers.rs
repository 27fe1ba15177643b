//! Register tables: which registers are state, in which order they are saved and restored, which fields they have, and why.
//!
//! Source: named by each table.
//!
//! Rule: a register has one row. The row reads it, restores it, encodes it, names it and takes it apart, so that none is saved and then
//! forgotten.

use crate::AttrId;

/// One register of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The attribute group that it is in: `KVM_DEV_ARM_VGIC_GRP_*`.
    pub group: u32,
    /// Offset in its frame, or encoding of a system register.
    pub key: u32,
    /// The greatest value that the width of the register allows.
    pub max: u64,
    /// What the register carries, or why it stands at this place in the order.
    pub why: &'static str,
    /// The version of this crate that first wrote the register into an image.
    pub since: &'static str,
    /// The value that KVM gives it in a new VM; `None` where it depends on the host or on the VM.
    pub reset: Option<u64>,
    /// Not every kernel or version has it: an image without it means `reset`. An image without any other is refused.
    pub optional: bool,
    /// Its fields; none if it is one number or a set of bits.
    pub fields: &'static [Field],
    /// The bits that are some field; all of the register if it is one number.
    known_bits: u64,
}

impl Row {
    /// A row since the first version, of a register that every image has.
    pub(crate) const fn new(group: u32, key: u32, max: u64, why: &'static str) -> Self {
        Row { group, key, max, why, since: "0.1.0", reset: None, optional: false, fields: &[], known_bits: max }
    }

    /// The same with a reset value.
    pub(crate) const fn reset(self, value: u64) -> Self {
        Row { reset: Some(value), ..self }
    }

    /// The same for a register that is not always there; a missing one means zero.
    pub(crate) const fn or_zero(self) -> Self {
        Row { reset: Some(0), optional: true, ..self }
    }

    /// The same with fields.
    pub(crate) const fn fields(self, fields: &'static [Field]) -> Self {
        let (mut known_bits, mut rest) = (0, fields);
        while let [field, others @ ..] = rest {
            known_bits |= field.mask;
            rest = others;
        }
        Row { fields, known_bits, ..self }
    }

    /// The register as an attribute, of the vCPU with affinity 0 if every vCPU has one.
    #[must_use]
    pub const fn id(&self) -> AttrId {
        AttrId::from_raw(self.group, self.key as u64)
    }

    /// Whether it has 64 bits.
    #[must_use]
    pub const fn is_wide(&self) -> bool {
        self.max > u32::MAX as u64
    }

    /// The bits that are some field; all of the register if it is one number.
    #[must_use]
    pub const fn known_bits(&self) -> u64 {
        self.known_bits
    }
}

/// What stands for a register of which no value is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Absent {
    /// Its value in a new VM; `None` where that depends on the host or on the VM.
    pub(crate) reset: Option<u64>,
    /// Not every kernel or version has the register.
    pub(crate) optional: bool,
    /// It says what the controller is: no guest sets it.
    pub(crate) is_identity: bool,
}

impl Absent {
    pub(crate) const fn of(row: &Row) -> Self {
        Absent { reset: row.reset, optional: row.optional, is_identity: false }
    }

    /// Of a register that no guest sets.
    pub(crate) const fn of_identity(row: &Row) -> Self {
        Absent { is_identity: true, ..Absent::of(row) }
    }

    /// One half of a register of 64 bits.
    pub(crate) const fn half(self, shift: u32) -> Self {
        let reset = match self.reset {
            Some(value) => Some((value >> shift) & u32::MAX as u64),
            None => None,
        };
        Absent { reset, ..self }
    }

    /// A word of 32 bits with this value in a new VM.
    pub(crate) const fn word(reset: u32) -> Self {
        Absent { reset: Some(reset as u64), optional: false, is_identity: false }
    }
}

/// A field of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// As the Arm specification calls it.
    pub name: &'static str,
    /// Its bits in the register.
    pub mask: u64,
    /// What its value says.
    pub meaning: Meaning,
}

/// What the value of a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Meaning {
    /// A number, or one bit.
    Number,
    /// A pattern of bits.
    Bits,
    /// An address or an offset: its bits are at their own places.
    InPlace,
    /// One less than a number of these.
    MinusOne(&'static str),
    /// What some of the values stand for.
    Values(&'static [(u64, &'static str)]),
}

impl Field {
    pub(crate) const fn new(name: &'static str, mask: u64, meaning: Meaning) -> Self {
        Field { name, mask, meaning }
    }

    /// The value of the field in a value of its register.
    #[must_use]
    pub const fn of(&self, register: u64) -> u64 {
        // A mask is not empty: the tables are tested.
        (register & self.mask) >> (self.mask.trailing_zeros() & 63)
    }
}

/// Registers that are read, restored and encoded together, in the order of the rows.
pub(crate) trait RegisterTable: Sized + 'static {
    const ROWS: &'static [Row];

    /// Reads every register, in order, up to the first error. The reader keeps to `Row::max`.
    fn read<E>(reader: impl FnMut(&'static Row) -> Result<u64, E>) -> Result<Self, E>;

    /// Every register with its value, in order.
    fn rows(&self) -> impl Iterator<Item = (&'static Row, u64)>;
}

macro_rules! register_table {
    ($(#[$doc:meta])* $name:ident of $group:ident {
        $($(#[$field_doc:meta])* $field:ident: $ty:ident = $key:ident, $why:literal $(, $more:ident($($argument:expr)?))*;)*
    }) => {
        $(#[$doc])*
        ///
        /// More registers may come: made by `default`, and changed by its fields.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $ty,)*
        }

        impl $name {
            /// The rows, in the order in which they are saved and restored.
            #[doc(hidden)]
            pub const REGISTERS: &'static [Row] =
                &[$(Row::new($group, $key as u32, $ty::MAX as u64, $why)$(.$more($($argument)?))*),*];

            /// The registers with the values that `value` gives for their rows, cut to their width.
            #[doc(hidden)]
            #[must_use]
            pub fn new(mut value: impl FnMut(&'static Row) -> u64) -> Self {
                let mut rows = Self::REGISTERS.iter();
                $name { $($field: rows.next().map_or(0, &mut value) as $ty),* }
            }

            /// Every register with its value, in the same order.
            #[doc(hidden)]
            pub fn values(&self) -> impl Iterator<Item = (&'static Row, u64)> + use<> {
                Self::REGISTERS.iter().zip([$(self.$field as u64),*])
            }
        }

        impl RegisterTable for $name {
            const ROWS: &'static [Row] = Self::REGISTERS;

            fn read<E>(mut reader: impl FnMut(&'static Row) -> Result<u64, E>) -> Result<Self, E> {
                let mut rows = Self::REGISTERS.iter();
                let mut next = || rows.next().map_or(Ok(0), &mut reader);
                Ok($name { $($field: next()? as $ty),* })
            }

            fn rows(&self) -> impl Iterator<Item = (&'static Row, u64)> {
                self.values()
            }
        }
    };
}

pub(crate) use register_table;
