//! Guest code on one vCPU: the frames of the distributor and of the CPU interface.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio.c`, `dispatch_mmio_read` and `dispatch_mmio_write`; Arm IHI 0048, CPU interface registers.
//!
//! Rule: a guest has no way in that a real one lacks: offsets in frames.

use super::delivery::{IDLE, SENDER, SPURIOUS};
use super::irq::SGIS;
use super::registers::By;
use super::state::State;
use super::vm::Vm;
use crate::VcpuId;
use crate::uapi::vgic_v2::cpu::*;

/// Guest code on a vCPU, inside [`Vm::run`].
///
/// Offsets are in bytes, from the start of a frame. A lower number is a higher priority. In a VM without a GICv2 every read gives 0 and
/// nothing has an effect.
#[derive(Debug)]
pub struct Guest<'a> {
    vm: &'a Vm,
    id: VcpuId,
    pub(super) index: usize,
}

impl<'a> Guest<'a> {
    pub(super) fn new(vm: &'a Vm, id: VcpuId, index: usize) -> Self {
        Guest { vm, id, index }
    }

    /// The `vcpu_id` of the vCPU. An SGI that it sent has it as its sender.
    #[must_use]
    pub fn vcpu_id(&self) -> VcpuId {
        self.id
    }

    pub(super) fn state<R>(&self, work: impl FnOnce(&mut State) -> R) -> Option<R> {
        let mut state = self.vm.lock();
        state.dist.exists.then(|| work(&mut state))
    }

    fn dist_write(&mut self, offset: u32, width: u32, value: u32) {
        // Only user space is refused.
        let _ = self.state(|state| state.write_register(self.index, offset, width, value, By::Guest));
    }

    /// A 32-bit read at `offset` in the distributor's frame; 0 where no register is.
    #[must_use]
    pub fn dist_read32(&self, offset: u32) -> u32 {
        self.state(|state| state.read_register(self.index, offset, 4)).unwrap_or(0)
    }

    /// A 32-bit write at `offset` in the distributor's frame; ignored where no register is.
    pub fn dist_write32(&mut self, offset: u32, value: u32) {
        self.dist_write(offset, 4, value);
    }

    /// An 8-bit read at `offset` in the distributor's frame: `GICD_IPRIORITYR`, `GICD_ITARGETSR`, `GICD_SPENDSGIR`, `GICD_CPENDSGIR`;
    /// 0 for any other.
    #[must_use]
    pub fn dist_read8(&self, offset: u32) -> u8 {
        self.state(|state| state.read_register(self.index, offset, 1)).unwrap_or(0) as u8
    }

    /// An 8-bit write at `offset` in the distributor's frame: `GICD_IPRIORITYR`, `GICD_ITARGETSR`, `GICD_SPENDSGIR`, `GICD_CPENDSGIR`;
    /// ignored for any other.
    pub fn dist_write8(&mut self, offset: u32, value: u8) {
        self.dist_write(offset, 1, value.into());
    }

    /// A 32-bit read at `offset` in the frame of the CPU interface; 0 where no register is. A read of `GICC_IAR` or `GICC_AIAR`
    /// acknowledges an interrupt.
    pub fn cpu_read32(&mut self, offset: u32) -> u32 {
        match offset {
            GICC_IAR => self.read_iar(false),
            GICC_AIAR => self.read_iar(true),
            GICC_RPR => self.running_priority().into(),
            GICC_HPPIR => self.highest_pending(),
            _ => {
                let value = self.state(|state| {
                    let host = state.host;
                    state.cpus.get(self.index).map(|cpu| cpu.gicc.guest_get(offset, &host))
                });
                value.flatten().unwrap_or(0)
            }
        }
    }

    /// A 32-bit write at `offset` in the frame of the CPU interface; ignored where no register is. A write of `GICC_EOIR`, `GICC_AEOIR` or
    /// `GICC_DIR` ends an interrupt.
    pub fn cpu_write32(&mut self, offset: u32, value: u32) {
        match offset {
            GICC_EOIR | GICC_AEOIR => self.end(value),
            GICC_DIR => self.deactivate(value),
            _ => {
                self.state(|state| {
                    let host = state.host;
                    if let Some(cpu) = state.cpus.get_mut(self.index) {
                        cpu.gicc.guest_set(offset, value, &host);
                    }
                });
            }
        }
    }

    /// Sets `GICC_PMR` and `GICC_CTLR.EnableGrp0` as an operating system does: interrupts of group 0 are signalled.
    pub fn enable_interface(&mut self) {
        self.cpu_write32(GICC_PMR, 0xf8);
        self.cpu_write32(GICC_CTLR, 1);
    }

    /// Reads `GICC_IAR`: the INTID in bits 9:0 and, of an SGI, its sender in bits 12:10; `None` if no interrupt is acknowledged.
    pub fn acknowledge(&mut self) -> Option<u32> {
        Some(self.cpu_read32(GICC_IAR)).filter(|iar| iar & 0x3ff < 1020)
    }

    /// Writes `GICC_EOIR` with `iar`, the value that [`Guest::acknowledge`] gave: the priority drops; unless `GICC_CTLR.EOImodeNS` is set,
    /// the interrupt is deactivated too.
    pub fn eoi(&mut self, iar: u32) {
        self.cpu_write32(GICC_EOIR, iar);
    }

    fn read_iar(&mut self, alias: bool) -> u32 {
        self.state(|state| state.acknowledge(self.index, alias)).unwrap_or(0)
    }

    /// `GICC_RPR`: the running priority, 255 when nothing is active.
    #[must_use]
    pub fn running_priority(&self) -> u8 {
        let running = self.state(|state| Some(state.cpus.get(self.index)?.gicc.running_priority(state.host.pri_bits)));
        running.flatten().unwrap_or(IDLE)
    }

    fn highest_pending(&self) -> u32 {
        let found = self.state(|state| {
            state.irqs.prune();
            let (_, intid, _) = state.highest_pending(self.index)?;
            let source = state.irqs.get(self.index, intid)?.source;
            Some(if intid < SGIS { intid | (source.trailing_zeros() & 7) << SENDER } else { intid })
        });
        found.flatten().unwrap_or(SPURIOUS)
    }

    /// The priority drops; unless `GICC_CTLR.EOImodeNS` is set, the interrupt is deactivated too.
    fn end(&mut self, value: u32) {
        let deactivates = self.state(|state| {
            let gicc = &mut state.cpus.get_mut(self.index)?.gicc;
            let index = gicc.highest_active()?;
            *gicc.active_bit(index)? &= !(1 << (index % 32));
            Some(gicc.eoi_deactivates())
        });
        if deactivates.flatten() == Some(true) {
            self.deactivate(value);
        }
    }

    /// The interrupt is no longer active. The latch of a level interrupt goes with it. The sender of an SGI is not compared: a GIC may.
    fn deactivate(&mut self, value: u32) {
        self.state(|state| {
            state.irqs.change(self.index, value & 0x3ff, |irq| {
                if irq.active {
                    irq.active = false;
                    irq.latch &= !irq.level;
                }
            });
            state.irqs.prune();
        });
    }
}
