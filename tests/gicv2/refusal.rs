//! What is refused, by which name; a refusal accesses nothing.

use crate::common::{attached, full_state, id, new_vm, trace, vcpus};
use vgic_state::gicv2::{Gicv2, Gicv2State};
use vgic_state::model::gicv2::Host;
use vgic_state::report::{Problem, Refusal, Severity};
use vgic_state::{Attr, AttrDevice, DeviceError, DynInterruptState, Error, InterruptState, Mpidr, NrIrqs, Vcpu, Vcpus};

fn refused(state: &Gicv2State) -> String {
    let (vm, mut gic) = attached(Host::default(), 2, 64);
    let error = gic.restore(state).expect_err("a state that this VM cannot take");
    assert_eq!(gic.check(state).expect_err("likewise"), error);
    assert!(matches!(error, Error::Refused(_)), "{error}");
    assert_eq!(trace(&vm), "", "{error}");
    error.to_string()
}

#[test]
fn a_state_of_another_vm_is_refused() {
    let with = |change: fn(&mut Gicv2State)| {
        let mut state = full_state(2, 64);
        change(&mut state);
        refused(&state)
    };
    type Change = fn(&mut Gicv2State);
    let cases: [(Change, &str); 9] = [
        (|state| state.vcpus.truncate(1), "the VM has vCPU 1 (0.0.0.1), the state does not"),
        (
            |state| state.vcpus[1].vcpu = Vcpu { id: id(1), mpidr: Mpidr::new(0, 0, 1, 1) },
            "the state has vCPU 1 (0.0.1.1), the VM vCPU 1 (0.0.0.1): an id and an affinity that belong together must stay together",
        ),
        (|state| state.nr_irqs = NrIrqs::new(96).unwrap(), "the state has 96 interrupts, the device 64"),
        (|state| state.identity.typer ^= 3, "GICD_TYPER.ITLinesNumber is 2, the device has 1: must be equal"),
        (|state| state.identity.typer |= 0x400, "GICD_TYPER.SecurityExtn is 1, the device has 0: must be equal"),
        (|state| state.identity.iidr = 0x4b00_343a, "GICD_IIDR.Implementer is 1082, the device has 1083: must be equal"),
        (|state| state.identity.iidr = 0x4b00_443b, "GICD_IIDR.Revision is 4, the device has 3: must not be greater"),
        (
            |state| state.vcpus[1].private.targets[0] = 0x0101_0101,
            "GICD_ITARGETSR0 of vCPU 1.[31:0] is 16843009, the device has 33686018: must be equal",
        ),
        (|state| state.vcpus[0].identity.iidr ^= 1, "GICC_IIDR of vCPU 0.Implementer is 1082, the device has 1083: must be equal"),
    ];
    for (change, message) in cases {
        let text = with(change);
        assert!(text.contains(message), "{text}");
    }
    let mut state = full_state(2, 64);
    state.identity.typer = 1;
    assert!(refused(&state).contains("CPUNumber"));
}

/// Findings, by code and severity; what no threshold accepts.
#[test]
fn each_problem_of_a_state_is_found() {
    type Change = fn(&mut Gicv2State);
    let cases: &[(Change, Problem, u64)] = &[
        (|state| state.identity.iidr = 0x4b00_143b, Problem::RevisionUnknown, 1),
        (|state| state.spis.clear(), Problem::SpisIncomplete, 1),
        (|state| state.dist.ctlr = 3, Problem::IgnoredBits, 1),
        (|state| state.spis[0].interrupts.priority[3] |= 0x0700_0000, Problem::IgnoredBits, 1),
        (|state| state.spis[0].interrupts.targets[0] |= 0x0400, Problem::IgnoredBits, 1),
        (|state| state.spis[0].interrupts.config[1] |= 1, Problem::TriggerMode, 1),
        (|state| state.vcpus[1].private.config = [0x2aaa_aaaa, 0x4], Problem::TriggerMode, 2),
        (|state| state.vcpus[1].private.targets[7] = 0, Problem::IgnoredBits, 1),
        (|state| state.vcpus[1].private.priority[0] |= 1, Problem::IgnoredBits, 1),
        (|state| state.vcpus[0].gicc.ctlr |= 0x20, Problem::IgnoredBits, 1),
        (|state| state.vcpus[0].gicc.pmr = 0xf8, Problem::IgnoredBits, 1),
        (|state| state.vcpus[0].gicc.abpr = 8, Problem::IgnoredBits, 1),
        (|state| state.vcpus[1].private.pending[0] ^= 2, Problem::SgiSenders, 1),
        (|state| state.vcpus[1].sgi_sources[3] |= 0x0004_0000, Problem::SgiSenderUnknown, 1),
        (|state| state.vcpus[1].private.active[0] |= 0x8000, Problem::ActiveSgi, 1),
    ];
    let mut clean = full_state(2, 64);
    for vcpu in &mut clean.vcpus {
        vcpu.private.active[0] &= 0xffff_0000;
        // SGI 14 of vCPU 1 has a sender, so that another one makes it no more pending.
        vcpu.sgi_sources[3] |= 0x0001_0000;
        vcpu.private.pending[0] |= 1 << 14;
    }
    let (_, gic) = attached(Host::default(), 2, 64);
    assert_eq!(gic.check(&clean).map(|report| report.findings), Ok(Vec::new()));
    for (n, (change, problem, count)) in cases.iter().enumerate() {
        let mut state = clean.clone();
        change(&mut state);
        let report = vgic_state::judge::gicv2::problems(&state);
        let finding = report.find(*problem).unwrap_or_else(|| panic!("{n}: {problem:?}"));
        assert_eq!((finding.count, report.findings.len()), (*count, 1), "{n}: {report}");
        let (vm, mut gic) = attached(Host::default(), 2, 64);
        if finding.refused {
            gic.options_mut().refuse_at = None;
            assert!(matches!(gic.restore(&state), Err(Error::Refused(refusal)) if matches!(*refusal, Refusal::Problem(_))), "{n}");
            assert_eq!(trace(&vm), "");
            continue;
        }
        assert!(finding.severity() < Severity::DEFAULT_THRESHOLD);
        gic.restore(&state).unwrap_or_else(|error| panic!("{n}: {error}"));
        gic.options_mut().refuse_at = Some(Severity::Low);
        assert!(gic.restore(&state).is_err(), "{n}");
    }
}

#[test]
fn a_device_with_other_vcpus_or_without_init_is_refused() {
    let (_, gic) = new_vm(Host::default(), 2, 64);
    let device = |vcpus: Vcpus| match Gicv2::attach(gic.clone(), vcpus) {
        Err(Error::Device(error)) => *error,
        other => panic!("{other:?}"),
    };
    assert_eq!(device(vcpus(1)), DeviceError::Vcpus { device: 2, given: 1 });
    assert_eq!(device(vcpus(3)), DeviceError::Vcpus { device: 2, given: 3 });
    let beyond = Vcpu::with_default_mpidr(8).unwrap();
    assert_eq!(device(Vcpus::new([beyond]).unwrap()), DeviceError::VcpuBeyondGicv2 { vcpu: beyond });
    // 264 would name vCPU 8 in eight bits, 256 vCPU 0.
    let beyond = Vcpu::with_default_mpidr(256).unwrap();
    assert_eq!(device(Vcpus::new([beyond]).unwrap()), DeviceError::VcpuBeyondGicv2 { vcpu: beyond });
    let error = Gicv2::attach(gic.clone(), Vcpus::from_ids([0, 5]).unwrap()).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("get GICD_ITARGETSR0 of vCPU 5: EINVAL (the VM has no such vCPU)"));
    let vm = vgic_state::model::gicv2::Vm::new(Host::default());
    vm.create_vcpu(Vcpu::with_default_mpidr(0).unwrap()).unwrap();
    let gic = vm.create_device(vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V2).unwrap();
    let error = Gicv2::attach(gic.clone(), vcpus(1)).unwrap_err();
    assert_eq!(error, Error::from(DeviceError::NotInitialised));
    // Not by this either.
    assert_eq!(gic.get(Attr::nr_irqs()), Ok(32));
}

#[test]
fn an_image_of_another_controller_is_refused() {
    let (vm, mut gic) = attached(Host::default(), 2, 64);
    let mut image = full_state(2, 64).to_image().unwrap();
    image[12] = 3;
    let error = gic.restore_image(&forged(image)).unwrap_err().to_string();
    assert_eq!(error, "image of a GICv3, expected one of a GICv2");
    assert_eq!(trace(&vm), "");
}

fn forged(mut image: Vec<u8>) -> Vec<u8> {
    image[28..32].fill(0);
    let crc = image.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    image[28..32].copy_from_slice(&(!crc).to_le_bytes());
    image
}
