//! What cannot be restored is refused by name, and no device sees anything of it.

use crate::common::{Config, filled, fresh, its_base, memory, trace, vcpus};
use crate::save::Save as _;
use vgic_state::gicv3::Gicv3State;
use vgic_state::image::{ImageError, Kind};
use vgic_state::model::gicv3::Host;
use vgic_state::report::{Finding, Problem, Refusal, Severity};
use vgic_state::{Attr, AttrId, DynInterruptState, Error, InterruptState, NrIrqs, Options, TopologyError};

fn config() -> Config {
    Config { its: 2, ..Config::default() }
}

fn changed(change: impl FnOnce(&mut Gicv3State)) -> Gicv3State {
    let mut state = filled(config()).1.flush_and_save().expect("save");
    change(&mut state);
    state
}

fn refused_on(state: &Gicv3State, config: Config) -> Refusal {
    let (vm, mut destination) = fresh(config, memory());
    let refusal = match destination.restore(state) {
        Err(Error::Refused(refusal)) => *refusal,
        other => panic!("{other:?}"),
    };
    let again = Err(Error::from(refusal.clone()));
    assert_eq!(destination.check(state), again);
    if let Ok(image) = state.to_image() {
        assert_eq!(destination.check_image(&image), again);
        assert_eq!(destination.restore_image(&image), again);
    }
    assert_eq!(trace(&vm), "", "the trace of a refusal is empty");
    assert_eq!(vm.written(), []);
    refusal
}

fn refused(state: &Gicv3State) -> Refusal {
    refused_on(state, config())
}

/// The problem that the state is refused for. No threshold accepts it.
fn problem_on(state: &Gicv3State, config: Config) -> Finding {
    let found = match refused_on(state, config) {
        Refusal::Problem(found) => *found,
        other => panic!("{other}"),
    };
    let lenient = fresh(config, memory()).1.with_options(Options::default().with_refuse_at(None)).check(state);
    assert_eq!(lenient, Err(Error::from(Refusal::Problem(Box::new(found)))));
    found
}

fn problem(state: &Gicv3State) -> Finding {
    problem_on(state, config())
}

#[test]
fn a_state_of_another_vm_is_refused_by_name() {
    let state = changed(|_| ());
    let all: Vec<_> = vcpus(2).iter().collect();
    // The affinities of `vcpus` depend on their number: the ids are the same.
    for count in [3, 1] {
        let expected = vcpus(count).iter().next().expect("vCPU");
        assert_eq!(refused_on(&state, Config { vcpus: count, ..config() }), Refusal::VcpuNames { expected, found: all[0] });
    }
    let [expected, found] = [128, 96].map(|count| NrIrqs::new(count).expect("count"));
    assert_eq!(refused_on(&state, Config { nr_irqs: 128, ..config() }), Refusal::NrIrqs { expected, found });
    assert_eq!(refused_on(&state, Config { its: 1, ..config() }), Refusal::ItsCount { expected: 1, found: 2 });
    assert_eq!(refused_on(&state, Config { its: 3, ..config() }), Refusal::ItsCount { expected: 3, found: 2 });
    let without = fresh(Config { its: 0, ..config() }, memory()).1.flush_and_save().expect("save");
    assert_eq!(refused(&without), Refusal::ItsCount { expected: 2, found: 0 });
    assert_eq!(refused_on(&state, Config { its: 0, ..config() }), Refusal::ItsCount { expected: 0, found: 2 });
    assert_eq!(refused(&changed(|state| state.its[1].base = 0x1234_0000)), Refusal::ItsMissing { base: 0x1234_0000 });
    let twice = problem(&changed(|state| state.its[1] = state.its[0]));
    assert_eq!((twice.problem, twice.first.its), (Problem::ItsTwice, Some(its_base(0))));
    let spis: [fn(&mut Gicv3State); 3] =
        [|state| state.spis.truncate(1), |state| state.spis.swap(0, 1), |state| state.spis[1].first = 96];
    for change in spis {
        assert_eq!(problem(&changed(change)).problem, Problem::SpisIncomplete);
    }
}

#[test]
fn identification_names_the_field_and_both_values() {
    let mpidr = vcpus(2).iter().next().expect("vCPU").mpidr;
    type Change = fn(&mut Gicv3State);
    let cases: [(Change, vgic_state::AttrId, &str); 14] = [
        (|state| state.identity.typer ^= 1 << 17, Attr::dist(0x4).id(), "LPIS"),
        (|state| state.identity.typer ^= 1 << 19, Attr::dist(0x4).id(), "IDbits"),
        (|state| state.identity.iidr ^= 1, Attr::dist(0x8).id(), "Implementer"),
        (|state| state.identity.iidr += 1 << 12, Attr::dist(0x8).id(), "Revision"),
        (|state| state.identity.typer2 ^= 1 << 8, Attr::dist(0xc).id(), "nASSGIcap"),
        (|state| state.vcpus[0].identity.typer ^= 1, Attr::redist(mpidr, 0x8).id(), "PLPIS"),
        (|state| state.vcpus[0].identity.typer ^= 1 << 4, Attr::redist(mpidr, 0x8).id(), "Last"),
        (|state| state.vcpus[0].identity.typer ^= 1 << 9, Attr::redist(mpidr, 0x8).id(), "Processor_Number"),
        (|state| state.vcpus[0].identity.typer ^= 1 << 40, Attr::redist(mpidr, 0x8).id(), "Affinity_Value"),
        (|state| state.vcpus[0].icc.ctlr += 1 << 8, Attr::cpu_sysreg(mpidr, 0xc664).id(), "PRIbits"),
        (|state| state.vcpus[0].icc.ctlr += 1 << 11, Attr::cpu_sysreg(mpidr, 0xc664).id(), "IDbits"),
        (|state| state.vcpus[0].icc.ctlr ^= 1 << 14, Attr::cpu_sysreg(mpidr, 0xc664).id(), "SEIS"),
        (|state| state.vcpus[0].icc.ctlr ^= 1 << 15, Attr::cpu_sysreg(mpidr, 0xc664).id(), "A3V"),
        (|state| state.its[1].identity.typer ^= 1 << 13, Attr::its(0x8).id(), "Devbits"),
    ];
    for (change, attr, name) in cases {
        match refused(&changed(change)) {
            Refusal::Identity { register, field, expected, found, .. } => {
                assert_eq!((register, field), (attr, name));
                assert_ne!(expected, found);
            }
            other => panic!("{other}"),
        }
    }
    let old = refused(&changed(|state| state.identity.iidr = state.identity.iidr & !0xf000 | 0x1000));
    let text =
        "high, revision-unknown: GICD_IIDR is 0x4b00143b: GICD_IIDR.Revision is below 2; KVM has no such revision since Linux 4.20";
    assert_eq!(old.to_string(), text);
    let error = refused_on(&changed(|_| ()), Config { host: Host { seis: true, ..Host::default() }, ..config() });
    assert_eq!(error.to_string(), format!("ICC_CTLR_EL1 of vCPU {mpidr}.SEIS is 0, the device has 1: must be equal"));
}

#[test]
fn registers_that_the_kernel_would_refuse_or_drop() {
    type Change = fn(&mut Gicv3State);
    let cases: [(Change, u32, Problem, u64); 10] = [
        (|state| state.its[0].registers.cbaser |= 1 << 12, 0x80, Problem::QueueAlignment, 0x9800_0000_4010_100f),
        (|state| state.its[0].registers.cwriter = 0x1_0000, 0x88, Problem::QueueOffset, 0x1_0000),
        (|state| state.its[0].registers.creadr = 0x1_0000, 0x90, Problem::QueueOffset, 0x1_0000),
        (|state| state.its[0].registers.cwriter |= 1, 0x88, Problem::QueueOffset, 0x1),
        (|state| state.its[0].registers.cwriter |= 1 << 20, 0x88, Problem::QueueOffset, 0x10_0000),
        (|state| state.its[0].registers.cbaser &= !(1 << 63), 0x80, Problem::TableNotValid, 0x1800_0000_4010_000f),
        (|state| state.its[0].registers.baser0 &= !(1 << 63), 0x100, Problem::TableNotValid, 0),
        (|state| state.its[0].registers.baser1 &= !(1 << 63), 0x108, Problem::TableNotValid, 0),
        (|state| state.its[0].registers.baser1 |= 1 << 62, 0x108, Problem::CollectionTableIndirect, 0),
        (|state| state.its[0].registers.baser5 = 1, 0x128, Problem::RegisterNotImplemented, 1),
    ];
    for (change, offset, expected, value) in cases {
        let state = changed(change);
        let found = problem(&state);
        assert_eq!((found.problem, found.first.register), (expected, Some(Attr::its(offset).id())));
        let registers = &state.its[0].registers;
        let value = match offset {
            0x80 => registers.cbaser,
            0x100 => registers.baser0,
            0x108 => registers.baser1,
            0x88 if value == 1 || value == 0x10_0000 => registers.cwriter,
            _ => value,
        };
        assert_eq!((found.first.value, found.first.its), (Some(value), Some(its_base(0))));
    }
    let mpidr = vcpus(2).iter().nth(1).expect("vCPU").mpidr;
    let of = |found: Finding| (found.problem, found.first.register);
    let differs = changed(|state| state.vcpus[1].redist.propbaser ^= 1);
    assert_eq!(of(problem(&differs)), (Problem::PropbaserDiffers, Some(Attr::redist(mpidr, 0x70).id())));
    let mut lpis = fresh(Config { its: 0, ..config() }, memory()).1.flush_and_save().expect("save");
    lpis.vcpus[1].redist.ctlr |= 1;
    let without = problem_on(&lpis, Config { its: 0, ..config() });
    assert_eq!(of(without), (Problem::LpisWithoutIts, Some(Attr::redist(mpidr, 0x0).id())));
    let sre = changed(|state| state.vcpus[1].icc.sre = 0);
    assert_eq!(of(problem(&sre)), (Problem::SreClear, Some(Attr::cpu_sysreg(mpidr, 0xc665).id())));
    let beyond = problem(&changed(|state| state.vcpus[1].icc.ap1r2 = 1));
    assert!(beyond.to_string().starts_with("ICC_AP1R2_EL1 of vCPU"), "{beyond}");
    assert_eq!(beyond.problem, Problem::ActivePriority);
}

#[test]
fn spis_that_are_routed_to_no_vcpu_are_reported() {
    let state = changed(|state| {
        state.spis[0].interrupts.enable = 0b11;
        state.spis[0].router[0] = 0x00ee_eeee;
        state.spis[1].router[31] = 0x00ee_eeee;
        state.spis[1].interrupts.enable = 1 << 31;
    });
    let (_, destination) = fresh(config(), memory());
    let findings = destination.check(&state).expect("restorable").findings;
    assert_eq!((findings.len(), findings[0].problem, findings[0].count), (1, Problem::SpiTargetUnknown, 2));
    let text =
        "GICD_IROUTER32 is 0xeeeeee, SPI 32 and 1 more: GICD_IROUTER names no vCPU; the SPI cannot be delivered, without an error";
    assert_eq!(findings[0].to_string(), text);
    let strict = destination.with_options(Options::default().with_refuse_at(Some(Severity::Low)));
    assert_eq!(strict.check(&state), Err(Error::from(Refusal::Problem(Box::new(findings[0])))));
}

#[test]
fn bits_that_kvm_ignores_and_commands_that_would_run_are_reported() {
    let (_, destination) = fresh(config(), memory());
    let findings = |change: fn(&mut Gicv3State)| {
        let findings = destination.check(&changed(change)).expect("restorable").findings;
        findings.iter().map(|finding| (finding.problem, finding.count, finding.first.register)).collect::<Vec<_>>()
    };
    assert_eq!(findings(|_| ()), []);
    let ignored = |count, first: AttrId| vec![(Problem::IgnoredBits, count, Some(first))];
    assert_eq!(findings(|state| state.spis[1].router[2] |= 1 << 24), ignored(1, Attr::dist(0x6000 + 8 * 66).id()));
    assert_eq!(findings(|state| state.spis[1].interrupts.priority[3] |= 0x0001_0000), ignored(1, Attr::dist(0x400 + 4 * 19).id()));
    let mpidr = vcpus(2).iter().next().expect("vCPU").mpidr;
    let everywhere = findings(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.private.priority[7] |= 4));
    assert_eq!(everywhere, ignored(2, Attr::redist(mpidr, 0x1_0400 + 4 * 7).id()));
    let queued = findings(|state| state.its[0].registers.cwriter += 32);
    // The memory of this VM has no command there.
    assert_eq!(queued, [(Problem::CommandsQueued, 1, Some(Attr::its(0x88).id())), (Problem::CommandUnknown, 1, None)]);
}

#[test]
fn more_itses_than_an_image_can_hold() {
    let many = changed(|state| state.its = vec![state.its[0]; 65]);
    let count = ImageError::Count { id: 18, what: "ITSes", found: 65, max: 64 };
    assert_eq!(many.to_image(), Err(Error::Image(count)));
}

#[test]
fn images_of_the_other_version() {
    use vgic_state::gicv5::Gicv5;
    use vgic_state::image::IstCoding;
    let v5_vcpus = vgic_state::Vcpus::with_default_mpidrs(1).expect("vCPU");
    let v5 = vgic_state::model::gicv5::Vm::with_device(Default::default(), &v5_vcpus).expect("VM");
    let mut v5 = Gicv5::initialise(v5, 0x0800_0000, Default::default(), v5_vcpus).expect("device");
    v5.device_mut().clear_trace();
    let v5_image = v5.flush_and_save().expect("save").to_image(IstCoding::Raw).expect("image");
    v5.device_mut().clear_trace();
    let (vm, mut v3) = fresh(config(), memory());
    let v3_image = changed(|_| ()).to_image().expect("image");

    let wrong = |expected, found| Err(Error::Image(ImageError::WrongKind { expected, found }));
    assert_eq!(v3.restore_image(&v5_image), wrong(Kind::Gicv3, Kind::Gicv5));
    assert_eq!(v5.restore_image(&v3_image), wrong(Kind::Gicv5, Kind::Gicv3));
    assert_eq!((trace(&vm), v5.device().trace().len()), (String::new(), 0));
    let text = ImageError::WrongKind { expected: Kind::Gicv3, found: Kind::Gicv5 }.to_string();
    assert_eq!(text, "image of a GICv5, expected one of a GICv3");
}

#[test]
fn every_prefix_and_changed_bytes_of_a_good_image() {
    let image = changed(|_| ()).to_image().expect("image");
    let (vm, mut destination) = fresh(config(), memory());
    for length in 0..image.len() {
        assert!(matches!(destination.restore_image(&image[..length]), Err(Error::Image(ImageError::Truncated { .. }))));
    }
    let mut bad = image.clone();
    for at in 0..image.len() {
        for change in [1, 0x80, 0xff] {
            bad[at] ^= change;
            assert!(matches!(destination.restore_image(&bad), Err(Error::Image(_))), "byte {at} changed by {change:#04x}");
            bad[at] ^= change;
        }
    }
    assert_eq!(trace(&vm), "");
}

#[test]
fn states_that_no_reader_would_take_are_not_written() {
    assert_eq!(changed(|state| state.vcpus.clear()).to_image(), Err(Error::Topology(TopologyError::NoVcpu)));
    let twice = changed(|state| state.vcpus[1].vcpu = state.vcpus[0].vcpu).to_image();
    assert!(matches!(twice, Err(Error::Topology(TopologyError::DuplicateVcpuId { .. }))));
    assert!(matches!(changed(|state| state.spis.clear()).to_image(), Err(Error::Image(ImageError::Spis { .. }))));
    for found in [0, 32, 63, 96 + 1, 1056, u32::MAX] {
        assert_eq!(NrIrqs::new(found), Err(TopologyError::NrIrqs { found }));
    }
}

#[cfg(all(feature = "kvm", target_os = "linux"))]
#[test]
fn what_a_host_offers_decides_where_an_image_can_go() {
    use vgic_state::kvm::Offered;
    let with_its = changed(|_| ()).to_image().expect("image");
    let without = fresh(Config { its: 0, ..config() }, memory()).1.flush_and_save().expect("save").to_image().expect("image");
    let host = |gicv3, its, gicv5| Offered { gicv3, its, gicv5, ..Offered::default() };
    for (host, with, without_its) in [
        (host(true, true, false), true, true),
        (host(true, false, false), false, true),
        (host(false, false, true), false, false),
        (Offered::default(), false, false),
    ] {
        assert_eq!((host.can_restore(&with_its), host.can_restore(&without)), (Ok(with), Ok(without_its)));
    }
    assert_eq!(Offered::default().can_restore(b"no"), Err(ImageError::NotAnImage));
}
