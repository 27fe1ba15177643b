//! The CPU interface registers of a vCPU, as user space sees them.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v3.c`; `vgic-v3.c`, `vgic_v3_enable`.
//!
//! Rule: what a register of user space holds is what was written and could be held; a comparison that fails leaves what the fields
//! before it have changed, as in KVM.

use super::host::Host;
use crate::Errno;
use crate::uapi::vgic_v3::icc::*;

/// The CPU interface.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Icc {
    pub(super) pmr: u8,
    pub(super) bpr0: u8,
    pub(super) bpr1: u8,
    pub(super) cbpr: bool,
    pub(super) eoimode: bool,
    pub(super) igrpen0: bool,
    pub(super) igrpen1: bool,
    pub(super) ap0r: [u32; 4],
    pub(super) ap1r: [u32; 4],
    pub(super) pri_bits: u32,
    /// `ICC_CTLR_EL1.IDbits`.
    pub(super) id_bits: u64,
    pub(super) seis: bool,
    pub(super) a3v: bool,
}

const CTLR_CBPR: u64 = 1 << 0;
const CTLR_EOIMODE: u64 = 1 << 1;
const CTLR_PRI_BITS: u32 = 8;
const CTLR_ID_BITS: u32 = 11;
const CTLR_SEIS: u64 = 1 << 14;
const CTLR_A3V: u64 = 1 << 15;
/// SRE, DFB and DIB.
const SRE: u64 = 7;

impl Icc {
    /// Index of the last active priorities register, by KVM's own rule: 8 bits count as 5.
    pub(super) fn last_apr(&self) -> usize {
        match self.pri_bits {
            7 => 3,
            6 => 1,
            _ => 0,
        }
    }

    /// The active priorities register that `instr` is, if the vCPU has it.
    fn apr(&mut self, instr: u16) -> Option<&mut u32> {
        let index = usize::from(instr & 3);
        if index > self.last_apr() {
            return None;
        }
        if instr < SYS_ICC_AP1R0_EL1 { self.ap0r.get_mut(index) } else { self.ap1r.get_mut(index) }
    }

    /// `KVM_GET_DEVICE_ATTR`.
    pub(super) fn get(&self, instr: u16) -> Result<u64, Errno> {
        Ok(match instr {
            SYS_ICC_PMR_EL1 => self.pmr.into(),
            SYS_ICC_BPR0_EL1 => self.bpr0.into(),
            // With a common binary point the register of group 1 is not to be seen.
            SYS_ICC_BPR1_EL1 if self.cbpr => u64::from(self.bpr0 + 1).min(7),
            SYS_ICC_BPR1_EL1 => self.bpr1.into(),
            SYS_ICC_AP0R0_EL1..=SYS_ICC_AP0R3_EL1 | SYS_ICC_AP1R0_EL1..=SYS_ICC_AP1R3_EL1 => {
                u64::from(*self.clone().apr(instr).ok_or(Errno::EINVAL)?)
            }
            SYS_ICC_CTLR_EL1 => self.ctlr(),
            SYS_ICC_SRE_EL1 => SRE,
            SYS_ICC_IGRPEN0_EL1 => self.igrpen0.into(),
            SYS_ICC_IGRPEN1_EL1 => self.igrpen1.into(),
            _ => return Err(Errno::ENOENT),
        })
    }

    /// `KVM_SET_DEVICE_ATTR`.
    pub(super) fn set(&mut self, instr: u16, value: u64, host: &Host) -> Result<(), Errno> {
        match instr {
            SYS_ICC_PMR_EL1 => self.pmr = value as u8,
            SYS_ICC_BPR0_EL1 => self.bpr0 = value as u8 & 7,
            SYS_ICC_BPR1_EL1 if self.cbpr => {}
            SYS_ICC_BPR1_EL1 => self.bpr1 = value as u8 & 7,
            SYS_ICC_AP0R0_EL1..=SYS_ICC_AP0R3_EL1 | SYS_ICC_AP1R0_EL1..=SYS_ICC_AP1R3_EL1 => {
                *self.apr(instr).ok_or(Errno::EINVAL)? = value as u32;
            }
            SYS_ICC_CTLR_EL1 => return self.set_ctlr(value, host),
            SYS_ICC_SRE_EL1 if value & 1 == 0 => return Err(Errno::EINVAL),
            SYS_ICC_SRE_EL1 => {}
            SYS_ICC_IGRPEN0_EL1 => self.igrpen0 = value & 1 != 0,
            SYS_ICC_IGRPEN1_EL1 => self.igrpen1 = value & 1 != 0,
            _ => return Err(Errno::ENOENT),
        }
        Ok(())
    }

    fn ctlr(&self) -> u64 {
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        u64::from(self.pri_bits - 1) << CTLR_PRI_BITS
            | self.id_bits << CTLR_ID_BITS
            | flag(self.seis, CTLR_SEIS)
            | flag(self.a3v, CTLR_A3V)
            | flag(self.cbpr, CTLR_CBPR)
            | flag(self.eoimode, CTLR_EOIMODE)
    }

    fn set_ctlr(&mut self, value: u64, host: &Host) -> Result<(), Errno> {
        let pri_bits = (value >> CTLR_PRI_BITS & 7) as u32 + 1;
        if pri_bits > self.pri_bits {
            return Err(Errno::EINVAL);
        }
        self.pri_bits = pri_bits;
        let id_bits = value >> CTLR_ID_BITS & 7;
        if id_bits > self.id_bits {
            return Err(Errno::EINVAL);
        }
        self.id_bits = id_bits;
        if (value & CTLR_SEIS != 0) != host.seis || (value & CTLR_A3V != 0) != host.a3v {
            return Err(Errno::EINVAL);
        }
        self.guest_ctlr(value);
        Ok(())
    }

    /// The fields of `ICC_CTLR_EL1` that a guest can write.
    pub(super) fn guest_ctlr(&mut self, value: u64) {
        (self.cbpr, self.eoimode) = (value & CTLR_CBPR != 0, value & CTLR_EOIMODE != 0);
    }
}
