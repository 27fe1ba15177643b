//! Thirty-two interrupts with consecutive INTIDs: the distributor registers that have one or more bits for each.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst, `GRP_DIST_REGS`; `arch/arm64/kvm/vgic/vgic-mmio-v2.c`, `vgic-mmio.c`.
//!
//! Rule: a register has one row, which reads it, restores it and encodes it. SGIs and PPIs have the same registers as SPIs, each vCPU
//! its own.

use crate::Attr;
use crate::topology::VcpuId;
use crate::uapi::vgic_v2::dist::GICD_SPENDSGIR;
use crate::uapi::vgic_v3::dist::*;

/// A register array that has bits for each of 32 interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRow {
    /// Offset of the word with the first interrupt.
    pub(crate) offset: u32,
    /// Bits for each interrupt, which is also the number of 32-bit words.
    pub(crate) bits: u32,
}

macro_rules! interrupt_block {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident $row:ident: $words:literal = $offset:ident;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: [u32; $words],)*
        }

        impl $name {
            $(pub(crate) const $row: BlockRow = BlockRow { offset: $offset, bits: $words };)*

            /// The rows, in the order of the fields.
            pub(crate) const ROWS: &'static [BlockRow] = &[$(Self::$row),*];

            /// The words of each row, in the same order.
            pub(crate) fn rows(&self) -> impl Iterator<Item = (&'static BlockRow, &[u32])> {
                Self::ROWS.iter().zip([$(self.$field.as_slice()),*])
            }

            /// Reads every word, in order: of a row, the one with this number.
            pub(crate) fn read<E>(mut get: impl FnMut(&'static BlockRow, u32) -> Result<u32, E>) -> Result<Self, E> {
                let mut block = $name::default();
                for (row, words) in Self::ROWS.iter().zip([$(block.$field.as_mut_slice()),*]) {
                    for (n, word) in (0..).zip(words) {
                        *word = get(row, n)?;
                    }
                }
                Ok(block)
            }
        }
    };
}

interrupt_block! {
    /// State of 32 interrupts: one bit, two bits or a byte each, in as many words as bits.
    ///
    /// More registers may come: made by `default`, and changed by its fields.
    InterruptBlock {
        /// Group: `GICD_IGROUPR`.
        group GROUP: 1 = GICD_IGROUPR;
        /// Enabled: `GICD_ISENABLER`.
        enable ENABLE: 1 = GICD_ISENABLER;
        /// Trigger modes: `GICD_ICFGR`; bit 1 of each two is 1 for edge.
        config CONFIG: 2 = GICD_ICFGR;
        /// Pending: `GICD_ISPENDR`. KVM shows latches and lines that are high as one: of a level interrupt, it is not told which.
        pending PENDING: 1 = GICD_ISPENDR;
        /// Active: `GICD_ISACTIVER`.
        active ACTIVE: 1 = GICD_ISACTIVER;
        /// Priorities: `GICD_IPRIORITYR`.
        priority PRIORITY: 8 = GICD_IPRIORITYR;
        /// Targets, one bit for each vCPU: `GICD_ITARGETSR`. Of SPIs by the order in which the vCPUs were created. Of SGIs and PPIs read only:
        /// the vCPU itself, by its id, before Linux 6.16 by that order as well.
        targets TARGETS: 8 = GICD_ITARGETSR;
    }
}

impl InterruptBlock {
    /// One bit for each interrupt that is edge-triggered.
    #[must_use]
    pub fn edges(&self) -> u32 {
        let bit = |n: u32| self.config.get(n as usize / 16).is_some_and(|word| word >> (n % 16 * 2 + 1) & 1 != 0);
        (0..32).fold(0, |edges, n| edges | u32::from(bit(n)) << n)
    }
}

/// Thirty-two SPIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SpiBlock {
    /// First INTID: a multiple of 32.
    pub first: u32,
    /// State of the interrupts.
    pub interrupts: InterruptBlock,
}

impl SpiBlock {
    /// The SPIs from an INTID on, a multiple of 32, with zero in every register.
    #[must_use]
    pub fn new(first: u32) -> Self {
        SpiBlock { first, interrupts: InterruptBlock::default() }
    }
}

/// Where the registers of a block are: as which vCPU finds them, and from which INTID on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockAt {
    pub(crate) vcpu: VcpuId,
    pub(crate) first: u32,
}

impl BlockAt {
    /// SGIs and PPIs of a vCPU.
    pub(crate) const fn private(vcpu: VcpuId) -> Self {
        BlockAt { vcpu, first: 0 }
    }

    /// Word `n` of a row.
    pub(crate) const fn attr(self, row: &BlockRow, n: u32) -> Attr<u32> {
        Attr::gicv2_dist(self.vcpu, row.offset + self.first * row.bits / 8 + 4 * n)
    }

    /// The word of a register with one bit for each interrupt.
    pub(crate) const fn bits(self, offset: u32) -> Attr<u32> {
        self.attr(&BlockRow { offset, bits: 1 }, 0)
    }
}

/// Words of the sources of SGIs.
pub(crate) const SGI_WORDS: usize = 4;

/// `GICD_SPENDSGIR` of a vCPU: word `n`.
pub(crate) const fn sgi_sources(vcpu: VcpuId, n: u32) -> Attr<u32> {
    Attr::gicv2_dist(vcpu, GICD_SPENDSGIR + 4 * n)
}
