//! The identification of a device, before it is initialised.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst; `arch/arm64/kvm/vgic/vgic-kvm-device.c`.
//!
//! Rule: an older kernel is no error: it has no such write.

use crate::error::AccessError;
use crate::state::gicv3::DistIdentity;
use crate::{Attr, AttrDevice, Errno, Error, Operation};

/// Gives a new device the identification that a guest has seen, before it is initialised: `GICD_IIDR`, `GICD_TYPER2`.
///
/// Needed to restore a guest of a host without GICv4.1 on a host with it, which would otherwise show the guest `GICD_TYPER2.nASSGIcap`.
/// Linux 6.17 and later allow it. Returns false if the kernel is older.
///
/// # Errors
///
/// [`Error::Access`]: the kernel refused a value.
pub fn preset<D: AttrDevice>(gic: &mut D, identity: &DistIdentity) -> Result<bool, Error> {
    use crate::uapi::vgic_v3::dist::{GICD_IIDR, GICD_TYPER2};
    for (offset, value) in [(GICD_IIDR, identity.iidr), (GICD_TYPER2, identity.typer2)] {
        match gic.set(Attr::dist(offset), value) {
            Ok(()) => {}
            Err(Errno::EBUSY) => return Ok(false),
            Err(errno) => {
                let failed = AccessError::new(Operation::Set, Attr::dist(offset).id(), errno);
                return Err(Error::from(AccessError { value: Some(value.into()), ..failed }).while_setting_up());
            }
        }
    }
    Ok(true)
}
