//! Thirty-two interrupts with consecutive INTIDs: the registers that have one or more bits for each.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst, `GRP_DIST_REGS`, `GRP_REDIST_REGS`, `GRP_LEVEL_INFO`;
//! `arch/arm64/kvm/vgic/vgic-mmio.c`, `vgic-init.c` for reset values.
//!
//! Rule: a register has one row, which reads it, restores it and encodes it. Private interrupts of a vCPU (redistributor) and SPIs
//! (distributor) have the same registers at other offsets: both are in the row.

use crate::Attr;
use crate::topology::Mpidr;
use crate::uapi::vgic_v3::{dist, redist};

/// A register, or an array of them, that has bits for each of 32 interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRow {
    /// Where it is: the distributor's for INTID 0, the redistributor's.
    pub(crate) at: BlockRegister,
    /// Bits for each interrupt, which is also the number of 32-bit words.
    pub(crate) bits: u32,
    /// The first word and the others in a new VM: of SGIs and PPIs.
    pub(crate) private_reset: [u32; 2],
    /// Each word in a new VM: of SPIs.
    pub(crate) spi_reset: u32,
}

/// Where a register of a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockRegister {
    /// Offset in the distributor for INTID 0, offset in the redistributor.
    Frames(u32, u32),
    /// `GRP_LEVEL_INFO`.
    LineLevels,
}

/// Words of a field of a block.
trait Words: Default {
    const COUNT: usize;

    fn words(&self) -> &[u32];

    fn words_mut(&mut self) -> &mut [u32];
}

impl Words for u32 {
    const COUNT: usize = 1;

    fn words(&self) -> &[u32] {
        core::slice::from_ref(self)
    }

    fn words_mut(&mut self) -> &mut [u32] {
        core::slice::from_mut(self)
    }
}

impl<const N: usize> Words for [u32; N]
where
    [u32; N]: Default,
{
    const COUNT: usize = N;

    fn words(&self) -> &[u32] {
        self
    }

    fn words_mut(&mut self) -> &mut [u32] {
        self
    }
}

macro_rules! interrupt_block {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident $row:ident: $ty:ty = $at:expr, private $private:expr, spi $spi:expr;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $ty,)*
        }

        impl $name {
            $(pub(crate) const $row: BlockRow =
                BlockRow { at: $at, bits: <$ty as Words>::COUNT as u32, private_reset: $private, spi_reset: $spi };)*

            /// The rows, in the order of the fields.
            pub(crate) const ROWS: &'static [BlockRow] = &[$(Self::$row),*];

            /// The words of each row, in the same order.
            pub(crate) fn rows(&self) -> impl Iterator<Item = (&'static BlockRow, &[u32])> {
                Self::ROWS.iter().zip([$(self.$field.words()),*])
            }

            /// Reads every word, in order: of a row, the one with this number.
            pub(crate) fn read<E>(mut get: impl FnMut(&'static BlockRow, u32) -> Result<u32, E>) -> Result<Self, E> {
                let mut block = $name::default();
                for (row, words) in Self::ROWS.iter().zip([$(block.$field.words_mut()),*]) {
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
    /// State of 32 interrupts, one bit, two bits or a byte each.
    ///
    /// More registers may come: made by `default`, and changed by its fields.
    InterruptBlock {
        /// Group: `IGROUPR`.
        group GROUP: u32 = BlockRegister::Frames(dist::GICD_IGROUPR, redist::GICR_IGROUPR0), private [u32::MAX; 2], spi u32::MAX;
        /// Enabled: `ISENABLER`.
        enable ENABLE: u32 = BlockRegister::Frames(dist::GICD_ISENABLER, redist::GICR_ISENABLER0), private [0xffff; 2], spi 0;
        /// Trigger modes, two bits each: `ICFGR`, two registers.
        config CONFIG: [u32; 2] = BlockRegister::Frames(dist::GICD_ICFGR, redist::GICR_ICFGR0),
            private [0xaaaa_aaaa, 0], spi 0xaaaa_aaaa;
        /// Line levels: `GRP_LEVEL_INFO`.
        level LEVEL: u32 = BlockRegister::LineLevels, private [0; 2], spi 0;
        /// Pending latches: `ISPENDR`. A level interrupt whose line is high is pending without it.
        pending PENDING: u32 = BlockRegister::Frames(dist::GICD_ISPENDR, redist::GICR_ISPENDR0), private [0; 2], spi 0;
        /// Active: `ISACTIVER`.
        active ACTIVE: u32 = BlockRegister::Frames(dist::GICD_ISACTIVER, redist::GICR_ISACTIVER0), private [0; 2], spi 0;
        /// Priorities, a byte each: `IPRIORITYR`, eight registers.
        priority PRIORITY: [u32; 8] = BlockRegister::Frames(dist::GICD_IPRIORITYR, redist::GICR_IPRIORITYR0), private [0; 2], spi 0;
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
    /// Targets: `IROUTER`, `[31:0]` of each; KVM keeps Aff2 to Aff0 and has nothing in `[63:32]`.
    pub router: [u32; 32],
}

impl SpiBlock {
    /// The SPIs from an INTID on, a multiple of 32, with zero in every register.
    #[must_use]
    pub fn new(first: u32) -> Self {
        SpiBlock { first, interrupts: InterruptBlock::default(), router: [0; 32] }
    }
}

/// Where a block's registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockAt {
    /// SGIs and PPIs of a vCPU, in its redistributor.
    Private(Mpidr),
    /// SPIs from this INTID on, in the distributor; the vCPU names line levels, whichever it is.
    Spis(u32, Mpidr),
}

impl BlockAt {
    /// First INTID.
    pub(crate) const fn first(self) -> u32 {
        match self {
            BlockAt::Private(_) => 0,
            BlockAt::Spis(first, _) => first,
        }
    }

    /// Word `n` of a row.
    pub(crate) const fn attr(self, row: &BlockRow, n: u32) -> Attr<u32> {
        match (row.at, self) {
            (BlockRegister::Frames(_, offset), BlockAt::Private(mpidr)) => Attr::redist(mpidr, offset + 4 * n),
            (BlockRegister::Frames(offset, _), BlockAt::Spis(first, _)) => Attr::dist(offset + first * row.bits / 8 + 4 * n),
            (BlockRegister::LineLevels, BlockAt::Private(mpidr) | BlockAt::Spis(_, mpidr)) => {
                Attr::line_levels(mpidr, self.first())
            }
        }
    }

    /// `ICENABLER`.
    pub(crate) const fn clear_enable(self) -> Attr<u32> {
        self.attr(
            &BlockRow { at: BlockRegister::Frames(dist::GICD_ICENABLER, redist::GICR_ICENABLER0), ..InterruptBlock::ENABLE },
            0,
        )
    }

    /// `ICACTIVER`.
    pub(crate) const fn clear_active(self) -> Attr<u32> {
        self.attr(
            &BlockRow { at: BlockRegister::Frames(dist::GICD_ICACTIVER, redist::GICR_ICACTIVER0), ..InterruptBlock::ACTIVE },
            0,
        )
    }
}

/// `GICD_IROUTER` of an SPI, `[31:0]`: 8 bytes for each interrupt, counted from INTID 0.
pub(crate) const fn router(intid: u32) -> Attr<u32> {
    Attr::dist(dist::GICD_IROUTER + 8 * intid)
}
