//! A virtual GICv3 with any number of ITSes: which steps a save and a restore consist of.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst. The order as data, with the reason for each place:
//! [`RESTORE_ORDER`] and the register tables; in prose: `docs/restore-order.md`.
//!
//! Rule: [`check`] decides, without the device; then everything is written in the one order, and read back where KVM may drop a write
//! without an error.

mod bank;
mod check;
mod codec;
mod flush;
mod lpis;
mod registers;
mod replay;
mod restore;
mod state;
mod tables;

pub use bank::{Bank, SpiBank};
pub use check::{Target, TargetVcpu, check};
pub(crate) use lpis::used_tables;
pub use lpis::{ConfigurationPolicy, TableStrategy};
pub use registers::{
    CpuInterface, DistIdentity, DistState, ItsIdentity, ItsState, NOT_STATE, RedistIdentity, RedistState, has_icc,
};
pub use restore::{Phase, RESTORE_ORDER};
pub use state::{Gicv3State, ItsUnit, VcpuState};

use crate::audit::{self, Ranges, Severity};
use crate::check::{Refusal, Report};
use crate::error::{AccessError, DeviceError, Operation};
use crate::guest_memory::{GuestMemoryRead, GuestRange, join};
use crate::image::Kind;
use crate::interrupt_state::{DynInterruptState, GuestMemoryUse, InterruptState, Requirements};
use crate::its::LpiState;
use crate::registers::{RegisterTable, Row};
use crate::topology::{Mpidr, NrIrqs, Vcpu, Vcpus};
use crate::uapi::vgic_v3::icc::SYS_ICC_CTLR_EL1;
use crate::{Attr, AttrDevice, BufferError, Errno, Error, Word};
use alloc::vec::Vec;
use bank::{BankAt, router};

/// `GICD_TYPER.LPIS`: the VM has LPIs, which it has with an ITS.
const GICD_TYPER_LPIS: u32 = 1 << 17;
/// `GICR_TYPER.Last`: the last redistributor of a region.
const GICR_TYPER_LAST: u64 = 1 << 4;

/// What a VMM decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Refuse a state with any finding, instead of reporting it. Default: false.
    pub strict: bool,
    /// Go on where the kernel has a newer revision of its distributor than the guest has seen and cannot take the guest's, as kernels
    /// before 2026 cannot; report it as a finding. Revision 3 adds `GICR_CTLR.IR` and `CES` to revision 2. Default: false.
    pub accept_newer_revision: bool,
    /// Where a save puts the tables of ITSes. Default: into guest memory.
    pub tables: TableStrategy,
    /// Tables in guest memory: have each flush compare what the kernel has mapped, which it learns from shadow memory, with what is in
    /// guest memory afterwards. Kernels since 6.12 say success where the guest's level-1 device table is gone, and save no device.
    /// Needs memory that can be diverted. Default: false.
    pub verify_flush: bool,
    /// Tables in the state: what a restore makes of a configuration table that does not look like one. Default: leave it.
    pub lpi_configuration: ConfigurationPolicy,
    /// Every check and restore begins with an [audit] of the tables and of the commands that are queued. A finding of this
    /// severity or a worse one is a refusal; others, and with `None` all, are reported. Default:
    /// [`Severity::DEFAULT_THRESHOLD`].
    ///
    /// Kernels before the end of 2024 leave entries of devices and events behind that were unmapped between two flushes. A restore
    /// passes them by, and from a table alone they cannot be told from a chain that was cut short:
    /// [`Problem::EntryBehindChain`](audit::Problem::EntryBehindChain), which is refused. Flush on a newer kernel, put tables into
    /// the image, or accept [`Severity::High`].
    pub refuse_at: Option<Severity>,
    /// How much the audit may read.
    pub audit_limits: audit::Limits,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            strict: false,
            accept_newer_revision: false,
            tables: TableStrategy::default(),
            verify_flush: false,
            lpi_configuration: ConfigurationPolicy::default(),
            refuse_at: Some(Severity::DEFAULT_THRESHOLD),
            audit_limits: audit::Limits::default(),
        }
    }
}

/// Gives a new device the identification that a guest has seen, before it is initialised: `GICD_IIDR`, `GICD_TYPER2`.
///
/// Linux 6.17 and later allow it. A guest of a host without GICv4.1 can only then be restored on a host with it, which would show the
/// guest `GICD_TYPER2.nASSGIcap`. Returns false where the kernel is older.
///
/// # Errors
///
/// [`Error::Access`]: the kernel refused a value.
pub fn preset<D: AttrDevice>(gic: &mut D, identity: &DistIdentity) -> Result<bool, Error> {
    use crate::uapi::vgic_v3::dist::{GICD_IIDR, GICD_TYPER2};
    for (offset, value) in [(GICD_IIDR, identity.iidr), (GICD_TYPER2, identity.typer2)] {
        match gic.set(Attr::dist(offset), value) {
            Ok(()) => {}
            Err(Errno::EBUSY) => return Ok(false),
            Err(errno) => return Err(AccessError::new(Operation::Set, Attr::dist(offset).id(), errno).into()),
        }
    }
    Ok(true)
}

/// The state of a virtual GICv3 behind its devices: the GICv3 itself, and its ITSes.
///
/// `M` is guest memory, which KVM keeps the tables of an ITS in: read after a flush, to tell what the kernel has written. Without an
/// ITS it is [`NoGuestMemory`](crate::NoGuestMemory).
#[derive(Debug)]
pub struct Gicv3<D, M> {
    gic: D,
    its: Vec<D>,
    memory: M,
    target: Target,
    options: Options,
    /// What an audit takes for the guest's.
    ranges: Ranges,
    /// Tables that were flushed for the next save.
    flushed: Option<LpiState>,
}

impl<D: AttrDevice, M: GuestMemoryRead> Gicv3<D, M> {
    /// Attaches to devices that are initialised and have their addresses: reads what they are, so that a state can be checked later
    /// without touching them.
    ///
    /// No vCPU may be running, every vCPU is initialised. `vcpus` are all vCPUs of the VM, `its` all its ITSes, `memory` its memory.
    ///
    /// What is given is compared with what the device shows of itself: affinity and id of each vCPU, whether the last redistributor
    /// is among them, whether there are ITSes. The interface does not tell how many vCPUs a VM has: a list that lacks one in the
    /// middle is not found out, and its state is lost.
    ///
    /// # Errors
    ///
    /// [`Error::Access`]: a device cannot be read; `EINVAL`: the VM has no vCPU with this affinity. [`Error::Device`]: the vCPUs or
    /// ITSes are not those of the VM, or the device reports what no device can.
    pub fn attach(gic: D, its: Vec<D>, memory: M, vcpus: Vcpus) -> Result<Self, Error> {
        let nr_irqs = get(&gic, Attr::nr_irqs(), None)?;
        let nr_irqs = NrIrqs::new(nr_irqs).map_err(|_| DeviceError::Impossible {
            attr: Attr::nr_irqs().id(),
            value: nr_irqs.into(),
            reason: "not a number of interrupts that the interface allows",
        })?;
        let identity = DistIdentity::read(|row| read_dist(&gic, row))?;
        let mut per_vcpu = Vec::with_capacity(vcpus.len());
        for vcpu in vcpus.iter() {
            let redist = RedistIdentity::read(|row| read_redist(&gic, vcpu.mpidr, row))?;
            // Affinity [63:32] without Aff3, and Processor_Number [23:8], which is the vcpu_id.
            let names = u64::from(vcpu.mpidr.packed() & 0x00ff_ffff) << 32 | u64::from(vcpu.id.get()) << 8;
            if redist.typer & 0x00ff_ffff_00ff_ff00 != names {
                return Err(DeviceError::OtherVcpu { vcpu, typer: redist.typer }.into());
            }
            let icc_ctlr = get(&gic, Attr::cpu_sysreg(vcpu.mpidr, SYS_ICC_CTLR_EL1), None)?;
            per_vcpu.push(TargetVcpu { vcpu, redist, icc_ctlr });
        }
        if per_vcpu.iter().all(|vcpu| vcpu.redist.typer & GICR_TYPER_LAST == 0) {
            return Err(DeviceError::LastVcpuMissing.into());
        }
        let lpis = identity.typer & GICD_TYPER_LPIS != 0;
        if lpis == its.is_empty() {
            return Err(DeviceError::ItsMissing { lpis, given: its.len() }.into());
        }
        if its.len() > codec::MAX_ITS as usize {
            return Err(DeviceError::TooManyIts { given: its.len() }.into());
        }
        let mut units: Vec<(u64, ItsIdentity)> = Vec::with_capacity(its.len());
        for its in &its {
            let base = get(its, Attr::its_address(), None)?;
            if units.iter().any(|(other, _)| *other == base) {
                return Err(DeviceError::ItsTwice { base }.into());
            }
            units.push((base, ItsIdentity::read(|row| read_its(its, base, row))?));
        }
        let target = Target { nr_irqs, identity, vcpus, per_vcpu, its: units };
        let everything = || alloc::vec![GuestRange::new(0, u64::MAX)];
        let ranges = Ranges::new(memory.ranges().unwrap_or_else(everything), Vec::new());
        Ok(Gicv3 { gic, its, memory, target, options: Options::default(), ranges, flushed: None })
    }

    /// The same with other options.
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The same with other ranges for the [audit] that a restore begins with: what the guest owns, and what must not be touched. Without
    /// this, all of guest memory is the guest's and nothing is protected.
    #[must_use]
    pub fn with_ranges(mut self, ranges: Ranges) -> Self {
        self.ranges = ranges;
        self
    }

    /// The options, to be changed from one save or restore to the next.
    pub fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// What a state is checked against.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The GICv3's own device.
    #[must_use]
    pub fn gic(&self) -> &D {
        &self.gic
    }

    /// The ITSes' devices, in the order they were given in.
    #[must_use]
    pub fn its(&self) -> &[D] {
        &self.its
    }

    /// The GICv3's own device, for what is outside of this crate's job. Writing state behind its back is not seen.
    pub fn gic_mut(&mut self) -> &mut D {
        &mut self.gic
    }

    /// The ITSes' devices, likewise.
    pub fn its_mut(&mut self) -> &mut [D] {
        &mut self.its
    }

    /// Guest memory.
    #[must_use]
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Guest memory: for the dirty logs of slots that were diverted, say.
    pub fn memory_mut(&mut self) -> &mut M {
        &mut self.memory
    }

    /// Gives the devices back.
    #[must_use]
    pub fn into_devices(self) -> (D, Vec<D>) {
        (self.gic, self.its)
    }

    fn read_vcpu(&self, vcpu: Vcpu) -> Result<VcpuState, Error> {
        let gic = &self.gic;
        let identity = RedistIdentity::read(|row| read_redist(gic, vcpu.mpidr, row))?;
        let redist = RedistState::read(|row| read_redist(gic, vcpu.mpidr, row))?;
        let private = Bank::read(BankAt::Private(vcpu.mpidr), |attr| get(gic, attr, None))?;
        // The number of active-priority registers follows from ICC_CTLR_EL1, which is read on the way.
        let mut ctlr = 0;
        let icc = CpuInterface::read(|row| {
            if !has_icc(row.key, ctlr) {
                return Ok(0);
            }
            let value = get(gic, Attr::cpu_sysreg(vcpu.mpidr, row.key as u16), None)?;
            if row.key == u32::from(SYS_ICC_CTLR_EL1) {
                ctlr = value;
            }
            Ok::<u64, Error>(value)
        })?;
        Ok(VcpuState { vcpu, identity, redist, private, icc })
    }

    fn read_spis(&self, first: u32, any: Mpidr) -> Result<SpiBank, Error> {
        let bank = Bank::read(BankAt::Spis(first, any), |attr| get(&self.gic, attr, None))?;
        let mut targets = [0; 32];
        for (intid, target) in (first..).zip(&mut targets) {
            *target = get(&self.gic, router(intid), None)?;
        }
        Ok(SpiBank { first, bank, router: targets })
    }
}

impl<D: AttrDevice, M: GuestMemoryRead> InterruptState for Gicv3<D, M> {
    type State<'a> = Gicv3State;

    fn save(&mut self) -> Result<Gicv3State, Error> {
        // Whatever becomes of this save: after an error, the guest may go on.
        let flushed = self.flushed.take();
        if self.needs_flush() && flushed.is_none() {
            return Err(Error::NotFlushed);
        }
        let identity = DistIdentity::read(|row| read_dist(&self.gic, row))?;
        let dist = DistState::read(|row| read_dist(&self.gic, row))?;
        let mut vcpus = Vec::with_capacity(self.target.vcpus.len());
        for vcpu in self.target.vcpus.iter() {
            vcpus.push(self.read_vcpu(vcpu)?);
        }
        let any = self.target.vcpus.iter().next().map_or(Mpidr::from_packed(0), |vcpu| vcpu.mpidr);
        let mut spis = Vec::with_capacity(self.target.nr_irqs.spi_banks().len());
        for first in self.target.nr_irqs.spi_banks() {
            spis.push(self.read_spis(first, any)?);
        }
        let mut its = Vec::with_capacity(self.its.len());
        for (device, (base, _)) in self.its.iter().zip(&self.target.its) {
            let identity = ItsIdentity::read(|row| read_its(device, *base, row))?;
            let registers = ItsState::read(|row| read_its(device, *base, row))?;
            its.push(ItsUnit { base: *base, identity, registers });
        }
        let lpis = flushed.filter(|_| self.needs_flush());
        Ok(Gicv3State { nr_irqs: self.target.nr_irqs, identity, dist, spis, vcpus, its, lpis })
    }

    fn check(&self, state: &Gicv3State) -> Result<Report, Error> {
        let mut report = check(state, &self.target, self.options.strict)?;
        if let Some(lpis) = &state.lpis {
            if !self.memory.diverts() {
                return Err(Refusal::NoShadow.into());
            }
            lpis::check_in(state, lpis, &self.memory).map_err(Refusal::Tables)?;
        }
        report.audit = match &state.lpis {
            Some(lpis) => audit::lpi_state(state, lpis, &self.memory, &self.ranges),
            None => audit::gicv3(state, &self.memory, &self.ranges, &self.options.audit_limits),
        };
        report.audit.refuse(self.options.refuse_at)?;
        Ok(report)
    }

    fn restore(&mut self, state: &Gicv3State) -> Result<Report, Error> {
        let mut report = self.check(state)?;
        // What was mapped before is not what a save would save.
        self.flushed = None;
        self.replay(state, &mut report)?;
        if !state.its.is_empty() && state.lpis.is_none() {
            report.guest_memory_written = join(state.vcpus.iter().map(|vcpu| tables::pending_table(&vcpu.redist)).collect());
        }
        Ok(report)
    }
}

impl<D: AttrDevice, M: GuestMemoryRead> DynInterruptState for Gicv3<D, M> {
    fn kind(&self) -> Kind {
        Kind::Gicv3
    }

    fn requirements(&self) -> Result<Requirements, Error> {
        let mut image_max = codec::image_bytes(self.target.nr_irqs, self.target.vcpus.len(), self.its.len());
        let in_guest = !self.its.is_empty() && self.options.tables == TableStrategy::GuestMemory;
        if self.needs_flush() {
            image_max += codec::lpis_bytes(self.flushed.as_ref(), &self.target);
        }
        let guest_memory = GuestMemoryUse { written_by_flush: in_guest, read_by_restore: in_guest, written_by_restore: in_guest };
        Ok(Requirements { image_max, ist: None, guest_memory })
    }

    /// The tables of ITSes and the pending bits of LPIs, as [`Options::tables`] says; nothing without an ITS.
    ///
    /// Into guest memory: `SAVE_PENDING_TABLES` of the GICv3, then `SAVE_TABLES` of each ITS. The kernel writes: a device table entry for
    /// each device that the guest has mapped, its interrupt translation table, at the address that the guest once gave, the collection
    /// table, and the pending bits of LPIs. If the guest has put other data there since, as a guest that resumed from hibernation may
    /// have, that data is overwritten. The ranges cover all of that, and may be more. Addresses are the guest's: a range may lie
    /// outside of its memory.
    ///
    /// Into the image: the same commands, while the kernel sees shadow memory. No range, since no guest memory is written. What was
    /// read from the shadow goes into the next save; each save needs a flush of its own.
    ///
    /// Linux 6.1.170 crashes here if the guest has unmapped a collection (`MAPC` with V = 0) that events are still mapped to; 7.3 does
    /// not. Nothing that user space can read tells such a guest.
    ///
    /// # Errors
    ///
    /// Beside those of the trait: [`Error::Shadow`]: memory could not be diverted, or not put back. [`Error::Tables`]: tables of the
    /// guest overlap, so that the kernel's writes destroy each other, or lie outside of guest memory; with
    /// [`Options::verify_flush`], also what guest memory has lost, after it was written.
    fn flush_tables(&mut self) -> Result<Vec<GuestRange>, Error> {
        self.flush()
    }

    fn save_image(&mut self, image: &mut [u8]) -> Result<usize, Error> {
        let (needed, found) = (self.requirements()?.image_max, image.len());
        if found < needed {
            return Err(BufferError::ImageTooSmall { needed, found }.into());
        }
        self.save()?.encode(image)
    }

    fn check_image(&self, image: &[u8]) -> Result<Report, Error> {
        self.check(&Gicv3State::parse(image)?)
    }

    fn restore_image(&mut self, image: &[u8]) -> Result<Report, Error> {
        self.restore(&Gicv3State::parse(image)?)
    }
}

fn get<W: Word>(device: &impl AttrDevice, attr: Attr<W>, its: Option<u64>) -> Result<W, Error> {
    device.get(attr).map_err(|errno| AccessError { its, ..AccessError::new(Operation::Get, attr.id(), errno) }.into())
}

fn read_dist(gic: &impl AttrDevice, row: &Row) -> Result<u64, Error> {
    get(gic, Attr::dist(row.key), None).map(u64::from)
}

/// A redistributor register: 64 bits are two accesses.
fn read_redist(gic: &impl AttrDevice, mpidr: Mpidr, row: &Row) -> Result<u64, Error> {
    let low = get(gic, Attr::redist(mpidr, row.key), None)?;
    if row.max <= u32::MAX.into() {
        return Ok(low.into());
    }
    let high = get(gic, Attr::redist(mpidr, row.key + 4), None)?;
    Ok(u64::from(high) << 32 | u64::from(low))
}

fn read_its(its: &impl AttrDevice, base: u64, row: &Row) -> Result<u64, Error> {
    let attr = Attr::its(row.key);
    match get(its, attr, Some(base))? {
        value if value <= row.max => Ok(value),
        value => Err(DeviceError::Impossible { attr: attr.id(), value, reason: "the register has 32 bits" }.into()),
    }
}
