//! The CPU interface of one vCPU, and `GRP_CPU_SYSREGS` on it.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v5.c` and `arch/arm64/tools/sysreg`, Linux 7.4.
//!
//! Rule: user space's values are masked and never refused; a register of set bits takes the value itself.

use super::host::SW_PPI;
use crate::uapi::vgic_v5::icc::*;

/// PPIs that are edge-triggered; the others follow a line.
pub(super) const EDGE_PPIS: u64 = 1 << SW_PPI;
/// Fields of `ICC_ICSR_EL1`: F 0, Enabled 1, Pending 2, IRM 3, Active 4, HM 5, Priority 15:11, IAFFID 47:32.
const ICSR_KEPT: u64 = 0xffff_0000_f83f;
/// EN, and LINK and LINK_IDLE, which always read as 1.
const CR0_EN: u64 = 1;
const CR0_LINK: u64 = 0b110;
/// 5 bits in each of 8 bytes.
const PRIORITIES: u64 = 0x1f1f_1f1f_1f1f_1f1f;
/// Registers of PPIs 64 to 127, which KVM does not model.
const PRIORITYR_MODELLED: u16 = 8;

#[derive(Debug, Default)]
pub(super) struct Cpu {
    pub(super) icsr: u64,
    /// One bit per PPI 0 to 63, here and in the next two.
    pub(super) enable: u64,
    pub(super) active: u64,
    /// The line of a level PPI, the latch of an edge PPI.
    pub(super) pending: u64,
    /// `ICC_PPI_PRIORITYR0` to `7`: byte k of register n is PPI 8n + k.
    priority: [u64; 8],
    /// Bit n: an interrupt of priority n is active.
    pub(super) apr: u32,
    pub(super) enabled: bool,
    pub(super) pcr: u32,
}

/// n, if `instr` is `ICC_PPI_PRIORITYRn_EL1`.
fn priority_register(instr: u16) -> Option<u16> {
    instr.checked_sub(SYS_ICC_PPI_PRIORITYR0_EL1).filter(|n| *n < 16)
}

impl Cpu {
    /// What user space reads; `None` where the group has no such register.
    pub(super) fn get(&self, instr: u16) -> Option<u64> {
        if let Some(n) = priority_register(instr) {
            return Some(self.priority.get(usize::from(n)).copied().unwrap_or(0));
        }
        Some(match instr {
            SYS_ICC_ICSR_EL1 => self.icsr,
            SYS_ICC_PPI_ENABLER0_EL1 => self.enable,
            SYS_ICC_PPI_SACTIVER0_EL1 => self.active,
            SYS_ICC_PPI_SPENDR0_EL1 => self.pending,
            SYS_ICC_PPI_ENABLER1_EL1 | SYS_ICC_PPI_SACTIVER1_EL1 | SYS_ICC_PPI_SPENDR1_EL1 => 0,
            SYS_ICC_APR_EL1 => u64::from(self.apr),
            SYS_ICC_CR0_EL1 => CR0_LINK | u64::from(self.enabled),
            SYS_ICC_PCR_EL1 => u64::from(self.pcr),
            _ => return None,
        })
    }

    /// What user space writes; `None` where the group has no such register.
    pub(super) fn set(&mut self, instr: u16, value: u64) -> Option<()> {
        if let Some(n) = priority_register(instr) {
            if n < PRIORITYR_MODELLED
                && let Some(register) = self.priority.get_mut(usize::from(n))
            {
                *register = value & PRIORITIES;
            }
            return Some(());
        }
        match instr {
            SYS_ICC_ICSR_EL1 => self.icsr = value & ICSR_KEPT,
            SYS_ICC_PPI_ENABLER0_EL1 => self.enable = value,
            SYS_ICC_PPI_SACTIVER0_EL1 => self.active = value,
            SYS_ICC_PPI_SPENDR0_EL1 => self.pending = value,
            SYS_ICC_PPI_ENABLER1_EL1 | SYS_ICC_PPI_SACTIVER1_EL1 | SYS_ICC_PPI_SPENDR1_EL1 => {}
            SYS_ICC_APR_EL1 => self.apr = value as u32,
            SYS_ICC_CR0_EL1 => self.enabled = value & CR0_EN != 0,
            SYS_ICC_PCR_EL1 => self.pcr = value as u32 & 0x1f,
            _ => return None,
        }
        Some(())
    }

    /// Drops the state of every PPI that is not in `ppis`. Priorities stay.
    pub(super) fn expose(&mut self, ppis: u64) {
        self.enable &= ppis;
        self.active &= ppis;
        self.pending &= ppis;
    }

    /// Priority of a PPI.
    pub(super) fn priority(&self, ppi: u32) -> u32 {
        let register = self.priority.get(ppi as usize / 8).copied().unwrap_or(0);
        u32::from(register.to_le_bytes().get(ppi as usize % 8).copied().unwrap_or(0))
    }

    /// Sets the priority of a PPI.
    pub(super) fn set_priority(&mut self, ppi: u32, priority: u32) {
        if let Some(register) = self.priority.get_mut(ppi as usize / 8) {
            let at = ppi % 8 * 8;
            *register = *register & !(0x1f << at) | u64::from(priority & 0x1f) << at;
        }
    }

    /// The priority that a new interrupt must be above; `None` while nothing is active.
    pub(super) fn running_priority(&self) -> Option<u32> {
        (self.apr != 0).then(|| self.apr.trailing_zeros())
    }
}
