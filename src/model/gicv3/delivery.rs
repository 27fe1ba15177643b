//! Delivery of interrupts to a vCPU: acknowledge, end of interrupt, deactivation.
//!
//! Source: Arm Generic Interrupt Controller Architecture Specification, GICv3, CPU interface: prioritisation, acknowledge, priority
//! drop, deactivation; `arch/arm64/kvm/vgic/vgic-v3.c`, `vgic_v3_fold_lr_state`; `vgic-mmio-v3.c`, `vgic_v3_dispatch_sgi`.
//!
//! Rule: what is acknowledged is what hardware would signal out of the interrupts that KVM has on the vCPU's list.

use super::guest::Guest;
use super::icc::Icc;
use super::irq::{FIRST_LPI, Irq, SGIS};
use crate::VcpuId;

/// Priority of a vCPU that handles nothing.
const IDLE: u8 = 0xff;

impl Icc {
    /// What hardware makes of the registers when the vCPU runs: it has no more priority bits than it has, and binary points that
    /// fit.
    pub(super) fn load(&mut self, pri_bits: u32) {
        self.pmr &= !low_bits(8 - pri_bits);
        let least = 7_u32.saturating_sub(pri_bits) as u8;
        (self.bpr0, self.bpr1) = (self.bpr0.max(least), self.bpr1.max(least + 1));
    }

    fn group_priority(&self, priority: u8, group1: bool) -> u8 {
        let point = if group1 && !self.cbpr { self.bpr1.into() } else { u32::from(self.bpr0) + 1 };
        priority & !low_bits(point)
    }

    /// The highest priority that is active, as an index of active priorities, and whether it is of group 1.
    fn highest_active(&self) -> Option<(u32, bool)> {
        let lowest_bit = |aprs: &[u32; 4]| {
            let words = (0..).step_by(32).zip(aprs);
            words.filter(|(_, apr)| **apr != 0).map(|(base, apr)| base + apr.trailing_zeros()).next()
        };
        let (group0, group1) = (lowest_bit(&self.ap0r), lowest_bit(&self.ap1r));
        group0.map(|index| (index, false)).into_iter().chain(group1.map(|index| (index, true))).min()
    }

    fn running_priority(&self, host_bits: u32) -> u8 {
        self.highest_active().map_or(IDLE, |(index, _)| (index << (8 - host_bits)) as u8)
    }

    fn active_bit(&mut self, index: u32, group1: bool) -> Option<&mut u32> {
        let aprs = if group1 { &mut self.ap1r } else { &mut self.ap0r };
        aprs.get_mut((index / 32) as usize)
    }

    /// Whether an interrupt of this priority is signalled: it is above the mask, and above what is active.
    pub(super) fn preempts(&self, priority: u8, group1: bool, host_bits: u32) -> bool {
        priority < self.pmr && self.group_priority(priority, group1) < self.running_priority(host_bits)
    }

    /// An interrupt of this priority is acknowledged.
    pub(super) fn activate(&mut self, priority: u8, group1: bool, host_bits: u32) -> Option<()> {
        let index = u32::from(self.group_priority(priority, group1)) >> (8 - host_bits);
        *self.active_bit(index, group1)? |= 1 << (index % 32);
        Some(())
    }

    /// An interrupt of this group is ended: its priority is the highest that is active, or nothing happens.
    pub(super) fn drop_priority(&mut self, group1: bool) -> Option<()> {
        let (index, _) = self.highest_active().filter(|(_, of1)| *of1 == group1)?;
        *self.active_bit(index, group1)? &= !(1 << (index % 32));
        Some(())
    }
}

fn low_bits(count: u32) -> u8 {
    1_u8.checked_shl(count).map_or(0xff, |bit| bit - 1)
}

impl Guest<'_> {
    /// Sets `ICC_PMR_EL1` and `ICC_IGRPEN1_EL1` as an operating system does: every interrupt of group 1 is signalled.
    pub fn enable_interface(&mut self) {
        self.icc_write(crate::uapi::vgic_v3::icc::SYS_ICC_PMR_EL1, 0xff);
        self.icc_write(crate::uapi::vgic_v3::icc::SYS_ICC_IGRPEN1_EL1, 1);
    }

    /// `ICC_RPR_EL1`: the running priority, 255 when nothing is active.
    #[must_use]
    pub fn running_priority(&self) -> u8 {
        let running = self.state(|state| Some(state.cpus.get(self.index)?.icc.running_priority(state.host.pri_bits)));
        running.flatten().unwrap_or(IDLE)
    }

    /// Reads `ICC_IAR1_EL1`: acknowledges the group 1 interrupt of the highest priority that is signalled; `None` if it reads 1023.
    ///
    /// Of several interrupts with the same priority: the one with the lowest ID. The architecture leaves that choice open. If more
    /// interrupts are pending or active than there are [list registers](super::Host::list_registers), the first ones in KVM's order take
    /// them, and the guest sees no other. On [older kernels](super::Behaviour::DisabledGroupsLast) these may be interrupts that cannot be
    /// signalled, because their group is not enabled.
    pub fn acknowledge(&mut self) -> Option<u32> {
        self.acknowledge_group(true)
    }

    /// Reads `ICC_IAR0_EL1`: as [`Guest::acknowledge`], for group 0.
    pub fn acknowledge_group0(&mut self) -> Option<u32> {
        self.acknowledge_group(false)
    }

    fn acknowledge_group(&mut self, group1: bool) -> Option<u32> {
        let vcpu = self.index;
        self.state(|state| {
            let bits = state.host.pri_bits;
            let sorting = state.sorting(vcpu);
            let icc = &mut state.cpus.get_mut(vcpu)?.icc;
            let enables = |irq: &Irq| if irq.group1 { icc.igrpen1 } else { icc.igrpen0 };
            let (intid, irq) = state.irqs.signalled(vcpu, sorting, enables)?;
            let (priority, of1) = (irq.priority, irq.group1);
            // The highest one decides: one of the other group hides what comes after it.
            if of1 != group1 || !icc.preempts(priority, of1, bits) {
                return None;
            }
            icc.activate(priority, of1, bits)?;
            let irq = state.irqs.get_mut(vcpu, intid)?;
            // An LPI is never active, a level interrupt stays pending.
            irq.active = intid < FIRST_LPI;
            irq.latch &= irq.level;
            Some(intid)
        })
        .flatten()
    }

    /// Writes `ICC_EOIR1_EL1`: the priority drops; unless `ICC_CTLR_EL1.EOImode` is set, the interrupt is deactivated too.
    pub fn eoi(&mut self, intid: u32) {
        self.end(intid, true);
    }

    /// Writes `ICC_EOIR0_EL1`: as [`Guest::eoi`], for group 0.
    pub fn eoi_group0(&mut self, intid: u32) {
        self.end(intid, false);
    }

    fn end(&mut self, intid: u32, group1: bool) {
        let deactivates = self.state(|state| {
            let icc = &mut state.cpus.get_mut(self.index)?.icc;
            icc.drop_priority(group1)?;
            Some(!icc.eoimode)
        });
        if deactivates.flatten() == Some(true) {
            self.deactivate(intid);
        }
    }

    /// Writes `ICC_DIR_EL1`: deactivates the interrupt. If it was active and is a level interrupt, KVM's pending latch is cleared too.
    pub fn deactivate(&mut self, intid: u32) {
        self.state(|state| {
            state.irqs.change(self.index, intid, |irq| {
                if irq.active {
                    irq.active = false;
                    irq.latch &= !irq.level;
                }
            });
            state.irqs.prune(self.index);
        });
    }

    /// Writes `ICC_SGI1R_EL1` for one target: sends it the group 1 SGI `intid`, 0 to 15. No effect for another number or a vCPU that
    /// does not exist.
    pub fn send_sgi(&mut self, target: VcpuId, intid: u32) {
        self.state(|state| {
            if let Some(target) = state.index_of(target).filter(|_| intid < SGIS) {
                state.irqs.change(target, intid, |irq| irq.latch = true);
            }
        });
    }
}
