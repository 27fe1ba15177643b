//! INIT of a GICv5, an attribute of `GRP_CTRL`.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-init.c` and `vgic-v5.c`, Linux 7.4; Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_CTRL`.
//!
//! Rule: an INIT that failed keeps what it got to: the number of SPIs is fixed, and the PPIs of user space are known.

use super::device::Vgic;
use super::host::SW_PPI;
use super::irs::Irs;
use super::ist::{DEFAULT_SPIS, Ist};
use super::vm::Vm;
use crate::Errno;
use crate::model::fault::HostStep;

impl Vm {
    /// Initialises the device; again is no error.
    pub(super) fn init(&mut self) -> Result<(), Errno> {
        let device = self.device.as_mut().ok_or(Errno::EBADF)?;
        if device.vgic.is_some() {
            return Ok(());
        }
        if self.creating {
            return Err(Errno::EBUSY);
        }
        if device.nr_spis == 0 {
            device.nr_spis = DEFAULT_SPIS;
        }
        let last = self.vcpus.iter().map(|state| state.vcpu.id).max().ok_or(Errno::ENODEV)?;
        if self.vcpus.iter().any(|state| state.el2) {
            return Err(Errno::EINVAL);
        }
        device.userspace_ppis = 1 << SW_PPI;
        let mut log = self.log.lock();
        log.host(HostStep::Init)?;
        log.host(HostStep::MapVm)?;
        log.host(HostStep::MapSpi).inspect_err(|errno| self.dead |= *errno == Errno::ETIMEDOUT)?;
        let pes = self.vcpus.iter().map(|state| state.vcpu.id.iaffid()).collect();
        let irs = Irs::new(&self.host, device.nr_spis, last, pes);
        device.vgic = Some(Vgic { irs, ist: Ist::new(device.nr_spis), mapped: true, owed: false });
        Ok(())
    }
}
