//! What a VMM decides about tables and LPIs.

use crate::its::{LpiConfiguration, LpiState};

/// Where a save puts the tables of ITSes and the pending bits of LPIs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TableStrategy {
    /// Into guest memory, where the guest's tables are: KVM's own way. If the guest has put other data there, it is overwritten.
    #[default]
    GuestMemory,
    /// Into the state and its image. Guest memory is not written. Needs memory that can be diverted, such as
    #[cfg_attr(all(feature = "guest-memory", target_os = "linux"), doc = "[`Shadowed`](crate::shadow::Shadowed).")]
    #[cfg_attr(not(all(feature = "guest-memory", target_os = "linux")), doc = "`Shadowed`.")]
    Image,
}

/// What a restore gives the kernel as configuration of LPIs, if what the guest had as its configuration table does not look like one.
///
/// The kernel reads priority and enable from there and does not give them back. A table looks like one if bit 1, which is RES1, is
/// set in the byte of every LPI that is mapped; otherwise [`Oddity::LpiConfiguration`](crate::check::Oddity::LpiConfiguration) is
/// reported. Only the kernel's copy follows from this; the guest's table stays as it is, and the kernel reads it again when the guest
/// says so (`INV`, `INVALL`, `MAPTI`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConfigurationPolicy {
    /// What was there. LPIs may be disabled by it.
    #[default]
    Leave,
    /// This byte for every LPI: priority `[7:2]`, enable `[0]`. 0xa3 is what Linux gives an LPI that it uses.
    Default(u8),
}

/// Whether a configuration has the bit that is RES1.
const RES1: u8 = 1 << 1;

impl LpiState {
    /// LPIs whose configuration does not look like one.
    pub fn doubtful_configuration(&self) -> impl Iterator<Item = &LpiConfiguration> {
        self.configuration.iter().filter(|lpi| lpi.byte & RES1 == 0)
    }
}

impl ConfigurationPolicy {
    /// INTID and configuration of every mapped LPI.
    pub(super) fn bytes(self, lpis: &LpiState) -> impl Iterator<Item = (u32, u8)> {
        let instead = match self {
            ConfigurationPolicy::Default(byte) if lpis.doubtful_configuration().next().is_some() => Some(byte),
            _ => None,
        };
        lpis.configuration.iter().map(move |lpi| (lpi.intid, instead.unwrap_or(lpi.byte)))
    }
}
