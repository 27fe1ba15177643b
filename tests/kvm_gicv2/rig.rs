//! What a scenario needs of a VM, whether the model's or KVM's.

use crate::common::id;
use vgic_state::gicv2::Gicv2;
use vgic_state::model::gicv3::Kernel;
use vgic_state::uapi::vgic_v3::dist::*;
use vgic_state::{Attr, AttrDevice, Errno};

/// A VM with vCPUs 0 to `vcpus` - 1 and a GICv2.
pub(crate) trait Rig: Sized {
    type Device: AttrDevice + std::fmt::Debug;

    fn new(vcpus: u32, nr_irqs: u32) -> Self;

    /// A device that is not set up, of a VM with vCPUs of these ids, in the order of their creation.
    fn new_device(ids: &[u32]) -> (Self::Device, Box<dyn std::any::Any>);

    fn gic(&mut self) -> &mut Gicv2<Self::Device>;

    /// The kernel: what it does and others do not.
    fn kernel() -> Kernel;

    /// `KVM_IRQ_LINE` of an SPI by its INTID.
    fn spi_line(&mut self, intid: u32, level: bool) -> Result<(), Errno>;

    /// `KVM_IRQ_LINE` of a PPI by its INTID.
    fn ppi_line(&mut self, vcpu: u32, intid: u32, level: bool) -> Result<(), Errno>;

    /// Runs the guest on a vCPU: it reads `GICC_IAR` and writes `GICC_EOIR`, until nothing is acknowledged. `served` is told of each, in the
    /// handler, and may lower a line.
    fn acknowledge(&mut self, vcpu: u32, served: impl FnMut(&mut Self, u32)) -> Vec<u32>;

    /// The guest acknowledges an interrupt, and is stopped in its handler.
    fn enter_handler(&mut self, vcpu: u32) -> u32;

    /// The guest writes `GICC_EOIR`.
    fn leave_handler(&mut self, vcpu: u32, iar: u32);

    /// The guest writes `GICD_SGIR`.
    fn send_sgi(&mut self, vcpu: u32, value: u32);

    /// Does something while a vCPU is in `KVM_RUN`.
    fn while_running<T>(&mut self, vcpu: u32, act: impl FnOnce(&mut Self) -> T) -> T;

    fn dist(&mut self, vcpu: u32, offset: u32) -> Result<u32, Errno> {
        self.gic().gic().get(Attr::gicv2_dist(id(vcpu), offset))
    }

    fn set_dist(&mut self, vcpu: u32, offset: u32, value: u32) -> Result<(), Errno> {
        self.gic().gic_mut().set(Attr::gicv2_dist(id(vcpu), offset), value)
    }

    fn cpu(&mut self, vcpu: u32, offset: u32) -> Result<u32, Errno> {
        self.gic().gic().get(Attr::gicv2_cpu(id(vcpu), offset))
    }

    fn set_cpu(&mut self, vcpu: u32, offset: u32, value: u32) -> Result<(), Errno> {
        self.gic().gic_mut().set(Attr::gicv2_cpu(id(vcpu), offset), value)
    }

    /// What a guest's operating system does first: everything enabled, for vCPU 0, with one priority; SPIs of the first register of
    /// trigger modes edge-triggered, the others level-triggered.
    fn set_up(&mut self, vcpus: u32) {
        let mut writes =
            vec![(0, GICD_CTLR, 1), (0, GICD_ISENABLER + 4, u32::MAX), (0, GICD_ICFGR + 8, 0xaaaa_aaaa), (0, GICD_ICFGR + 12, 0)];
        writes.extend((0..8).map(|n| (0, GICD_ITARGETSR + 32 + 4 * n, 0x0101_0101)));
        writes.extend((0..8).map(|n| (0, GICD_IPRIORITYR + 32 + 4 * n, 0xa0a0_a0a0)));
        for vcpu in 0..vcpus {
            // Not the interrupts of KVM's timers.
            writes.push((vcpu, GICD_ISENABLER, 0x007f_ffff));
            writes.extend((0..6).map(|n| (vcpu, GICD_IPRIORITYR + 4 * n, 0xa0a0_a0a0)));
        }
        for (vcpu, offset, value) in writes {
            self.set_dist(vcpu, offset, value).expect("distributor register");
        }
        for vcpu in 0..vcpus {
            self.set_cpu(vcpu, 0, 1).expect("GICC_CTLR");
            self.set_cpu(vcpu, 4, 0x1f).expect("GICC_PMR");
        }
    }
}
