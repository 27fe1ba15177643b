//! The contract between a VMM and the state of its virtual interrupt controller, whatever the version of the controller.
//!
//! Rule: everything is checked before anything is written.
//!
//! # Contract
//!
//! **Save.** Every vCPU is out of `KVM_RUN` and out of every other vCPU ioctl; devices, irqfds and whatever else injects interrupts
//! are stopped. Save the interrupt state before the last pass over guest memory, so that memory that the kernel writes on the way is
//! in it. The source may go on running afterwards.
//!
//! **Restore.** The device is fresh: the same vCPUs exist, the device is initialised with the same number of interrupts, and no vCPU
//! of the VM has ever run. Guest memory is in place. Nothing of the image is believed: it is checked first, and a refusal leaves the
//! device as it was, without a single access. An error after that leaves a VM that must be thrown away. When all is done, drive every
//! interrupt line that a device holds high; lines are not part of the state where the documentation of the backend says so.

use crate::Error;
use crate::buffer::IstSizes;
use crate::check::Report;
use crate::guest_memory::GuestRange;
use crate::image::Kind;
use alloc::vec::Vec;

/// What a save or restore needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requirements {
    /// A buffer of this many bytes is enough for an image of the present state, in the coding that the backend is set to.
    pub image_max: usize,
    /// Sizes of the interrupt state tables (GICv5).
    pub ist: Option<IstSizes>,
    /// What happens to guest memory.
    pub guest_memory: GuestMemoryUse,
}

/// What a save or a restore does with guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuestMemoryUse {
    /// A save makes the kernel write guest memory: collect dirty pages afterwards.
    pub written_by_save: bool,
    /// A restore makes the kernel read guest memory: load it first.
    pub read_by_restore: bool,
    /// A restore makes the kernel write guest memory.
    pub written_by_restore: bool,
}

impl GuestMemoryUse {
    /// Guest memory plays no part.
    pub const NONE: GuestMemoryUse = GuestMemoryUse { written_by_save: false, read_by_restore: false, written_by_restore: false };
}

/// The interrupt state of a VM as bytes, without knowing which controller it has. Object-safe: a VMM holds a `Box<dyn
/// DynInterruptState>` for hosts of any kind.
///
/// See the [module](self) for what must hold before a call.
pub trait DynInterruptState {
    /// The interrupt controller.
    fn kind(&self) -> Kind;

    /// Sizes of buffers, and what happens to guest memory. Asks the device: the guest decides how many LPIs there are.
    ///
    /// # Errors
    ///
    /// [`Error::Access`], [`Error::Device`]: the device could not be asked.
    fn requirements(&self) -> Result<Requirements, Error>;

    /// Has the kernel write the tables of the controller into guest memory, where it keeps them there ([`GuestMemoryUse`]), and tells
    /// which guest memory was written: mark it dirty, and save it after this.
    ///
    /// A step of its own, for a VMM that means to save: never part of a pause. What is written, and where, the implementation says.
    ///
    /// # Errors
    ///
    /// [`Error::Access`]: the kernel refused; some tables may be written. [`Error::Tables`]: all are written, but where cannot be told.
    fn flush_tables(&mut self) -> Result<Vec<GuestRange>, Error>;

    /// Saves the state into a buffer as an image, and returns the length of the image in bytes.
    ///
    /// What the buffer holds behind the image means nothing. A reader of the whole buffer finds the length with
    /// [`image::length`](crate::image::length).
    ///
    /// # Errors
    ///
    /// - [`Error::Buffer`]: the buffer is smaller than [`Requirements::image_max`].
    /// - [`Error::Access`], [`Error::Device`]: the device could not be read. The contents of the buffer mean nothing.
    fn save_image(&self, image: &mut [u8]) -> Result<usize, Error>;

    /// Whether an image can be restored here. Does not access the device.
    ///
    /// # Errors
    ///
    /// [`Error::Image`], [`Error::Refused`]: why not.
    fn check_image(&self, image: &[u8]) -> Result<Report, Error>;

    /// Checks an image, then restores it.
    ///
    /// # Errors
    ///
    /// - [`Error::Image`], [`Error::Refused`]: the image cannot be restored here; the device was not accessed.
    /// - [`Error::Access`]: the kernel refused a write. The error says which, and what was written before; the VM must be thrown away.
    fn restore_image(&mut self, image: &[u8]) -> Result<Report, Error>;
}

/// The interrupt state of a VM as a typed value.
///
/// See the [module](self) for what must hold before a call.
pub trait InterruptState: DynInterruptState {
    /// The state; borrows from an image it was read from.
    type State<'a>;

    /// Saves the state.
    ///
    /// # Errors
    ///
    /// [`Error::Access`], [`Error::Device`]: the device could not be read.
    fn save(&self) -> Result<Self::State<'static>, Error>;

    /// Whether a state can be restored here. Does not access the device.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: why not.
    fn check(&self, state: &Self::State<'_>) -> Result<Report, Error>;

    /// Checks a state, then restores it.
    ///
    /// # Errors
    ///
    /// As [`DynInterruptState::restore_image`].
    fn restore(&mut self, state: &Self::State<'_>) -> Result<Report, Error>;
}

// Stays object-safe.
const _: Option<&dyn DynInterruptState> = None;
