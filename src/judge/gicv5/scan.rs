//! Looks at every entry of the interrupt state tables.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5-tables.c`, Linux 7.4: entries are written through, and none is checked.
//!
//! Rule: a table is judged entry by entry whatever its registers say; entries that are zero cost next to nothing.

use crate::report::{Finding, Place, Problem, Report};
use crate::state::gicv5::ist::intid;
use crate::state::gicv5::{Gicv5State, Idr1, Ist, Iste};
use crate::topology::VcpuId;
use crate::uapi::vgic_v5::ist;

/// Priority bits of a table entry that the IRS implements: the uppermost `PRIORITY_BITS` + 1 of five.
fn priority_mask(idr1: Idr1) -> u8 {
    let bits = (u32::from(idr1.priority_bits()) + 1).min(5);
    (0x1f_u8 << (5 - bits)) & 0x1f
}

/// Counts of one oddity in one table.
#[derive(Clone, Copy, Default)]
struct Tally {
    first: usize,
    count: u32,
}

/// Looks at every entry of the tables of a state.
pub(super) fn scan(state: &Gicv5State<'_>, report: &mut Report) {
    let priorities = priority_mask(Idr1::from_bits(state.identity.idr1));
    let targets = Targets::new(state.vcpus.iter().map(|vcpu| vcpu.vcpu.id));
    scan_table(&state.spi_ist, &targets, priorities, report);
    if let Some(lpi_ist) = &state.lpi_ist {
        scan_table(lpi_ist, &targets, priorities, report);
    }
}

/// The vCPUs that an entry can name.
struct Targets {
    /// One bit per IAFFID: ids are below 512.
    there: [u64; 8],
    /// IAFFIDs below this are all there.
    first_missing: u32,
}

impl Targets {
    fn new(ids: impl Iterator<Item = VcpuId>) -> Self {
        let mut there = [0_u64; 8];
        for id in ids.map(VcpuId::get) {
            if let Some(word) = there.get_mut(id as usize / 64) {
                *word |= 1 << (id % 64);
            }
        }
        let mut first_missing = 0;
        while there.get(first_missing / 64).is_some_and(|word| word >> (first_missing % 64) & 1 != 0) {
            first_missing += 1;
        }
        Targets { there, first_missing: first_missing as u32 }
    }

    fn has(&self, iaffid: u16) -> bool {
        self.there.get(usize::from(iaffid) / 64).is_some_and(|word| word >> (iaffid % 64) & 1 != 0)
    }
}

/// Entries that are looked at together: most are zero, and of the others hardly one is odd.
const STRIDE: usize = 64;

/// What can be said of some entries without looking at each.
///
/// The shape of the loop is what a compiler makes vectors of.
struct Seen {
    /// Bits that one of them has.
    bits: u32,
    /// One is pending and not enabled.
    pending_disabled: bool,
    /// One may name a target that is not there.
    beyond: bool,
}

impl Seen {
    fn of(words: &[[u8; 4]], targets: &Targets) -> Self {
        let (mut bits, mut pending, mut beyond) = (0_u32, 0_u32, 0_u32);
        // Without a vCPU 0, entries that name no target look as if they named a wrong one.
        let last = targets.first_missing.wrapping_sub(1);
        for word in words {
            let word = u32::from_le_bytes(*word);
            bits |= word;
            pending |= not_enabled(word);
            // Negative if the target is beyond the last one.
            beyond |= last.wrapping_sub(word >> ist::GICV5_ISTL2E_IAFFID.trailing_zeros());
        }
        Seen { bits, pending_disabled: pending & ist::GICV5_ISTL2E_PENDING != 0, beyond: beyond >> 31 != 0 }
    }
}

/// An entry whose bit 0, pending, is only there if bit 3, enable, is not.
const fn not_enabled(word: u32) -> u32 {
    word & !(word >> ist::GICV5_ISTL2E_ENABLE.trailing_zeros())
}

impl Tally {
    /// Counts entries that are odd, of those from `first` on.
    fn add(&mut self, words: &[[u8; 4]], first: usize, odd: impl Fn(u32) -> bool) {
        let count = words.iter().fold(0, |count, word| count + u32::from(odd(u32::from_le_bytes(*word))));
        if self.count == 0
            && let Some(n) = words.iter().position(|word| odd(u32::from_le_bytes(*word)))
        {
            self.first = first + n;
        }
        self.count += count;
    }
}

/// What an entry can have, in the order of the tallies; whether no threshold accepts it.
const PROBLEMS: [(Problem, bool); 6] = [
    (Problem::IstTargetUnknown, false),
    (Problem::IstOneOfN, false),
    (Problem::PendingDisabled, false),
    (Problem::IstPriority, false),
    (Problem::IstHardwareUse, false),
    (Problem::IstReservedBits, true),
];

fn scan_table(table: &Ist<'_>, targets: &Targets, priorities: u8, report: &mut Report) {
    let unimplemented = ist::GICV5_ISTL2E_PRIORITY & !(u32::from(priorities) << ist::GICV5_ISTL2E_PRIORITY.trailing_zeros());
    let mut tallies = [Tally::default(); PROBLEMS.len()];
    let [no_target, one_of_n, disabled, priority, hardware_use, reserved] = &mut tallies;
    for (chunk, words) in table.words().chunks(STRIDE).enumerate() {
        let (first, seen) = (chunk * STRIDE, Seen::of(words, targets));
        if seen.beyond && seen.bits != 0 {
            no_target.add(words, first, |word| {
                // A guest that never configured the interrupt leaves IAFFID 0, whether or not there is a vCPU 0.
                let entry = Iste::from_bits(word);
                (entry.enable() || entry.iaffid() != 0) && !targets.has(entry.iaffid())
            });
        }
        if seen.pending_disabled {
            disabled.add(words, first, |word| not_enabled(word) & ist::GICV5_ISTL2E_PENDING != 0);
        }
        for (tally, bits) in [
            (&mut *one_of_n, ist::GICV5_ISTL2E_IRM),
            (&mut *priority, unimplemented),
            (&mut *hardware_use, ist::GICV5_ISTL2E_HWU),
            (&mut *reserved, ist::GICV5_ISTL2E_RES0),
        ] {
            if seen.bits & bits != 0 {
                tally.add(words, first, |word| word & bits != 0);
            }
        }
    }
    for ((problem, refused), tally) in PROBLEMS.into_iter().zip(tallies).filter(|(_, tally)| tally.count > 0) {
        let value = table.words().get(tally.first).map(|word| u32::from_le_bytes(*word).into());
        let first = Place { value, ..Place::interrupt(intid(table.kind(), tally.first)) };
        report.add_finding(Finding { problem, first, count: tally.count.into(), refused });
    }
}
