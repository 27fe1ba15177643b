//! The devices of the VM: MSIs of a few PCI functions, SPIs of both kinds. What they send, and what the guest has counted.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_SIGNAL_MSI`, `KVM_IRQ_LINE`.
//!
//! Rule: a source sends again when the guest has counted the message before, since the architecture merges interrupts that are
//! pending already. A message is in memory before its interrupt is sent: an interrupt that finds no message was delivered twice.

use super::layout::{EVENT_BITS, FIRST_SPI, ITS, LPIS, SPIS, cell};
use super::memory::Memory;
use super::options::Fault;
use super::wire::Wire;
use super::{Result, lock};
use kvm_bindings::{KVM_ARM_IRQ_TYPE_SHIFT, KVM_ARM_IRQ_TYPE_SPI, KVM_MSI_VALID_DEVID, kvm_msi};
use kvm_ioctls::VmFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use vgic_state::SpiSet;
use vgic_state::uapi::vgic_v3::its::GITS_TRANSLATER;
use vm_memory::{Bytes, GuestAddress};

/// Behind this many SPIs, they are edge-triggered.
const FIRST_EDGE: u32 = 48;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Msi,
    /// A line that is held until the guest has served the device.
    Level,
    /// A pulse.
    Edge,
}

/// Where an interrupt comes from.
#[derive(Clone, Copy, Debug)]
struct Source {
    kind: Kind,
    /// Its place among the messages.
    index: u32,
    sent: u64,
    /// The line of a level-triggered SPI.
    line: bool,
}

/// Messages of a kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) sent: u64,
    pub(super) received: u64,
}

#[derive(Debug)]
pub(super) struct Devices {
    vm: Arc<VmFd>,
    memory: Memory,
    sources: Mutex<Vec<Source>>,
    quiet: AtomicBool,
}

/// The SPIs in use, counted from 0.
fn spis() -> impl Iterator<Item = (Kind, u32)> {
    let used = (0..32).filter(|spi| SPIS >> spi & 1 != 0);
    used.map(|spi| (if FIRST_SPI + spi < FIRST_EDGE { Kind::Level } else { Kind::Edge }, spi))
}

/// The level-triggered ones: of a GICv5, KVM does not say which they are.
pub(super) fn level_spis() -> Result<SpiSet> {
    Ok(SpiSet::new(spis().filter(|(kind, _)| *kind == Kind::Level).map(|(_, spi)| spi))?)
}

impl Devices {
    /// Devices that have sent nothing yet.
    pub(super) fn new(vm: Arc<VmFd>, memory: Memory) -> Self {
        let msis = (0..LPIS).map(|index| (Kind::Msi, index));
        let spis = spis().map(|(kind, spi)| (kind, LPIS + spi));
        let sources = msis.chain(spis).map(|(kind, index)| Source { kind, index, sent: 0, line: false });
        Devices { vm, memory, sources: Mutex::new(sources.collect()), quiet: AtomicBool::new(false) }
    }

    /// Sends what the devices are.
    pub(super) fn put(&self, wire: &mut Wire) -> Result<()> {
        lock(&self.sources)?.iter().try_for_each(|source| {
            wire.put(source.sent)?;
            wire.put(source.line.into())
        })
    }

    /// Receives what the devices were. A GICv3 has the levels of its lines in its own state; those of a GICv5 must be driven again.
    pub(super) fn get(&self, wire: &mut Wire, drive: bool) -> Result<()> {
        for source in lock(&self.sources)?.iter_mut() {
            source.sent = wire.get()?;
            source.line = wire.get_up_to(1)? != 0;
            if drive && source.line {
                // A GICv5 counts SPIs from 0.
                self.drive(source.index - LPIS, true)?;
            }
        }
        Ok(())
    }

    /// The guest has served the device behind an SPI.
    pub(super) fn served(&self, intid: u32) -> Result<()> {
        let index = intid.checked_sub(FIRST_SPI).map(|spi| LPIS + spi);
        let mut sources = lock(&self.sources)?;
        let Some(source) = sources.iter_mut().find(|source| Some(source.index) == index && source.kind == Kind::Level) else {
            return Err(format!("the guest has served SPI {intid}, which is none").into());
        };
        source.line = false;
        self.line(source.index, false)
    }

    fn line(&self, index: u32, level: bool) -> Result<()> {
        self.drive(index - LPIS + FIRST_SPI, level)
    }

    fn drive(&self, number: u32, level: bool) -> Result<()> {
        Ok(self.vm.set_irq_line(KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | number, level)?)
    }

    fn msi(&self, index: u32) -> Result<()> {
        let doorbell = ITS + GITS_TRANSLATER;
        let msi = kvm_msi {
            address_lo: doorbell as u32,
            address_hi: (doorbell >> 32) as u32,
            data: index & ((1 << EVENT_BITS) - 1),
            flags: KVM_MSI_VALID_DEVID,
            devid: 8 * ((index >> EVENT_BITS) + 1),
            ..kvm_msi::default()
        };
        match self.vm.signal_msi(msi)? {
            1 => Ok(()),
            _ => Err(format!("the ITS does not know the event of LPI {}", 8192 + index).into()),
        }
    }

    fn counted(&self, source: &Source) -> Result<u64> {
        let count: u64 = self.memory.load(GuestAddress(cell(source.index) + 8), Ordering::Acquire)?;
        if count > source.sent {
            return Err(format!("message {}: {} sent, {count} received", source.index, source.sent).into());
        }
        Ok(count)
    }

    /// Has every source send that may.
    fn round(&self) -> Result<()> {
        let count = lock(&self.sources)?.len();
        for at in 0..count {
            let mut sources = lock(&self.sources)?;
            let Some(source) = sources.get_mut(at) else { continue };
            if source.line || self.counted(source)? != source.sent {
                continue;
            }
            source.sent += 1;
            self.memory.store(source.sent, GuestAddress(cell(source.index)), Ordering::Release)?;
            match source.kind {
                Kind::Msi => self.msi(source.index)?,
                Kind::Level => {
                    source.line = true;
                    self.line(source.index, true)?;
                }
                Kind::Edge => {
                    self.line(source.index, true)?;
                    self.line(source.index, false)?;
                }
            }
        }
        Ok(())
    }

    /// Sends, as fast as the guest takes it, until it is told to be quiet; then once more, whatever the vCPUs do.
    pub(super) fn start(self: &Arc<Self>) -> JoinHandle<std::result::Result<(), String>> {
        let devices = Arc::clone(self);
        devices.quiet.store(false, Ordering::Relaxed);
        std::thread::spawn(move || {
            loop {
                let last = devices.quiet.load(Ordering::Relaxed);
                devices.round().map_err(|error| error.to_string())?;
                if last {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        })
    }

    /// Ends what [`Devices::start`] began.
    pub(super) fn stop(&self, sender: JoinHandle<std::result::Result<(), String>>) -> Result<()> {
        self.quiet.store(true, Ordering::Relaxed);
        match sender.join() {
            Ok(sent) => Ok(sent?),
            Err(_) => Err("the thread of the devices has panicked".into()),
        }
    }

    /// Does what must be found: a message whose interrupt is lost, or an interrupt that comes twice.
    pub(super) fn inject(&self, fault: Fault) -> Result<()> {
        let mut sources = lock(&self.sources)?;
        let Some(source) = sources.iter_mut().find(|source| source.kind == Kind::Msi) else { return Ok(()) };
        match fault {
            Fault::Lose => {
                source.sent += 1;
                Ok(self.memory.store(source.sent, GuestAddress(cell(source.index)), Ordering::Release)?)
            }
            Fault::Double => self.msi(source.index),
        }
    }

    /// What was sent, and what of it the guest has counted.
    pub(super) fn count_all(&self) -> Result<Count> {
        self.count(&[Kind::Msi, Kind::Level, Kind::Edge])
    }

    /// The same of some kinds.
    pub(super) fn count(&self, kinds: &[Kind]) -> Result<Count> {
        let mut count = Count::default();
        for source in lock(&self.sources)?.iter().filter(|source| kinds.contains(&source.kind)) {
            count.sent += source.sent;
            count.received += self.counted(source)?;
        }
        Ok(count)
    }
}
