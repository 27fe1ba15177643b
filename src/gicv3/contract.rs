//! The contract of a backend, kept by the GICv3.
//!
//! Source: [`interrupt_state`](crate::interrupt_state).
//!
//! Rule: what a check refuses is refused before the first access of a restore.

use super::attach::Gicv3;
use crate::error::DeviceError;
use crate::flushed::Flushed;
use crate::image::Kind;
use crate::interrupt_state::{DynInterruptState, GuestMemoryUse, InterruptState, Requirements};
use crate::judge::gicv3::{fit, fits_memory, problems};
use crate::memory::{GuestMemoryRead, join};
use crate::options::{Options, TableStrategy};
use crate::report::{Refusal, Report};
use crate::state::gicv3::Gicv3State;
use crate::state::gicv3::codec::{el2_bytes, image_bytes, lpis_bytes};
use crate::topology::VcpuNumbers;
use crate::{AttrDevice, BufferError, Error};

impl<D: AttrDevice, M: GuestMemoryRead> Gicv3<D, M> {
    /// Bytes of an image, with these mappings, or with any.
    fn image_bytes(&self, lpis: Option<Option<&crate::its::LpiState>>) -> usize {
        let (vcpus, its) = (self.target.vcpus.len(), self.target.its.len());
        let el2 = self.el2().map_or(0, |_| el2_bytes(vcpus));
        image_bytes(self.target.nr_irqs, vcpus, its) + el2 + lpis.map_or(0, |lpis| lpis_bytes(lpis, vcpus, its))
    }

    /// Whether the kernel means the same vCPU as the guest by a number.
    fn check_vcpu_numbers(&self) -> Result<(), Refusal> {
        let mut places = self.target.vcpus.iter().enumerate();
        let Some((place, vcpu)) = places.find(|(place, vcpu)| u32::try_from(*place) != Ok(vcpu.id.get())) else { return Ok(()) };
        match self.options.vcpu_numbers {
            VcpuNumbers::CreationOrder => Err(Refusal::VcpuNumber { vcpu, place }),
            // Numbers are in the tables of an ITS and nowhere else.
            VcpuNumbers::NotTold if !self.its.is_empty() && !self.shows_vcpu_ids => {
                Err(Refusal::VcpuNumbersNotTold { vcpu, place })
            }
            VcpuNumbers::NotTold | VcpuNumbers::VcpuId => Ok(()),
        }
    }

    fn tables_in(&self, strategy: TableStrategy) -> bool {
        !self.its.is_empty() && self.options.tables == strategy
    }
}

impl<D: AttrDevice, M: GuestMemoryRead> InterruptState for Gicv3<D, M> {
    type State<'a> = Gicv3State;

    fn save(&self, flushed: Flushed) -> Result<Gicv3State, Error> {
        let is_mine = if self.its.is_empty() { flushed.is_nothing(Kind::Gicv3) } else { flushed.is_of(self.last_flush.as_ref()) };
        if !is_mine {
            return Err(DeviceError::OtherFlush.into());
        }
        self.loses_nothing()?;
        self.read_state(flushed)
    }

    fn check(&self, state: &Gicv3State) -> Result<Report, Error> {
        self.loses_nothing()?;
        fit(state, &self.fitting())?;
        self.check_vcpu_numbers()?;
        let report = problems(state, &self.memory, &self.ranges(), &self.options.limits);
        report.refuse(self.options.refuse_at)?;
        if let Some(lpis) = &state.lpis {
            if !self.memory.diverts() {
                return Err(Refusal::NoShadow.into());
            }
            fits_memory(state, lpis, &self.memory).map_err(Refusal::Tables)?;
        }
        Ok(report)
    }

    fn restore(&mut self, state: &Gicv3State) -> Result<Report, Error> {
        let mut report = self.check(state)?;
        // Tables that were flushed before are not those of this guest.
        self.last_flush = None;
        self.replay(state, &mut report)?;
        if !state.its.is_empty() && state.lpis.is_none() {
            let tables = state.vcpus.iter().map(|vcpu| super::written::pending_table(&vcpu.redist));
            report.guest_memory_written = join(tables.collect());
        }
        Ok(report)
    }
}

impl<D: AttrDevice, M: GuestMemoryRead> DynInterruptState for Gicv3<D, M> {
    fn kind(&self) -> Kind {
        Kind::Gicv3
    }

    fn requirements(&self) -> Result<Requirements, Error> {
        let image_max = self.image_bytes(self.tables_in(TableStrategy::Image).then_some(None));
        let in_guest = self.tables_in(TableStrategy::GuestMemory);
        let guest_memory = GuestMemoryUse { written_by_flush: in_guest, read_by_restore: in_guest, written_by_restore: in_guest };
        Ok(Requirements { image_max, guest_memory })
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Flushes the tables of ITSes and the pending bits of LPIs to where [`Options::tables`](crate::Options::tables) says. Without an ITS,
    /// does nothing.
    ///
    /// Into guest memory: gives the commands `SAVE_PENDING_TABLES` to the GICv3 and `SAVE_TABLES` to each ITS. The kernel writes, at
    /// addresses that the guest once gave: a device table entry and the interrupt translation table of each device that the guest has
    /// mapped, the collection table, and the pending bits of LPIs. If the guest has put other data there since, as a guest that resumed
    /// from hibernation may have, that data is overwritten. [`Flushed::written`] covers all of it and may cover more.
    ///
    /// Into the image: gives the same commands, while the kernel sees shadow memory. No guest memory is written, and
    /// [`Flushed::written`] is empty. Each save needs a flush of its own.
    ///
    /// Some kernels crash here if the guest has unmapped a collection (`MAPC` with V = 0) that events are still mapped to:
    /// `docs/kernels.md` lists them. Nothing that user space can read tells such a guest.
    ///
    /// # Errors
    ///
    /// Those of the trait, and:
    ///
    /// - [`Error::Shadow`]: memory could not be diverted, or not be put back.
    /// - [`Error::Tables`]: tables of the guest overlap, so that the kernel's writes destroy each other, or lie outside of guest memory.
    ///   With [`Options::verify_flush`](crate::Options::verify_flush) also: guest memory was written and lacks mappings.
    /// - [`Error::Refused`]: other kernels would not understand the tables, or nobody tells whether they would
    ///   ([`Options::vcpu_numbers`](crate::Options::vcpu_numbers)).
    fn flush_tables(&mut self) -> Result<Flushed, Error> {
        self.check_vcpu_numbers()?;
        self.flush()
    }

    fn image_max(&self, flushed: &Flushed) -> Result<usize, Error> {
        Ok(self.image_bytes(flushed.lpis().map(Some)))
    }

    fn save_image(&self, flushed: Flushed, image: &mut [u8]) -> Result<usize, Error> {
        let (needed, found) = (self.image_max(&flushed)?, image.len());
        if found < needed {
            return Err(BufferError::ImageTooSmall { needed, found }.into());
        }
        self.save(flushed)?.encode(image)
    }

    fn check_image(&self, image: &[u8]) -> Result<Report, Error> {
        self.check(&Gicv3State::parse(image)?)
    }

    fn restore_image(&mut self, image: &[u8]) -> Result<Report, Error> {
        self.restore(&Gicv3State::parse(image)?)
    }
}
