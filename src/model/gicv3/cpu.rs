//! A vCPU: its CPU interface registers as user space sees them, and its redistributor's own state.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v3.c`; `vgic-v3.c`, `vgic_v3_enable`.
//!
//! Rule: what a register of user space holds is what was written and could be held; a comparison that fails leaves what the fields
//! before it have changed, as in KVM.

use super::behaviour::Behaviour;
use super::el2::{self, El2};
use super::fields::INITIAL_BASER;
use super::host::Host;
use crate::uapi::vgic_v3::icc::{self, *};
use crate::{Errno, Vcpu};

#[derive(Debug)]
pub(super) struct Cpu {
    pub(super) vcpu: Vcpu,
    /// Another thread is in an ioctl of the vCPU.
    pub(super) held: bool,
    /// Inside `KVM_RUN`.
    pub(super) running: bool,
    pub(super) has_run: bool,
    /// `GICR_CTLR.EnableLPIs`.
    pub(super) lpis_enabled: bool,
    pub(super) pendbaser: u64,
    /// Region and place of its redistributor.
    pub(super) redistributor: Option<(u8, u32)>,
    pub(super) icc: Icc,
    /// Of a vCPU that was made with EL2.
    pub(super) el2: Option<El2>,
}

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

impl Cpu {
    pub(super) fn new(vcpu: Vcpu, el2: bool, host: &Host) -> Self {
        let icc = Icc {
            pri_bits: host.pri_bits,
            id_bits: u64::from(host.id_bits > 16),
            seis: host.seis,
            a3v: host.a3v,
            ..Icc::default()
        };
        let (held, running, has_run, lpis_enabled) = (false, false, false, false);
        let el2 = el2.then(El2::default);
        Cpu { vcpu, held, running, has_run, lpis_enabled, pendbaser: INITIAL_BASER, redistributor: None, icc, el2 }
    }

    /// The EL2 that the attribute group shows the registers of.
    fn shown_el2(&self, instr: u16, host: &Host) -> Option<&El2> {
        self.el2.as_ref().filter(|_| host.kernel.has(Behaviour::HasEl2Registers) && el2::is_register(instr))
    }

    /// Whether `CPU_SYSREGS` has the register of this vCPU; the number of priority bits does not matter.
    pub(super) fn has_sysreg(&self, instr: u16, host: &Host) -> bool {
        icc::REGISTERS.iter().any(|(_, encoding)| *encoding == u64::from(instr)) || self.shown_el2(instr, host).is_some()
    }

    /// `KVM_GET_DEVICE_ATTR` of `CPU_SYSREGS`.
    pub(super) fn sysreg(&self, instr: u16, host: &Host) -> Result<u64, Errno> {
        self.shown_el2(instr, host).map_or_else(|| self.icc.get(instr), |el2| el2.get(instr, &self.icc, host))
    }

    /// `KVM_SET_DEVICE_ATTR` of `CPU_SYSREGS`.
    pub(super) fn set_sysreg(&mut self, instr: u16, value: u64, host: &Host) -> Result<(), Errno> {
        let shown = self.shown_el2(instr, host).is_some();
        match self.el2.as_mut().filter(|_| shown) {
            Some(el2) => el2.set(instr, value, &self.icc, host),
            None => self.icc.set(instr, value, host),
        }
    }

    /// Whether an ioctl that needs every vCPU's lock fails on this one.
    pub(super) fn is_busy(&self) -> bool {
        self.held || self.running
    }
}

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
