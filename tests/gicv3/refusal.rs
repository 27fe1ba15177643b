//! What cannot be restored is refused by name, and no device sees anything of it.

use crate::common::{Config, filled, fresh, its_base, memory, trace, vcpus};
use vgic_state::check::{Oddity, Refusal};
use vgic_state::gicv3::{Gicv3State, Options};
use vgic_state::image::{ImageError, Kind};
use vgic_state::model::gicv3::Host;
use vgic_state::{Attr, DynInterruptState, Error, InterruptState, NrIrqs, TopologyError};

fn config() -> Config {
    Config { its: 2, ..Config::default() }
}

fn changed(change: impl FnOnce(&mut Gicv3State)) -> Gicv3State {
    let mut state = filled(config()).1.save().expect("save");
    change(&mut state);
    state
}

fn refused_on(state: &Gicv3State, config: Config) -> Refusal {
    let (vm, mut destination) = fresh(config, memory());
    let refusal = match destination.restore(state) {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let again = Err(Error::Refused(refusal.clone()));
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

#[test]
fn another_vm() {
    let state = changed(|_| ());
    let all: Vec<_> = vcpus(2).iter().collect();
    // The affinities of `vcpus` depend on their number.
    assert_eq!(refused_on(&state, Config { vcpus: 3, ..config() }), Refusal::VcpuMissing { vcpu: all[0] });
    let lonely = vcpus(1).iter().next().expect("vCPU");
    assert_eq!(refused_on(&state, Config { vcpus: 1, ..config() }), Refusal::VcpuUnexpected { vcpu: lonely });
    let [expected, found] = [128, 96].map(|count| NrIrqs::new(count).expect("count"));
    assert_eq!(refused_on(&state, Config { nr_irqs: 128, ..config() }), Refusal::NrIrqs { expected, found });
    assert_eq!(refused_on(&state, Config { its: 1, ..config() }), Refusal::ItsCount { expected: 1, found: 2 });
    assert_eq!(refused_on(&state, Config { its: 3, ..config() }), Refusal::ItsCount { expected: 3, found: 2 });
    let without = fresh(Config { its: 0, ..config() }, memory()).1.save().expect("save");
    assert_eq!(refused(&without), Refusal::ItsCount { expected: 2, found: 0 });
    assert_eq!(refused_on(&state, Config { its: 0, ..config() }), Refusal::ItsCount { expected: 0, found: 2 });
    assert_eq!(refused(&changed(|state| state.its[1].base = 0x1234_0000)), Refusal::ItsMissing { base: 0x1234_0000 });
    assert_eq!(refused(&changed(|state| state.its[1] = state.its[0])), Refusal::ItsTwice { base: its_base(0) });
    let nr_irqs = state.nr_irqs;
    assert_eq!(refused(&changed(|state| state.spis.truncate(1))), Refusal::SpiBanks { nr_irqs });
    assert_eq!(refused(&changed(|state| state.spis.swap(0, 1))), Refusal::SpiBanks { nr_irqs });
    assert_eq!(refused(&changed(|state| state.spis[1].first = 96)), Refusal::SpiBanks { nr_irqs });
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
    assert_eq!(old.to_string(), "GICD_IIDR is 0x4b00143b: KVM has no revision below 2 since Linux 4.20");
    let error = refused_on(&changed(|_| ()), Config { host: Host { seis: true, ..Host::default() }, ..config() });
    assert_eq!(error.to_string(), format!("ICC_CTLR_EL1 of vCPU {mpidr}.SEIS is 0, the device has 1: must be equal"));
}

#[test]
fn registers_that_the_kernel_would_refuse_or_drop() {
    type Change = fn(&mut Gicv3State);
    let cases: [(Change, u32, &str); 10] = [
        (|state| state.its[0].registers.cbaser |= 1 << 12, 0x80, "KVM aligns the queue to 64 KiB"),
        (|state| state.its[0].registers.cwriter = 0x1_0000, 0x88, "outside of the command queue"),
        (|state| state.its[0].registers.creadr = 0x1_0000, 0x90, "outside of the command queue"),
        (|state| state.its[0].registers.cwriter |= 1, 0x88, "more than an offset in the queue"),
        (|state| state.its[0].registers.cwriter |= 1 << 20, 0x88, "more than an offset in the queue"),
        (|state| state.its[0].registers.cbaser &= !(1 << 63), 0x80, "must be valid in an ITS that is enabled"),
        (|state| state.its[0].registers.baser0 &= !(1 << 63), 0x100, "must be valid in an ITS that is enabled"),
        (|state| state.its[0].registers.baser1 &= !(1 << 63), 0x108, "must be valid in an ITS that is enabled"),
        (|state| state.its[0].registers.baser1 |= 1 << 62, 0x108, "KVM has flat collection tables only"),
        (|state| state.its[0].registers.baser5 = 1, 0x128, "KVM does not implement the register"),
    ];
    for (change, offset, expected) in cases {
        match refused(&changed(change)) {
            Refusal::Register { register, rule, .. } => assert_eq!((register, rule), (Attr::its(offset).id(), expected)),
            other => panic!("{other}"),
        }
    }
    let differs = refused(&changed(|state| state.vcpus[1].redist.propbaser ^= 1));
    assert!(differs.to_string().ends_with("KVM has one value for all vCPUs"), "{differs}");
    let mut lpis = fresh(Config { its: 0, ..config() }, memory()).1.save().expect("save");
    lpis.vcpus[0].redist.ctlr |= 1;
    let refusal = refused_on(&lpis, Config { its: 0, ..config() });
    assert!(refusal.to_string().ends_with("a VM without an ITS has no LPIs"), "{refusal}");
    assert!(matches!(refused(&changed(|state| state.vcpus[1].icc.sre = 0)), Refusal::Register { rule: "SRE must be set", .. }));
    let beyond = refused(&changed(|state| state.vcpus[1].icc.ap1r2 = 1));
    assert!(beyond.to_string().starts_with("ICC_AP1R2_EL1 of vCPU"), "{beyond}");
}

#[test]
fn spis_that_are_routed_to_no_vcpu_are_reported() {
    let state = changed(|state| {
        state.spis[0].bank.enable = 0b11;
        state.spis[0].router[0] = 0x00ee_eeee;
        state.spis[1].router[31] = 0x00ee_eeee;
        state.spis[1].bank.enable = 1 << 31;
    });
    let (_, destination) = fresh(config(), memory());
    let findings = destination.check(&state).expect("restorable").findings;
    assert_eq!((findings.len(), findings[0].oddity, findings[0].count), (1, Oddity::NoSuchTarget, 2));
    assert!(findings[0].to_string().starts_with("GICD_IROUTER32 and 1 more"), "{}", findings[0]);
    let mut options = Options::default();
    options.strict = true;
    assert!(matches!(destination.with_options(options).check(&state), Err(Error::Refused(Refusal::Strict(_)))));
}

#[test]
fn bits_that_kvm_ignores_and_commands_that_would_run_are_reported() {
    let (_, destination) = fresh(config(), memory());
    let findings = |change: fn(&mut Gicv3State)| {
        let findings = destination.check(&changed(change)).expect("restorable").findings;
        findings.iter().map(|finding| (finding.oddity, finding.count, finding.first.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(findings(|_| ()), []);
    let ignored = |count, first: &str| vec![(Oddity::IgnoredBits, count, first.to_owned())];
    assert_eq!(findings(|state| state.spis[1].router[2] |= 1 << 24), ignored(1, "GICD_IROUTER66"));
    assert_eq!(findings(|state| state.spis[1].bank.priority[3] |= 0x0001_0000), ignored(1, "GICD_IPRIORITYR19"));
    let mpidr = vcpus(2).iter().next().expect("vCPU").mpidr;
    let everywhere = findings(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.private.priority[7] |= 4));
    assert_eq!(everywhere, ignored(2, &format!("GICR_IPRIORITYR7 of vCPU {mpidr}")));
    let queued = vec![(Oddity::QueuedCommands, 1, "GITS_CWRITER".to_owned())];
    assert_eq!(findings(|state| state.its[0].registers.cwriter += 32), queued);
}

#[test]
fn more_itses_than_an_image_can_hold() {
    let many = changed(|state| state.its = vec![state.its[0]; 65]);
    let count = ImageError::Count { what: "ITSes", found: 65, max: 64 };
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
    let v5_image = v5.save().expect("save").to_image(IstCoding::Raw).expect("image");
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
    assert!(matches!(changed(|state| state.spis.clear()).to_image(), Err(Error::Refused(Refusal::SpiBanks { .. }))));
    for found in [0, 32, 63, 96 + 1, 1056, u32::MAX] {
        assert_eq!(NrIrqs::new(found), Err(TopologyError::NrIrqs { found }));
    }
}

#[cfg(all(feature = "kvm", target_os = "linux"))]
#[test]
fn what_a_host_offers_decides_where_an_image_can_go() {
    use vgic_state::kvm::Offered;
    let with_its = changed(|_| ()).to_image().expect("image");
    let without = fresh(Config { its: 0, ..config() }, memory()).1.save().expect("save").to_image().expect("image");
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
