//! State of an interrupt as KVM keeps it, and the set of all interrupts of a VM.
//!
//! Source: `include/kvm/arm_vgic.h`, `struct vgic_irq`; `arch/arm64/kvm/vgic/vgic.c`, `vgic_target_oracle`,
//! `vgic_queue_irq_unlock`, `vgic_prune_ap_list`; `vgic-init.c`.
//!
//! Rule: an interrupt reaches a vCPU only by being put on its list, which an event does; its state alone does not put it there.

use crate::Errno;

/// Interrupts of a vCPU: SGIs, then PPIs.
pub(super) const PRIVATE_IRQS: u32 = 32;
/// SGIs of a vCPU.
pub(super) const SGIS: u32 = 16;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Irq {
    pub(super) enabled: bool,
    pub(super) level: bool,
    pub(super) latch: bool,
    pub(super) line: bool,
    pub(super) active: bool,
    /// Group 1.
    pub(super) group1: bool,
    pub(super) priority: u8,
    /// What `GICD_ITARGETSR` holds.
    pub(super) targets: u8,
    /// Index of the vCPU that it is for.
    pub(super) target: usize,
    /// Of an SGI: vCPUs that have sent it and were not acknowledged, by their ids.
    pub(super) source: u8,
    /// Index of the vCPU on whose list it is.
    pub(super) queued: Option<usize>,
}

impl Irq {
    pub(super) fn is_pending(&self) -> bool {
        self.latch || self.level && self.line
    }

    /// The vCPU that should have it on its list.
    fn oracle(&self, distributor_on: bool) -> Option<usize> {
        if self.active {
            return self.queued.or(Some(self.target));
        }
        (self.enabled && self.is_pending() && distributor_on).then_some(self.target)
    }

    /// Puts it on a list, unless it is on one or belongs on none.
    fn queue(&mut self, distributor_on: bool) {
        if self.queued.is_none() {
            self.queued = self.oracle(distributor_on);
        }
    }
}

/// All interrupts of a VM.
#[derive(Debug, Default)]
pub(super) struct Irqs {
    /// `GICD_CTLR`.
    pub(super) on: bool,
    /// By index of the vCPU.
    private: Vec<[Irq; PRIVATE_IRQS as usize]>,
    spis: Vec<Irq>,
}

impl Irqs {
    /// Interrupts of a new vCPU.
    pub(super) fn add_vcpu(&mut self, index: usize) {
        let mut irqs = [Irq { level: true, target: index, ..Irq::default() }; PRIVATE_IRQS as usize];
        for sgi in irqs.iter_mut().take(SGIS as usize) {
            (sgi.enabled, sgi.level) = (true, false);
        }
        self.private.push(irqs);
    }

    /// The device is initialised: SPIs are edge-triggered, without a target and thus for the first vCPU; the target of a private
    /// interrupt is its vCPU, by this number.
    pub(super) fn initialise(&mut self, spis: u32, numbers: impl Iterator<Item = u32>) {
        self.spis = vec![Irq::default(); spis as usize];
        for (number, irqs) in numbers.zip(&mut self.private) {
            irqs.iter_mut().for_each(|irq| irq.targets = 1_u8.checked_shl(number).unwrap_or(0));
        }
    }

    pub(super) fn get(&self, vcpu: usize, intid: u32) -> Option<&Irq> {
        match intid.checked_sub(PRIVATE_IRQS) {
            None => self.private.get(vcpu)?.get(intid as usize),
            Some(spi) => self.spis.get(spi as usize),
        }
    }

    pub(super) fn get_mut(&mut self, vcpu: usize, intid: u32) -> Option<&mut Irq> {
        match intid.checked_sub(PRIVATE_IRQS) {
            None => self.private.get_mut(vcpu)?.get_mut(intid as usize),
            Some(spi) => self.spis.get_mut(spi as usize),
        }
    }

    /// Changes an interrupt, then looks whether it goes on a list. No effect for an interrupt that does not exist.
    pub(super) fn change(&mut self, vcpu: usize, intid: u32, change: impl FnOnce(&mut Irq)) {
        let on = self.on;
        if let Some(irq) = self.get_mut(vcpu, intid) {
            change(irq);
            irq.queue(on);
        }
    }

    /// A line of user space, or an edge. A level that does not change is no event.
    pub(super) fn inject(&mut self, vcpu: usize, intid: u32, level: bool) -> Result<(), Errno> {
        let on = self.on;
        let irq = self.get_mut(vcpu, intid).ok_or(Errno::EINVAL)?;
        if irq.level && irq.line != level {
            irq.line = level;
        } else if !irq.level && level {
            irq.latch = true;
        } else {
            return Ok(());
        }
        irq.queue(on);
        Ok(())
    }

    /// Every interrupt moves to the list where it belongs. KVM does that when the vCPU of the list runs; the model, as if every
    /// vCPU did so all the time.
    pub(super) fn prune(&mut self) {
        let on = self.on;
        for irq in self.private.iter_mut().flatten().chain(&mut self.spis).filter(|irq| irq.queued.is_some()) {
            irq.queued = irq.oracle(on);
        }
    }

    fn seen_by(&self, vcpu: usize) -> impl Iterator<Item = (u32, &Irq)> {
        (0..).zip(self.private.get(vcpu).into_iter().flatten().chain(&self.spis))
    }

    /// The interrupts on a vCPU's list that could be signalled to it, by ID.
    pub(super) fn signalled(&self, vcpu: usize) -> impl Iterator<Item = (u32, &Irq)> {
        self.seen_by(vcpu).filter(move |(_, irq)| irq.queued == Some(vcpu) && !irq.active && irq.oracle(self.on) == Some(vcpu))
    }

    /// How many active interrupts are on a vCPU's list.
    pub(super) fn active(&self, vcpu: usize) -> usize {
        self.seen_by(vcpu).filter(|(_, irq)| irq.active && irq.queued == Some(vcpu)).count()
    }
}
