//! The contract between a VMM and the state of its virtual interrupt controller, whatever the version of the controller.
//!
//! Rule: everything is checked before anything is written.
//!
//! # Contract
//!
//! **Attach for each operation.** A backend is made for one save or one restore, and let go: borrow the devices, attach, flush and save, or
//! check and restore. Nothing of it needs to be kept: what guest memory is, how many LPIs there are, which options hold, is asked anew.
//!
//! **Save.** Every vCPU is out of `KVM_RUN` and out of every other vCPU ioctl; devices, irqfds and whatever else injects interrupts
//! are stopped. Flush the tables, which does nothing where there are none to flush; ask how large the image can be; save the state; where
//! [`GuestMemoryUse::written_by_flush`] says so, make the last pass over guest memory after that. The source may go on running
//! afterwards.
//!
//! **Restore.** The same vCPUs exist, and the devices are initialised with the same number of interrupts and have their addresses. A
//! GICv5 is fresh: no vCPU of the VM has ever run, and it was not restored before; a GICv3 may have been used. Guest memory is in
//! place. Nothing of the image is believed: it is checked first, and a refusal leaves the device as it was, without a single access. Then
//! a GICv5 is asked whether it is fresh ([`DeviceError::NotFresh`](crate::DeviceError::NotFresh) says what that finds), which writes nothing
//! either; one that this backend has restored is not ([`DeviceError::RestoredBefore`](crate::DeviceError::RestoredBefore)). An error
//! after that leaves a VM that must be thrown away. When all is done: of a GICv5 and of a GICv2, drive every interrupt line that a
//! device holds high again, since lines are not part of its state ([`Report::level_spis`], [`Report::level_ppis`]); those of a GICv3 are.

use crate::Error;
use crate::flushed::Flushed;
use crate::image::Kind;
use crate::options::Options;
use crate::report::Report;

/// What a save or restore needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requirements {
    /// A buffer of this many bytes is enough for an image of the present state, in the coding that the backend is set to. Where tables
    /// go into the image, that is enough for any tables in which no LPI is mapped twice, some MiB: after a flush,
    /// [`DynInterruptState::image_max`] knows better.
    pub image_max: usize,
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

    /// The size of an image, and what happens to guest memory. Asks the device: the guest decides how many LPIs there are.
    ///
    /// # Errors
    ///
    /// [`Error::Access`], [`Error::Device`]: the device could not be asked.
    fn requirements(&self) -> Result<Requirements, Error>;

    /// What the VMM has decided.
    fn options(&self) -> &Options;

    /// Decides otherwise, from the next operation on.
    fn set_options(&mut self, options: Options);

    /// Has the kernel write the tables that it keeps for the controller: into guest memory ([`GuestMemoryUse`]), or to where the save
    /// takes them from. Returns what was flushed: [`Flushed::written`] tells which guest memory was written, and a save consumes it. Does
    /// nothing where there are no such tables.
    ///
    /// Only for a VMM that means to save: a pause alone needs none. What is written, and where, the implementation says.
    ///
    /// # Errors
    ///
    /// [`Error::Access`]: the kernel refused. If it refused a command, some tables may be written already, and it is not told which:
    /// take all of guest memory for dirty, or ask KVM's dirty log.
    fn flush_tables(&mut self) -> Result<Flushed, Error>;

    /// A buffer of this many bytes is enough for the image of a save with these tables.
    ///
    /// # Errors
    ///
    /// [`Error::Access`], [`Error::Device`]: the device could not be asked.
    fn image_max(&self, flushed: &Flushed) -> Result<usize, Error>;

    /// Saves the state into a buffer as an image, and returns the length of the image in bytes.
    ///
    /// What the buffer holds behind the image means nothing. A reader of the whole buffer finds the length with
    /// [`image::length`](crate::image::length).
    ///
    /// # Errors
    ///
    /// - [`Error::Buffer`]: the buffer is smaller than [`DynInterruptState::image_max`].
    /// - [`Error::Access`], [`Error::Device`]: the device could not be read, or another controller was flushed. The contents of the buffer
    ///   mean nothing.
    fn save_image(&self, flushed: Flushed, image: &mut [u8]) -> Result<usize, Error>;

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
    /// - [`Error::Device`]: the device is not fresh, or lacks an SPI that the options name; nothing was written.
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
    /// [`Error::Access`], [`Error::Device`]: the device could not be read, or another controller was flushed.
    fn save(&self, flushed: Flushed) -> Result<Self::State<'static>, Error>;

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
