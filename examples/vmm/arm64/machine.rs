//! A VM: memory, vCPUs, interrupt controller, devices; and the one order in which it is saved and restored.
//!
//! Source: `docs/embedding.md`.
//!
//! Rule: the order is in `put` and `get` of this module, and in no other place.

use super::controller::{Choice, Slots};
use super::devices::Devices;
use super::layout::VCPUS;
use super::memory::{self, Memory};
use super::report::Totals;
use super::wire::Wire;
use super::{Result, vcpu};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vgic_state::gicv3::TableStrategy;
use vgic_state::image::Kind;
use vgic_state::kvm::probe;
use vgic_state::uapi::memory::KVM_MEM_LOG_DIRTY_PAGES;
use vgic_state::{DynInterruptState, Vcpus};

/// The only memory slot.
const SLOT: u32 = 0;

/// Where an image lies on its way.
pub(super) enum Carrier<'a> {
    /// In the socket, and guest memory, too.
    Socket,
    /// In memory that both VMMs have mapped, as they have guest memory.
    Shared(&'a mut [u8]),
}

/// A VM whose vCPUs do not run.
pub(super) struct Machine {
    pub(super) gic: Box<dyn DynInterruptState>,
    pub(super) vcpus: Vec<VcpuFd>,
    pub(super) devices: Arc<Devices>,
    pub(super) memory: Memory,
    slots: Slots,
}

impl Machine {
    /// Memory, vCPUs, interrupt controller, devices, in this order.
    pub(super) fn new(memory: Memory, tables: TableStrategy) -> Result<Self> {
        let vm: Arc<VmFd> = Arc::new(Kvm::new()?.create_vm()?);
        let offered = probe(&vm)?;
        let choice = Choice::of(&offered).ok_or_else(|| format!("no interrupt controller for the guest: {offered:?}"))?;
        let slots = Slots::new(&vm, &memory)?;
        let vcpus = vcpu::create(&vm)?;
        let gic = choice.create(&vm, Vcpus::with_default_mpidrs(VCPUS)?, memory.clone(), slots.clone(), tables)?;
        let devices = Arc::new(Devices::new(vm, memory.clone()));
        Ok(Machine { gic, vcpus, devices, memory, slots })
    }

    /// Loads the guest's program, to be started on the first vCPU.
    pub(super) fn boot(&self) -> Result<()> {
        memory::load(&self.memory)?;
        self.vcpus.first().map_or(Ok(()), vcpu::boot)
    }

    /// Begins to log what is written. The guest runs.
    pub(super) fn log_dirty_pages(slots: &Slots) -> Result<()> {
        Ok(slots.lock().set_flags(SLOT, KVM_MEM_LOG_DIRTY_PAGES)?)
    }

    pub(super) fn slots(&self) -> Slots {
        self.slots.clone()
    }

    /// Sends the VM. Its vCPUs have stopped, and its devices are quiet.
    ///
    /// Tables first, since the flush may write guest memory; then memory, for the last time; then everything else.
    pub(super) fn put(&mut self, wire: &mut Wire, carrier: &mut Carrier<'_>, totals: &mut Totals) -> Result<()> {
        let start = Instant::now();
        let flushed = self.gic.flush_tables()?;
        let mut gic = start.elapsed();
        if let Carrier::Socket = carrier {
            let log = self.slots.lock().take_dirty_log(SLOT)?;
            totals.dirty_pages += memory::put_dirty(wire, &self.memory, &log, &flushed)?;
        }
        self.vcpus.iter().try_for_each(|vcpu| vcpu::put(wire, vcpu))?;
        let start = Instant::now();
        let needed = self.gic.requirements()?.image_max;
        let length = match carrier {
            Carrier::Socket => {
                let mut image = vec![0; needed];
                let length = self.gic.save_image(&mut image)?;
                image.truncate(length);
                gic += start.elapsed();
                wire.put_bytes(&image)?;
                length
            }
            Carrier::Shared(area) => {
                let length = self.gic.save_image(area)?;
                gic += start.elapsed();
                wire.put(length as u64)?;
                length
            }
        };
        totals.gic_sum += gic.as_micros() as u64;
        totals.image_bytes = totals.image_bytes.max(length as u64);
        self.devices.put(wire)
    }

    /// Receives a VM into this one, which nothing has run in.
    ///
    /// Memory, vCPUs, interrupt controller, lines that devices hold, in this order.
    ///
    /// Returns how long the interrupt controller took.
    pub(super) fn get(&mut self, wire: &mut Wire, carrier: &Carrier<'_>) -> Result<Duration> {
        if let Carrier::Socket = carrier {
            memory::get_dirty(wire, &self.memory)?;
        }
        self.vcpus.iter().try_for_each(|vcpu| vcpu::get(wire, vcpu))?;
        let received;
        let image = match carrier {
            Carrier::Socket => {
                received = wire.get_bytes(64 << 20)?;
                received.as_slice()
            }
            Carrier::Shared(area) => {
                let length = usize::try_from(wire.get_up_to(area.len() as u64)?)?;
                area.get(..length).unwrap_or_default()
            }
        };
        let start = Instant::now();
        let report = self.gic.restore_image(image)?;
        let gic = start.elapsed();
        for finding in report.findings {
            eprintln!("restored, but odd: {finding}");
        }
        self.devices.get(wire, self.gic.kind() == Kind::Gicv5)?;
        Ok(gic)
    }
}
