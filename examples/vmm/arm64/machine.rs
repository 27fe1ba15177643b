//! A VM: memory, vCPUs, interrupt controller, devices; and the one order in which it is saved and restored.
//!
//! Source: `docs/embedding.md`.
//!
//! Rule: the order is in `put` and `get` of this module, and in no other place.

#![expect(unsafe_code, reason = "an image lies in memory that two processes have")]

use super::controller::{Choice, Slots};
use super::devices::Devices;
use super::layout::VCPUS;
use super::memory::{self, Memory};
use super::report::Totals;
use super::shared::SharedArea;
use super::wire::Wire;
use super::{Result, vcpu};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vgic_state::TableStrategy;
use vgic_state::image::Kind;
use vgic_state::kvm::probe;
use vgic_state::uapi::memory::KVM_MEM_LOG_DIRTY_PAGES;
use vgic_state::{DynInterruptState, Vcpus};

/// No image of this VM is longer.
pub(super) const IMAGE_MAX: usize = 4 << 20;

/// The only memory slot.
const SLOT: u32 = 0;

/// Where an image lies on its way.
pub(super) enum Carrier {
    /// In the socket, and guest memory, too.
    Socket,
    /// In memory that both VMMs have mapped, as they have guest memory.
    Shared(SharedArea),
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
    pub(super) fn put(&mut self, wire: &mut Wire, carrier: &mut Carrier, totals: &mut Totals) -> Result<()> {
        let start = Instant::now();
        let flushed = self.gic.flush_tables()?;
        let mut gic = start.elapsed();
        if let Carrier::Socket = carrier {
            let log = self.slots.lock().take_dirty_log(SLOT)?;
            totals.dirty_pages += memory::put_dirty(wire, &self.memory, &log, flushed.written())?;
        }
        self.vcpus.iter().try_for_each(|vcpu| vcpu::put(wire, vcpu))?;
        let start = Instant::now();
        let needed = self.gic.image_max(&flushed)?;
        let length = match carrier {
            Carrier::Socket => {
                let mut image = vec![0; needed];
                let length = self.gic.save_image(flushed, &mut image)?;
                image.truncate(length);
                gic += start.elapsed();
                wire.put_bytes(&image)?;
                length
            }
            Carrier::Shared(area) => {
                // SAFETY: this VMM owns the guest, and the slice is gone before the length is sent, which makes the next VMM the
                // owner; it touches the memory only then. The one before has done so for the last time before it sent its length.
                // The file has no name, so that nobody else has it but the operator, which neither maps it nor makes it shorter.
                let length = self.gic.save_image(flushed, unsafe { area.bytes() })?;
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
    pub(super) fn get(&mut self, wire: &mut Wire, carrier: &mut Carrier) -> Result<Duration> {
        if let Carrier::Socket = carrier {
            memory::get_dirty(wire, &self.memory)?;
        }
        self.vcpus.iter().try_for_each(|vcpu| vcpu::get(wire, vcpu))?;
        let received;
        let image = match carrier {
            Carrier::Socket => {
                received = wire.get_bytes(IMAGE_MAX as u64)?;
                received.as_slice()
            }
            Carrier::Shared(area) => {
                let length = usize::try_from(wire.get_up_to(IMAGE_MAX as u64)?)?;
                // SAFETY: the length has arrived: the VMM before has done with the memory, and the next one waits for a length of
                // this one's, which is sent when the slice is long gone. Nobody else: as in `put`.
                unsafe { area.bytes() }.get(..length).ok_or("the image is longer than its memory")?
            }
        };
        let start = Instant::now();
        let report = self.gic.restore_image(image)?;
        let gic = start.elapsed();
        eprint!("{report}");
        self.devices.get(wire, self.gic.kind() == Kind::Gicv5)?;
        Ok(gic)
    }
}
