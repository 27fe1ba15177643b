//! What is said of one state: by the check of a fresh VM that the state fits, by the restore there, and by somebody else.
//!
//! Source: [`vgic_state::report`].
//!
//! Rule: all say the same, in the same order and of the same places; a refusal names the first that is refused.

use vgic_state::gicv2::{Gicv2, Gicv2State};
use vgic_state::gicv3::{Gicv3, Gicv3State};
use vgic_state::gicv5::{Gicv5, Gicv5State, Idr0, Idr1, Idr2};
use vgic_state::judge;
use vgic_state::model::gicv2;
use vgic_state::model::gicv3::{self, Device, Slots};
use vgic_state::model::gicv5;
use vgic_state::report::{Finding, Problem, Refusal, Report, Severity};
use vgic_state::shadow::{ShadowKind, Shadowed};
use vgic_state::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V2, KVM_DEV_TYPE_ARM_VGIC_V3};
use vgic_state::{Attr, AttrDevice, Command, DynInterruptState, Error, Options};
use vm_memory::GuestMemoryMmap;

pub(crate) type Memory = GuestMemoryMmap<()>;

/// A finding, as somebody prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) problem: Problem,
    pub(crate) place: String,
    pub(crate) count: u64,
    pub(crate) refused: bool,
}

impl From<&Finding> for Said {
    fn from(finding: &Finding) -> Self {
        Said { problem: finding.problem, place: finding.first.to_string(), count: finding.count, refused: finding.refused }
    }
}

/// What a report says of the state. That the kernel keeps its revision is of the restore.
pub(crate) fn said(report: &Report) -> Vec<Said> {
    report.findings.iter().filter(|finding| finding.problem != Problem::NewerRevision).map(Said::from).collect()
}

/// What became of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Restored,
    /// No threshold accepts it.
    Refused,
    /// The VM has no memory for the tables that the state has in it.
    NoMemory,
    /// The kernel refused a write, or dropped it.
    Kernel,
}

/// Fails unless a VM that the state fits says of it what was found by somebody else.
pub(crate) fn compare(found: &[Said], image: &[u8], fresh: impl Fn() -> Box<dyn DynInterruptState>) -> Fate {
    for threshold in [Some(Severity::Low), Some(Severity::High), None] {
        let mut gic = fresh();
        gic.set_options(Options::default().with_refuse_at(threshold).with_accept_newer_revision(true));
        let refused = |said: &&Said| said.refused || threshold.is_some_and(|threshold| said.problem.severity() >= threshold);
        let expected = found.iter().find(refused);
        let checked = gic.check_image(image);
        match &checked {
            Ok(report) => assert_eq!((said(report).as_slice(), expected), (found, None), "{threshold:?}"),
            Err(Error::Refused(refusal)) => match &**refusal {
                Refusal::Problem(finding) => assert_eq!(Some(&Said::from(&**finding)), expected, "{threshold:?}"),
                Refusal::Tables(error) => {
                    let outside = found.iter().any(|said| said.problem == Problem::TableOutsideMemory);
                    assert!(outside && expected.is_none(), "{threshold:?}: {error}: {found:?}");
                }
                other => panic!("the state fits the VM: {other}"),
            },
            Err(error) => panic!("{error}"),
        }
        let restored = gic.restore_image(image);
        match (&checked, &restored) {
            (Ok(_), Ok(report)) => assert_eq!(said(report), found, "{threshold:?}"),
            (Ok(_), Err(error)) => assert!(!matches!(error, Error::Image(_) | Error::Refused(_)), "{error}"),
            (Err(refusal), restored) => assert_eq!(restored.as_ref(), Err(refusal), "{threshold:?}"),
        }
        if threshold.is_none() {
            return match (checked, restored) {
                (_, Ok(_)) => Fate::Restored,
                (Err(Error::Refused(refusal)), _) if matches!(*refusal, Refusal::Problem(_)) => Fate::Refused,
                (Err(_), _) => Fate::NoMemory,
                (Ok(_), Err(_)) => Fate::Kernel,
            };
        }
    }
    unreachable!("the last threshold is none")
}

/// A fresh VM that the state fits; `None`: the model has none.
pub(crate) fn gicv3(state: &Gicv3State, memory: Memory) -> Option<Gicv3<Device, Shadowed<Memory, Slots>>> {
    let ctlr = state.vcpus.first()?.icc.ctlr;
    let el2 = state.vcpus.first()?.el2;
    let of_el2 = |default: u32, of: fn(u64) -> u64| el2.map_or(default, |el2| of(el2.identity.vtr) as u32);
    let host = gicv3::Host {
        pri_bits: (ctlr >> 8 & 7) as u32 + 1,
        id_bits: if ctlr >> 11 & 7 == 0 { 16 } else { 24 },
        seis: ctlr >> 14 & 1 != 0,
        a3v: ctlr >> 15 & 1 != 0,
        nassgicap: state.identity.typer2 >> 8 & 1 != 0,
        list_registers: of_el2(4, |vtr| (vtr & 0x1f) + 1),
        tds: of_el2(1, |vtr| vtr >> 19 & 1) != 0,
        ..gicv3::Host::default()
    };
    let vcpus = state.topology().ok()?;
    let vm = gicv3::Vm::new(host, memory.clone());
    for vcpu in vcpus.iter() {
        if el2.is_some() { vm.create_el2_vcpu(vcpu) } else { vm.create_vcpu(vcpu) }.ok()?;
    }
    let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3).ok()?;
    gic.set(Attr::nr_irqs(), state.nr_irqs.get()).ok()?;
    if el2.is_some() {
        gic.set(Attr::maintenance_irq(), state.maintenance_irq).ok()?;
    }
    // Not where an ITS may be.
    gic.set(Attr::dist_address(), 0x10_0000_0000).ok()?;
    gic.set(Attr::redist_address(), 0x10_0100_0000).ok()?;
    gic.command(Command::Init).ok()?;
    let mut units = Vec::new();
    for its in &state.its {
        let mut unit = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_ITS).ok()?;
        unit.set(Attr::its_address(), its.base).ok()?;
        unit.command(Command::Init).ok()?;
        units.push(unit);
    }
    let memory = Shadowed::new(memory, Slots::new(&vm), ShadowKind::Zero);
    let gic = Gicv3::attach(gic, units, memory, vcpus).ok()?;
    judge::gicv3::fit(state, gic.target()).is_ok().then_some(gic)
}

/// The same of a GICv2, on a host with as many registers of active priorities as it uses.
pub(crate) fn gicv2(state: &Gicv2State) -> Option<Gicv2<gicv2::Device>> {
    let uses = |n: u32| state.vcpus.iter().any(|vcpu| [vcpu.gicc.apr1, vcpu.gicc.apr2 | vcpu.gicc.apr3][n as usize] != 0);
    let host = gicv2::Host::default().with_pri_bits(if uses(1) { 7 } else { 5 + u32::from(uses(0)) });
    let vcpus = state.topology().ok()?;
    let vm = gicv2::Vm::new(host);
    vcpus.iter().try_for_each(|vcpu| vm.create_vcpu(vcpu)).ok()?;
    let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V2).ok()?;
    gic.set(Attr::gicv2_dist_address(), 0x0800_0000).ok()?;
    gic.set(Attr::gicv2_cpu_address(), 0x0801_0000).ok()?;
    gic.set(Attr::nr_irqs(), state.nr_irqs.get()).ok()?;
    gic.command(Command::Init).ok()?;
    let gic = Gicv2::attach(gic, vcpus).ok()?;
    judge::gicv2::fit(state, gic.target()).is_ok().then_some(gic)
}

/// The same of a GICv5.
pub(crate) fn gicv5(state: &Gicv5State<'_>) -> Option<Gicv5<gicv5::Vm>> {
    let (idr0, idr1) = (Idr0::from_bits(state.identity.idr0), Idr1::from_bits(state.identity.idr1));
    let idr2 = Idr2::from_bits(state.identity.idr2);
    let host = gicv5::Host {
        id_bits: idr2.id_bits().into(),
        min_lpi_id_bits: idr2.min_lpi_id_bits().into(),
        priority_bits: u32::from(idr1.priority_bits()) + 1,
        pa_range: idr0.pa_range().into(),
        ..gicv5::Host::default()
    };
    let vcpus = state.topology().ok()?;
    let vm = gicv5::Vm::with_device(host, &vcpus).ok()?;
    let gic = Gicv5::initialise(vm, 0x0800_0000, state.spi_count, vcpus).ok()?;
    judge::gicv5::fit(state, gic.target()).is_ok().then_some(gic)
}
