//! A state out of values of attributes, and back: what every list must be, and each way of being wrong.

use crate::common::{attached, full_state, id, vcpus};
use crate::save::Save as _;
use std::collections::BTreeSet;
use vgic_state::gicv2::{Gicv2State, NOT_STATE};
use vgic_state::gicv3::AttributeValue;
use vgic_state::model::gicv2::Host;
use vgic_state::model::{Op, Value};
use vgic_state::report::Problem;
use vgic_state::uapi::vgic_v2::{cpu, dist};
use vgic_state::{Attr, AttrId, AttributeError, InterruptState, NrIrqs, Vcpus};

fn read(state: &Gicv2State, values: &[AttributeValue]) -> Result<Gicv2State, AttributeError> {
    let (found, report) = Gicv2State::from_attributes(state.nr_irqs, &state.topology().unwrap(), values)?;
    assert!(report.findings.is_empty(), "{report}");
    Ok(found)
}

#[test]
fn a_state_is_its_attributes_in_any_order() {
    for (count, nr_irqs) in [(1, 64), (3, 96), (8, 1024)] {
        let state = full_state(count, nr_irqs);
        let mut values = state.attributes();
        assert_eq!(read(&state, &values).as_ref(), Ok(&state));
        values.reverse();
        assert_eq!(read(&state, &values).as_ref(), Ok(&state));
        // Each once.
        assert_eq!(values.iter().map(|(group, attr, _)| (group, attr)).collect::<BTreeSet<_>>().len(), values.len());
    }
}

#[test]
fn attributes_are_what_a_device_shows_in_the_order_of_a_save() {
    let state = full_state(3, 96);
    let (vm, mut gic) = attached(Host::default(), 3, 96);
    gic.restore(&state).unwrap();
    vm.clear_trace();
    assert_eq!(gic.flush_and_save().unwrap(), state);
    let trace = vm.trace();
    let shown: Vec<AttributeValue> = trace
        .iter()
        .map(|access| match access.value {
            Some(Value::U32(value)) => (access.id.group(), access.id.attr(), value.into()),
            other => panic!("{}: {other:?}", access.id),
        })
        .collect();
    assert!(vm.trace().iter().all(|access| access.op == Op::Get));
    assert_eq!(state.attributes(), shown);
}

#[test]
fn what_is_missing_is_as_in_a_new_vm() {
    for (count, nr_irqs) in [(1, 64), (4, 256)] {
        let new = attached(Host::default(), count, nr_irqs).1.flush_and_save().unwrap();
        let (state, report) = Gicv2State::from_attributes(NrIrqs::new(nr_irqs).unwrap(), &vcpus(count), &[]).unwrap();
        assert_eq!(state, new);
        // Once for each name: GICD_IIDR, GICD_TYPER, GICC_IIDR and the ITARGETSR of private interrupts are what the controller is.
        let identity = report.findings.iter().filter(|finding| finding.problem == Problem::IdentityMissing).count();
        let missing = report.findings.iter().filter(|finding| finding.problem == Problem::AttributeMissing).count();
        assert_eq!((identity, missing, report.findings.len()), (4, 14, 18));
    }
    // One by one: the others stay as they were.
    let state = full_state(2, 64);
    let values = state.attributes();
    for n in 0..values.len() {
        let mut fewer = values.clone();
        let (group, attr, _) = fewer.remove(n);
        let (found, report) = Gicv2State::from_attributes(state.nr_irqs, &vcpus(2), &fewer).unwrap();
        let name = AttrId::from_raw(group, attr).register_name().unwrap().to_string();
        let optional = ["GICC_APR1", "GICC_APR2", "GICC_APR3"].contains(&name.as_str());
        assert_eq!(report.findings.len(), usize::from(!optional), "{name}");
        let kept = found.attributes().into_iter().zip(&values).filter(|(one, other)| one == *other).count();
        assert!(kept >= values.len() - 1, "{name}");
    }
}

#[test]
fn registers_that_show_the_same_and_registers_without_state() {
    let state = full_state(2, 64);
    let mut values = state.attributes();
    let enabled = state.vcpus[1].private.enable[0];
    // Both halves of a pair, as KVM shows them; the distributor by another vCPU.
    values.push((1, Attr::gicv2_dist(id(1), 0x180).id().attr(), enabled.into()));
    values.push((1, Attr::gicv2_dist(id(1), 0x104).id().attr(), state.spis[0].interrupts.enable[0].into()));
    for attr in [
        Attr::gicv2_dist(id(1), 0x280),
        Attr::gicv2_dist(id(0), 0xf00),
        Attr::gicv2_dist(id(1), 0xf18),
        Attr::gicv2_cpu(id(0), 0x1000),
    ] {
        let name = attr.id().register_name().unwrap().to_string();
        let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
        assert!(NOT_STATE.iter().any(|(name, _)| *name == base), "{base}");
        values.push((attr.id().group(), attr.id().attr(), 0x55));
    }
    // Of INTIDs 64 to 95, which the VM does not have.
    values.push((1, Attr::gicv2_dist(id(0), 0x108).id().attr(), 0));
    assert_eq!(read(&state, &values).as_ref(), Ok(&state));
}

#[test]
fn a_list_with_unknown_attributes_or_impossible_values_is_refused() {
    let state = full_state(2, 64);
    let with = |attr: AttrId, value: u64| {
        let mut values = state.attributes();
        values.push((attr.group(), attr.attr(), value));
        read(&state, &values).unwrap_err()
    };
    let unknown = |attribute| AttributeError::Unknown { its: None, attribute, value: 1 };
    for attr in [
        Attr::nr_irqs().id(),
        Attr::gicv2_dist(id(0), 0x0c).id(),
        Attr::gicv2_dist(id(0), 0x101).id(),
        Attr::gicv2_dist(id(0), 0x1000).id(),
        Attr::gicv2_cpu(id(0), cpu::GICC_IAR).id(),
        Attr::its(0).id(),
    ] {
        assert_eq!(with(attr, 1), unknown(attr));
    }
    let none = Attr::gicv2_cpu(id(5), cpu::GICC_PMR).id();
    assert_eq!(with(none, 0), AttributeError::UnknownVcpu { attribute: none, value: 0 });
    // Bits above the number of a vCPU.
    let beyond = AttrId::from_raw(2, 1 << 40 | u64::from(cpu::GICC_PMR));
    assert_eq!(with(beyond, 0), AttributeError::UnknownVcpu { attribute: beyond, value: 0 });
    let pmr = Attr::gicv2_cpu(id(1), cpu::GICC_PMR).id();
    let (first, max) = (state.vcpus[1].gicc.pmr.into(), u32::MAX.into());
    assert_eq!(with(pmr, first ^ 1), AttributeError::Conflict { its: None, attribute: pmr, first, second: first ^ 1 });
    assert_eq!(with(pmr, 1 << 32), AttributeError::Value { its: None, attribute: pmr, value: 1 << 32, max });
    let spi = Attr::gicv2_dist(id(0), 0x108).id();
    assert_eq!(with(spi, 1), AttributeError::Value { its: None, attribute: spi, value: 1, max: 0 });
    let sources = Attr::gicv2_dist(id(1), dist::GICD_SPENDSGIR).id();
    let AttributeError::Conflict { attribute, .. } = with(sources, 1) else { panic!("no conflict") };
    assert_eq!(attribute.to_string(), "GICD_SPENDSGIR0 of vCPU 1");
    // Another VM.
    let values = state.attributes();
    let fewer = Gicv2State::from_attributes(state.nr_irqs, &vcpus(1), &values);
    assert!(matches!(fewer, Err(AttributeError::UnknownVcpu { .. })));
    let other = Gicv2State::from_attributes(state.nr_irqs, &Vcpus::from_ids([0, 2]).unwrap(), &values);
    assert!(matches!(other, Err(AttributeError::UnknownVcpu { .. })));
    let more = Gicv2State::from_attributes(NrIrqs::new(96).unwrap(), &vcpus(2), &values).unwrap().1;
    assert_eq!(more.findings.len(), 7, "the registers of INTIDs 64 to 95");
}
