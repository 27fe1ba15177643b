//! Where something is wrong.
//!
//! Rule: a place says all that is known of it, by the names of the architecture.

use crate::AttrId;
use crate::its::Table;
use crate::topology::IntId;
use core::fmt;

/// Where a problem is: what is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The register.
    pub register: Option<AttrId>,
    /// The ITS of the register, by the address of its registers.
    pub its: Option<u64>,
    /// The table.
    pub table: Option<Table>,
    /// ICID.
    pub collection: Option<u16>,
    /// DeviceID.
    pub device: Option<u32>,
    /// EventID.
    pub event: Option<u32>,
    /// The interrupt.
    pub interrupt: Option<IntId>,
    /// Guest physical address: of the entry, or of the start of the table.
    pub address: Option<u64>,
    /// The other table, of two that overlap or share an address.
    pub other: Option<Table>,
    /// What was found there: the value of the register or of its field, or the bytes of the table.
    pub value: Option<u64>,
    /// The least and the greatest value that is allowed.
    pub allowed: Option<(u64, u64)>,
}

impl Place {
    fn describe_value(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.value, self.allowed) {
            // No number of bytes is as large: the value of a register.
            (Some(value), Some((least, greatest))) if least == greatest && value >> 24 != 0 => {
                write!(f, " is {value:#x}, must be {least:#x}")
            }
            (Some(value), None) => write!(f, " is {value:#x}"),
            (Some(value), Some((least, greatest))) if least == greatest => write!(f, " is {value}, must be {least}"),
            (Some(value), Some((least, greatest))) => write!(f, " is {value}, must be {least} to {greatest}"),
            (None, _) => Ok(()),
        }
    }

    /// In a table.
    #[must_use]
    pub(crate) fn table(table: Table, address: u64) -> Self {
        Place { table: Some(table), address: Some(address), ..Place::default() }
    }

    /// In a register.
    #[must_use]
    pub(crate) fn register(register: AttrId, value: impl Into<u64>) -> Self {
        Place { register: Some(register), value: Some(value.into()), ..Place::default() }
    }

    /// At an interrupt.
    #[must_use]
    pub(crate) fn interrupt(interrupt: IntId) -> Self {
        Place { interrupt: Some(interrupt), ..Place::default() }
    }

    /// The same, where only these values would do.
    #[must_use]
    pub(crate) fn allowed(self, least: impl Into<u64>, greatest: impl Into<u64>) -> Self {
        Place { allowed: Some((least.into(), greatest.into())), ..self }
    }

    /// Whether one finding can speak for both: the same kind of interrupt, registers of the same group.
    pub(crate) fn is_like(&self, other: &Place) -> bool {
        fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.zip(other).is_some_and(|(one, other)| one != other)
        }
        let kind = |place: &Place| place.interrupt.as_ref().map(core::mem::discriminant);
        let group = |place: &Place| place.register.map(AttrId::group);
        !differ(kind(self), kind(other)) && !differ(group(self), group(other))
    }

    /// Whether both are one register of one ITS or of the GIC itself, whichever its vCPU or its number in an array.
    pub(crate) fn is_same_register(&self, other: &Place) -> bool {
        self.its == other.its
            && match (self.register, other.register) {
                (Some(one), Some(other)) => one.has_name_of(other),
                (one, other) => one == other,
            }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut part = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            let written = write!(f, "{separator}{text}");
            separator = ", ";
            written
        };
        match (self.register, self.its) {
            (Some(register), Some(its)) => part(f, format_args!("{register} of the ITS at {its:#x}"))?,
            (Some(register), None) => part(f, format_args!("{register}"))?,
            (None, Some(its)) => part(f, format_args!("ITS at {its:#x}"))?,
            (None, None) => {}
        }
        if self.register.is_some() {
            self.describe_value(f)?;
        }
        if let Some(table) = self.table {
            part(f, format_args!("{table}"))?;
        }
        if let Some(collection) = self.collection {
            part(f, format_args!("collection {collection:#x}"))?;
        }
        // The name of an ITT has the device in it.
        if let Some(device) = self.device.filter(|_| !matches!(self.table, Some(Table::Itt { .. }))) {
            part(f, format_args!("device {device:#x}"))?;
        }
        if let Some(event) = self.event {
            part(f, format_args!("event {event:#x}"))?;
        }
        if let Some(interrupt) = self.interrupt {
            part(f, format_args!("{interrupt}"))?;
        }
        if let Some(other) = self.other {
            part(f, format_args!("and the {other}"))?;
        }
        if let Some(address) = self.address {
            part(f, format_args!("at {address:#x}"))?;
        }
        if self.register.is_some() { Ok(()) } else { self.describe_value(f) }
    }
}
