//! All state of a VM.
//!
//! Source: `include/kvm/arm_vgic.h`, `struct vgic_dist`.
//!
//! Rule: this module uses nothing that acts on the state: VM, device, guest and attributes.

use super::cpu::Cpu;
use super::host::Host;
use super::irq::Irqs;
use crate::model::fault::Log;
use crate::model::gicv3::Behaviour;
use crate::{Errno, VcpuId};

/// The GICv2 of a VM.
#[derive(Debug, Default)]
pub(super) struct Dist {
    /// `KVM_CREATE_DEVICE` was done.
    pub(super) exists: bool,
    pub(super) dist_address: Option<u64>,
    pub(super) cpu_address: Option<u64>,
    /// 0 until set, or until the initialisation takes the default.
    pub(super) nr_spis: u32,
    pub(super) initialised: bool,
    /// Frames were mapped at the first run.
    pub(super) ready: bool,
    pub(super) revision: u32,
    /// User space has written `GICD_IIDR`, and may write `GICD_IGROUPR`.
    pub(super) groups_writable: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) host: Host,
    /// In the order of creation.
    pub(super) cpus: Vec<Cpu>,
    pub(super) irqs: Irqs,
    pub(super) dist: Dist,
    pub(super) dead: bool,
    pub(super) log: Log,
}

impl State {
    pub(super) fn new(host: Host) -> Self {
        State {
            host: host.in_range(),
            cpus: Vec::new(),
            irqs: Irqs::default(),
            dist: Dist::default(),
            dead: false,
            log: Log::default(),
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

    /// The vCPU that user space names by a number: its id, or on a kernel without this behaviour its place in the order of creation.
    pub(super) fn named_vcpu(&self, number: u32, by_id: Behaviour) -> Result<usize, Errno> {
        let index = if self.host.kernel.has(by_id) {
            self.cpus.iter().position(|cpu| cpu.vcpu.id.get() == number)
        } else {
            Some(number as usize).filter(|index| *index < self.cpus.len())
        };
        index.ok_or(Errno::EINVAL)
    }
}
