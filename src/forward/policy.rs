//! What an untrusted queue may ask of an ITS.
//!
//! Source: Arm IHI 0069, `GITS_TYPER`, "ITS commands"; the fields that have to be judged are those of pKVM's hardening of the ITS.
//!
//! Rule: what is not allowed is refused; arithmetic on untrusted values says when it does not fit.

use super::refusal::CommandRefusal;
use crate::its::FIRST_LPI;
use crate::its::command::{RdBase, Version};
use crate::memory::GuestRange;
use crate::uapi::vgic_v3::its::*;

/// What an untrusted queue may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// Ranges of IDs.
    pub limits: IdLimits,
    /// Targets of collections and vPEs.
    pub targets: Targets<'a>,
    /// Memory for tables.
    pub memory: TableMemory<'a>,
    /// What becomes of the queue when a command is refused.
    pub on_refusal: OnRefusal,
    /// Refuse a command with reserved bits set. Otherwise it is passed on without them.
    pub strict: bool,
    /// How many commands are looked at in one call, at most.
    pub batch: u32,
}

/// A configuration that no ITS can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The untrusted queue has 2 to 32768 commands of 32 bytes.
    #[error("no such length of the untrusted queue")]
    UntrustedQueue,
    /// The trusted queue has 2 to 32768 commands.
    #[error("no such length of the trusted queue")]
    TrustedQueue,
    /// One of [`IdLimits`] is not in its range.
    #[error("a limit is out of its range")]
    Limits,
    /// The granule is no power of two.
    #[error("the granule is no power of two")]
    Granule,
}

/// What becomes of the queue when a command is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRefusal {
    /// It stalls, until `GITS_CWRITER` is written with Retry (bit 0): the command is then fetched and judged again.
    #[default]
    Stall,
    /// The command has no effect, and the next one is looked at.
    Skip,
}

/// Ranges of IDs: what the ITS has, `GITS_TYPER`, and how far its tables reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdLimits {
    /// Which commands there are.
    pub version: Version,
    /// Bytes of an entry of an interrupt translation table, 1 to 16.
    pub itt_entry_bytes: u32,
    /// Bits of a DeviceID, 1 to 32. The device table may be shorter.
    pub device_bits: u32,
    /// Bits of an EventID, 1 to 32.
    pub event_bits: u32,
    /// Number of collections: ICIDs are below. Those in the ITS (`GITS_TYPER.HCC`) and those in the collection table.
    pub collections: u32,
    /// Bits of an INTID, 14 to 32: `GICR_PROPBASER.IDbits` + 1, at most `GICD_TYPER.IDbits` + 1. For vINTIDs, too.
    pub intid_bits: u32,
    /// Number of vPEs: vPEIDs are below. The table of vPEs may be shorter.
    pub vpes: u32,
    /// The ITSes that take part in `VMOVP`; `None` if one of them is enough (`GITS_TYPER.VMOVP`), and the list is reserved.
    pub its_list: Option<ItsList>,
}

/// The ITSes that take part in `VMOVP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItsList {
    /// The number of this ITS, `GITS_CTLR.ITS_Number`: 0 to 15.
    pub number: u8,
    /// A bit for each ITS that gets commands from the same layer.
    pub all: u16,
}

impl IdLimits {
    /// From `GITS_TYPER`. Collections and vPEs are as many as their IDs have bits; INTIDs have 16 bits; `VMOVP` is for one ITS, number 0.
    /// The caller narrows or corrects these.
    #[must_use]
    pub const fn from_typer(typer: u64) -> Self {
        const fn bits(typer: u64, mask: u64) -> u32 {
            ((typer & mask) >> mask.trailing_zeros()) as u32 + 1
        }
        let collection_bits = if typer & GITS_TYPER_CIL != 0 { bits(typer, GITS_TYPER_CIDBITS) } else { 16 };
        IdLimits {
            version: Version::from_typer(typer),
            itt_entry_bytes: bits(typer, GITS_TYPER_ITT_ENTRY_SIZE),
            device_bits: bits(typer, GITS_TYPER_DEVBITS),
            event_bits: bits(typer, GITS_TYPER_IDBITS),
            collections: 1 << collection_bits,
            intid_bits: 16,
            vpes: 1 << 16,
            its_list: if typer & GITS_TYPER_VMOVP != 0 { None } else { Some(ItsList { number: 0, all: 1 }) },
        }
    }
}

/// Targets of collections and vPEs: the field RDbase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets<'a> {
    /// `GITS_TYPER.PTA` = 0: numbers of PEs below this one.
    Processors(u32),
    /// `GITS_TYPER.PTA` = 1: addresses of redistributors, multiples of 64 KiB.
    Addresses(&'a [u64]),
}

/// Memory for tables. A table has to be in one range of its list: ranges that touch have to be given as one.
#[derive(Clone, Copy, Debug)]
pub struct TableMemory<'a> {
    /// For interrupt translation tables.
    pub itts: &'a [GuestRange],
    /// For virtual pending tables.
    pub vpts: &'a [GuestRange],
    /// For virtual configuration tables. The ITS only reads them.
    pub vconfs: &'a [GuestRange],
    /// For second levels of tables.
    pub level2: &'a [GuestRange],
    /// Never, whatever the other lists say.
    pub protected: &'a [GuestRange],
    /// Bytes of the page that the owner of the memory loses at once, a power of two; 0 is 1. Memory is taken and given back in multiples
    /// of it.
    ///
    /// Interrupt translation tables may share one, since an operating system packs them: Linux puts up to 16 of 256 bytes into a page of
    /// 4 KiB. The page is the ITS's from the first of them to the last, and [`Owner`](super::Owner) hears of it once. It must be all in
    /// memory that is allowed. Tables of other kinds share none, with anything.
    pub granule: u64,
}

/// What a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Itt,
    Vpt,
    Vconf,
    Level2,
}

impl Policy<'_> {
    pub(super) fn check(&self) -> Result<(), SetupError> {
        let limits = &self.limits;
        let bits = [limits.device_bits, limits.event_bits, limits.intid_bits];
        let number = limits.its_list.map_or(0, |list| list.number);
        if bits.iter().any(|bits| !(1..=32).contains(bits))
            || limits.intid_bits < 14
            || !(1..=16).contains(&limits.itt_entry_bytes)
            || number > 15
        {
            return Err(SetupError::Limits);
        }
        self.memory.granule.max(1).is_power_of_two().then_some(()).ok_or(SetupError::Granule)
    }

    pub(super) fn target(&self, rdbase: RdBase) -> Result<(), CommandRefusal> {
        let allowed = match self.targets {
            Targets::Processors(bound) => rdbase.get() < u64::from(bound),
            Targets::Addresses(addresses) => addresses.contains(&rdbase.to_address()),
        };
        allowed.then_some(()).ok_or(CommandRefusal::Target)
    }

    pub(super) fn collection(&self, icid: u16) -> Result<(), CommandRefusal> {
        (u32::from(icid) < self.limits.collections).then_some(()).ok_or(CommandRefusal::CollectionOutOfRange)
    }

    pub(super) fn device(&self, device: u32) -> Result<(), CommandRefusal> {
        fits(device, self.limits.device_bits).then_some(()).ok_or(CommandRefusal::DeviceOutOfRange)
    }

    pub(super) fn vpe(&self, vpe: u16) -> Result<(), CommandRefusal> {
        (u32::from(vpe) < self.limits.vpes).then_some(()).ok_or(CommandRefusal::VpeOutOfRange)
    }

    pub(super) fn lpi(&self, intid: u32) -> Result<(), CommandRefusal> {
        is_lpi(intid, self.limits.intid_bits).then_some(()).ok_or(CommandRefusal::IntidOutOfRange)
    }

    /// An LPI, or the number that says that there is none.
    pub(super) fn doorbell(&self, intid: u32) -> Result<(), CommandRefusal> {
        const NONE: u32 = 1023;
        if intid == NONE { Ok(()) } else { self.lpi(intid) }
    }

    /// The list of `VMOVP`; what is reserved becomes 0.
    pub(super) fn its_list(&self, sequence: u16, list: u16) -> Result<(u16, u16), CommandRefusal> {
        let Some(ItsList { number, all }) = self.limits.its_list else { return Ok((0, 0)) };
        let this = 1_u16.checked_shl(number.into()).unwrap_or(0);
        if list & this == 0 || list & !all != 0 {
            return Err(CommandRefusal::ItsList);
        }
        Ok((sequence, list))
    }

    /// The granules that have a byte of this range.
    pub(super) const fn granules(&self, range: GuestRange) -> GuestRange {
        let mask = self.granule_bytes() - 1;
        GuestRange { start: range.start & !mask, end: range.end.saturating_add(mask) & !mask }
    }

    pub(super) const fn granule_bytes(&self) -> u64 {
        if self.memory.granule == 0 { 1 } else { self.memory.granule }
    }

    /// Where a table is, if it may be there: the table itself, if it may share its granules, otherwise all of them.
    pub(super) fn place(&self, kind: Kind, address: u64, bytes: u64) -> Result<GuestRange, CommandRefusal> {
        let lists = &self.memory;
        let allowed = match kind {
            Kind::Itt => lists.itts,
            Kind::Vpt => lists.vpts,
            Kind::Vconf => lists.vconfs,
            Kind::Level2 => lists.level2,
        };
        let end = address.checked_add(bytes).ok_or(CommandRefusal::Memory)?;
        // No page ends at 2^64.
        end.checked_add(self.granule_bytes() - 1).ok_or(CommandRefusal::Memory)?;
        let table = GuestRange { start: address, end };
        let range = self.granules(table);
        let inside = |outer: &GuestRange| outer.start <= range.start && range.end <= outer.end;
        if !allowed.iter().any(inside) || lists.protected.iter().any(|protected| overlap(*protected, range)) {
            return Err(CommandRefusal::Memory);
        }
        Ok(if matches!(kind, Kind::Itt) { table } else { range })
    }
}

/// The value has no more bits than these.
pub(super) const fn fits(value: u32, bits: u32) -> bool {
    bits >= 32 || value >> bits == 0
}

pub(super) const fn is_lpi(intid: u32, bits: u32) -> bool {
    intid >= FIRST_LPI && fits(intid, bits)
}

pub(super) const fn overlap(a: GuestRange, b: GuestRange) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_their_bits() {
        assert!(fits(0, 1) && fits(1, 1) && !fits(2, 1) && fits(u32::MAX, 32) && !fits(u32::MAX, 31));
        assert!(!is_lpi(8191, 32) && is_lpi(8192, 14) && is_lpi(16383, 14) && !is_lpi(16384, 14));
    }

    #[test]
    fn ranges_that_touch_do_not_overlap() {
        let range = |start, end| GuestRange { start, end };
        assert!(!overlap(range(0, 4), range(4, 8)) && !overlap(range(4, 8), range(0, 4)));
        assert!(overlap(range(0, 5), range(4, 8)) && overlap(range(0, 9), range(4, 8)) && overlap(range(5, 6), range(4, 8)));
    }

    #[test]
    fn a_place_does_not_wrap_around() {
        let all = &[GuestRange { start: 0, end: u64::MAX }];
        let memory = |granule| TableMemory { itts: all, vpts: all, vconfs: all, level2: all, protected: &[], granule };
        let policy = |granule| Policy {
            limits: IdLimits::from_typer(0),
            targets: Targets::Processors(0),
            memory: memory(granule),
            on_refusal: OnRefusal::Stall,
            strict: false,
            batch: 0,
        };
        let (range, table) = (GuestRange { start: 0x1000, end: 0x3000 }, GuestRange { start: 0x1fff, end: 0x2001 });
        assert_eq!(policy(0x1000).place(Kind::Vpt, 0x1fff, 2), Ok(range));
        // Others may be in its granules.
        assert_eq!(policy(0x1000).place(Kind::Itt, 0x1fff, 2), Ok(table));
        assert_eq!(policy(0x1000).place(Kind::Itt, u64::MAX - 8, 2), Err(CommandRefusal::Memory));
        assert_eq!(policy(0).place(Kind::Vpt, 0x1fff, 2), Ok(GuestRange { start: 0x1fff, end: 0x2001 }));
        assert_eq!(policy(0).place(Kind::Vconf, u64::MAX, 2), Err(CommandRefusal::Memory));
        assert_eq!(policy(0x1000).place(Kind::Level2, u64::MAX - 8, 2), Err(CommandRefusal::Memory));
    }
}
