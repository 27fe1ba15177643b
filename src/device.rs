//! The device that has the attributes: KVM's, or the model's.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_GET_DEVICE_ATTR`, `KVM_SET_DEVICE_ATTR`, `KVM_HAS_DEVICE_ATTR`;
//! Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_IST`.
//!
//! Rule: backends know a device, and whatever implements one; neither a state nor what judges it does.

use crate::{Attr, AttrId, Command, Errno, Word};
use alloc::boxed::Box;

/// A virtual GIC as device attributes: KVM's, or the model's.
///
/// A method is one ioctl, and returns the kernel's error number as it is. It retries nothing and keeps no state.
///
/// `&mut D` and `Box<D>` implement it if `D` does; so do `&KvmDevice` and `Arc<KvmDevice>`.
pub trait AttrDevice {
    /// `KVM_GET_DEVICE_ATTR`.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno>;

    /// `KVM_SET_DEVICE_ATTR`.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    fn set<W: Word>(&mut self, attr: Attr<W>, value: W) -> Result<(), Errno>;

    /// `KVM_HAS_DEVICE_ATTR`: `ENXIO` where the device does not have the attribute.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    fn has(&self, attr: AttrId) -> Result<(), Errno>;

    /// `KVM_SET_DEVICE_ATTR` of a command.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    fn command(&mut self, command: Command) -> Result<(), Errno>;
}

/// A virtual GICv5: the device attributes, and the transfer of its interrupt state tables.
pub trait IstDevice: AttrDevice {
    /// `KVM_GET_DEVICE_ATTR` of `GRP_IST`: the kernel writes the interrupt state tables of a GICv5 into the buffers.
    ///
    /// After an error the contents of the buffers are unspecified.
    ///
    /// # Errors
    ///
    /// The kernel's error number; `EINVAL` where a length is not exactly the kernel's.
    fn save_ist(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Errno>;

    /// `KVM_SET_DEVICE_ATTR` of `GRP_IST`: the kernel reads the interrupt state tables of a GICv5 from the buffers.
    ///
    /// # Errors
    ///
    /// The kernel's error number; `EINVAL` where a length is not exactly the kernel's.
    fn restore_ist(&mut self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), Errno>;
}

/// A device that is lent or boxed.
macro_rules! by_pointer {
    ($($type:ty),*) => {$(
        impl<D: AttrDevice> AttrDevice for $type {
            fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno> {
                (**self).get(attr)
            }

            fn set<W: Word>(&mut self, attr: Attr<W>, value: W) -> Result<(), Errno> {
                (**self).set(attr, value)
            }

            fn has(&self, attr: AttrId) -> Result<(), Errno> {
                (**self).has(attr)
            }

            fn command(&mut self, command: Command) -> Result<(), Errno> {
                (**self).command(command)
            }
        }

        impl<D: IstDevice> IstDevice for $type {
            fn save_ist(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Errno> {
                (**self).save_ist(spi, lpi)
            }

            fn restore_ist(&mut self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), Errno> {
                (**self).restore_ist(spi, lpi)
            }
        }
    )*};
}

by_pointer!(&mut D, Box<D>);
