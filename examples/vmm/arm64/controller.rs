//! The interrupt controller of a VM: which one, how it is made, and the memory slots that it diverts.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst, arm-vgic-its.rst, arm-vgic-v5.rst.
//!
//! Rule: behind this module, nobody knows which controller the VM has.

use super::Result;
use super::devices::level_spis;
use super::layout::{DIST, IRS, ITS, NR_IRQS, REDIST};
use super::memory::Memory;
use kvm_ioctls::VmFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vgic_state::gicv3::Gicv3;
use vgic_state::gicv5::Gicv5;
use vgic_state::kvm::{KvmDevice, Offered, VmMemslots};
use vgic_state::shadow::{Memslot, Memslots, ShadowKind, ShadowRegion, Shadowed};
use vgic_state::{Attr, AttrDevice, Command, DynInterruptState, Errno, Options, SpiCount, TableStrategy, Vcpus};

/// Memory slots that the controller's backend diverts, and whose dirty logs the VMM takes.
#[derive(Clone, Debug)]
pub(super) struct Slots(Arc<Mutex<VmMemslots<Arc<VmFd>>>>);

impl Slots {
    /// Creates a slot for each region of guest memory.
    pub(super) fn new(vm: &Arc<VmFd>, memory: &Memory) -> Result<Self> {
        Ok(Slots(Arc::new(Mutex::new(VmMemslots::from_memory(Arc::clone(vm), memory, 0, 0)?))))
    }

    /// The slots, even if a thread has panicked with them: what was diverted must be put back.
    pub(super) fn lock(&self) -> MutexGuard<'_, VmMemslots<Arc<VmFd>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memslots for Slots {
    fn list(&self) -> Vec<Memslot> {
        self.lock().list()
    }

    fn delete(&mut self, slot: u32) -> std::result::Result<(), Errno> {
        self.lock().delete(slot)
    }

    fn create_over_shadow(&mut self, slot: u32, shadow: &ShadowRegion) -> std::result::Result<(), Errno> {
        self.lock().create_over_shadow(slot, shadow)
    }

    fn create_over_guest(&mut self, slot: u32) -> std::result::Result<(), Errno> {
        self.lock().create_over_guest(slot)
    }

    fn dirty_log(&mut self, slot: u32) -> std::result::Result<Option<Vec<u64>>, Errno> {
        self.lock().dirty_log(slot)
    }

    fn merge_dirty_log(&mut self, slot: u32, bitmap: Vec<u64>) {
        self.lock().merge_dirty_log(slot, bitmap);
    }
}

/// What this VMM gives a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Gicv3,
    /// The guest's program knows no GICv5: its state moves, and nothing runs.
    Gicv5,
}

impl Choice {
    /// A controller that the guest's program knows, if there is one.
    pub(super) fn of(offered: &Offered) -> Option<Self> {
        match offered {
            Offered { gicv3: true, its: true, .. } => Some(Choice::Gicv3),
            Offered { gicv5: true, .. } => Some(Choice::Gicv5),
            _ => None,
        }
    }

    /// Creates and initialises the controller. Every vCPU exists.
    pub(super) fn create(
        self,
        vm: &VmFd,
        vcpus: Vcpus,
        memory: Memory,
        slots: Slots,
        tables: TableStrategy,
    ) -> Result<Box<dyn DynInterruptState>> {
        match self {
            Choice::Gicv3 => {
                let mut gic = KvmDevice::create_gicv3(vm)?;
                gic.set(Attr::dist_address(), DIST)?;
                gic.set(Attr::redist_address(), REDIST)?;
                gic.set(Attr::nr_irqs(), NR_IRQS)?;
                gic.command(Command::Init)?;
                let mut its = KvmDevice::create_its(vm)?;
                its.set(Attr::its_address(), ITS)?;
                its.command(Command::Init)?;
                let memory = Shadowed::new(memory, slots, ShadowKind::Zero);
                let options = Options::default().with_tables(tables);
                Ok(Box::new(Gicv3::attach(gic, vec![its], memory, vcpus)?.with_options(options)))
            }
            Choice::Gicv5 => {
                let gic = KvmDevice::create_gicv5(vm)?;
                let options = Options::default().with_level_spis(level_spis()?);
                Ok(Box::new(Gicv5::initialise(gic, IRS, SpiCount::new(NR_IRQS - 32)?, vcpus)?.with_options(options)))
            }
        }
    }
}
