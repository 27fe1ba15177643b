//! A vCPU and its CPU interface.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v2.c`, `vgic_mmio_read_vcpuif`, `vgic_mmio_write_vcpuif`, `vgic_mmio_read_apr`; `vgic-v2.c`,
//! `vgic_v2_set_vmcr`; Arm IHI 0048, `GICV_*`.
//!
//! Rule: what user space reads is what was written and could be held, until the vCPU runs: then hardware has the registers.

use super::host::Host;
use crate::Vcpu;
use crate::model::gicv3::Behaviour;
use crate::uapi::vgic_v2::cpu::*;

/// Product K of implementer Arm, a GICv2.
const IIDR: u32 = 0x04b2_043b;
const ENABLE_GRP0: u32 = 1 << 0;
const ENABLE_GRP1: u32 = 1 << 1;
const ACK_CTL: u32 = 1 << 2;
const FIQ_EN: u32 = 1 << 3;
const CBPR: u32 = 1 << 4;
const EOI_MODE: u32 = 1 << 9;
const CTLR: u32 = ENABLE_GRP0 | ENABLE_GRP1 | ACK_CTL | FIQ_EN | CBPR | EOI_MODE;
const APR_END: u32 = GICC_APR + 16;
/// Bits of the priority mask that the CPU interface keeps.
const PMR_SHIFT: u32 = 3;

#[derive(Debug)]
pub(super) struct Cpu {
    pub(super) vcpu: Vcpu,
    /// Another thread is in an ioctl of the vCPU.
    pub(super) held: bool,
    /// Inside `KVM_RUN`.
    pub(super) running: bool,
    pub(super) has_run: bool,
    pub(super) gicc: Gicc,
}

impl Cpu {
    pub(super) fn new(vcpu: Vcpu) -> Self {
        Cpu { vcpu, held: false, running: false, has_run: false, gicc: Gicc::default() }
    }

    /// Whether an ioctl that needs every vCPU's lock fails on this one.
    pub(super) fn is_busy(&self) -> bool {
        self.held || self.running
    }
}

/// The CPU interface.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gicc {
    ctlr: u32,
    /// Five bits.
    pmr: u8,
    pub(super) bpr: u8,
    pub(super) abpr: u8,
    pub(super) apr: [u32; 4],
}

impl Gicc {
    /// Whether user space has a register there. `GICC_DIR` reads 0 and ignores a write.
    pub(super) fn is_register(offset: u32, host: &Host) -> bool {
        let single = match offset {
            GICC_CTLR | GICC_PMR | GICC_BPR | GICC_ABPR | GICC_IIDR => true,
            GICC_DIR => host.kernel.has(Behaviour::ShowsGiccDir),
            _ => false,
        };
        offset.is_multiple_of(4) && (single || (GICC_APR..APR_END).contains(&offset))
    }

    /// `KVM_GET_DEVICE_ATTR`: 0 for what is no register.
    pub(super) fn get(&self, offset: u32, host: &Host) -> u32 {
        match offset {
            GICC_PMR => self.pmr.into(),
            GICC_IIDR => IIDR,
            _ => self.common(offset, host),
        }
    }

    /// `KVM_SET_DEVICE_ATTR`: without effect on what is no register.
    pub(super) fn set(&mut self, offset: u32, value: u32, host: &Host) {
        match offset {
            GICC_PMR => self.pmr = value as u8 & 0x1f,
            _ => self.set_common(offset, value, host),
        }
    }

    /// What a guest reads without a side effect.
    pub(super) fn guest_get(&self, offset: u32, host: &Host) -> u32 {
        match offset {
            GICC_PMR => self.priority_mask().into(),
            // A GIC-400: hardware answers.
            GICC_IIDR => 0x0202_143b,
            _ => self.common(offset, host),
        }
    }

    /// What a guest writes without a side effect.
    pub(super) fn guest_set(&mut self, offset: u32, value: u32, host: &Host) {
        match offset {
            GICC_PMR => self.pmr = value as u8 >> PMR_SHIFT,
            _ => self.set_common(offset, value, host),
        }
        self.load(host);
    }

    fn common(&self, offset: u32, host: &Host) -> u32 {
        match offset {
            GICC_CTLR => self.ctlr,
            GICC_BPR => self.bpr.into(),
            GICC_ABPR => self.abpr.into(),
            _ => apr_index(offset, host).and_then(|n| self.apr.get(n)).copied().unwrap_or(0),
        }
    }

    fn set_common(&mut self, offset: u32, value: u32, host: &Host) {
        match offset {
            GICC_CTLR => self.ctlr = value & CTLR,
            GICC_BPR => self.bpr = value as u8 & 7,
            GICC_ABPR => self.abpr = value as u8 & 7,
            _ => {
                if let Some(apr) = apr_index(offset, host).and_then(|n| self.apr.get_mut(n)) {
                    *apr = value;
                }
            }
        }
    }

    /// What hardware makes of the registers when the vCPU runs: binary points that fit its priority bits.
    pub(super) fn load(&mut self, host: &Host) {
        let least = 7_u32.saturating_sub(host.pri_bits) as u8;
        (self.bpr, self.abpr) = (self.bpr.max(least), self.abpr.max(least + 1));
    }

    pub(super) fn priority_mask(&self) -> u8 {
        self.pmr << PMR_SHIFT
    }

    pub(super) fn enables(&self, group1: bool) -> bool {
        self.ctlr & if group1 { ENABLE_GRP1 } else { ENABLE_GRP0 } != 0
    }

    pub(super) fn ack_ctl(&self) -> bool {
        self.ctlr & ACK_CTL != 0
    }

    pub(super) fn common_binary_point(&self) -> bool {
        self.ctlr & CBPR != 0
    }

    pub(super) fn eoi_deactivates(&self) -> bool {
        self.ctlr & EOI_MODE == 0
    }
}

/// The number of an active priorities register that the host has.
fn apr_index(offset: u32, host: &Host) -> Option<usize> {
    let n = (offset.checked_sub(GICC_APR)? / 4) as usize;
    (offset.is_multiple_of(4) && n < host.aprs()).then_some(n)
}
