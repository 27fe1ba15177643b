//! Additional state of a vCPU with EL2: the registers of the virtual CPU interface, which its guest provides to a nested guest.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v3.c`, Linux 6.17 and later; `vgic.h`, `kvm_get_guest_vtr_el2`; `arch/arm64/kvm/nested.c`,
//! `kvm_init_nv_sysregs`; and what Linux 6.17 to 7.3 were seen to do.
//!
//! Rule: user space may write any value until the vCPU runs; from then on, `ICH_HCR_EL2` holds only bits that a guest can set.

use super::host::Host;
use super::icc::Icc;
use crate::Errno;
use crate::uapi::vgic_v3::ich::*;

/// The PPI that KVM takes for the maintenance interrupt at the first run, if user space has named none.
pub(super) const DEFAULT_MAINTENANCE: u32 = 25;
/// `ICC_SRE_EL2` of every vCPU: SRE, DFB, DIB, Enable.
const SRE: u64 = 0xf;
/// Bits of `ICH_HCR_EL2` that a guest has: EOIcount, TDIR to TC, and the enables; none of GICv4.
const HCR: u64 = 0xf800_7cff;
const HCR_TDIR: u64 = 1 << 14;
/// `ICH_VTR_EL2.nV4`, which every guest sees.
const VTR_NV4: u64 = 1 << 20;

/// The virtual CPU interface.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct El2 {
    pub(super) hcr: u64,
    pub(super) vmcr: u64,
    pub(super) ap0r: [u64; 4],
    pub(super) ap1r: [u64; 4],
    pub(super) lr: [u64; 16],
    /// The vCPU has run.
    sanitised: bool,
}

/// Whether the attribute group has the register for a vCPU with EL2, and for no other.
pub(super) fn is_register(instr: u16) -> bool {
    REGISTERS.iter().any(|(_, encoding)| *encoding == u64::from(instr))
}

/// `ICH_VTR_EL2` as the guest of a host sees it.
fn vtr(host: &Host) -> u64 {
    let bits = u64::from(host.pri_bits - 1);
    bits << 29 | bits << 26 | u64::from(host.seis) << 22 | VTR_NV4 | u64::from(host.tds) << 19 | u64::from(host.list_registers - 1)
}

impl El2 {
    /// What a write leaves of a value.
    fn sanitise(&self, instr: u16, value: u64, host: &Host) -> u64 {
        let tdir = if host.tds { 0 } else { HCR_TDIR };
        if instr == SYS_ICH_HCR_EL2 && self.sanitised { value & HCR & !tdir } else { value }
    }

    /// The first run.
    pub(super) fn load(&mut self, host: &Host) {
        self.sanitised = true;
        self.hcr = self.sanitise(SYS_ICH_HCR_EL2, self.hcr, host);
    }

    fn register(&mut self, instr: u16) -> Option<&mut u64> {
        match instr {
            SYS_ICH_HCR_EL2 => Some(&mut self.hcr),
            SYS_ICH_VMCR_EL2 => Some(&mut self.vmcr),
            SYS_ICH_AP0R0_EL2..=SYS_ICH_AP0R3_EL2 => self.ap0r.get_mut(usize::from(instr & 3)),
            SYS_ICH_AP1R0_EL2..=SYS_ICH_AP1R3_EL2 => self.ap1r.get_mut(usize::from(instr & 3)),
            SYS_ICH_LR0_EL2..=SYS_ICH_LR15_EL2 => self.lr.get_mut(usize::from(instr & 15)),
            _ => None,
        }
    }

    /// Whether the register is one of active priorities that the CPU interface has no bits for.
    fn is_beyond(instr: u16, icc: &Icc) -> bool {
        let is_apr =
            (SYS_ICH_AP0R0_EL2..=SYS_ICH_AP0R3_EL2).contains(&instr) || (SYS_ICH_AP1R0_EL2..=SYS_ICH_AP1R3_EL2).contains(&instr);
        is_apr && usize::from(instr & 3) > icc.last_apr()
    }

    /// `KVM_GET_DEVICE_ATTR`.
    pub(super) fn get(&self, instr: u16, icc: &Icc, host: &Host) -> Result<u64, Errno> {
        match instr {
            SYS_ICC_SRE_EL2 => Ok(SRE),
            SYS_ICH_VTR_EL2 => Ok(vtr(host)),
            _ if El2::is_beyond(instr, icc) => Err(Errno::EINVAL),
            _ => self.clone().register(instr).copied().ok_or(Errno::ENOENT),
        }
    }

    /// `KVM_SET_DEVICE_ATTR`.
    pub(super) fn set(&mut self, instr: u16, value: u64, icc: &Icc, host: &Host) -> Result<(), Errno> {
        match instr {
            SYS_ICC_SRE_EL2 if value != SRE => return Err(Errno::EINVAL),
            SYS_ICH_VTR_EL2 if value != vtr(host) => return Err(Errno::EINVAL),
            SYS_ICC_SRE_EL2 | SYS_ICH_VTR_EL2 => {}
            _ if El2::is_beyond(instr, icc) => return Err(Errno::EINVAL),
            _ => {
                let value = self.sanitise(instr, value, host);
                *self.register(instr).ok_or(Errno::ENOENT)? = value;
            }
        }
        Ok(())
    }
}
