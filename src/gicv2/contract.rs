//! The contract of a backend, kept by the GICv2.
//!
//! Source: [`interrupt_state`](crate::interrupt_state).
//!
//! Rule: what a check refuses is refused before the first access of a restore.

use super::attach::Gicv2;
use crate::error::DeviceError;
use crate::flushed::Flushed;
use crate::image::Kind;
use crate::interrupt_state::{DynInterruptState, GuestMemoryUse, InterruptState, Requirements};
use crate::judge::gicv2::{fit, problems};
use crate::options::Options;
use crate::report::Report;
use crate::state::gicv2::Gicv2State;
use crate::state::gicv2::codec::image_bytes;
use crate::{AttrDevice, Error};

impl<D: AttrDevice> InterruptState for Gicv2<D> {
    type State<'a> = Gicv2State;

    fn save(&self, flushed: Flushed) -> Result<Gicv2State, Error> {
        if !flushed.is_nothing(Kind::Gicv2) {
            return Err(DeviceError::OtherFlush.into());
        }
        self.read_state()
    }

    fn check(&self, state: &Gicv2State) -> Result<Report, Error> {
        fit(state, &self.target)?;
        let report = problems(state);
        report.refuse(self.options.refuse_at)?;
        Ok(report)
    }

    /// Writes the state; [`Report::level_spis`] and [`Report::level_ppis`] have the lines that the VMM must drive afterwards.
    fn restore(&mut self, state: &Gicv2State) -> Result<Report, Error> {
        let mut report = self.check(state)?;
        self.replay(state, &mut report)?;
        Ok(report)
    }
}

impl<D: AttrDevice> DynInterruptState for Gicv2<D> {
    fn kind(&self) -> Kind {
        Kind::Gicv2
    }

    fn requirements(&self) -> Result<Requirements, Error> {
        let image_max = image_bytes(self.target.nr_irqs, self.target.vcpus.len());
        Ok(Requirements { image_max, guest_memory: GuestMemoryUse::NONE })
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Does nothing: a GICv2 has no tables.
    fn flush_tables(&mut self) -> Result<Flushed, Error> {
        Ok(Flushed::nothing(Kind::Gicv2))
    }

    fn image_max(&self, _: &Flushed) -> Result<usize, Error> {
        self.requirements().map(|requirements| requirements.image_max)
    }

    fn save_image(&self, flushed: Flushed, image: &mut [u8]) -> Result<usize, Error> {
        self.save(flushed)?.encode(image)
    }

    fn check_image(&self, image: &[u8]) -> Result<Report, Error> {
        self.check(&Gicv2State::parse(image)?)
    }

    fn restore_image(&mut self, image: &[u8]) -> Result<Report, Error> {
        self.restore(&Gicv2State::parse(image)?)
    }
}
