//! Register tables: which registers are state, in which order they are saved and restored, and why.
//!
//! Source: named by each table.
//!
//! Rule: a register has one row. The row reads it, restores it, encodes it and names it, so that none is saved and then forgotten.

/// One register of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Offset in its frame, or encoding of a system register.
    pub key: u32,
    /// The greatest value that the width of the register allows.
    pub max: u64,
    /// What the register carries, or why it stands at this place in the order.
    pub why: &'static str,
}

/// Registers that are read, restored and encoded together, in the order of the rows.
pub(crate) trait RegisterTable: Sized + 'static {
    const ROWS: &'static [Row];

    /// Reads every register, in order, up to the first error. The reader keeps to `Row::max`.
    fn read<E>(reader: impl FnMut(&Row) -> Result<u64, E>) -> Result<Self, E>;

    /// Every register with its value, in order.
    fn rows(&self) -> impl Iterator<Item = (&'static Row, u64)>;
}

macro_rules! register_table {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ident = $key:ident, $why:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $ty,)*
        }

        impl $name {
            /// The rows, in the order in which they are saved and restored.
            pub const REGISTERS: &'static [Row] = &[$(Row { key: $key as u32, max: $ty::MAX as u64, why: $why }),*];

            /// Every register with its value, in the same order.
            pub fn values(&self) -> impl Iterator<Item = (&'static Row, u64)> + use<> {
                Self::REGISTERS.iter().zip([$(self.$field as u64),*])
            }
        }

        impl RegisterTable for $name {
            const ROWS: &'static [Row] = Self::REGISTERS;

            fn read<E>(mut reader: impl FnMut(&Row) -> Result<u64, E>) -> Result<Self, E> {
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
