//! Descriptors, as a VMM holds them.
//!
//! Source: std's rules for descriptors (`std::os::fd`): a borrowed one is open as long as the borrow lasts.
//!
//! Rule: whoever implements [`Descriptor`] promises that it always gives the same descriptor; the unsafe code beside this module
//! relies on it, and on nothing else.

#![expect(unsafe_code, reason = "a promise that the compiler cannot check")]

use kvm_ioctls::{DeviceFd, VmFd};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

/// A descriptor, owned or borrowed: of a VM for [`probe`](super::probe), for the creation of a device and for
/// [`VmMemslots`](super::VmMemslots), of a device for [`KvmDevice`](super::KvmDevice).
///
/// Implemented for those of std, for `VmFd` and `DeviceFd` of the kvm-ioctls that this crate depends on, and for references and
/// smart pointers to any of them. A type of the VMM's own gives one of std's ([`AsFd`]), or implements this trait.
///
/// The types of kvm-ioctls implement [`AsRawFd`] alone. One of another version than this crate's is borrowed:
///
/// ```
/// use std::os::fd::{AsRawFd, BorrowedFd};
/// use vgic_state::Errno;
/// use vgic_state::kvm::{Offered, probe};
/// # use kvm_ioctls::VmFd;
///
/// struct Vm {
///     // `kvm_ioctls::VmFd`, of any version.
///     fd: VmFd,
/// }
///
/// impl Vm {
///     /// As long as `self` is borrowed.
///     fn descriptor(&self) -> BorrowedFd<'_> {
///         // SAFETY: `fd` owns the descriptor and does not close it while it is borrowed.
///         unsafe { BorrowedFd::borrow_raw(self.fd.as_raw_fd()) }
///     }
///
///     fn offered(&self) -> Result<Offered, Errno> {
///         probe(self.descriptor())
///     }
/// }
/// ```
///
/// # Safety
///
/// Every call gives the same descriptor, and nothing closes it before `self` is dropped.
pub unsafe trait Descriptor {
    /// The descriptor.
    fn descriptor(&self) -> BorrowedFd<'_>;
}

macro_rules! of_std {
    ($($type:ty),*) => {$(
        // SAFETY: the type has one descriptor, which it gives up with its ownership or its borrow alone.
        unsafe impl Descriptor for $type {
            fn descriptor(&self) -> BorrowedFd<'_> {
                self.as_fd()
            }
        }
    )*};
}

of_std!(BorrowedFd<'_>, OwnedFd, File);

macro_rules! of_kvm_ioctls {
    ($($type:ty),*) => {$(
        // SAFETY: the type owns one descriptor, has no method that closes it, and closes it when it is dropped.
        unsafe impl Descriptor for $type {
            fn descriptor(&self) -> BorrowedFd<'_> {
                // SAFETY: open as long as `self` exists, as above; -1 is in none of them, for they are made of what the kernel
                // returned as a new descriptor.
                unsafe { BorrowedFd::borrow_raw(self.as_raw_fd()) }
            }
        }
    )*};
}

of_kvm_ioctls!(VmFd, DeviceFd);

macro_rules! of_pointers {
    ($($type:ty),*) => {$(
        // SAFETY: the pointer is to the same value for all its life, and keeps it.
        unsafe impl<T: Descriptor + ?Sized> Descriptor for $type {
            fn descriptor(&self) -> BorrowedFd<'_> {
                (**self).descriptor()
            }
        }
    )*};
}

of_pointers!(&T, Arc<T>, Box<T>, Rc<T>);
