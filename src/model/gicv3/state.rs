//! All state of a VM.
//!
//! Source: `include/kvm/arm_vgic.h`, `struct vgic_dist`; `arch/arm64/kvm/vgic/vgic-kvm-device.c`, `vgic_v3_attr_regs_access` for the
//! lock of every vCPU.
//!
//! Rule: this module uses nothing that acts on the state: VM, devices, guest and attributes.

use super::cpu::Cpu;
use super::ctx::Ctx;
use super::dist::Dist;
use super::host::Host;
use super::irq::Irqs;
use super::its::{Executed, Its};
use super::ram::Ram;
use super::trace::{Origin, Traced};
use crate::model::fault::Log;
use crate::{Errno, VcpuId};
use vm_memory::GuestMemoryMmap;

#[derive(Debug)]
pub(super) struct State {
    pub(super) host: Host,
    pub(super) ram: Ram,
    /// In the order of creation.
    pub(super) cpus: Vec<Cpu>,
    pub(super) irqs: Irqs,
    pub(super) dist: Dist,
    /// One value for all vCPUs.
    pub(super) propbaser: u64,
    pub(super) has_its: bool,
    pub(super) its: Vec<Its>,
    pub(super) dead: bool,
    /// Faults of the VM, then those of single devices.
    pub(super) faults: Log,
    pub(super) device_faults: Vec<(Origin, Log)>,
    pub(super) trace: Vec<Traced>,
    pub(super) commands: Vec<Executed>,
}

impl State {
    /// No vCPU and no device. A number of `host` that is out of its range counts as the nearest in it.
    pub(super) fn new(host: Host, memory: GuestMemoryMmap<()>) -> Self {
        State {
            host: host.in_range(),
            ram: Ram::new(memory),
            cpus: Vec::new(),
            irqs: Irqs::default(),
            dist: Dist::default(),
            propbaser: 0,
            has_its: false,
            its: Vec::new(),
            dead: false,
            faults: Log::default(),
            device_faults: Vec::new(),
            trace: Vec::new(),
            commands: Vec::new(),
        }
    }

    pub(super) fn alive(&self) -> Result<(), Errno> {
        if self.dead { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Tries to lock every vCPU.
    pub(super) fn lock_vcpus(&self) -> Result<(), Errno> {
        if self.cpus.iter().any(Cpu::is_busy) { Err(Errno::EBUSY) } else { Ok(()) }
    }

    pub(super) fn index_of(&self, id: VcpuId) -> Option<usize> {
        self.cpus.iter().position(|cpu| cpu.vcpu.id == id)
    }

    pub(super) fn ctx(&mut self) -> Ctx<'_> {
        Ctx { host: self.host, ram: &mut self.ram, cpus: &mut self.cpus, irqs: &mut self.irqs, propbaser: self.propbaser }
    }

    /// An ITS, what it works with, and the record of its commands.
    pub(super) fn with_its<R>(
        &mut self,
        index: usize,
        work: impl FnOnce(&mut Its, &mut Ctx<'_>, &mut Vec<Executed>) -> R,
    ) -> Option<R> {
        let its = self.its.get_mut(index)?;
        let mut ctx =
            Ctx { host: self.host, ram: &mut self.ram, cpus: &mut self.cpus, irqs: &mut self.irqs, propbaser: self.propbaser };
        Some(work(its, &mut ctx, &mut self.commands))
    }
}
