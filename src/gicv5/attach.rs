//! The backend: the device, and what it was when the backend was attached.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, initialisation.
//!
//! Rule: what is given is compared with what the device shows of itself, once.

use super::access::{get, read_irs, set_once};
use super::ppis::{self, Ppis};
use crate::error::{AccessError, DeviceError};
use crate::judge::gicv5::Target;
use crate::options::Options;
use crate::registers::RegisterTable;
use crate::state::gicv5::{Idr1, IrsIdentity};
use crate::topology::{SpiCount, Vcpus};
use crate::uapi::vgic_v5::icc::SYS_ICC_ICSR_EL1;
use crate::{Attr, AttrId, Command, Errno, Error, IstDevice, Operation};

/// The state of a virtual GICv5 behind its device.
///
#[cfg_attr(feature = "model", doc = "```")]
#[cfg_attr(not(feature = "model"), doc = "```ignore")]
/// use vgic_state::gicv5::Gicv5;
/// use vgic_state::model::gicv5::{Host, Vm};
/// use vgic_state::{DynInterruptState, InterruptState, SpiCount, Vcpus, uapi};
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
/// let flushed = source.flush_tables()?;
/// let state = source.save(flushed)?;
///
/// let mut destination = new_vm(&vcpus)?;
/// let report = destination.restore(&state)?;
/// assert!(report.findings.is_empty());
/// let flushed = destination.flush_tables()?;
/// assert_eq!(destination.save(flushed)?, state);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Gicv5<D> {
    pub(super) device: D,
    pub(super) target: Target,
    pub(super) options: Options,
    /// Some step of a restore was done through this attachment.
    pub(super) restored: bool,
    pub(super) ppis: Ppis,
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
        let init = |errno| AccessError { attached: false, ..AccessError::new(Operation::Set, AttrId::INIT, errno) };
        device.command(Command::Init).map_err(init)?;
        Self::attach(device, vcpus)
    }

    /// Attaches to a device that is set up: reads how many SPIs it has and what it is, so that a state can be checked later without
    /// touching it.
    ///
    /// No vCPU may be running. `vcpus` are all vCPUs of the VM: their number is compared with `IRS_IDR1.PE_CNT`, the greatest
    /// `vcpu_id` with `IRS_IDR1.IAFFID_BITS`, and the device is asked whether it knows each affinity.
    ///
    /// A wrong id of the same width is not found here. It is found by a check of the source's own image after a save
    /// ([`check`](crate::InterruptState::check) or [`check_image`](crate::DynInterruptState::check_image) on the source): an interrupt in use
    /// whose IAFFID is not among the ids given is [`Problem::IstTargetUnknown`](crate::report::Problem::IstTargetUnknown). If two ids are
    /// exchanged, nothing that can be read shows it: take the ids from where the vCPUs are created.
    ///
    /// # Errors
    ///
    /// [`Error::Device`]: the device is not initialised, has another number of vCPUs or other ids, or reports what no device can.
    /// [`Error::Access`]: it cannot be read; `EINVAL` for a CPU interface register: the VM has no vCPU with this affinity.
    pub fn attach(device: D, vcpus: Vcpus) -> Result<Self, Error> {
        Self::read(device, vcpus).map_err(Error::while_setting_up)
    }

    /// Reads what the device is.
    fn read(device: D, vcpus: Vcpus) -> Result<Self, Error> {
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
        // KVM makes an IAFFID as wide as the greatest vcpu_id, and at least 1 bit.
        let greatest = vcpus.iter().map(|vcpu| vcpu.id.get()).max().unwrap_or(0);
        let needed = (u32::BITS - greatest.leading_zeros()).max(1);
        let found = u32::from(Idr1::from_bits(identity.idr1).iaffid_bits()) + 1;
        if found != needed {
            return Err(DeviceError::VcpuIds { device: found, needed, greatest }.into());
        }
        let target = Target { spi_count, identity, vcpus };
        Ok(Gicv5 { device, target, options: Options::default(), restored: false, ppis: Ppis::default() })
    }

    /// Asks the kernel whether it has PPIs above 63, in a VM that has not run yet: behind [`Gicv5::initialise`], say. Where it has none,
    /// what is saved and restored through this attachment takes 15 accesses for each vCPU and not 26; the state is the same.
    ///
    /// It is asked by writing: all ones into `ICC_PPI_PRIORITYR8_EL1` to `ICC_PPI_PRIORITYR15_EL1` of one vCPU, which get their values
    /// back. A restore does so by itself, for three vCPUs or more; a save cannot, since the kernel refuses writes once the guest has
    /// run. So it is worthwhile only for an attachment that is kept until the save.
    ///
    /// Returns whether there are none.
    ///
    /// # Errors
    ///
    /// [`Error::Access`]: a register cannot be read or written. `EBUSY`: a vCPU runs, or the VM has run; nothing has changed then, and
    /// all registers are saved.
    pub fn probe_ppis(&mut self) -> Result<bool, Error> {
        if let Some(vcpu) = self.target.vcpus.iter().next() {
            self.ppis = ppis::ask(&mut self.device, vcpu.mpidr, true)?;
        }
        Ok(self.ppis == Ppis::Below64)
    }

    /// The same backend with other options.
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The options. A change holds from the next operation on.
    pub fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// The vCPUs and identification registers that a state is checked against. With them, [`judge`](crate::judge) tells elsewhere whether an
    /// image fits this VM.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The device, for other uses than state. The backend does not notice if registers are written through it.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// Gives the device back.
    #[must_use]
    pub fn into_device(self) -> D {
        self.device
    }
}
