//! Thirty-two interrupts: the registers that have one or more bits for each.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst, `GRP_DIST_REGS`, `GRP_REDIST_REGS`, `GRP_LEVEL_INFO`;
//! `arch/arm64/kvm/vgic/vgic-mmio.c`.
//!
//! Rule: private interrupts of a vCPU (redistributor) and SPIs (distributor) have the same registers at other offsets; what differs
//! is said once, in [`BankAt`].

use crate::Attr;
use crate::topology::Mpidr;
use crate::uapi::vgic_v3::{dist, redist};

/// State of 32 interrupts, one bit, two bits or a byte each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bank {
    /// Group: `IGROUPR`.
    pub group: u32,
    /// Enabled: `ISENABLER`.
    pub enable: u32,
    /// Trigger modes, two bits each: `ICFGR`, two registers.
    pub config: [u32; 2],
    /// Line levels: `GRP_LEVEL_INFO`.
    pub level: u32,
    /// Pending latches: `ISPENDR`. A level interrupt whose line is high is pending without it.
    pub pending: u32,
    /// Active: `ISACTIVER`.
    pub active: u32,
    /// Priorities, a byte each: `IPRIORITYR`, eight registers.
    pub priority: [u32; 8],
}

/// Thirty-two SPIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpiBank {
    /// First INTID: a multiple of 32.
    pub first: u32,
    /// State of the interrupts.
    pub bank: Bank,
    /// Targets: `IROUTER`, `[31:0]` of each; KVM keeps Aff2 to Aff0 and has nothing in `[63:32]`.
    pub router: [u32; 32],
}

/// Where a bank's registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BankAt {
    /// SGIs and PPIs of a vCPU, in its redistributor.
    Private(Mpidr),
    /// SPIs from this INTID on, in the distributor; the vCPU names line levels, whichever it is.
    Spis(u32, Mpidr),
}

impl BankAt {
    /// First INTID.
    pub(crate) const fn first(self) -> u32 {
        match self {
            BankAt::Private(_) => 0,
            BankAt::Spis(first, _) => first,
        }
    }

    /// Register `n` of the array that begins at these offsets, `bits` bits for each interrupt.
    const fn register(self, dist: u32, redist: u32, bits: u32, n: u32) -> Attr<u32> {
        match self {
            BankAt::Private(mpidr) => Attr::redist(mpidr, redist + 4 * n),
            BankAt::Spis(first, _) => Attr::dist(dist + first * bits / 8 + 4 * n),
        }
    }

    pub(crate) const fn group(self) -> Attr<u32> {
        self.register(dist::GICD_IGROUPR, redist::GICR_IGROUPR0, 1, 0)
    }

    pub(crate) const fn enable(self) -> Attr<u32> {
        self.register(dist::GICD_ISENABLER, redist::GICR_ISENABLER0, 1, 0)
    }

    pub(crate) const fn clear_enable(self) -> Attr<u32> {
        self.register(dist::GICD_ICENABLER, redist::GICR_ICENABLER0, 1, 0)
    }

    pub(crate) const fn config(self, n: u32) -> Attr<u32> {
        self.register(dist::GICD_ICFGR, redist::GICR_ICFGR0, 2, n)
    }

    pub(crate) const fn level(self) -> Attr<u32> {
        match self {
            BankAt::Private(mpidr) | BankAt::Spis(_, mpidr) => Attr::line_levels(mpidr, self.first()),
        }
    }

    pub(crate) const fn pending(self) -> Attr<u32> {
        self.register(dist::GICD_ISPENDR, redist::GICR_ISPENDR0, 1, 0)
    }

    pub(crate) const fn active(self) -> Attr<u32> {
        self.register(dist::GICD_ISACTIVER, redist::GICR_ISACTIVER0, 1, 0)
    }

    pub(crate) const fn clear_active(self) -> Attr<u32> {
        self.register(dist::GICD_ICACTIVER, redist::GICR_ICACTIVER0, 1, 0)
    }

    pub(crate) const fn priority(self, n: u32) -> Attr<u32> {
        self.register(dist::GICD_IPRIORITYR, redist::GICR_IPRIORITYR0, 8, n)
    }
}

/// `GICD_IROUTER` of an SPI, `[31:0]`: 8 bytes for each interrupt, counted from INTID 0.
pub(crate) const fn router(intid: u32) -> Attr<u32> {
    Attr::dist(dist::GICD_IROUTER + 8 * intid)
}

impl Bank {
    /// Reads every register of a bank.
    pub(crate) fn read<E>(at: BankAt, mut get: impl FnMut(Attr<u32>) -> Result<u32, E>) -> Result<Self, E> {
        let mut bank = Bank {
            group: get(at.group())?,
            enable: get(at.enable())?,
            config: [get(at.config(0))?, get(at.config(1))?],
            level: get(at.level())?,
            pending: get(at.pending())?,
            active: get(at.active())?,
            priority: [0; 8],
        };
        for (n, priority) in (0..).zip(&mut bank.priority) {
            *priority = get(at.priority(n))?;
        }
        Ok(bank)
    }

    /// The registers as words, in the order of the fields.
    pub(crate) fn words(&self) -> impl Iterator<Item = u32> {
        let Bank { group, enable, config: [c0, c1], level, pending, active, priority } = *self;
        [group, enable, c0, c1, level, pending, active].into_iter().chain(priority)
    }

    /// Words of a bank.
    pub(crate) const WORDS: usize = 15;

    /// Takes the words that [`Bank::words`] gives.
    pub(crate) fn from_words(mut next: impl FnMut() -> Option<u32>) -> Option<Self> {
        let mut bank = Bank {
            group: next()?,
            enable: next()?,
            config: [next()?, next()?],
            level: next()?,
            pending: next()?,
            active: next()?,
            priority: [0; 8],
        };
        for priority in &mut bank.priority {
            *priority = next()?;
        }
        Some(bank)
    }
}
