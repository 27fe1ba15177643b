//! A vCPU: the state of its redistributor, its CPU interface, and the registers of its EL2.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v3.c`; `vgic-v3.c`, `vgic_v3_enable`.
//!
//! Rule: user space has access to the registers that the kernel offers; to those of EL2 only on a vCPU with EL2.

use super::behaviour::Behaviour;
use super::el2::{self, El2};
use super::fields::INITIAL_BASER;
use super::host::Host;
use super::icc::Icc;
use crate::uapi::vgic_v3::icc;
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
