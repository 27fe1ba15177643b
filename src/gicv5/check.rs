//! Whether a state can be restored on a device, judged without touching the device.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-irs-v5.c` (which values a write refuses), `vgic-v5-tables.c` (which entries are written through
//! unchecked), `vgic-sys-reg-v5.c` (which bits are dropped), Linux 7.4.
//!
//! Rule: what the target cannot have is refused; what a running guest could have made although it looks wrong is reported, since a
//! migration must not lose a guest over its own oddities.

use super::findings::scan;
use super::registers::RegisterTable;
use super::{Finding, Gicv5State, Idr2, IrsIdentity, Ist, IstBaser, IstCfgr, Report};
use crate::buffer::IstKind;
use crate::topology::{IntId, LpiIdBits, SpiCount, Vcpu, Vcpus};
use crate::uapi::vgic_v5::{irs, irs_fields};
use crate::{Attr, AttrId};
use alloc::vec::Vec;

/// A state that cannot be restored on this device. The device was not accessed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The VM lacks a vCPU that the state has, by both names.
    #[error("the state has {vcpu}, the VM does not")]
    VcpuMissing {
        /// The vCPU of the state.
        vcpu: Vcpu,
    },
    /// The VM has a vCPU that the state lacks, by both names.
    #[error("the VM has {vcpu}, the state does not")]
    VcpuUnexpected {
        /// The vCPU of the VM.
        vcpu: Vcpu,
    },
    /// The number of SPIs differs.
    #[error("the state has {found} SPIs, the device {expected}", found = found.get(), expected = expected.get())]
    SpiCount {
        /// SPIs of the device.
        expected: SpiCount,
        /// SPIs of the state.
        found: SpiCount,
    },
    /// An identification register that the target cannot honour.
    #[error("{register}.{field} is {found}, the device has {expected}: {rule}")]
    Identity {
        /// The register.
        register: AttrId,
        /// The field, by its Arm name.
        field: &'static str,
        /// The value of the device.
        expected: u64,
        /// The value of the state.
        found: u64,
        /// What the kernel accepts.
        rule: &'static str,
    },
    /// `IRS_IST_CFGR` describes a table that the kernel would refuse.
    #[error("IRS_IST_CFGR.{field} is {found}: {rule}")]
    IstCfgr {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What the kernel accepts.
        rule: &'static str,
    },
    /// The width of the LPI IDs is outside what the device and the state's own `IRS_IDR2` allow.
    #[error("IRS_IST_CFGR.LPI_ID_BITS is {found}, from {min} to {max} are possible")]
    LpiIdBits {
        /// The width of the state.
        found: u32,
        /// The least width.
        min: u32,
        /// The greatest width.
        max: u32,
    },
    /// The state has an LPI table, but its guest had none.
    #[error("the state has an LPI IST although IRS_IST_BASER.VALID is 0")]
    LpiIstUnexpected,
    /// The guest had an LPI table, but the state has none.
    #[error("the state has no LPI IST although IRS_IST_BASER.VALID is 1")]
    LpiIstMissing,
    /// A table does not have the size that its registers give it.
    #[error("the {table} has {found} bytes, its registers give it {expected}")]
    IstSize {
        /// The table.
        table: IstKind,
        /// The size that follows from the registers.
        expected: usize,
        /// The size of the table.
        found: usize,
    },
    /// A table entry with reserved bits: no kernel writes one.
    #[error("{interrupt}: reserved bits [8:5] of the entry {entry:#010x} are set")]
    ReservedBits {
        /// The first such interrupt.
        interrupt: IntId,
        /// Its entry.
        entry: u32,
    },
    /// Something a guest could have made but should not have, and the VMM asked for strictness.
    #[error("refused as asked: {0}")]
    Strict(Finding),
}

/// What a state is compared with: the device and the VM it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// SPIs of the device.
    pub spi_count: SpiCount,
    /// Identification registers of the device.
    pub identity: IrsIdentity,
    /// vCPUs of the VM.
    pub vcpus: Vcpus,
}

/// Judges a state against a target, without a device.
///
/// # Errors
///
/// [`Refusal`]: the first reason why the state cannot be restored there; with `strict`, also the first finding.
pub fn check(state: &Gicv5State<'_>, target: &Target, strict: bool) -> Result<Report, Refusal> {
    check_vcpus(state, &target.vcpus)?;
    if state.spi_count != target.spi_count {
        return Err(Refusal::SpiCount { expected: target.spi_count, found: state.spi_count });
    }
    check_identity(&state.identity, &target.identity)?;
    check_tables(state)?;

    let report = scan(state, &target.vcpus)?;
    match report.findings.first() {
        Some(finding) if strict => Err(Refusal::Strict(*finding)),
        _ => Ok(report),
    }
}

fn check_vcpus(state: &Gicv5State<'_>, vcpus: &Vcpus) -> Result<(), Refusal> {
    let mut found: Vec<Vcpu> = state.vcpus.iter().map(|state| state.vcpu).collect();
    found.sort_unstable();
    let mut expected = vcpus.iter();
    for vcpu in found {
        match expected.next() {
            Some(other) if other == vcpu => {}
            Some(other) if other < vcpu => return Err(Refusal::VcpuUnexpected { vcpu: other }),
            _ => return Err(Refusal::VcpuMissing { vcpu }),
        }
    }
    match expected.next() {
        Some(vcpu) => Err(Refusal::VcpuUnexpected { vcpu }),
        None => Ok(()),
    }
}

/// What the kernel asks of a field of an identification register, compared with the device's own.
#[derive(Clone, Copy)]
enum Rule {
    Equal,
    NotGreater,
    NotLess,
}

const IDENTITY_RULES: &[(u32, &str, u32, Rule)] = {
    use Rule::{Equal, NotGreater, NotLess};
    use irs::*;
    use irs_fields::*;
    &[
        (GICV5_IRS_IDR0, "INT_DOM", GICV5_IRS_IDR0_INT_DOM, Equal),
        // Stored unchecked by the kernel: a guest would use addresses that this host does not have.
        (GICV5_IRS_IDR0, "PA_RANGE", GICV5_IRS_IDR0_PA_RANGE, NotGreater),
        // Optional features, none of which KVM offers; then reserved bits.
        (GICV5_IRS_IDR0, "VIRT to SWE", 0xffc0, Equal),
        (GICV5_IRS_IDR1, "PE_CNT", GICV5_IRS_IDR1_PE_CNT, Equal),
        (GICV5_IRS_IDR1, "IAFFID_BITS", GICV5_IRS_IDR1_IAFFID_BITS, Equal),
        (GICV5_IRS_IDR1, "PRIORITY_BITS", GICV5_IRS_IDR1_PRIORITY_BITS, NotGreater),
        (GICV5_IRS_IDR1, "reserved", 0xff80_0000, Equal),
        (GICV5_IRS_IDR2, "LPI", GICV5_IRS_IDR2_LPI, Equal),
        (GICV5_IRS_IDR2, "ID_BITS", GICV5_IRS_IDR2_ID_BITS, NotGreater),
        (GICV5_IRS_IDR2, "MIN_LPI_ID_BITS", GICV5_IRS_IDR2_MIN_LPI_ID_BITS, NotLess),
        (GICV5_IRS_IDR2, "IST_LEVELS", GICV5_IRS_IDR2_IST_LEVELS, Equal),
        (GICV5_IRS_IDR2, "ISTMD", GICV5_IRS_IDR2_ISTMD, Equal),
        (GICV5_IRS_IDR2, "ISTMD_SZ", GICV5_IRS_IDR2_ISTMD_SZ, Equal),
        (GICV5_IRS_IDR2, "reserved", 0xfff0_0000, Equal),
        (GICV5_IRS_IDR5, "SPI_RANGE", u32::MAX, Equal),
        (GICV5_IRS_IDR6, "SPI_IRS_RANGE", u32::MAX, Equal),
        (GICV5_IRS_IDR7, "SPI_BASE", u32::MAX, Equal),
    ]
};

fn check_identity(found: &IrsIdentity, device: &IrsIdentity) -> Result<(), Refusal> {
    for ((row, found), (_, device)) in found.rows().zip(device.rows()) {
        for (_, field, mask, rule) in IDENTITY_RULES.iter().filter(|(offset, ..)| *offset == row.key) {
            let value = |register: u64| (register & u64::from(*mask)) >> mask.trailing_zeros();
            let (found, expected) = (value(found), value(device));
            let (holds, rule) = match rule {
                Rule::Equal => (found == expected, "must be equal"),
                Rule::NotGreater => (found <= expected, "must not be greater"),
                Rule::NotLess => (found >= expected, "must not be less"),
            };
            if !holds {
                return Err(Refusal::Identity { register: Attr::irs(row.key).id(), field, expected, found, rule });
            }
        }
    }
    let idr2 = Idr2::from_bits(found.idr2);
    if idr2.min_lpi_id_bits() > idr2.id_bits() {
        return Err(Refusal::Identity {
            register: Attr::irs(irs::GICV5_IRS_IDR2).id(),
            field: "MIN_LPI_ID_BITS",
            expected: Idr2::from_bits(device.idr2).min_lpi_id_bits().into(),
            found: idr2.min_lpi_id_bits().into(),
            rule: "must not be greater than the ID_BITS beside it",
        });
    }
    Ok(())
}

fn check_tables(state: &Gicv5State<'_>) -> Result<(), Refusal> {
    let size = |table, expected: usize, ist: &Ist<'_>| match ist.as_bytes().len() {
        found if found == expected => Ok(()),
        found => Err(Refusal::IstSize { table, expected, found }),
    };
    size(IstKind::Spi, state.spi_count.ist_bytes(), &state.spi_ist)?;

    let valid = IstBaser::from_bits(state.irs.ist_baser).valid();
    let lpi_ist = match (&state.lpi_ist, valid) {
        (None, false) => return Ok(()), // the kernel judges IRS_IST_CFGR only once there is a table
        (Some(_), false) => return Err(Refusal::LpiIstUnexpected),
        (None, true) => return Err(Refusal::LpiIstMissing),
        (Some(lpi_ist), true) => lpi_ist,
    };
    let cfgr = IstCfgr::from_bits(state.irs.ist_cfgr);
    if cfgr.structure() {
        return Err(Refusal::IstCfgr { field: "STRUCTURE", found: 1, rule: "KVM has linear tables only" });
    }
    if cfgr.istsz() != 0 {
        return Err(Refusal::IstCfgr { field: "ISTSZ", found: cfgr.istsz().into(), rule: "KVM has 4-byte entries only" });
    }
    if cfgr.reserved() {
        return Err(Refusal::IstCfgr { field: "reserved", found: state.irs.ist_cfgr.into(), rule: "must be 0" });
    }
    let idr2 = Idr2::from_bits(state.identity.idr2);
    let found = u32::from(cfgr.lpi_id_bits());
    let (min, max) = (u32::from(idr2.min_lpi_id_bits()), u32::from(idr2.id_bits()));
    let bits = LpiIdBits::new(found).ok().filter(|_| (min..=max).contains(&found));
    let bits = bits.ok_or(Refusal::LpiIdBits { found, min, max: max.min(LpiIdBits::MAX.get()) })?;
    size(IstKind::Lpi, bits.ist_bytes(), lpi_ist)
}
