//! Whether a state can be restored on a device, judged without touching the device.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-irs-v5.c` (which values a write refuses), `vgic-v5-tables.c` (which entries are written through
//! unchecked), `vgic-sys-reg-v5.c` (which bits are dropped), Linux 7.4.
//!
//! Rule: what the target cannot have is refused; what a running guest could have made although it looks wrong is reported, since a
//! migration must not lose a guest over its own oddities.

use super::scan::scan;
use super::{Gicv5State, Idr2, IrsIdentity, Ist, IstBaser, IstCfgr};
use crate::Attr;
use crate::buffer::IstKind;
use crate::check::{FieldRule, Refusal, Report, Rule, check_fields, check_vcpus};
use crate::topology::{LpiIdBits, SpiCount, Vcpus};
use crate::uapi::vgic_v5::{irs, irs_fields};

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
    check_vcpus(state.vcpus.iter().map(|state| state.vcpu), &target.vcpus)?;
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

const IDENTITY_RULES: &[FieldRule] = {
    use Rule::{Equal, NotGreater, NotLess};
    use irs::*;
    use irs_fields::*;
    const fn field(offset: u32, name: &'static str, mask: u32, rule: Rule) -> FieldRule {
        (offset, name, mask as u64, rule)
    }
    &[
        field(GICV5_IRS_IDR0, "INT_DOM", GICV5_IRS_IDR0_INT_DOM, Equal),
        // Stored unchecked by the kernel: a guest would use addresses that this host does not have.
        field(GICV5_IRS_IDR0, "PA_RANGE", GICV5_IRS_IDR0_PA_RANGE, NotGreater),
        // Optional features, none of which KVM offers; then reserved bits.
        field(GICV5_IRS_IDR0, "VIRT to SWE", 0xffc0, Equal),
        field(GICV5_IRS_IDR1, "PE_CNT", GICV5_IRS_IDR1_PE_CNT, Equal),
        field(GICV5_IRS_IDR1, "IAFFID_BITS", GICV5_IRS_IDR1_IAFFID_BITS, Equal),
        field(GICV5_IRS_IDR1, "PRIORITY_BITS", GICV5_IRS_IDR1_PRIORITY_BITS, NotGreater),
        field(GICV5_IRS_IDR1, "reserved", 0xff80_0000, Equal),
        field(GICV5_IRS_IDR2, "LPI", GICV5_IRS_IDR2_LPI, Equal),
        field(GICV5_IRS_IDR2, "ID_BITS", GICV5_IRS_IDR2_ID_BITS, NotGreater),
        field(GICV5_IRS_IDR2, "MIN_LPI_ID_BITS", GICV5_IRS_IDR2_MIN_LPI_ID_BITS, NotLess),
        field(GICV5_IRS_IDR2, "IST_LEVELS", GICV5_IRS_IDR2_IST_LEVELS, Equal),
        field(GICV5_IRS_IDR2, "ISTMD", GICV5_IRS_IDR2_ISTMD, Equal),
        field(GICV5_IRS_IDR2, "ISTMD_SZ", GICV5_IRS_IDR2_ISTMD_SZ, Equal),
        field(GICV5_IRS_IDR2, "reserved", 0xfff0_0000, Equal),
        field(GICV5_IRS_IDR5, "SPI_RANGE", u32::MAX, Equal),
        field(GICV5_IRS_IDR6, "SPI_IRS_RANGE", u32::MAX, Equal),
        field(GICV5_IRS_IDR7, "SPI_BASE", u32::MAX, Equal),
    ]
};

fn check_identity(found: &IrsIdentity, device: &IrsIdentity) -> Result<(), Refusal> {
    check_fields(found, device, IDENTITY_RULES, |offset| Attr::irs(offset).id())?;
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

/// Whether each table is in its place.
pub(super) fn check_kinds(state: &Gicv5State<'_>) -> Result<(), Refusal> {
    let tables = [(IstKind::Spi, Some(&state.spi_ist)), (IstKind::Lpi, state.lpi_ist.as_ref())];
    let wrong = tables.into_iter().find_map(|(expected, table)| {
        let found = table?.kind();
        (found != expected).then_some(Refusal::IstKind { expected, found })
    });
    wrong.map_or(Ok(()), Err)
}

fn check_tables(state: &Gicv5State<'_>) -> Result<(), Refusal> {
    check_kinds(state)?;
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
