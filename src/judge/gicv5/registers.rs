//! The registers of an IRS and of CPU interfaces: tables that they do not describe, and bits that KVM drops.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-irs-v5.c`, `vgic-sys-reg-v5.c`, `vgic-v5-tables.c`, Linux 7.4.
//!
//! Rule: what the kernel would refuse halfway is accepted by no threshold; a bit that it drops is reported.

use crate::Attr;
use crate::buffer::IstKind;
use crate::registers::{RegisterTable, Row};
use crate::report::{Place, Problem, Report};
use crate::state::gicv5::{CpuInterface, Gicv5State, ICC_CR0_ONES, Idr2, IrsState, Ist, IstBaser, IstCfgr};
use crate::topology::LpiIdBits;
use crate::uapi::vgic_v5::irs::GICV5_IRS_CR1;
use crate::uapi::vgic_v5::irs_fields::{GICV5_IRS_CR0_IDLE, GICV5_IRS_CR1_VMT_WA, GICV5_IRS_CR1_VPET_WA};
use crate::uapi::vgic_v5::{KVM_DEV_ARM_VGIC_GRP_IRS_REGS, icc, irs};

/// Judges the registers, and whether the tables are those that they describe.
pub(super) fn registers(state: &Gicv5State<'_>, report: &mut Report) {
    let idr2 = Idr2::from_bits(state.identity.idr2);
    let (min, max) = (idr2.min_lpi_id_bits(), idr2.id_bits());
    if min > max {
        let place = Place::register(Attr::irs(irs::GICV5_IRS_IDR2).id(), min).allowed(0_u8, max);
        report.add_refused(Problem::LpiIdBounds, place);
    }
    kinds(state, report);
    size(Place::register(Attr::nr_irqs().id(), 0_u32), &state.spi_ist, state.spi_count.ist_bytes(), report);
    lpi_table(state, min, max, report);
    ignored_bits(state, report);
}

/// Whether each table is in its place.
fn kinds(state: &Gicv5State<'_>, report: &mut Report) {
    for (expected, table) in [(IstKind::Spi, Some(&state.spi_ist)), (IstKind::Lpi, state.lpi_ist.as_ref())] {
        if let Some(table) = table.filter(|table| table.kind() != expected) {
            report.add_refused(Problem::IstKind, Place { interrupt: table.entries().next().map(|(id, _)| id), ..Place::default() });
        }
    }
}

/// Compares the size of a table with the one that a register gives it.
fn size(place: Place, table: &Ist<'_>, expected: usize, report: &mut Report) {
    let found = table.as_bytes().len();
    if found != expected {
        let place = Place { value: Some(found as u64), ..place }.allowed(expected as u64, expected as u64);
        report.add_refused(Problem::IstMisfit, place);
    }
}

fn lpi_table(state: &Gicv5State<'_>, min: u8, max: u8, report: &mut Report) {
    let baser =
        |found: bool, expected: bool| Place::register(Attr::irs(irs::GICV5_IRS_IST_BASER).id(), found).allowed(expected, expected);
    let table = match (&state.lpi_ist, IstBaser::from_bits(state.irs.ist_baser).valid()) {
        (None, false) => return, // the kernel judges IRS_IST_CFGR only once there is a table
        (Some(_), false) => return report.add_refused(Problem::IstMisfit, baser(false, true)),
        (None, true) => return report.add_refused(Problem::IstMisfit, baser(true, false)),
        (Some(table), true) => table,
    };
    let register = Attr::irs(irs::GICV5_IRS_IST_CFGR).id();
    let cfgr = IstCfgr::from_bits(state.irs.ist_cfgr);
    if cfgr.structure() || cfgr.istsz() != 0 || cfgr.reserved() {
        report.add_refused(Problem::IstCfgr, Place::register(register, state.irs.ist_cfgr));
    }
    let found = cfgr.lpi_id_bits();
    let bits = LpiIdBits::new(found.into()).ok().filter(|_| (min..=max).contains(&found));
    match bits {
        Some(bits) => size(Place::register(register, 0_u32), table, bits.ist_bytes(), report),
        // No value is allowed: there is a finding of that.
        None if min > max => {}
        None => {
            let place = Place::register(register, found).allowed(min, u32::from(max).min(LpiIdBits::MAX.get()));
            report.add_refused(Problem::LpiIdBits, place);
        }
    }
}

/// What a register reads after a write.
#[derive(Clone, Copy)]
struct Written {
    /// Bits that KVM keeps; it drops the others without an error.
    kept: u64,
    /// Bits that read 1 whatever is written.
    ones: u64,
}

impl Written {
    /// Whether it reads otherwise than it was written.
    const fn differs_from(self, value: u64) -> bool {
        value & !self.kept | !value & self.ones != 0
    }
}

/// Of an IRS register of class "state".
const fn irs_written(row: &Row) -> Written {
    let kept = match row.key {
        GICV5_IRS_CR1 => row.known_bits() & !((GICV5_IRS_CR1_VMT_WA | GICV5_IRS_CR1_VPET_WA) as u64),
        _ => row.known_bits(),
    };
    Written { kept, ones: if row.key == irs::GICV5_IRS_CR0 { GICV5_IRS_CR0_IDLE as u64 } else { 0 } }
}

/// Of a CPU interface register.
const fn icc_written(row: &Row) -> Written {
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
    const CR0: u32 = icc::SYS_ICC_CR0_EL1 as u32;
    let kept = match row.key {
        PRIORITYR0..=PRIORITYR7 => 0x1f1f_1f1f_1f1f_1f1f,
        PRIORITYR8..=PRIORITYR15 | PPI_ENABLER1 | PPI_SACTIVER1 | PPI_SPENDR1 => 0,
        CR0 | ICSR | PCR => row.known_bits(),
        APR => 0xffff_ffff,
        _ => u64::MAX,
    };
    // LINK and LINK_IDLE.
    Written { kept, ones: if row.key == CR0 { ICC_CR0_ONES } else { 0 } }
}

/// The same of all rows of a table, in their order: looked up once, when this is compiled.
const fn all_written<const N: usize>(mut rows: &[Row]) -> [Written; N] {
    let mut all = [Written { kept: 0, ones: 0 }; N];
    let mut rest: &mut [Written] = &mut all;
    while let ([row, rows_after @ ..], [written, rest_after @ ..]) = (rows, rest) {
        *written = if row.group == KVM_DEV_ARM_VGIC_GRP_IRS_REGS { irs_written(row) } else { icc_written(row) };
        (rows, rest) = (rows_after, rest_after);
    }
    all
}

const IRS_WRITTEN: [Written; IrsState::REGISTERS.len()] = all_written(IrsState::REGISTERS);
const ICC_WRITTEN: [Written; CpuInterface::REGISTERS.len()] = all_written(CpuInterface::REGISTERS);

/// The registers that read otherwise when they were written.
fn ignored(rows: impl Iterator<Item = (&'static Row, u64)>, written: &[Written]) -> impl Iterator<Item = (&'static Row, u64)> {
    rows.zip(written).filter(|((_, value), written)| written.differs_from(*value)).map(|(row, _)| row)
}

fn ignored_bits(state: &Gicv5State<'_>, report: &mut Report) {
    for (row, value) in ignored(state.irs.rows(), &IRS_WRITTEN) {
        report.add(Problem::IgnoredBits, Place::register(Attr::irs(row.key).id(), value));
    }
    for vcpu in &state.vcpus {
        for (row, value) in ignored(vcpu.registers.rows(), &ICC_WRITTEN) {
            report.add(Problem::IgnoredBits, Place::register(Attr::cpu_sysreg(vcpu.vcpu.mpidr, row.key as u16).id(), value));
        }
    }
}
