//! Looks for oddities in the tables and registers of a state.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5-tables.c` (entries are written through unchecked), `vgic-irs-v5.c` and `vgic-sys-reg-v5.c`
//! (bits that are dropped without an error), Linux 7.4.
//!
//! Rule: every entry and every register is looked at; those that are zero cost next to nothing.

use super::ist::intid;
use super::{Gicv5State, Idr1, Ist, Iste};
use crate::buffer::IstKind;
use crate::check::{Finding, Oddity, Place, Refusal, Report};
use crate::registers::RegisterTable;
use crate::topology::Vcpus;
use crate::uapi::vgic_v5::{icc, irs, irs_fields, ist};
use crate::{Attr, AttrId};

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

/// Looks at every entry and register of a state.
pub(super) fn scan(state: &Gicv5State<'_>, vcpus: &Vcpus) -> Result<Report, Refusal> {
    let mut report = Report::default();
    let priorities = priority_mask(Idr1::from_bits(state.identity.idr1));
    let targets = Targets::new(vcpus);
    scan_table(&state.spi_ist, IstKind::Spi, &targets, priorities, &mut report)?;
    if let Some(lpi_ist) = &state.lpi_ist {
        scan_table(lpi_ist, IstKind::Lpi, &targets, priorities, &mut report)?;
    }
    scan_registers(state, &mut report);
    Ok(report)
}

/// The vCPUs that an entry can name.
struct Targets {
    /// One bit per IAFFID: ids are below 512.
    there: [u64; 8],
    /// IAFFIDs below this are all there.
    first_missing: u32,
}

impl Targets {
    fn new(vcpus: &Vcpus) -> Self {
        let mut there = [0_u64; 8];
        for id in vcpus.iter().map(|vcpu| vcpu.id.get()) {
            if let Some(word) = there.get_mut(id as usize / 64) {
                *word |= 1 << (id % 64);
            }
        }
        let first_missing = (0..).zip(vcpus.iter()).find(|(n, vcpu)| vcpu.id.get() != *n).map_or(vcpus.len() as u32, |(n, _)| n);
        Targets { there, first_missing }
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

fn scan_table(table: &Ist<'_>, kind: IstKind, targets: &Targets, priorities: u8, report: &mut Report) -> Result<(), Refusal> {
    const ODDITIES: [Oddity; 5] =
        [Oddity::NoSuchTarget, Oddity::OneOfN, Oddity::PendingDisabled, Oddity::UnimplementedPriority, Oddity::HardwareUse];

    let unimplemented = ist::GICV5_ISTL2E_PRIORITY & !(u32::from(priorities) << ist::GICV5_ISTL2E_PRIORITY.trailing_zeros());
    let mut tallies = [Tally::default(); ODDITIES.len()];
    let [no_target, one_of_n, disabled, priority, hardware_use] = &mut tallies;
    for (chunk, words) in table.words().chunks(STRIDE).enumerate() {
        let (first, seen) = (chunk * STRIDE, Seen::of(words, targets));
        if seen.bits & ist::GICV5_ISTL2E_RES0 != 0 {
            let mut entries = (first..).zip(words.iter().map(|word| u32::from_le_bytes(*word)));
            if let Some((id, entry)) = entries.find(|(_, entry)| entry & ist::GICV5_ISTL2E_RES0 != 0) {
                return Err(Refusal::ReservedBits { interrupt: intid(kind, id), entry });
            }
        }
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
        for (tally, bits) in
            [(&mut *one_of_n, ist::GICV5_ISTL2E_IRM), (&mut *priority, unimplemented), (&mut *hardware_use, ist::GICV5_ISTL2E_HWU)]
        {
            if seen.bits & bits != 0 {
                tally.add(words, first, |word| word & bits != 0);
            }
        }
    }
    for (oddity, tally) in ODDITIES.into_iter().zip(tallies).filter(|(_, tally)| tally.count > 0) {
        let first = Place::Interrupt(intid(kind, tally.first));
        report.findings.push(Finding { oddity, first, count: tally.count });
    }
    Ok(())
}

/// Bits that KVM keeps of an IRS register of class "state"; the rest is dropped without an error.
fn irs_kept(offset: u32) -> u64 {
    use irs_fields::*;
    match offset {
        irs::GICV5_IRS_CR0 => (GICV5_IRS_CR0_IRSEN | GICV5_IRS_CR0_IDLE).into(),
        irs::GICV5_IRS_CR1 => (0xffff & !(GICV5_IRS_CR1_VMT_WA | GICV5_IRS_CR1_VPET_WA)).into(),
        irs::GICV5_IRS_SPI_SELR => GICV5_IRS_SPI_SELR_ID.into(),
        irs::GICV5_IRS_PE_SELR => GICV5_IRS_PE_SELR_IAFFID.into(),
        irs::GICV5_IRS_IST_BASER => GICV5_IRS_IST_BASER_VALID | GICV5_IRS_IST_BASER_ADDR,
        irs::GICV5_IRS_IST_CFGR => {
            (GICV5_IRS_IST_CFGR_LPI_ID_BITS | GICV5_IRS_IST_CFGR_L2SZ | GICV5_IRS_IST_CFGR_ISTSZ | GICV5_IRS_IST_CFGR_STRUCTURE)
                .into()
        }
        _ => u64::MAX,
    }
}

/// Bits that KVM keeps of a CPU interface register. Where LINK and LINK_IDLE of `ICC_CR0_EL1` lie is not known: all of it is allowed.
fn icc_kept(instr: u32) -> u64 {
    const PRIORITYR0: u32 = icc::SYS_ICC_PPI_PRIORITYR0_EL1 as u32;
    const PRIORITYR7: u32 = icc::SYS_ICC_PPI_PRIORITYR7_EL1 as u32;
    const PRIORITYR8: u32 = icc::SYS_ICC_PPI_PRIORITYR8_EL1 as u32;
    const PRIORITYR15: u32 = icc::SYS_ICC_PPI_PRIORITYR15_EL1 as u32;
    const PPI_ENABLER1: u32 = icc::SYS_ICC_PPI_ENABLER1_EL1 as u32;
    const PPI_SACTIVER1: u32 = icc::SYS_ICC_PPI_SACTIVER1_EL1 as u32;
    const PPI_SPENDR1: u32 = icc::SYS_ICC_PPI_SPENDR1_EL1 as u32;
    const ICSR: u32 = icc::SYS_ICC_ICSR_EL1 as u32;
    const APR: u32 = icc::SYS_ICC_APR_EL1 as u32;
    const PCR: u32 = icc::SYS_ICC_PCR_EL1 as u32;
    match instr {
        PRIORITYR0..=PRIORITYR7 => 0x1f1f_1f1f_1f1f_1f1f,
        PRIORITYR8..=PRIORITYR15 | PPI_ENABLER1 | PPI_SACTIVER1 | PPI_SPENDR1 => 0,
        // F, Enabled, Pending, IRM, Active, HM [5:0]; Priority [15:11]; IAFFID [47:32].
        ICSR => 0x0000_ffff_0000_f83f,
        APR => 0xffff_ffff,
        PCR => 0x1f,
        _ => u64::MAX,
    }
}

fn scan_registers(state: &Gicv5State<'_>, report: &mut Report) {
    let mut ignored = |attr: AttrId, count: &mut Option<usize>| match *count {
        None => {
            *count = Some(report.findings.len());
            report.findings.push(Finding { oddity: Oddity::IgnoredBits, first: Place::Register(attr), count: 1 });
        }
        Some(at) => {
            if let Some(finding) = report.findings.get_mut(at) {
                finding.count += 1;
            }
        }
    };
    let mut in_irs = None;
    for (row, value) in state.irs.rows() {
        if value & !irs_kept(row.key) != 0 {
            ignored(Attr::irs(row.key).id(), &mut in_irs);
        }
    }
    let mut in_vcpus = None;
    for vcpu in &state.vcpus {
        for (row, value) in vcpu.registers.rows() {
            if value & !icc_kept(row.key) != 0 {
                ignored(Attr::cpu_sysreg(vcpu.vcpu.mpidr, row.key as u16).id(), &mut in_vcpus);
            }
        }
    }
}
