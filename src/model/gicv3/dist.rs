//! The device `KVM_DEV_TYPE_ARM_VGIC_V3` itself: addresses of its frames, number of interrupts, INIT, first run.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-kvm-device.c`, `kvm_vgic_addr`, `vgic_check_iorange`; `vgic-mmio-v3.c`,
//! `vgic_v3_set_redist_base`; `vgic-init.c`, `vgic_init`; `vgic-v3.c`, `vgic_v3_map_resources`.
//!
//! Rule: an address is checked where the kernel checks it, at the write and at the first run, and each check has its place in the
//! row.

use super::irq::PRIVATE_IRQS;
use super::vm::State;
use crate::Errno;
use crate::uapi::vgic_v3::{KVM_VGIC_V3_DIST_SIZE, KVM_VGIC_V3_REDIST_SIZE};

/// Every frame starts at a multiple of this.
const ALIGN: u64 = 0x1_0000;
/// Interrupts of a VM that did not say how many, and the range of those that do.
const DEFAULT_IRQS: u32 = 256;
const MIN_IRQS: u32 = 64;
/// KVM compares with 1023 and asks for a multiple of 32: 992 is the greatest, whatever the document says.
const MAX_IRQS: u32 = 1023;
const LATEST_REVISION: u32 = 3;

/// The GICv3 of a VM. Without one, what is here is what KVM reads out of an empty structure.
#[derive(Debug, Default)]
pub(super) struct Dist {
    /// `KVM_CREATE_DEVICE` was done.
    pub(super) exists: bool,
    pub(super) address: Option<u64>,
    pub(super) regions: Vec<RedistRegion>,
    /// 0 until set, or until INIT takes the default.
    pub(super) nr_spis: u32,
    pub(super) initialised: bool,
    /// Frames were mapped at the first run.
    pub(super) ready: bool,
    pub(super) revision: u32,
    pub(super) nassgicap: bool,
    pub(super) nassgireq: bool,
    /// PPI of the maintenance interrupt; 0 unless user space said.
    pub(super) maintenance: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RedistRegion {
    pub(super) index: u8,
    pub(super) base: u64,
    /// 0: one region for all vCPUs.
    pub(super) count: u32,
    /// Redistributors in use.
    used: u32,
}

impl RedistRegion {
    fn bytes(&self, vcpus: usize) -> u64 {
        let count = if self.count == 0 { vcpus as u64 } else { u64::from(self.count) };
        count * KVM_VGIC_V3_REDIST_SIZE
    }
}

/// `vgic_check_iorange` for an address that is not set yet.
pub(super) fn check_range(address: u64, size: u64, ipa_bits: u32) -> Result<(), Errno> {
    if !address.is_multiple_of(ALIGN) {
        return Err(Errno::EINVAL);
    }
    let end = address.checked_add(size).ok_or(Errno::EINVAL)?;
    if address >= 1 << ipa_bits || end > 1 << ipa_bits {
        return Err(Errno::E2BIG);
    }
    Ok(())
}

fn overlap(a: u64, a_size: u64, b: u64, b_size: u64) -> bool {
    a.saturating_add(a_size) > b && a < b.saturating_add(b_size)
}

impl Dist {
    pub(super) fn new(nassgicap: bool) -> Self {
        Dist { exists: true, revision: LATEST_REVISION, nassgicap, ..Dist::default() }
    }

    /// `GICR_TYPER.Last`.
    pub(super) fn is_last_redistributor(&self, place: Option<(u8, u32)>) -> bool {
        let Some((index, slot)) = place else { return false };
        let Some(region) = self.regions.iter().find(|region| region.index == index) else { return false };
        if slot + 1 < region.used {
            return false;
        }
        // The next region may go on where this one is full.
        let end = region.base + u64::from(region.count) * KVM_VGIC_V3_REDIST_SIZE;
        let full = region.count != 0 && slot + 1 == region.count;
        !(full && self.regions.iter().any(|next| next.base == end && next.used > 0))
    }

    fn overlaps_region(&self, base: u64, size: u64, vcpus: usize) -> bool {
        self.regions.iter().any(|region| overlap(base, size, region.base, region.bytes(vcpus)))
    }

    /// Whether every frame is in the address space and none in another; looked at whenever a redistributor gets its place.
    fn frames_fit(&self, vcpus: usize, ipa_bits: u32) -> bool {
        self.regions.iter().all(|region| check_range(region.base, region.bytes(vcpus), ipa_bits).is_ok())
            && self.address.is_none_or(|address| !self.overlaps_region(address, KVM_VGIC_V3_DIST_SIZE, vcpus))
    }
}

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
