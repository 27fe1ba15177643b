//! The contract of a backend, kept by the GICv5.
//!
//! Source: [`interrupt_state`](crate::interrupt_state).
//!
//! Rule: what a check refuses is refused before the first access of a restore; the kernel writes tables where they stay in the image.

use super::attach::Gicv5;
use crate::buffer::{IstKind, IstSizes};
use crate::error::DeviceError;
use crate::flushed::Flushed;
use crate::image::Kind;
use crate::interrupt_state::{DynInterruptState, GuestMemoryUse, InterruptState, Requirements};
use crate::judge::gicv5::{fit, problems_of_vm};
use crate::options::Options;
use crate::report::Report;
use crate::state::gicv5::codec;
use crate::state::gicv5::{CpuInterface, Gicv5State, Ist, VcpuState};
use crate::topology::Vcpu;
use crate::{Error, IstDevice};
use alloc::vec;
use alloc::vec::Vec;

/// Refuses what was flushed from another controller: a GICv5 has no tables to flush.
fn own(flushed: &Flushed) -> Result<(), DeviceError> {
    if flushed.is_nothing(Kind::Gicv5) { Ok(()) } else { Err(DeviceError::OtherFlush) }
}

impl<D: IstDevice> InterruptState for Gicv5<D> {
    type State<'a> = Gicv5State<'a>;

    fn save(&self, flushed: Flushed) -> Result<Gicv5State<'static>, Error> {
        own(&flushed)?;
        self.level_spis_exist()?;
        let head = self.head()?;
        let mut spi = vec![0; head.sizes.spi];
        let mut lpi = head.sizes.lpi.map(|bytes| vec![0; bytes]);
        self.transfer(&head.sizes, &mut spi, lpi.as_deref_mut())?;
        let mut vcpus = Vec::with_capacity(self.target.vcpus.len());
        for vcpu in self.target.vcpus.iter() {
            vcpus.push(VcpuState { vcpu, registers: self.cpu_interface(vcpu)? });
        }
        Ok(Gicv5State {
            spi_count: head.spi_count,
            identity: head.identity,
            irs: head.irs,
            vcpus,
            spi_ist: Ist::sized(IstKind::Spi, spi),
            lpi_ist: lpi.map(|lpi| Ist::sized(IstKind::Lpi, lpi)),
        })
    }

    fn check(&self, state: &Gicv5State<'_>) -> Result<Report, Error> {
        self.level_spis_exist()?;
        fit(state, &self.target)?;
        let report = problems_of_vm(state, &self.options.level_spis);
        report.refuse(self.options.refuse_at)?;
        Ok(report)
    }

    fn restore(&mut self, state: &Gicv5State<'_>) -> Result<Report, Error> {
        let report = self.check(state)?;
        self.is_fresh()?;
        self.replay(state)?;
        Ok(report)
    }
}

impl<D: IstDevice> DynInterruptState for Gicv5<D> {
    fn kind(&self) -> Kind {
        Kind::Gicv5
    }

    fn requirements(&self) -> Result<Requirements, Error> {
        let image_max = codec::image_bytes_max(&self.ist_sizes()?, self.target.vcpus.len(), self.options.ist_coding);
        Ok(Requirements { image_max, guest_memory: GuestMemoryUse::NONE })
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Does nothing: a save of a GICv5 reads its tables.
    fn flush_tables(&mut self) -> Result<Flushed, Error> {
        Ok(Flushed::nothing(Kind::Gicv5))
    }

    fn image_max(&self, _: &Flushed) -> Result<usize, Error> {
        self.requirements().map(|requirements| requirements.image_max)
    }

    fn save_image(&self, flushed: Flushed, image: &mut [u8]) -> Result<usize, Error> {
        own(&flushed)?;
        self.level_spis_exist()?;
        let head = self.head()?;
        let mut source = FromDevice { gic: self, sizes: head.sizes };
        codec::write(image, &head, self.target.vcpus.iter(), self.options.ist_coding, codec::Tables::InDevice, &mut source)
    }

    fn check_image(&self, image: &[u8]) -> Result<Report, Error> {
        self.check(&Gicv5State::parse(image)?)
    }

    fn restore_image(&mut self, image: &[u8]) -> Result<Report, Error> {
        self.restore(&Gicv5State::parse(image)?)
    }
}

/// Values that are still in the device.
struct FromDevice<'a, D> {
    gic: &'a Gicv5<D>,
    sizes: IstSizes,
}

impl<D: IstDevice> codec::Source for FromDevice<'_, D> {
    type Error = Error;

    fn tables(&mut self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Error> {
        self.gic.transfer(&self.sizes, spi, lpi)
    }

    fn cpu_interface(&mut self, vcpu: Vcpu) -> Result<CpuInterface, Error> {
        self.gic.cpu_interface(vcpu)
    }
}
