//! State of an interrupt as KVM keeps it, and the set of all interrupts of a VM.
//!
//! Source: `include/kvm/arm_vgic.h`, `struct vgic_irq`; `arch/arm64/kvm/vgic/vgic.c`, `vgic_target_oracle`,
//! `vgic_queue_irq_unlock`, `vgic_prune_ap_list`, `vgic_irq_cmp`, `vgic_flush_lr_state`, `vgic_put_irq`.
//!
//! Rule: an interrupt reaches a vCPU only by being put on its list, which an event does; its state alone does not put it there.

use crate::Errno;
use std::collections::BTreeMap;

/// Interrupts of a vCPU: SGIs, then PPIs.
pub(super) const PRIVATE_IRQS: u32 = 32;
/// SGIs of a vCPU.
pub(super) const SGIS: u32 = 16;
/// First LPI.
pub(super) const FIRST_LPI: u32 = 8192;

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
    /// What `GICD_IROUTER` holds.
    pub(super) affinity: u32,
    /// Index of the vCPU that it is for.
    pub(super) target: Option<usize>,
    /// Index of the vCPU on whose list it is.
    pub(super) queued: Option<usize>,
    /// Its place there: behind those with a lesser one.
    pub(super) place: u64,
    /// Translations of this LPI.
    pub(super) references: u32,
    /// Forwarded by a physical GICv4.
    pub(super) forwarded: bool,
}

impl Irq {
    pub(super) fn is_pending(&self) -> bool {
        self.latch || self.level && self.line
    }

    /// The vCPU that should have it on its list.
    pub(super) fn oracle(&self, distributor_on: bool) -> Option<usize> {
        if self.active {
            return self.queued.or(self.target);
        }
        if self.enabled && self.is_pending() && distributor_on { self.target } else { None }
    }

    /// Puts it at the end of a list, unless it is on one or belongs on none.
    fn queue(&mut self, distributor_on: bool, last_place: &mut u64) {
        if self.queued.is_none() {
            self.queued = self.oracle(distributor_on);
            *last_place += 1;
            self.place = *last_place;
        }
    }

    /// Before which others it gets a list register, where there are not enough for all on its list.
    fn order(&self, sorting: Sorting) -> (bool, bool, u8, u64) {
        let disabled = sorting.groups.is_some_and(|[group0, group1]| if self.group1 { !group1 } else { !group0 });
        let last = self.active == sorting.pending_first;
        // Of those that are active, older kernels do not compare the priority.
        let priority = if self.active && !sorting.pending_first { 0 } else { self.priority };
        (disabled, last, priority, self.place)
    }
}

/// How a kernel fills the list registers of a vCPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sorting {
    /// How many there are.
    pub(super) registers: usize,
    /// Interrupts that are pending come before active ones, and not the other way round.
    pub(super) pending_first: bool,
    /// Which groups the vCPU has enabled, where those of another come last.
    pub(super) groups: Option<[bool; 2]>,
}

/// All interrupts of a VM.
#[derive(Debug, Default)]
pub(super) struct Irqs {
    /// `GICD_CTLR.EnableGrp1`.
    pub(super) on: bool,
    /// By index of the vCPU.
    pub(super) private: Vec<[Irq; PRIVATE_IRQS as usize]>,
    pub(super) spis: Vec<Irq>,
    /// LPIs that a translation or a list refers to.
    pub(super) lpis: BTreeMap<u32, Irq>,
    /// The last place on a list that was given away.
    last_place: u64,
}

impl Irqs {
    /// Interrupts of a new vCPU.
    pub(super) fn add_vcpu(&mut self, index: usize) {
        let mut irqs = [Irq { level: true, group1: true, target: Some(index), ..Irq::default() }; PRIVATE_IRQS as usize];
        for sgi in irqs.iter_mut().take(SGIS as usize) {
            (sgi.enabled, sgi.level) = (true, false);
        }
        self.private.push(irqs);
    }

    /// SPIs of a new device: edge-triggered, for the first vCPU.
    pub(super) fn add_spis(&mut self, count: u32) {
        self.spis = vec![Irq { group1: true, target: Some(0), ..Irq::default() }; count as usize];
    }

    pub(super) fn get(&self, vcpu: usize, intid: u32) -> Option<&Irq> {
        match intid {
            0..PRIVATE_IRQS => self.private.get(vcpu)?.get(intid as usize),
            PRIVATE_IRQS..FIRST_LPI => self.spis.get((intid - PRIVATE_IRQS) as usize),
            _ => self.lpis.get(&intid),
        }
    }

    pub(super) fn get_mut(&mut self, vcpu: usize, intid: u32) -> Option<&mut Irq> {
        match intid {
            0..PRIVATE_IRQS => self.private.get_mut(vcpu)?.get_mut(intid as usize),
            PRIVATE_IRQS..FIRST_LPI => self.spis.get_mut((intid - PRIVATE_IRQS) as usize),
            _ => self.lpis.get_mut(&intid),
        }
    }

    /// Changes an interrupt, then looks whether it goes on a list. No effect for an interrupt that does not exist.
    pub(super) fn change(&mut self, vcpu: usize, intid: u32, change: impl FnOnce(&mut Irq)) {
        let (on, mut last_place) = (self.on, self.last_place);
        if let Some(irq) = self.get_mut(vcpu, intid) {
            change(irq);
            irq.queue(on, &mut last_place);
        }
        self.last_place = last_place;
    }

    /// A line of user space, or an edge. A level that does not change is no event.
    pub(super) fn inject(&mut self, vcpu: usize, intid: u32, level: bool) -> Result<(), Errno> {
        let (on, mut last_place) = (self.on, self.last_place);
        let irq = self.get_mut(vcpu, intid).ok_or(Errno::EINVAL)?;
        if irq.level && irq.line != level {
            irq.line = level;
        } else if !irq.level && level {
            irq.latch = true;
        } else {
            return Ok(());
        }
        irq.queue(on, &mut last_place);
        self.last_place = last_place;
        Ok(())
    }

    /// One translation fewer refers to an LPI.
    pub(super) fn put(&mut self, intid: u32) {
        if let Some(irq) = self.lpis.get_mut(&intid) {
            irq.references = irq.references.saturating_sub(1);
            if irq.references == 0 && irq.queued.is_none() {
                self.lpis.remove(&intid);
            }
        }
    }

    /// What is on a vCPU's list and belongs on none leaves it, and what belongs on another's goes to the end of that. KVM does so whenever
    /// the vCPU comes out of the guest, and at no other time: until then, an LPI that nothing maps any more is pending, and is saved.
    pub(super) fn prune(&mut self, vcpu: usize) {
        let (on, mut last_place) = (self.on, self.last_place);
        for irq in self.private.iter_mut().flatten().chain(&mut self.spis).chain(self.lpis.values_mut()) {
            if irq.queued == Some(vcpu) {
                irq.queued = irq.oracle(on);
                if irq.queued.is_some_and(|other| other != vcpu) {
                    last_place += 1;
                    irq.place = last_place;
                }
            }
        }
        self.last_place = last_place;
        self.lpis.retain(|_, irq| irq.references > 0 || irq.queued.is_some());
    }

    /// What is on a vCPU's list, by ID.
    fn listed(&self, vcpu: usize) -> impl Iterator<Item = (u32, &Irq)> {
        let private = self.private.get(vcpu).into_iter().flatten();
        let spis = (0..).zip(private.chain(&self.spis));
        let lpis = self.lpis.iter().map(|(intid, irq)| (*intid, irq));
        spis.chain(lpis).filter(move |(_, irq)| irq.queued == Some(vcpu) && irq.oracle(self.on) == Some(vcpu))
    }

    /// The list of a vCPU that runs is sorted, and stays so, if the list registers do not hold all that is on it.
    pub(super) fn sort(&mut self, vcpu: usize, sorting: Sorting) {
        let mut list: Vec<_> = self.listed(vcpu).map(|(intid, irq)| (irq.order(sorting), intid)).collect();
        if list.len() > sorting.registers {
            list.sort_unstable();
            for ((_, intid), place) in list.into_iter().zip(self.last_place + 1..) {
                if let Some(irq) = self.get_mut(vcpu, intid) {
                    irq.place = place;
                    self.last_place = place;
                }
            }
        }
    }

    /// The interrupt that is signalled to a vCPU: of those of an enabled group that are in list registers, the one of the highest
    /// priority. Of several with one priority, the lowest ID, unless only another one is in a list register.
    pub(super) fn signalled(&self, vcpu: usize, sorting: Sorting, enables: impl Fn(&Irq) -> bool) -> Option<(u32, &Irq)> {
        let could_be = || self.listed(vcpu).filter(|(_, irq)| !irq.active && enables(irq));
        let lowest = could_be().min_by_key(|(intid, irq)| (irq.priority, *intid))?;
        let first = could_be().min_by_key(|(_, irq)| irq.order(sorting))?;
        let in_register = |(_, irq): &(u32, &Irq)| {
            let order = irq.order(sorting);
            self.listed(vcpu).filter(|(_, other)| other.order(sorting) < order).take(sorting.registers).count() < sorting.registers
        };
        [lowest, first].into_iter().find(in_register)
    }

    /// The LPIs for a vCPU.
    pub(super) fn lpis_of(&self, vcpu: usize) -> Vec<u32> {
        self.lpis.iter().filter(|(_, irq)| irq.target == Some(vcpu)).map(|(intid, _)| *intid).collect()
    }
}
