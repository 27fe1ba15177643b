//! Whether a VM is one for a state, judged without touching its device.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-irs-v5.c`: which values of identification registers a write refuses, Linux 7.4.
//!
//! Rule: what a guest has seen and the target cannot have is refused.

use crate::Attr;
use crate::judge::identity::{Exception, Rule, check_fields, check_vcpus};
use crate::report::Refusal;
use crate::state::gicv5::{Gicv5State, IrsIdentity};
use crate::topology::{SpiCount, TopologyError, Vcpus};
use crate::uapi::vgic_v5::irs::{GICV5_IRS_IDR0, GICV5_IRS_IDR1, GICV5_IRS_IDR2};

/// What a state is compared with: the device and the VM it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// SPIs of the device.
    pub spi_count: SpiCount,
    /// Identification registers of the device.
    pub identity: IrsIdentity,
    /// vCPUs of the VM.
    pub vcpus: Vcpus,
}

impl Target {
    /// The VM that a state is of, on the host that it was saved on.
    ///
    /// # Errors
    ///
    /// [`TopologyError`]: the vCPUs of the state are no possible set.
    pub fn of(state: &Gicv5State<'_>) -> Result<Target, TopologyError> {
        Ok(Target { spi_count: state.spi_count, identity: state.identity, vcpus: state.topology()? })
    }
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
    check_fields(&state.identity, &target.identity, EXCEPTIONS, |offset| Attr::irs(offset).id())
}

const EXCEPTIONS: &[Exception] = &[
    // Stored unchecked by the kernel: a guest would use addresses that this host does not have.
    (GICV5_IRS_IDR0, "PA_RANGE", Rule::NotGreater),
    // Stored by the kernel.
    (GICV5_IRS_IDR0, "IRSID", Rule::Any),
    (GICV5_IRS_IDR1, "PRIORITY_BITS", Rule::NotGreater),
    (GICV5_IRS_IDR2, "ID_BITS", Rule::NotGreater),
    (GICV5_IRS_IDR2, "MIN_LPI_ID_BITS", Rule::NotLess),
    (GICV5_IRS_IDR2, "IST_L2SZ", Rule::Any),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::identity::tests::has_fields;

    #[test]
    fn every_rule_is_one_of_a_field() {
        has_fields::<IrsIdentity>(EXCEPTIONS);
    }
}
