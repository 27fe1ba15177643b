//! Whether a VM is one for a state, judged without touching its device.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-irs-v5.c`: which values of identification registers a write refuses, Linux 7.4.
//!
//! Rule: what a guest has seen and the target cannot have is refused.

use crate::Attr;
use crate::judge::identity::{FieldRule, Rule, check_fields, check_vcpus};
use crate::report::Refusal;
use crate::state::gicv5::{Gicv5State, IrsIdentity};
use crate::topology::{SpiCount, Vcpus};
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

/// Whether a VM is one for a state: its vCPUs, the number of SPIs, and what its IRS is. What is wrong with the state itself,
/// [`problems`](super::problems) says.
///
/// # Errors
///
/// [`Refusal`]: the first reason why this VM is none for the state.
pub fn fit(state: &Gicv5State<'_>, target: &Target) -> Result<(), Refusal> {
    check_vcpus(state.vcpus.iter().map(|state| state.vcpu), &target.vcpus)?;
    if state.spi_count != target.spi_count {
        return Err(Refusal::SpiCount { expected: target.spi_count, found: state.spi_count });
    }
    check_fields(&state.identity, &target.identity, IDENTITY_RULES, |offset| Attr::irs(offset).id())
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
        field(GICV5_IRS_IDR0, "VIRT", GICV5_IRS_IDR0_VIRT, Equal),
        field(GICV5_IRS_IDR0, "ONE_N", GICV5_IRS_IDR0_ONE_N, Equal),
        field(GICV5_IRS_IDR0, "VIRT_ONE_N", GICV5_IRS_IDR0_VIRT_ONE_N, Equal),
        field(GICV5_IRS_IDR0, "SETLPI", GICV5_IRS_IDR0_SETLPI, Equal),
        field(GICV5_IRS_IDR0, "MEC", GICV5_IRS_IDR0_MEC, Equal),
        field(GICV5_IRS_IDR0, "MPAM", GICV5_IRS_IDR0_MPAM, Equal),
        field(GICV5_IRS_IDR0, "SWE", GICV5_IRS_IDR0_SWE, Equal),
        field(GICV5_IRS_IDR0, "reserved", 0xe000, Equal),
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
