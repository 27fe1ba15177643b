//! State of the device `KVM_DEV_TYPE_ARM_VGIC_V3` itself: where its frames are, and how user space configured it.
//!
//! Source: `include/kvm/arm_vgic.h`, `struct vgic_dist`; `arch/arm64/kvm/vgic/vgic-kvm-device.c`, `vgic_check_iorange`;
//! `vgic-mmio-v3.c`, `vgic_mmio_vcpu_rdist_is_last`.
//!
//! Rule: nothing here knows a vCPU.

use crate::Errno;
use crate::uapi::vgic_v3::{KVM_VGIC_V3_DIST_SIZE, KVM_VGIC_V3_REDIST_SIZE};

/// Every frame starts at a multiple of this.
const ALIGN: u64 = 0x1_0000;
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
    /// PPI of the maintenance interrupt; 0 until user space said, or a vCPU with EL2 has run.
    pub(super) maintenance: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RedistRegion {
    pub(super) index: u8,
    pub(super) base: u64,
    /// 0: one region for all vCPUs.
    pub(super) count: u32,
    /// Redistributors in use.
    pub(super) used: u32,
}

impl RedistRegion {
    pub(super) fn bytes(&self, vcpus: usize) -> u64 {
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

pub(super) fn overlap(a: u64, a_size: u64, b: u64, b_size: u64) -> bool {
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

    pub(super) fn overlaps_region(&self, base: u64, size: u64, vcpus: usize) -> bool {
        self.regions.iter().any(|region| overlap(base, size, region.base, region.bytes(vcpus)))
    }

    /// Whether every frame is in the address space and none in another; looked at whenever a redistributor gets its place.
    pub(super) fn frames_fit(&self, vcpus: usize, ipa_bits: u32) -> bool {
        self.regions.iter().all(|region| check_range(region.base, region.bytes(vcpus), ipa_bits).is_ok())
            && self.address.is_none_or(|address| !self.overlaps_region(address, KVM_VGIC_V3_DIST_SIZE, vcpus))
    }
}
