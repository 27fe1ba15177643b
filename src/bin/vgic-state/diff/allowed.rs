//! What a restore may change in registers.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v3.c`, `vgic-its.c`, `vgic-irs-v5.c`: what a write of user space does not keep.
//!
//! Rule: one row for each field, with the reason.

/// What a value may become.
#[derive(Clone, Copy, Debug)]
enum May {
    /// Anything.
    Change,
    /// Greater.
    Grow,
    /// Zero.
    Clear,
}

const ALLOWED: &[(&str, &str, May, &str)] = &[
    ("GITS_CREADR", "Offset", May::Change, "an enabled ITS runs what was queued as soon as it is restored"),
    ("GITS_CTLR", "Quiescent", May::Change, "read only: the ITS has run what was queued"),
    ("GICD_IIDR", "Revision", May::Grow, "a kernel may keep its newer revision"),
    ("GITS_IIDR", "Revision", May::Grow, "a kernel may keep its newer revision"),
    ("GICR_PENDBASER", "PTZ", May::Clear, "write only"),
    ("IRS_IDR1", "PE_CNT", May::Change, "follows from the vCPUs; a write is ignored"),
    ("IRS_CR0", "IDLE", May::Change, "read only: status"),
    ("IRS_CR1", "VMT_WA", May::Clear, "not kept"),
    ("IRS_CR1", "VPET_WA", May::Clear, "not kept"),
    ("ICC_CR0_EL1", "LINK", May::Change, "read only: status"),
    ("ICC_CR0_EL1", "LINK_IDLE", May::Change, "read only: status"),
];

/// Whether a restore may make this change.
pub(super) fn field(register: &str, field: &str, before: u64, after: u64) -> bool {
    ALLOWED.iter().filter(|row| row.0 == register && row.1 == field).any(|(_, _, may, _)| match may {
        May::Change => true,
        May::Grow => after > before,
        May::Clear => after == 0,
    })
}
