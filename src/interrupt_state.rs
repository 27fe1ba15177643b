//! The contract between a VMM and the state of its virtual interrupt controller, whatever the version of the controller.
//!
//! Rule: everything is checked before anything is written.
//!
//! # Contract
//!
//! **Attach for each operation.** Make a backend for one save or one restore, and drop it afterwards: borrow the devices, attach, flush and
//! save, or check and restore. Nothing of it needs to be kept. Guest memory, the number of LPIs and the options are those of the moment.
//!
//! **Save.**
//! 1. Every vCPU is out of `KVM_RUN` and out of every other vCPU ioctl. Devices, irqfds and whatever else injects interrupts are stopped.
//! 2. Flush the tables. Where there are none to flush, this does nothing.
//! 3. Ask how large the image can be, and save.
//! 4. If [`GuestMemoryUse::written_by_flush`] is set, make the last pass over guest memory after step 2.
//!
//! The source may go on running afterwards.
//!
//! **Restore.**
//! 1. The same vCPUs exist. The devices are initialised with the same number of interrupts and have their addresses. A GICv5 is fresh: no
//!    vCPU of the VM has ever run, and it was not restored before. A GICv3 may have been used.
//! 2. Guest memory is in place.
//! 3. Restore. The image is not trusted: it is checked first, and a refusal leaves the device as it was, without a single access. A GICv5
//!    is then asked whether it is fresh, which writes nothing either ([`DeviceError::NotFresh`](crate::DeviceError::NotFresh) says what
//!    that finds; [`DeviceError::RestoredBefore`](crate::DeviceError::RestoredBefore): this backend has restored it before). After an error
//!    of a later step, discard the VM.
//! 4. Of a GICv5 and of a GICv2, drive every interrupt line that a device holds high: lines are not part of their state
//!    ([`Report::level_spis`], [`Report::level_ppis`]). Line levels of a GICv3 are restored.

use crate::Error;
use crate::flushed::Flushed;
use crate::image::Kind;
use crate::options::Options;
use crate::report::Report;

/// What a save and a later restore need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requirements {
    /// A buffer of this many bytes is enough for an image of the present state, in the coding that the backend is set to. If tables go into
    /// the image, this is a bound for any tables in which no LPI is mapped twice, some MiB; after a flush,
    /// [`DynInterruptState::image_max`] gives a closer one.
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

/// The interrupt state of a VM as bytes, whichever controller it has. Object-safe: a VMM uses a `&mut dyn DynInterruptState` for
/// every controller.
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

    /// Sets the options, from the next operation on.
    fn set_options(&mut self, options: Options);

    /// Has the kernel write the tables that it keeps for the controller: into guest memory ([`GuestMemoryUse`]), or to where the save
    /// takes them from. Returns what was flushed, which the save consumes, through the same attachment and before another flush or restore;
    /// [`Flushed::written`] lists the guest memory that was written. Does nothing if the controller has no such tables.
    ///
    /// Call it only when a save follows, not on every pause. The implementation documents what is written, and where.
    ///
    /// # Errors
    ///
    /// [`Error::Access`]: the kernel refused. If it refused a command, some tables may be written already, and it is not told which:
    /// take all of guest memory for dirty, or ask KVM's dirty log.
    fn flush_tables(&mut self) -> Result<Flushed, Error>;

    /// The size in bytes of a buffer that is enough for the image of a save with these tables.
    ///
    /// # Errors
    ///
    /// [`Error::Access`], [`Error::Device`]: the device could not be asked.
    fn image_max(&self, flushed: &Flushed) -> Result<usize, Error>;

    /// Saves the state into a buffer as an image, and returns the length of the image in bytes.
    ///
    /// The bytes of the buffer behind the image are unspecified. A reader of the whole buffer finds the length of the image with
    /// [`image::length`](crate::image::length).
    ///
    /// # Errors
    ///
    /// - [`Error::Buffer`]: the buffer is smaller than [`DynInterruptState::image_max`].
    /// - [`Error::Access`], [`Error::Device`]: the device could not be read, or another controller was flushed. The contents of the buffer
    ///   are unspecified.
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
