//! Delivery of interrupts to a vCPU: acknowledge, end of interrupt, deactivation.
//!
//! Source: Arm IHI 0048, interrupt handling and prioritisation, `GICV_IAR`, `GICV_EOIR`, `GICV_DIR`;
//! `arch/arm64/kvm/vgic/vgic-v2.c`, `vgic_v2_populate_lr`, `vgic_v2_fold_lr_state`.
//!
//! Rule: what is acknowledged is what hardware would signal out of the interrupts that KVM has on the vCPU's list.

use super::cpu::Gicc;
use super::irq::SGIS;
use super::state::State;
use crate::model::gicv3::Behaviour;

/// Priority of a vCPU that handles nothing.
pub(super) const IDLE: u8 = 0xff;
/// Nothing is pending.
pub(super) const SPURIOUS: u32 = 1023;
/// A group 1 interrupt that this register does not acknowledge.
const OTHER_GROUP: u32 = 1022;
/// First bit of the sender of an SGI.
pub(super) const SENDER: u32 = 10;

impl Gicc {
    fn group_priority(&self, priority: u8, group1: bool) -> u8 {
        let point = if group1 && !self.common_binary_point() { self.abpr.into() } else { u32::from(self.bpr) + 1 };
        priority & !1_u8.checked_shl(point).map_or(0xff, |bit| bit - 1)
    }

    /// The highest priority that is active, as an index of active priorities.
    pub(super) fn highest_active(&self) -> Option<u32> {
        (0..).step_by(32).zip(self.apr).find(|(_, apr)| *apr != 0).map(|(base, apr): (u32, u32)| base + apr.trailing_zeros())
    }

    pub(super) fn running_priority(&self, pri_bits: u32) -> u8 {
        self.highest_active().map_or(IDLE, |index| (index << (8 - pri_bits)) as u8)
    }

    pub(super) fn active_bit(&mut self, index: u32) -> Option<&mut u32> {
        self.apr.get_mut((index / 32) as usize)
    }
}

impl State {
    /// The pending interrupt of the highest priority that a vCPU's interface has enabled: priority, INTID, group 1. Of several with one
    /// priority: the lowest ID. The architecture leaves that choice open.
    pub(super) fn highest_pending(&self, vcpu: usize) -> Option<(u8, u32, bool)> {
        // Each takes a list register, and there is none left for one that is pending.
        let crowded = self.irqs.active(vcpu) >= self.host.list_registers as usize;
        if crowded && !self.host.kernel.has(Behaviour::PendingBeforeActive) {
            return None;
        }
        let gicc = &self.cpus.get(vcpu)?.gicc;
        let signalled = self.irqs.signalled(vcpu).filter(|(_, irq)| gicc.enables(irq.group1));
        signalled.map(|(intid, irq)| (irq.priority, intid, irq.group1)).min()
    }

    pub(super) fn acknowledge(&mut self, vcpu: usize, alias: bool) -> u32 {
        self.irqs.prune();
        let bits = self.host.pri_bits;
        let Some((priority, intid, group1)) = self.highest_pending(vcpu) else { return SPURIOUS };
        let Some(gicc) = self.cpus.get_mut(vcpu).map(|cpu| &mut cpu.gicc) else { return SPURIOUS };
        let drop_to = gicc.group_priority(priority, group1);
        if priority >= gicc.priority_mask() || drop_to >= gicc.running_priority(bits) || alias && !group1 {
            return SPURIOUS;
        }
        if group1 && !alias && !gicc.ack_ctl() {
            return OTHER_GROUP;
        }
        let index = u32::from(drop_to) >> (8 - bits);
        if let Some(apr) = gicc.active_bit(index) {
            *apr |= 1 << (index % 32);
        }
        let Some(irq) = self.irqs.get_mut(vcpu, intid) else { return SPURIOUS };
        irq.active = true;
        if intid >= SGIS {
            // A level interrupt stays pending.
            irq.latch &= irq.level;
            return intid;
        }
        // Of several senders, the one with the lowest number.
        let sender = irq.source.trailing_zeros() & 7;
        irq.source &= !(1 << sender);
        irq.latch = irq.source != 0;
        intid | sender << SENDER
    }
}
