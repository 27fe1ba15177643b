//! Entries of the tables that KVM writes and reads: ABI revision 0, 64-bit little-endian words.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0".
//!
//! Rule: a field is a bit range of the specification; what is reserved keeps its value.

use bitfield_struct::bitfield;

/// Device table entry.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Dte {
    /// Bits of EventID - 1.
    #[bits(5)]
    pub size: u8,
    /// Bits `[51:8]` of the address of the interrupt translation table.
    #[bits(44)]
    pub itt_51_8: u64,
    /// Distance to the next valid entry, at most 16,383; 0 for the last.
    #[bits(14)]
    pub next: u16,
    /// The device is mapped.
    pub valid: bool,
}

impl Dte {
    /// Greatest distance that an entry can hold: from there on, a reader looks at one entry after the other.
    pub const MAX_NEXT: u32 = (1 << 14) - 1;

    /// Bits of EventID, 1 to 32.
    #[must_use]
    pub const fn event_bits(self) -> u32 {
        self.size() as u32 + 1
    }

    /// Guest physical address of the interrupt translation table.
    #[must_use]
    pub const fn itt(self) -> u64 {
        self.itt_51_8() << 8
    }

    /// The same entry with this table; bits `[7:0]` and `[63:52]` of the address are dropped.
    #[must_use]
    pub const fn with_itt(self, address: u64) -> Self {
        self.with_itt_51_8((address >> 8) & ((1 << 44) - 1))
    }
}

/// Collection table entry. The first that is not valid ends the table.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Cte {
    /// The collection.
    pub icid: u16,
    /// The target, a `vcpu_id`; [`Cte::NOT_MAPPED`] in its lower 32 bits for a collection without one.
    #[bits(36)]
    pub rdbase: u64,
    /// Zero.
    #[bits(11)]
    pub res0: u16,
    /// There is an entry.
    pub valid: bool,
}

impl Cte {
    /// The target of a collection that events name and no `MAPC` has mapped.
    pub const NOT_MAPPED: u32 = u32::MAX;

    /// The target, as KVM takes it: 32 bits.
    #[must_use]
    pub const fn target(self) -> u32 {
        self.rdbase() as u32
    }
}

/// Interrupt translation entry. There is one where `pintid` is not 0.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Ite {
    /// The collection.
    pub icid: u16,
    /// The LPI.
    pub pintid: u32,
    /// Distance to the next entry, at most 65,535; 0 for the last.
    pub next: u16,
}

impl Ite {
    /// Greatest distance that an entry can hold.
    pub const MAX_NEXT: u32 = (1 << 16) - 1;
}

/// Level-1 device table entry.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Level1 {
    /// Zero.
    pub res0: u16,
    /// Bits `[51:16]` of the address of the level-2 table, of 64 KiB.
    #[bits(36)]
    pub address_51_16: u64,
    /// Zero.
    #[bits(11)]
    pub res0_high: u16,
    /// There is a table.
    pub valid: bool,
}

impl Level1 {
    /// Guest physical address of the level-2 table.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.address_51_16() << 16
    }

    /// The same entry with this table; bits `[15:0]` and `[63:52]` of the address are dropped.
    #[must_use]
    pub const fn with_address(self, address: u64) -> Self {
        self.with_address_51_16((address >> 16) & ((1 << 36) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::vgic_v3::its::*;

    #[test]
    fn fields_are_those_of_the_kernel() {
        assert_eq!(Dte::new().with_size(0x1f).into_bits(), KVM_ITS_DTE_SIZE);
        assert_eq!(Dte::new().with_itt(u64::MAX).into_bits(), KVM_ITS_DTE_ITTADDR);
        assert_eq!(Dte::new().with_next(0x3fff).into_bits(), KVM_ITS_DTE_NEXT);
        assert_eq!(Dte::new().with_valid(true).into_bits(), KVM_ITS_DTE_VALID);
        assert_eq!(Cte::new().with_icid(0xffff).into_bits(), KVM_ITS_CTE_ICID);
        assert_eq!(Cte::new().with_rdbase((1 << 36) - 1).into_bits(), KVM_ITS_CTE_RDBASE);
        assert_eq!(Cte::new().with_valid(true).into_bits(), KVM_ITS_CTE_VALID);
        assert_eq!(Ite::new().with_icid(0xffff).into_bits(), KVM_ITS_ITE_ICID);
        assert_eq!(Ite::new().with_pintid(u32::MAX).into_bits(), KVM_ITS_ITE_PINTID);
        assert_eq!(Ite::new().with_next(0xffff).into_bits(), KVM_ITS_ITE_NEXT);
        assert_eq!(Level1::new().with_address(u64::MAX).into_bits(), KVM_ITS_L1E_ADDR);
        assert_eq!(Level1::new().with_valid(true).into_bits(), KVM_ITS_L1E_VALID);
        assert_eq!(Dte::from_bits(0x0123_4567_89ab_cd00).itt(), 0x0123_4567_89ab_cd00 >> 5 << 8 & 0x000f_ffff_ffff_ff00);
    }
}
