//! What an attribute's address points to in a conversation.
//!
//! Source: none; the format is described in `data/README.md`.
//!
//! Rule: an object ends its mapping, so that a copy of more bytes than it has fails.

use crate::reader::{Fields, hex};
use crate::table::{At, Table};
use vgic_state::Errno;
use vgic_state::model::{Buffer, IstArg, Memory, Op, User};

/// The object at the address.
#[derive(Debug)]
pub(crate) enum Object {
    /// The address is 0.
    Null,
    /// Nothing is mapped.
    Bad,
    /// 32 bits: before and after.
    U32(u32, u32),
    /// 64 bits: before and after.
    U64(u64, u64),
    /// Two words of 64 bits: before and after.
    U64x2([u64; 2], [u64; 2]),
    /// A `kvm_vgic_v5_ist`.
    Ist(Table, Table),
}

impl Object {
    /// Reads PTR; a get without one has an object of 64 bits that holds 0, a has has none.
    pub(crate) fn parse(op: Op, fields: &mut Fields<'_>) -> Self {
        let Some(field) = fields.optional() else {
            return if op == Op::Get { Object::U64(0, 0) } else { Object::Null };
        };
        if let Some(value) = field.strip_prefix("u32:") {
            let value = u32::try_from(hex(value)).unwrap();
            return Object::U32(value, value);
        }
        if let Some(values) = field.strip_prefix("u64x2:") {
            let (first, second) = values.split_once(',').unwrap_or_else(|| panic!("{field:?}: one value"));
            let value = [hex(first), hex(second)];
            return Object::U64x2(value, value);
        }
        match field {
            "null" => Object::Null,
            "bad" => Object::Bad,
            "ist" => Object::Ist(Table::parse(fields.text()), Table::parse(fields.text())),
            value => {
                let value = hex(value.strip_prefix("u64:").unwrap_or(value));
                Object::U64(value, value)
            }
        }
    }

    /// The object as the model takes it.
    pub(crate) fn user(&mut self) -> User<'_> {
        match self {
            Object::Null => User::Null,
            Object::Bad => User::Fault,
            Object::U32(_, object) => User::U32(object),
            Object::U64(_, object) => User::U64(object),
            Object::U64x2(_, object) => User::U64x2(object),
            Object::Ist(spi, lpi) => User::Ist(IstArg { spi: buffer(spi), lpi: buffer(lpi) }),
        }
    }

    /// The answer to the operation, as a conversation writes it.
    pub(crate) fn answer(&self, op: Op, result: Result<(), Errno>) -> String {
        let got = op == Op::Get && result.is_ok();
        let left = match self {
            Object::Null | Object::Bad => None,
            Object::U32(before, after) => (got || before != after).then(|| format!("{after:x}")),
            Object::U64(before, after) => (got || before != after).then(|| format!("{after:x}")),
            Object::U64x2(before, after) => (got || before != after).then(|| format!("{:x},{:x}", after[0], after[1])),
            Object::Ist(spi, lpi) => {
                let tables: Vec<String> = [spi.left("spi", got), lpi.left("lpi", got)].into_iter().flatten().collect();
                (!tables.is_empty()).then(|| tables.join(" "))
            }
        };
        match (result, left) {
            (Ok(()), None) => "ok".into(),
            (Ok(()), Some(left)) => left,
            (Err(errno), None) => errno.to_string(),
            (Err(errno), Some(left)) => format!("{errno} {left}"),
        }
    }
}

fn buffer(table: &mut Table) -> Buffer<'_> {
    let memory = match &mut table.at {
        At::Null => Memory::Null,
        At::Bad => Memory::Fault,
        At::Writable(bytes) => Memory::Bytes(bytes),
        At::ReadOnly(bytes) => Memory::ReadOnly(bytes),
    };
    Buffer { memory, size: table.size }
}
