//! Set-up of a GICv2: addresses of its frames, number of interrupts, initialisation, first run.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-kvm-device.c`, `vgic_check_iorange`, `vgic_set_common_attr`; `vgic-init.c`, `vgic_init`;
//! `vgic-v2.c`, `vgic_v2_map_resources`.
//!
//! Rule: whatever needs an initialised GICv2 initialises it.

use super::irq::PRIVATE_IRQS;
use super::state::State;
use crate::Errno;
use crate::model::gicv3::Behaviour;
use crate::uapi::vgic_v2::{KVM_VGIC_V2_ADDR_TYPE_CPU, KVM_VGIC_V2_ADDR_TYPE_DIST, KVM_VGIC_V2_CPU_SIZE, KVM_VGIC_V2_DIST_SIZE};

/// Every frame starts at a multiple of this.
const ALIGN: u64 = 0x1000;
/// An address that was not set.
const UNDEFINED: u64 = u64::MAX;
/// Interrupts of a VM that did not say how many, and the range of those that do.
const DEFAULT_IRQS: u32 = 256;
const MIN_IRQS: u32 = 64;
/// KVM compares with 1023 and asks for a multiple of 32: 992 is the greatest, whatever the document says.
const MAX_IRQS: u32 = 1023;
const LATEST_REVISION: u32 = 3;

impl State {
    /// `KVM_GET_DEVICE_ATTR` of `GRP_ADDR`.
    pub(super) fn address(&self, attr: u64) -> Result<u64, Errno> {
        match attr {
            KVM_VGIC_V2_ADDR_TYPE_DIST => Ok(self.dist.dist_address.unwrap_or(UNDEFINED)),
            KVM_VGIC_V2_ADDR_TYPE_CPU => Ok(self.dist.cpu_address.unwrap_or(UNDEFINED)),
            _ => Err(Errno::ENXIO),
        }
    }

    /// `KVM_SET_DEVICE_ATTR` of `GRP_ADDR`. That the frames do not overlap is checked at the first run.
    pub(super) fn set_address(&mut self, attr: u64, address: u64) -> Result<(), Errno> {
        let ipa_bits = self.host.ipa_bits;
        let (own, size) = match attr {
            KVM_VGIC_V2_ADDR_TYPE_DIST => (&mut self.dist.dist_address, KVM_VGIC_V2_DIST_SIZE),
            KVM_VGIC_V2_ADDR_TYPE_CPU => (&mut self.dist.cpu_address, KVM_VGIC_V2_CPU_SIZE),
            _ => return Err(Errno::ENXIO),
        };
        if own.is_some() {
            return Err(Errno::EEXIST);
        }
        if !address.is_multiple_of(ALIGN) {
            return Err(Errno::EINVAL);
        }
        let end = address.checked_add(size).ok_or(Errno::EINVAL)?;
        if address >= 1 << ipa_bits || end > 1 << ipa_bits {
            return Err(Errno::E2BIG);
        }
        *own = Some(address);
        Ok(())
    }

    /// `GRP_NR_IRQS`.
    pub(super) fn set_nr_irqs(&mut self, count: u32) -> Result<(), Errno> {
        if !(MIN_IRQS..=MAX_IRQS).contains(&count) || !count.is_multiple_of(32) {
            return Err(Errno::EINVAL);
        }
        if self.dist.nr_spis != 0 {
            return Err(Errno::EBUSY);
        }
        self.dist.nr_spis = count - PRIVATE_IRQS;
        Ok(())
    }

    /// Initialises the GICv2, once.
    pub(super) fn init(&mut self) {
        if self.dist.initialised {
            return;
        }
        // The document says that a VM without vCPUs is refused; it is not.
        if self.dist.nr_spis == 0 {
            self.dist.nr_spis = DEFAULT_IRQS - PRIVATE_IRQS;
        }
        let by_id = self.host.kernel.has(Behaviour::ShowsGicv2TargetsById);
        let numbers = (0..).zip(&self.cpus).map(|(place, cpu)| if by_id { cpu.vcpu.id.get() } else { place });
        self.irqs.initialise(self.dist.nr_spis, numbers);
        self.dist.revision = LATEST_REVISION;
        self.dist.initialised = true;
    }

    /// What KVM does when a vCPU runs for the first time.
    pub(super) fn map_resources(&mut self) -> Result<(), Errno> {
        if self.dist.ready || !self.dist.exists {
            return Ok(());
        }
        let (Some(dist), Some(cpu)) = (self.dist.dist_address, self.dist.cpu_address) else { return Err(Errno::ENXIO) };
        if dist + KVM_VGIC_V2_DIST_SIZE > cpu && cpu + KVM_VGIC_V2_CPU_SIZE > dist {
            return Err(Errno::EINVAL);
        }
        self.init();
        self.dist.ready = true;
        Ok(())
    }
}
