//! A virtual GICv5: which steps a save and a restore consist of, in what order, and why.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, save and restore sequences. The order as data, with the reason for each
//! place: [`IrsIdentity::REGISTERS`], [`IrsState::REGISTERS`], [`CpuInterface::REGISTERS`]; in prose: `docs/restore-order.md`.
//!
//! Rule: [`check`] decides, without the device; then everything is written in the one order.

mod check;
mod codec;
mod fields;
mod ist;
mod registers;
mod scan;
#[cfg(feature = "serde")]
mod serde;
mod state;

pub use check::{Target, check};
pub use fields::{Idr0, Idr1, Idr2, IstBaser, IstCfgr, Iste};
pub use ist::{Ist, IstError};
pub use registers::{CpuInterface, IRS_NOT_STATE, IrsIdentity, IrsState};
pub use state::{Gicv5State, VcpuState};

use crate::audit::{self, Severity};
use crate::buffer::IstSizes;
use crate::check::Report;
use crate::error::{AccessError, Applied, DeviceError, Operation};
use crate::guest_memory::GuestRange;
use crate::image::{IstCoding, Kind};
use crate::interrupt_state::{DynInterruptState, GuestMemoryUse, InterruptState, Requirements};
use crate::registers::{RegisterTable, Row};
use crate::topology::{LpiIdBits, SpiCount, Vcpu, Vcpus};
use crate::uapi::vgic_v5::icc::SYS_ICC_ICSR_EL1;
use crate::uapi::vgic_v5::irs;
use crate::{Attr, AttrDevice, AttrId, Command, Errno, Error, IstDevice, Word};
use alloc::vec;
use alloc::vec::Vec;

/// What a VMM decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Refuse a state with any [`Finding`](crate::check::Finding), instead of reporting it. Default: false.
    pub strict: bool,
    /// How often a save of the tables is repeated after `EBUSY`, which says that an interrupt arrived while the VM was saved. In each
    /// attempt the kernel asks the hardware up to three times, and waits up to 10 ms for each answer. Default: 3.
    pub retries: u8,
    /// How tables are written into images. Default: raw, as the kernel writes them.
    pub ist_coding: IstCoding,
    /// A finding of the [audit] of this severity or a worse one is a refusal; others, and with `None` all, are reported.
    /// What no kernel could restore is refused in any case. Default: [`Severity::DEFAULT_THRESHOLD`].
    pub refuse_at: Option<Severity>,
}

impl Default for Options {
    fn default() -> Self {
        Options { strict: false, retries: 3, ist_coding: IstCoding::Raw, refuse_at: Some(Severity::DEFAULT_THRESHOLD) }
    }
}

/// The state of a virtual GICv5 behind its device.
///
#[cfg_attr(feature = "model", doc = "```")]
#[cfg_attr(not(feature = "model"), doc = "```ignore")]
/// use vgic_state::gicv5::Gicv5;
/// use vgic_state::model::gicv5::{Host, Vm};
/// use vgic_state::{InterruptState, SpiCount, Vcpus, uapi};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A VM as every VMM makes it; here on the model, elsewhere with `KvmDevice::create_gicv5`.
/// fn new_vm(vcpus: &Vcpus) -> Result<Gicv5<Vm>, Box<dyn std::error::Error>> {
///     let mut vm = Vm::new(Host::default());
///     for vcpu in vcpus.iter() {
///         vm.create_vcpu(vcpu)?;
///     }
///     vm.create_device(uapi::device::KVM_DEV_TYPE_ARM_VGIC_V5)?;
///     Ok(Gicv5::initialise(vm, 0x0800_0000, SpiCount::new(64)?, vcpus.clone())?)
/// }
///
/// let vcpus = Vcpus::with_default_mpidrs(2)?;
/// let mut source = new_vm(&vcpus)?;
/// let state = source.save()?;
///
/// let mut destination = new_vm(&vcpus)?;
/// let report = destination.restore(&state)?;
/// assert!(report.findings.is_empty());
/// assert_eq!(destination.save()?, state);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Gicv5<D> {
    device: D,
    target: Target,
    options: Options,
}

impl<D: IstDevice> Gicv5<D> {
    /// Sets up a new device: address of the IRS frames, number of SPIs, initialisation; then attaches to it.
    ///
    /// Every vCPU must exist. `irs_base` is a guest physical address, aligned to 64 KiB; the frames take 128 KiB.
    ///
    /// An address or a number of SPIs that the device has already is no error if it is the same, so that a failed initialisation can
    /// be tried again: lend the device (`&mut device`), and it outlives the failure.
    ///
    /// # Errors
    ///
    /// [`Error::Access`]: the kernel refused a step; the error says which and why. [`Error::Device`] as [`Gicv5::attach`].
    pub fn initialise(mut device: D, irs_base: u64, spi_count: SpiCount, vcpus: Vcpus) -> Result<Self, Error> {
        set_once(&mut device, Attr::irs_address(), irs_base, Errno::EEXIST)?;
        set_once(&mut device, Attr::nr_irqs(), spi_count.get(), Errno::EBUSY)?;
        device.command(Command::Init).map_err(|errno| AccessError::new(Operation::Set, AttrId::INIT, errno))?;
        Self::attach(device, vcpus)
    }

    /// Attaches to a device that is set up: reads how many SPIs it has and what it is, so that a state can be checked later without
    /// touching it.
    ///
    /// No vCPU may be running. `vcpus` are all vCPUs of the VM: their number is compared with `IRS_IDR1.PE_CNT`, and the device is
    /// asked whether it knows each affinity.
    ///
    /// # Errors
    ///
    /// [`Error::Device`]: the device is not initialised, has another number of vCPUs, or reports what no device can.
    /// [`Error::Access`]: it cannot be read; `EINVAL` for a CPU interface register: the VM has no vCPU with this affinity.
    pub fn attach(device: D, vcpus: Vcpus) -> Result<Self, Error> {
        let spi_count = get(&device, Attr::nr_irqs())?;
        if spi_count == 0 {
            return Err(DeviceError::NotInitialised.into());
        }
        let spi_count = SpiCount::new(spi_count).map_err(|_| DeviceError::Impossible {
            attr: Attr::nr_irqs().id(),
            value: spi_count.into(),
            reason: "not a number of SPIs that the interface allows",
        })?;
        let identity = IrsIdentity::read(|row| read_irs(&device, row))?;
        let pes = Idr1::from_bits(identity.idr1).pe_cnt().into();
        if pes != vcpus.len() {
            return Err(DeviceError::Vcpus { device: pes, given: vcpus.len() }.into());
        }
        for vcpu in vcpus.iter() {
            let known = Attr::cpu_sysreg(vcpu.mpidr, SYS_ICC_ICSR_EL1).id();
            device.has(known).map_err(|errno| AccessError::new(Operation::Has, known, errno))?;
        }
        Ok(Gicv5 { device, target: Target { spi_count, identity, vcpus }, options: Options::default() })
    }

    /// The same with other options.
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// What a state is checked against: share it with a management plane to ask in advance whether an image fits this VM.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The device, for what is outside of this crate's job. Writing state behind its back is not seen.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// Gives the device back.
    #[must_use]
    pub fn into_device(self) -> D {
        self.device
    }

    /// Asks the device for the exact sizes of the buffers for its tables.
    ///
    /// The SPI table follows from the number of SPIs, the LPI table from `IRS_IST_CFGR` and `IRS_IST_BASER`, which the guest writes:
    /// ask with the vCPUs stopped.
    ///
    /// # Errors
    ///
    /// [`Error::Access`]: the device cannot be read. [`Error::Device`]: it reports a width of LPI IDs that no table can have.
    pub fn ist_sizes(&self) -> Result<IstSizes, Error> {
        let ist_cfgr = get(&self.device, Attr::irs(irs::GICV5_IRS_IST_CFGR))?;
        let ist_baser = get(&self.device, Attr::irs(irs::GICV5_IRS_IST_BASER))?;
        self.sizes_of(ist_cfgr, ist_baser)
    }

    /// Has the kernel write both tables into the caller's bytes, of any alignment. No allocation, no copy.
    ///
    /// `ISTE.HWU` is cleared on the way out: it means nothing to another host. After an error, the contents of the buffers mean
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Buffer`]: a buffer is not exactly what the device needs; the kernel has seen no pointer. [`Error::Access`]: the kernel
    /// refused. After `EBUSY`, the save is repeated as often as [`Options::retries`] says. Otherwise as [`Gicv5::ist_sizes`].
    pub fn save_ists(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Error> {
        self.transfer(&self.ist_sizes()?, spi, lpi)
    }

    /// Has the kernel read both tables from the caller's bytes, of any alignment. No allocation, no copy.
    ///
    /// A step of a restore, after the IRS registers. Checks the buffers, not what is in them: [`InterruptState::restore`] does.
    ///
    /// # Errors
    ///
    /// [`Error::Buffer`]: a buffer is not exactly what the device needs; the kernel has seen no pointer. [`Error::Access`]: the kernel
    /// refused. Otherwise as [`Gicv5::ist_sizes`].
    pub fn restore_ists(&mut self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), Error> {
        self.ist_sizes()?.check(spi, lpi)?;
        self.device.restore_ist(spi, lpi).map_err(|errno| AccessError::new(Operation::Set, AttrId::IST, errno))?;
        Ok(())
    }

    fn transfer(&self, sizes: &IstSizes, spi: &mut [u8], mut lpi: Option<&mut [u8]>) -> Result<(), Error> {
        sizes.check(spi, lpi.as_deref())?;
        let mut attempts = 1;
        while let Err(errno) = self.device.save_ist(spi, lpi.as_deref_mut()) {
            // The registers were just read: the vCPUs are stopped and the device is initialised. What is left of EBUSY is a VM that
            // did not come to rest.
            if errno != Errno::EBUSY || attempts > u32::from(self.options.retries) {
                return Err(AccessError { attempts, ..AccessError::new(Operation::Get, AttrId::IST, errno) }.into());
            }
            attempts += 1;
        }
        ist::clear_hwu(spi);
        if let Some(lpi) = lpi {
            ist::clear_hwu(lpi);
        }
        Ok(())
    }

    fn sizes_of(&self, ist_cfgr: u64, ist_baser: u64) -> Result<IstSizes, Error> {
        if !IstBaser::from_bits(ist_baser).valid() {
            return Ok(IstSizes::new(self.target.spi_count, None));
        }
        let bits = u32::from(IstCfgr::from_bits(ist_cfgr as u32).lpi_id_bits());
        let bits = LpiIdBits::new(bits).map_err(|_| DeviceError::Impossible {
            attr: Attr::irs(irs::GICV5_IRS_IST_CFGR).id(),
            value: ist_cfgr,
            reason: "LPI_ID_BITS is beyond the 16 bits that a table of KVM can have",
        })?;
        Ok(IstSizes::new(self.target.spi_count, Some(bits)))
    }

    /// Everything but the tables and the CPU interfaces.
    fn head(&self) -> Result<codec::Head, Error> {
        let identity = IrsIdentity::read(|row| read_irs(&self.device, row))?;
        let irs = IrsState::read(|row| read_irs(&self.device, row))?;
        let sizes = self.sizes_of(irs.ist_cfgr.into(), irs.ist_baser)?;
        Ok(codec::Head { spi_count: self.target.spi_count, identity, irs, sizes })
    }

    fn cpu_interface(&self, vcpu: Vcpu) -> Result<CpuInterface, Error> {
        CpuInterface::read(|row| get(&self.device, Attr::cpu_sysreg(vcpu.mpidr, row.key as u16)))
    }

    /// Writes a state that was checked.
    fn replay(&mut self, state: &Gicv5State<'_>) -> Result<(), Error> {
        let registers = IrsIdentity::ROWS.len() + IrsState::ROWS.len() + state.vcpus.len() * CpuInterface::ROWS.len();
        let mut applied = Applied { done: 0, total: registers + 1, last: None, memory_consumed: false };
        let mut step = |attr: AttrId, result: Result<(), Errno>| match result {
            Ok(()) => {
                applied = Applied { done: applied.done + 1, last: Some(attr), ..applied };
                Ok(())
            }
            Err(errno) => Err(AccessError { applied: Some(applied), ..AccessError::new(Operation::Set, attr, errno) }),
        };
        for (row, value) in state.identity.rows().chain(state.irs.rows()) {
            let attr = Attr::irs(row.key);
            step(attr.id(), self.device.set(attr, value))?;
        }
        let lpi = state.lpi_ist.as_ref().map(Ist::as_bytes);
        step(AttrId::IST, self.device.restore_ist(state.spi_ist.as_bytes(), lpi))?;
        for vcpu in &state.vcpus {
            for (row, value) in vcpu.registers.rows() {
                let attr = Attr::cpu_sysreg(vcpu.vcpu.mpidr, row.key as u16);
                step(attr.id(), self.device.set(attr, value))?;
            }
        }
        // The restore narrowed the device to what the guest has seen.
        self.target.identity = state.identity;
        Ok(())
    }
}

impl<D: IstDevice> InterruptState for Gicv5<D> {
    type State<'a> = Gicv5State<'a>;

    fn save(&mut self) -> Result<Gicv5State<'static>, Error> {
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
            spi_ist: Ist::sized(crate::IstKind::Spi, spi),
            lpi_ist: lpi.map(|lpi| Ist::sized(crate::IstKind::Lpi, lpi)),
        })
    }

    fn check(&self, state: &Gicv5State<'_>) -> Result<Report, Error> {
        let mut report = check(state, &self.target, self.options.strict)?;
        // What an audit finds and the check does not refuse, the check finds odd.
        if !report.findings.is_empty() {
            report.audit = audit::gicv5(state);
            report.audit.refuse(self.options.refuse_at)?;
        }
        Ok(report)
    }

    fn restore(&mut self, state: &Gicv5State<'_>) -> Result<Report, Error> {
        let report = self.check(state)?;
        self.replay(state)?;
        Ok(report)
    }
}

impl<D: IstDevice> DynInterruptState for Gicv5<D> {
    fn kind(&self) -> Kind {
        Kind::Gicv5
    }

    fn requirements(&self) -> Result<Requirements, Error> {
        let sizes = self.ist_sizes()?;
        let image_max = codec::image_bytes_max(&sizes, self.target.vcpus.len(), self.options.ist_coding);
        Ok(Requirements { image_max, ist: Some(sizes), guest_memory: GuestMemoryUse::NONE })
    }

    /// Nothing: a GICv5 keeps its tables in the image.
    fn flush_tables(&mut self) -> Result<Vec<GuestRange>, Error> {
        Ok(Vec::new())
    }

    fn save_image(&mut self, image: &mut [u8]) -> Result<usize, Error> {
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

fn get<W: Word>(device: &impl AttrDevice, attr: Attr<W>) -> Result<W, Error> {
    device.get(attr).map_err(|errno| AccessError::new(Operation::Get, attr.id(), errno).into())
}

/// Sets what can be set once; `again` is the kernel's answer where it is set already.
fn set_once<W: Word>(device: &mut impl AttrDevice, attr: Attr<W>, value: W, again: Errno) -> Result<(), Error> {
    match device.set(attr, value) {
        Err(errno) if errno == again && device.get(attr) == Ok(value) => Ok(()),
        result => result.map_err(|errno| AccessError::new(Operation::Set, attr.id(), errno).into()),
    }
}

fn read_irs(device: &impl AttrDevice, row: &Row) -> Result<u64, Error> {
    let attr = Attr::irs(row.key);
    match get(device, attr)? {
        value if value <= row.max => Ok(value),
        value => Err(DeviceError::Impossible { attr: attr.id(), value, reason: "the register has 32 bits" }.into()),
    }
}
