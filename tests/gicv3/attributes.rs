//! A state as values of attributes, and back: in any order, with some missing, and with some that are wrong.

use crate::common::{Config, filled, fresh, memory};
use crate::save::Save as _;
use crate::snapshot::snapshot;
use vgic_state::gicv3::{AttributeValue, Attributes, Gicv3State};
use vgic_state::report::{Problem, Report};
use vgic_state::uapi::device::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS as CPU;
use vgic_state::uapi::vgic_v3::icc::{SYS_ICC_AP1R1_EL1, SYS_ICC_CTLR_EL1};
use vgic_state::uapi::vgic_v3::{
    KVM_DEV_ARM_VGIC_GRP_DIST_REGS as DIST, KVM_DEV_ARM_VGIC_GRP_ITS_REGS as ITS, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO as LEVEL,
    KVM_DEV_ARM_VGIC_GRP_REDIST_REGS as REDIST, dist, redist,
};
use vgic_state::{AttrId, AttributeError, Mpidr, Vcpus};

/// A state with something in every register.
fn state(config: Config) -> Gicv3State {
    let (_, mut gic) = filled(config);
    gic.flush_and_save().expect("save")
}

fn from(state: &Gicv3State, attributes: &Attributes) -> Result<(Gicv3State, Report), AttributeError> {
    Gicv3State::from_attributes(state.nr_irqs, &state.topology().expect("vCPUs"), attributes)
}

fn configs() -> impl Iterator<Item = Config> {
    [(1, 64, 0), (2, 96, 1), (3, 992, 2)].into_iter().map(|(vcpus, nr_irqs, its)| Config {
        vcpus,
        nr_irqs,
        its,
        ..Config::default()
    })
}

/// The first half behind the second one, backwards.
fn mixed<T: Clone>(list: &[T]) -> Vec<T> {
    let (first, second) = list.split_at(list.len() / 2);
    second.iter().chain(first).rev().cloned().collect()
}

#[test]
fn a_state_is_the_same_from_its_attributes_in_any_order() {
    let with_el2 = [0, 20].map(|maintenance_irq| Config { el2: true, maintenance_irq, ..Config::default() });
    for config in configs().chain(with_el2) {
        let state = state(config);
        let attributes = state.attributes();
        let mut other = attributes.clone();
        other.gic = mixed(&attributes.gic);
        other.its.iter_mut().for_each(|(_, values)| *values = mixed(values));
        for attributes in [&attributes, &other] {
            let (found, report) = from(&state, attributes).expect("state");
            assert_eq!(found, state);
            assert_eq!(report, Report::default());
        }
    }
}

/// The same value twice, and values of registers that show the same state or none, change nothing.
#[test]
fn more_values_than_needed_are_the_same_state() {
    let state = state(Config::default());
    let mut attributes = state.attributes();
    attributes.gic.extend_from_within(..);
    let vcpu = Mpidr::to_attr(state.vcpus[1].vcpu.mpidr);
    let spis = &state.spis[0].interrupts;
    attributes.gic.extend([
        (DIST, dist::GICD_ICENABLER as u64 + 4, spis.enable.into()),
        (DIST, dist::GICD_ICACTIVER as u64 + 4, spis.active.into()),
        (DIST, dist::GICD_ICPENDR as u64 + 4, 0x1234),
        (DIST, dist::GICD_STATUSR.into(), u32::MAX.into()),
        (DIST, dist::GICD_STATUSR.into(), 0),
        (REDIST, vcpu | redist::GICR_ICENABLER0 as u64, state.vcpus[1].private.enable.into()),
        (REDIST, vcpu | redist::GICR_ICACTIVER0 as u64, state.vcpus[1].private.active.into()),
        (REDIST, vcpu | redist::GICR_ICPENDR0 as u64, 0xffff),
        (REDIST, vcpu | redist::GICR_WAKER as u64, 6),
        // The distributor's registers of private interrupts, and of interrupts that the VM does not have.
        (DIST, dist::GICD_ISENABLER.into(), 0),
        (DIST, dist::GICD_IROUTER as u64 + 8 * 31, 0),
        (DIST, dist::GICD_IROUTER as u64 + 8 * 32 + 4, 0),
        (DIST, dist::GICD_IGROUPR as u64 + 4 * 3, 0),
        // Line levels of SPIs, asked for through the other vCPU.
        (LEVEL, vcpu | 32, spis.level.into()),
        (CPU, vcpu | u64::from(SYS_ICC_AP1R1_EL1), 0),
    ]);
    assert_eq!(from(&state, &attributes), Ok((state, Report::default())));
}

/// What is found where a register has no value: a loss, but for those that no guest sets.
fn missing(register: AttrId) -> Problem {
    let name = register.register_name().map(|name| name.to_string()).unwrap_or_default();
    let of_identity = ["GICD_TYPER", "GICD_IIDR", "GICR_IIDR", "GICR_TYPER", "GICR_TYPER[63:32]", "GITS_IIDR", "GITS_TYPER"];
    if of_identity.contains(&name.as_str()) { Problem::IdentityMissing } else { Problem::AttributeMissing }
}

/// No loss hides behind another register: all targets of SPIs, and of one of two ITSes its tables, beside registers that no guest sets.
#[test]
fn each_register_that_has_no_value_is_a_finding() {
    let state = state(Config { vcpus: 3, nr_irqs: 96, its: 2, ..Config::default() });
    let mut attributes = state.attributes();
    let lost = |group: u32, attr: u64| {
        let name = AttrId::from_raw(group, attr).register_name().map(|name| name.to_string()).unwrap_or_default();
        ["GICD_TYPER", "GICD_IROUTER", "GICR_IIDR", "GICR_TYPER", "GICR_IPRIORITYR", "ICC_PMR_EL1"]
            .iter()
            .any(|lost| name.starts_with(lost) && name != "GICD_TYPER2")
            || group == LEVEL
    };
    attributes.gic.retain(|(group, attr, _)| !lost(*group, *attr));
    attributes.its[0].1.retain(|(_, attr, _)| *attr != 8);
    attributes.its[1].1.retain(|(_, attr, _)| ![8, 0x100, 0x108].contains(attr));
    let (_, report) = from(&state, &attributes).expect("state");
    snapshot!("gicv3_attributes_missing", report.to_string());
}

/// A VM that is new is what there is if no value is given, but for the one that depends on the host.
#[test]
fn reset_values_are_those_of_a_new_vm() {
    for config in configs() {
        let (_, mut gic) = fresh(config, memory());
        let new = gic.flush_and_save().expect("save");
        let mut attributes = new.attributes();
        attributes.gic.retain(|(group, attr, _)| *group == CPU && *attr as u16 == SYS_ICC_CTLR_EL1);
        assert_eq!(attributes.gic.len(), config.vcpus as usize);
        attributes.its.iter_mut().for_each(|(_, values)| values.clear());
        let (found, report) = from(&new, &attributes).expect("state");
        assert_eq!(found, new);
        let mut groups: Vec<u32> = report.findings.iter().filter_map(|finding| Some(finding.first.register?.group())).collect();
        groups.sort_unstable();
        groups.dedup();
        let expected = [DIST, REDIST, CPU, LEVEL, ITS];
        assert_eq!(groups, if config.its == 0 { &expected[..4] } else { &expected[..] });
        for finding in &report.findings {
            assert_eq!((finding.problem, finding.refused), (missing(finding.first.register.expect("register")), false));
        }
    }
}

/// Every value, one by one.
#[test]
fn a_missing_value_is_a_finding_with_the_reset_value() {
    let config = Config::default();
    let (_, mut gic) = fresh(config, memory());
    let new = gic.flush_and_save().expect("save");
    let state = state(config);
    let (all, reset) = (state.attributes(), new.attributes());
    let mut optional = 0;
    for (n, (group, attr, _)) in all.gic.iter().enumerate() {
        let mut attributes = all.clone();
        attributes.gic.remove(n);
        let attribute = AttrId::from_raw(*group, *attr);
        if *group == CPU && *attr as u16 == SYS_ICC_CTLR_EL1 {
            assert_eq!(from(&state, &attributes), Err(AttributeError::Missing { attribute }));
            continue;
        }
        attributes.gic.insert(n, reset.gic[n]);
        let (expected, _) = from(&state, &attributes).expect("state");
        attributes.gic.remove(n);
        let (found, report) = from(&state, &attributes).expect("state");
        assert_eq!(found, expected, "{attribute}");
        optional += usize::from(report.findings.is_empty());
        for finding in &report.findings {
            assert_eq!((finding.problem, finding.count), (missing(attribute), 1));
            assert_eq!((finding.first.register, finding.first.value), (Some(attribute), Some(reset.gic[n].2)));
        }
    }
    assert_eq!(optional, 1, "GICD_TYPER2 alone");
    let (base, registers) = &all.its[0];
    for n in 0..registers.len() {
        let mut attributes = all.clone();
        let (_, attr, _) = attributes.its[0].1.remove(n);
        let (found, report) = from(&state, &attributes).expect("state");
        assert_eq!(found.attributes().its[0].1[n], reset.its[0].1[n]);
        // KVM has not more than two GITS_BASER.
        let optional = (0x110..0x140).contains(&attr);
        let problem = missing(AttrId::from_raw(ITS, attr));
        assert_eq!(report.find(problem).map(|finding| finding.first.its), (!optional).then_some(Some(*base)));
    }
}

/// Adds a value to those of a state of two vCPUs, 96 interrupts, one ITS.
fn with(of_its: bool, value: AttributeValue) -> AttributeError {
    let state = state(Config::default());
    let mut attributes = state.attributes();
    let list = if of_its { &mut attributes.its[0].1 } else { &mut attributes.gic };
    list.push(value);
    from(&state, &attributes).expect_err("no state")
}

#[test]
fn what_is_wrong_is_an_error_with_its_name() {
    let vcpu = Mpidr::to_attr(state(Config::default()).vcpus[0].vcpu.mpidr);
    let of_gic = [
        // Known to KVM, and no register of a state; unknown; not at the start of a register.
        (0, 2, 0x0800_0000),
        (3, 0, 96),
        (4, 0, 0),
        (ITS, 0x100, 0),
        (99, 7, 0),
        (DIST, 0x44, 0),
        (DIST, 0x101, 0),
        (DIST, 1 << 32 | 0x104, 0),
        (REDIST, vcpu | 0x18, 0),
        (LEVEL, vcpu | 1 << 10, 0),
        (LEVEL, vcpu | 33, 0),
        (CPU, vcpu | 0x1_0000 | u64::from(SYS_ICC_CTLR_EL1), 0),
        (CPU, vcpu | 0xc665 | 2, 0),
        // Another vCPU, and the form of the register in place of the attribute's.
        (REDIST, 9 << 32, 0),
        (LEVEL, 9 << 32, 0),
        (CPU, 0x8000_0000_0000_0000 | u64::from(SYS_ICC_CTLR_EL1), 0),
        // Wider than the register; not zero where KVM shows zero.
        (DIST, dist::GICD_CTLR.into(), 1 << 32),
        (REDIST, vcpu | redist::GICR_PROPBASER as u64, 0x0000_0010_4001_000f),
        (LEVEL, vcpu | 32, 1 << 32),
        (DIST, dist::GICD_IROUTER as u64 + 8 * 33 + 4, 1),
        (DIST, dist::GICD_ISENABLER as u64 + 4 * 3, 0x10),
        (LEVEL, vcpu | 96, 1),
        (CPU, vcpu | u64::from(SYS_ICC_AP1R1_EL1), 1),
        // Other values of the same state.
        (DIST, dist::GICD_CTLR.into(), 0x77),
        (DIST, dist::GICD_ICENABLER as u64 + 4, 0),
        (REDIST, vcpu | redist::GICR_ICACTIVER0 as u64, 0),
        (LEVEL, 32, 0),
    ];
    let of_its = [(ITS, 0x44, 0), (DIST, 0, 0), (ITS, 0, 1 << 32), (ITS, 0x80, 7), (ITS, vcpu | 0x80, 7)];
    let lines = of_gic.map(|value| with(false, value)).into_iter().chain(of_its.map(|value| with(true, value)));
    snapshot!("gicv3_attribute_errors", lines.map(|error| format!("{error}\n")).collect::<String>());
}

#[test]
fn another_vm_is_another_state() {
    let state = state(Config::default());
    let attributes = state.attributes();
    let other = Vcpus::with_default_mpidrs(2).expect("vCPUs");
    let found = Gicv3State::from_attributes(state.nr_irqs, &other, &attributes);
    assert!(matches!(found, Err(AttributeError::UnknownVcpu { .. })), "{found:?}");
    let fewer = vgic_state::NrIrqs::new(64).expect("number");
    let found = Gicv3State::from_attributes(fewer, &state.topology().expect("vCPUs"), &attributes);
    assert!(matches!(found, Err(AttributeError::Value { max: 0, .. })), "{found:?}");
}
