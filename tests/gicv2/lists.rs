//! The lists of registers against what KVM has, and the values of the ABI.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v2.c`, `vgic_v2_dist_registers`, `vgic_v2_cpu_registers`.
//!
//! Rule: every register that KVM shows is state, or has a reason why not.

use crate::common::{id, new_vm};
use crate::snapshot::snapshot;
use std::collections::HashSet;
use vgic_state::gicv2::{CpuIdentity, CpuInterface, DistIdentity, DistState, Gicv2, NOT_STATE};
use vgic_state::model::Op;
use vgic_state::model::gicv2::Host;
use vgic_state::model::gicv3::Kernel;
use vgic_state::uapi::vgic_v2;
use vgic_state::{Attr, AttrDevice, AttrId, DynInterruptState, InterruptState};

#[test]
fn constants_of_the_abi_have_their_values() {
    let mut text = String::new();
    let frames = [("vgic_v2::dist", vgic_v2::dist::REGISTERS), ("vgic_v2::cpu", vgic_v2::cpu::REGISTERS)];
    for (module, list) in [("vgic_v2", vgic_v2::CONSTANTS)].into_iter().chain(frames) {
        text.push_str(&format!("{module}\n"));
        for (name, value) in list {
            text.push_str(&format!("  {name} = {value:#x}\n"));
        }
    }
    text.push_str(&format!("VGIC_V2_MAX_CPUS = {}\n", vgic_v2::VGIC_V2_MAX_CPUS));
    snapshot!("uapi_gicv2", text);
}

/// Every offset of both frames is asked for.
#[test]
fn what_the_device_shows_is_read_or_has_a_reason_why_not() {
    for kernel in Kernel::ALL {
        let host = Host::default().with_pri_bits(7).with_kernel(kernel);
        let (vm, device) = new_vm(host, 1, 64);
        let frames = (0..0x1000).map(|offset| Attr::gicv2_dist(id(0), offset).id());
        let frames = frames.chain((0..0x2000).map(|offset| Attr::gicv2_cpu(id(0), offset).id()));
        let shown: HashSet<AttrId> = frames.filter(|attr| device.has(*attr) == Ok(())).collect();
        let mut gic = Gicv2::attach(device, crate::common::vcpus(1)).unwrap();
        vm.clear_trace();
        let flushed = gic.flush_tables().unwrap();
        gic.save(flushed).unwrap();
        let read: HashSet<AttrId> = vm.trace().iter().filter(|access| access.op == Op::Get).map(|access| access.id).collect();
        assert!(read.is_subset(&shown), "{kernel:?}");
        for attr in shown.difference(&read) {
            let name = attr.register_name().map(|name| name.to_string()).unwrap_or_default();
            let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
            // Both halves of a pair read the same bits.
            let other_half = ["GICD_ICENABLER", "GICD_ICACTIVER"].contains(&base);
            assert!(other_half || NOT_STATE.iter().any(|(reason, _)| *reason == base), "{kernel:?}: {attr} {name}");
        }
    }
}

#[test]
fn every_row_is_of_a_register() {
    let dist = DistIdentity::REGISTERS.iter().chain(DistState::REGISTERS);
    let cpu = CpuIdentity::REGISTERS.iter().chain(CpuInterface::REGISTERS);
    let names: Vec<String> = dist.chain(cpu).map(|row| row.id().register_name().expect("name").to_string()).collect();
    let expected = [
        "GICD_IIDR",
        "GICD_TYPER",
        "GICD_CTLR",
        "GICC_IIDR",
        "GICC_CTLR",
        "GICC_PMR",
        "GICC_BPR",
        "GICC_ABPR",
        "GICC_APR0",
        "GICC_APR1",
        "GICC_APR2",
        "GICC_APR3",
    ];
    assert_eq!(names, expected);
}
