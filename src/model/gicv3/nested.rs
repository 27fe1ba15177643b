//! The virtual CPU interface of a vCPU with EL2: its guest, a hypervisor, writes interrupts into list registers, and the nested guest
//! acknowledges them.
//!
//! Source: Arm Generic Interrupt Controller Architecture Specification, GICv3, virtual interrupt handling and prioritization:
//! `ICV_IAR1_EL1`, `ICV_EOIR1_EL1`, `ICH_LR<n>_EL2`, `ICH_VMCR_EL2`, `ICH_HCR_EL2.EOIcount`; `arch/arm64/kvm/vgic/vgic-v3-nested.c`.
//!
//! Rule: nothing is kept beside the registers that user space sees. A nested guest that stops in a handler is saved with them.

use super::el2::{El2, is_register};
use super::guest::Guest;
use super::host::Host;
use super::icc::Icc;
use super::irq::FIRST_LPI;
use crate::uapi::vgic_v3::ich::*;

const HCR_EN: u64 = 1;
const HCR_EOI_COUNT: u32 = 27;
const VMCR_VENG0: u64 = 1 << 0;
const VMCR_VENG1: u64 = 1 << 1;
const VMCR_VFIQEN: u64 = 1 << 3;
const VMCR_VCBPR: u64 = 1 << 4;
const VMCR_VEOIM: u64 = 1 << 9;
const VMCR_VBPR1: u32 = 18;
const VMCR_VBPR0: u32 = 21;
const VMCR_VPMR: u32 = 24;
const LR_PRIORITY: u32 = 48;
const LR_PINTID: u32 = 32;
const LR_GROUP1: u64 = 1 << 60;
const LR_PENDING: u64 = 1 << 62;
const LR_ACTIVE: u64 = 1 << 63;
/// INTIDs that are answers and no interrupts.
const SPECIAL: core::ops::Range<u32> = 1020..1024;

fn is_pending(lr: u64) -> bool {
    lr & (LR_PENDING | LR_ACTIVE) == LR_PENDING
}

fn priority(lr: u64) -> u8 {
    (lr >> LR_PRIORITY) as u8
}

impl El2 {
    /// What hardware makes of the virtual registers when the nested guest runs: binary points that fit, and `VFIQEn`, which is 1 with
    /// system registers.
    fn load_virtual(&mut self, host: &Host) {
        let icc = self.interface(host);
        self.vmcr &= !(7 << VMCR_VBPR0 | 7 << VMCR_VBPR1);
        self.vmcr |= u64::from(icc.bpr0) << VMCR_VBPR0 | u64::from(icc.bpr1) << VMCR_VBPR1 | VMCR_VFIQEN;
    }

    /// The virtual registers as those of a CPU interface.
    fn interface(&self, host: &Host) -> Icc {
        let bits = |from: u32| (self.vmcr >> from) as u8;
        let mut icc = Icc {
            pmr: bits(VMCR_VPMR),
            bpr0: bits(VMCR_VBPR0) & 7,
            bpr1: bits(VMCR_VBPR1) & 7,
            cbpr: self.vmcr & VMCR_VCBPR != 0,
            eoimode: self.vmcr & VMCR_VEOIM != 0,
            igrpen0: self.vmcr & VMCR_VENG0 != 0,
            igrpen1: self.vmcr & VMCR_VENG1 != 0,
            ap0r: self.ap0r.map(|word| word as u32),
            ap1r: self.ap1r.map(|word| word as u32),
            pri_bits: host.pri_bits,
            ..Icc::default()
        };
        icc.load(host.pri_bits);
        icc
    }

    fn keep_active_priorities(&mut self, icc: &Icc) {
        (self.ap0r, self.ap1r) = (icc.ap0r.map(u64::from), icc.ap1r.map(u64::from));
    }

    /// The nested guest reads `ICC_IAR1_EL1`: of several list registers with one priority, the first. The architecture leaves that choice
    /// open.
    fn acknowledge(&mut self, host: &Host) -> Option<u32> {
        self.load_virtual(host);
        if self.hcr & HCR_EN == 0 {
            return None;
        }
        let mut icc = self.interface(host);
        let there = self.lr.iter_mut().take(host.list_registers as usize);
        let enabled = there.filter(|lr| is_pending(**lr) && if **lr & LR_GROUP1 != 0 { icc.igrpen1 } else { icc.igrpen0 });
        let lr = enabled.min_by_key(|lr| priority(**lr))?;
        let (intid, group1) = (*lr as u32, *lr & LR_GROUP1 != 0);
        // The highest one decides: one of the other group hides what comes after it.
        if !group1 || !icc.preempts(priority(*lr), group1, host.pri_bits) {
            return None;
        }
        *lr &= !LR_PENDING;
        if SPECIAL.contains(&intid) {
            return None;
        }
        // An LPI is never active.
        *lr |= if intid < FIRST_LPI { LR_ACTIVE } else { 0 };
        icc.activate(priority(*lr), group1, host.pri_bits);
        self.keep_active_priorities(&icc);
        Some(intid)
    }

    /// The nested guest writes `ICC_EOIR1_EL1`. Returns the guest's own interrupt that the list register is linked to, deactivated with it.
    fn end(&mut self, intid: u32, host: &Host) -> Option<u32> {
        self.load_virtual(host);
        let mut icc = self.interface(host);
        icc.drop_priority(true)?;
        self.keep_active_priorities(&icc);
        if icc.eoimode || intid >= FIRST_LPI {
            return None;
        }
        let there = self.lr.iter_mut().take(host.list_registers as usize);
        let Some(lr) = there.into_iter().find(|lr| **lr & LR_ACTIVE != 0 && **lr as u32 == intid) else {
            let count = (self.hcr >> HCR_EOI_COUNT & 0x1f) + 1;
            self.hcr = self.hcr & !(0x1f << HCR_EOI_COUNT) | (count & 0x1f) << HCR_EOI_COUNT;
            return None;
        };
        *lr &= !LR_ACTIVE;
        (*lr & ICH_LR_EL2_HW != 0).then_some(((*lr & ICH_LR_EL2_PINTID) >> LR_PINTID) as u32)
    }
}

impl Guest<'_> {
    /// Reads a register of the virtual CPU interface at EL2, by a name of [`uapi::vgic_v3::ich`](crate::uapi::vgic_v3::ich); 0 for any
    /// other, and on a vCPU without EL2.
    #[must_use]
    pub fn ich_read(&self, instr: u16) -> u64 {
        let value = self.state(|state| {
            let cpu = state.cpus.get(self.index)?;
            cpu.el2.filter(|_| is_register(instr))?.get(instr, &cpu.icc, &state.host).ok()
        });
        value.flatten().unwrap_or(0)
    }

    /// Writes a register of the virtual CPU interface at EL2, by the same names; ignored for any other, and on a vCPU without EL2.
    pub fn ich_write(&mut self, instr: u16, value: u64) {
        self.state(|state| {
            let host = state.host;
            let Some(cpu) = state.cpus.get_mut(self.index) else { return };
            if let Some(el2) = &mut cpu.el2 {
                // A register that the CPU does not have would be undefined; what is read only, KVM ignores.
                let _ = el2.set(instr, value, &cpu.icc, &host);
            }
        });
    }

    /// The guest of this guest, at EL1, reads `ICC_IAR1_EL1`: acknowledges the group 1 interrupt of the highest priority that is pending in
    /// a list register; `None` if it reads 1023.
    pub fn nested_acknowledge(&mut self) -> Option<u32> {
        self.state(|state| {
            let host = state.host;
            state.cpus.get_mut(self.index)?.el2.as_mut()?.acknowledge(&host)
        })
        .flatten()
    }

    /// The guest of this guest writes `ICC_EOIR1_EL1`: the priority drops; unless `ICH_VMCR_EL2.VEOIM` is set, the list register is no
    /// longer active, nor this guest's interrupt that it is linked to (HW).
    pub fn nested_eoi(&mut self, intid: u32) {
        let linked = self.state(|state| {
            let host = state.host;
            state.cpus.get_mut(self.index)?.el2.as_mut()?.end(intid, &host)
        });
        if let Some(linked) = linked.flatten() {
            self.deactivate(linked);
        }
    }
}
