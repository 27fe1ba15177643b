//! Set-up of a GICv3: addresses of its frames, number of interrupts, INIT, first run.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-kvm-device.c`, `kvm_vgic_addr`; `vgic-mmio-v3.c`, `vgic_v3_set_redist_base`; `vgic-init.c`,
//! `vgic_init`; `vgic-v3.c`, `vgic_v3_map_resources`.
//!
//! Rule: an address is checked where the kernel checks it, at the write and at the first run, and the checks are in the kernel's order.

use super::dist::{RedistRegion, check_range, overlap};
use super::irq::PRIVATE_IRQS;
use super::state::State;
use crate::Errno;
use crate::uapi::vgic_v3::KVM_VGIC_V3_DIST_SIZE;

/// Interrupts of a VM that did not say how many, and the range of those that do.
const DEFAULT_IRQS: u32 = 256;
const MIN_IRQS: u32 = 64;
/// KVM compares with 1023 and asks for a multiple of 32: 992 is the greatest, whatever the document says.
const MAX_IRQS: u32 = 1023;

impl State {
    /// Sets the address of the distributor. That it does not lie in a redistributor is checked later.
    pub(super) fn set_dist_address(&mut self, address: u64) -> Result<(), Errno> {
        if self.dist.address.is_some() {
            return Err(Errno::EEXIST);
        }
        check_range(address, KVM_VGIC_V3_DIST_SIZE, self.host.ipa_bits)?;
        self.dist.address = Some(address);
        Ok(())
    }

    /// Adds a region of redistributors: of all vCPUs (`count` 0), or one of several.
    pub(super) fn add_redist_region(&mut self, index: u8, base: u64, count: u32) -> Result<(), Errno> {
        let vcpus = self.cpus.len();
        let region = RedistRegion { index, base, count, used: 0 };
        let size = region.bytes(vcpus);
        base.checked_add(size).ok_or(Errno::EINVAL)?;
        match self.dist.regions.last() {
            None if index != 0 => return Err(Errno::EINVAL),
            None => {}
            Some(last) if count == 0 && last.count != 0 => return Err(Errno::EINVAL),
            Some(_) if count == 0 => return Err(Errno::EEXIST),
            Some(last) if Some(index) != last.index.checked_add(1) => return Err(Errno::EINVAL),
            Some(_) => {}
        }
        let in_dist = self.dist.address.is_some_and(|dist| overlap(base, size, dist, KVM_VGIC_V3_DIST_SIZE));
        if count == 0 && in_dist || self.dist.overlaps_region(base, size, vcpus) {
            return Err(Errno::EINVAL);
        }
        check_range(base, size, self.host.ipa_bits)?;
        self.dist.regions.push(region);
        for vcpu in 0..vcpus {
            if let Err(errno) = self.place_redistributor(vcpu, vcpus) {
                self.dist.regions.retain(|region| region.index != index);
                for cpu in self.cpus.iter_mut().filter(|cpu| cpu.redistributor.is_some_and(|(at, _)| at == index)) {
                    cpu.redistributor = None;
                }
                return Err(errno);
            }
        }
        Ok(())
    }

    /// Gives a vCPU its redistributor, as soon as a region has room. `vcpus` is how many exist: not the one that is being created.
    pub(super) fn place_redistributor(&mut self, vcpu: usize, vcpus: usize) -> Result<(), Errno> {
        let Some(cpu) = self.cpus.get_mut(vcpu) else { return Ok(()) };
        let free = self.dist.regions.iter().position(|region| region.count == 0 || region.used < region.count);
        let (None, Some(free)) = (cpu.redistributor, free) else { return Ok(()) };
        if !self.dist.frames_fit(vcpus, self.host.ipa_bits) {
            return Err(Errno::EINVAL);
        }
        if let Some(region) = self.dist.regions.get_mut(free) {
            cpu.redistributor = Some((region.index, region.used));
            region.used += 1;
        }
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

    /// `GRP_CTRL`, INIT of the GICv3. A second time is no error.
    pub(super) fn init(&mut self) -> Result<(), Errno> {
        if self.dist.initialised {
            return Ok(());
        }
        // The document says that a VM without vCPUs is refused; it is not.
        if self.dist.nr_spis == 0 {
            self.dist.nr_spis = DEFAULT_IRQS - PRIVATE_IRQS;
        }
        self.irqs.add_spis(self.dist.nr_spis);
        self.dist.initialised = true;
        Ok(())
    }

    /// What KVM does when a vCPU runs for the first time.
    pub(super) fn map_resources(&mut self) -> Result<(), Errno> {
        if self.dist.ready || !self.dist.exists {
            return Ok(());
        }
        if self.cpus.iter().any(|cpu| cpu.redistributor.is_none()) || self.dist.address.is_none() {
            return Err(Errno::ENXIO);
        }
        if !self.dist.frames_fit(self.cpus.len(), self.host.ipa_bits) {
            return Err(Errno::EINVAL);
        }
        if !self.dist.initialised {
            return Err(Errno::EBUSY);
        }
        self.dist.ready = true;
        Ok(())
    }
}
