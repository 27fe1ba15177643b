//! The contract between a VMM and the state of its virtual interrupt controller, whatever the version of the controller.
//!
//! Rule: everything is checked before anything is written.
//!
//! # Contract
//!
//! **Save.** Every vCPU is out of `KVM_RUN` and out of every other vCPU ioctl; devices, irqfds and whatever else injects interrupts
//! are stopped. Flush the tables, which does nothing where there are none to flush; ask for the requirements; save the state; where
//! [`GuestMemoryUse::written_by_flush`] says so, make the last pass over guest memory after that. The source may go on running
//! afterwards.
//!
//! **Restore.** The same vCPUs exist, and the devices are initialised with the same number of interrupts and have their addresses. A
//! GICv5 is fresh: no vCPU of the VM has ever run; a GICv3 may have been used. Guest memory is in place. Nothing of the image is believed: it is checked first, and a refusal leaves the
//! device as it was, without a single access. An error after that leaves a VM that must be thrown away. When all is done, drive every
//! interrupt line that a device holds high of a GICv5, whose lines are not part of its state; those of a GICv3 are.

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
    /// A buffer of this many bytes is enough for an image of the present state, in the coding that the backend is set to. Where tables
    /// go into the image: exact after a flush; before it, enough for any tables in which no LPI is mapped twice, some MiB.
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
    /// [`DynInterruptState::flush_tables`] makes the kernel write guest memory: call it before a save, and collect dirty pages
    /// afterwards. A save itself writes nothing.
    pub written_by_flush: bool,
    /// The restore of what is saved now makes the kernel read guest memory: load it first.
    pub read_by_restore: bool,
    /// The restore of what is saved now makes the kernel write guest memory.
    pub written_by_restore: bool,
}

impl GuestMemoryUse {
    /// Guest memory plays no part.
    pub const NONE: GuestMemoryUse = GuestMemoryUse { written_by_flush: false, read_by_restore: false, written_by_restore: false };
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

    /// Has the kernel write the tables that it keeps for the controller: into guest memory ([`GuestMemoryUse`]), or to where the next
    /// save takes them from. Tells which guest memory was written: mark it dirty, and save it after this. Does nothing where there
    /// are no such tables.
    ///
    /// A step of its own, for a VMM that means to save: never part of a pause. What is written, and where, the implementation says.
    ///
    /// # Errors
    ///
    /// [`Error::Access`]: the kernel refused. If it refused a command, some tables may be written already, and it is not told which:
    /// take all of guest memory for dirty, or ask KVM's dirty log.
    fn flush_tables(&mut self) -> Result<Vec<GuestRange>, Error>;

    /// Saves the state into a buffer as an image, and returns the length of the image in bytes.
    ///
    /// What the buffer holds behind the image means nothing. A reader of the whole buffer finds the length with
    /// [`image::length`](crate::image::length).
    ///
    /// # Errors
    ///
    /// - [`Error::Buffer`]: the buffer is smaller than [`Requirements::image_max`].
    /// - [`Error::NotFlushed`]: tables go into the image, and were not flushed since the last save, or since one that failed.
    /// - [`Error::Access`], [`Error::Device`]: the device could not be read. The contents of the buffer mean nothing.
    fn save_image(&mut self, image: &mut [u8]) -> Result<usize, Error>;

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
    /// - [`Error::Access`], [`Error::ReadBack`]: the kernel refused a write, or accepted it and did not do it. The error says which,
    ///   and what was done before; the VM must be thrown away. [`Error::can_retry_on_same_memory`] says whether its memory can be used.
    /// - [`Error::Shadow`], [`Error::TablesNotBuilt`]: an image with tables; guest memory could not be diverted, or not hold them. The VM
    ///   must be thrown away.
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
    /// [`Error::Access`], [`Error::Device`]: the device could not be read. [`Error::NotFlushed`]: tables go into the state, and were not
    /// flushed since the last save.
    fn save(&mut self) -> Result<Self::State<'static>, Error>;

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
