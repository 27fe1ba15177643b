//! Firecracker's own snapshot: a list of registers for the distributor and for each vCPU, each register a list of its accesses.

use super::{Move, OF_PRIVATE, OF_SPIS, VmConfig, assert_report, spi_words};
use crate::restore;
use vgic_state::gicv3::{Attributes, Gicv3State};
use vgic_state::report::Report;
use vgic_state::uapi::device::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS as ICC;
use vgic_state::uapi::vgic_v3::{
    KVM_DEV_ARM_VGIC_GRP_DIST_REGS as DIST, KVM_DEV_ARM_VGIC_GRP_ITS_REGS as ITS, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS as REDIST,
};
use vgic_state::uapi::vgic_v3::{dist::*, icc::*, its::*, redist::*};
use vgic_state::{Attr, AttrDevice as _, Error};

/// A register: what each of its accesses has given.
struct Register<T> {
    chunks: Vec<T>,
}

struct VcpuState {
    redist: Vec<Register<u32>>,
    icc: Vec<Register<u64>>,
    /// None where the host has no such register.
    active_priorities: Vec<Option<Register<u64>>>,
}

#[derive(Default)]
struct ItsState {
    iidr: u64,
    cbaser: u64,
    creadr: u64,
    cwriter: u64,
    baser: [u64; 8],
    ctlr: u64,
}

pub(crate) struct GicState {
    dist: Vec<Register<u32>>,
    vcpus: Vec<VcpuState>,
    its: Option<ItsState>,
}

/// Offsets of the accesses of each register of the distributor.
fn dist_registers(nr_irqs: u32) -> Vec<Vec<u32>> {
    let spis = OF_SPIS.iter().map(|(register, bits)| spi_words(*register, *bits, nr_irqs).collect());
    [vec![GICD_CTLR], vec![GICD_STATUSR]].into_iter().chain(spis).collect()
}

/// The same of a redistributor.
fn redist_registers() -> Vec<Vec<u32>> {
    let first = [(GICR_CTLR, 4), (GICR_STATUSR, 4), (GICR_WAKER, 4), (GICR_PROPBASER, 8), (GICR_PENDBASER, 8)];
    let all = first.into_iter().chain(OF_PRIVATE);
    all.map(|(register, bytes)| (register..register + bytes).step_by(4).collect()).collect()
}

const ICC_REGISTERS: [u16; 7] = [
    SYS_ICC_SRE_EL1,
    SYS_ICC_CTLR_EL1,
    SYS_ICC_IGRPEN0_EL1,
    SYS_ICC_IGRPEN1_EL1,
    SYS_ICC_PMR_EL1,
    SYS_ICC_BPR0_EL1,
    SYS_ICC_BPR1_EL1,
];
const ACTIVE_PRIORITIES: [u16; 8] = [
    SYS_ICC_AP0R0_EL1,
    SYS_ICC_AP0R1_EL1,
    SYS_ICC_AP0R2_EL1,
    SYS_ICC_AP0R3_EL1,
    SYS_ICC_AP1R0_EL1,
    SYS_ICC_AP1R1_EL1,
    SYS_ICC_AP1R2_EL1,
    SYS_ICC_AP1R3_EL1,
];

/// The state that an older snapshot is; `mpidrs` in the form of an attribute, as the VMM has them.
pub(crate) fn convert(old: &GicState, config: &VmConfig, mpidrs: &[u64]) -> Result<(Gicv3State, Report), Error> {
    let mut attributes = Attributes::default();
    let mut registers = |group: u32, mpidr: u64, offsets: Vec<Vec<u32>>, values: &[Register<u32>]| {
        for (offsets, register) in offsets.into_iter().zip(values) {
            let values = offsets.into_iter().zip(&register.chunks);
            attributes.gic.extend(values.map(|(offset, value)| (group, mpidr | u64::from(offset), u64::from(*value))));
        }
    };
    registers(DIST, 0, dist_registers(config.nr_irqs.get()), &old.dist);
    for (mpidr, vcpu) in mpidrs.iter().zip(&old.vcpus) {
        registers(REDIST, *mpidr, redist_registers(), &vcpu.redist);
    }
    for (mpidr, vcpu) in mpidrs.iter().zip(&old.vcpus) {
        let there = ICC_REGISTERS.iter().zip(vcpu.icc.iter().map(Some));
        let all = there.chain(ACTIVE_PRIORITIES.iter().zip(vcpu.active_priorities.iter().map(Option::as_ref)));
        let values = all.filter_map(|(instr, register)| Some((ICC, mpidr | u64::from(*instr), *register?.chunks.first()?)));
        attributes.gic.extend(values);
    }
    if let Some(its) = &old.its {
        let first = [GITS_IIDR, GITS_CBASER, GITS_CREADR, GITS_CWRITER, GITS_CTLR];
        let values = first.into_iter().zip([its.iidr, its.cbaser, its.creadr, its.cwriter, its.ctlr]);
        let all = values.chain((GITS_BASER..).step_by(8).zip(its.baser));
        attributes.its.push((config.its, all.map(|(offset, value)| (ITS, offset.into(), value)).collect()));
    }
    Ok(Gicv3State::from_attributes(config.nr_irqs, &config.vcpus, &attributes)?)
}

/// What the VMM did: registers in the order of its lists.
pub(crate) fn old_save(from: &Move, mpidrs: &[u64]) -> GicState {
    let (gic, its) = (from.source.gic(), &from.source.its()[0]);
    let read = |offsets: &[u32], attr: &dyn Fn(u32) -> Attr<u32>| Register {
        chunks: offsets.iter().map(|offset| gic.get(attr(*offset)).expect("register")).collect(),
    };
    let its = |offset| its.get(Attr::its(offset)).expect("register");
    let vcpus = mpidrs.iter().map(|mpidr| {
        let mpidr = vgic_state::Mpidr::from_attr(*mpidr);
        let icc = |instr: &u16| gic.get(Attr::cpu_sysreg(mpidr, *instr)).ok().map(|value| Register { chunks: vec![value] });
        VcpuState {
            redist: redist_registers().iter().map(|offsets| read(offsets, &|offset| Attr::redist(mpidr, offset))).collect(),
            icc: ICC_REGISTERS.iter().map(|instr| icc(instr).expect("register")).collect(),
            active_priorities: ACTIVE_PRIORITIES.iter().map(icc).collect(),
        }
    });
    GicState {
        dist: dist_registers(from.config.nr_irqs.get()).iter().map(|offsets| read(offsets, &Attr::dist)).collect(),
        vcpus: vcpus.collect(),
        its: Some(ItsState {
            iidr: its(GITS_IIDR),
            cbaser: its(GITS_CBASER),
            creadr: its(GITS_CREADR),
            cwriter: its(GITS_CWRITER),
            baser: [0, 8, 16, 24, 32, 40, 48, 56].map(|distance| its(GITS_BASER + distance)),
            ctlr: its(GITS_CTLR),
        }),
    }
}

#[test]
fn an_older_snapshot_is_restored() {
    let vms = Move::new();
    let mpidrs: Vec<u64> = vms.config.vcpus.iter().map(|vcpu| vcpu.mpidr.to_attr()).collect();
    let old = old_save(&vms, &mpidrs);
    assert_eq!((old.dist.len(), old.vcpus[0].redist.len()), (12, 14));
    assert!(old.vcpus[0].active_priorities[1].is_none(), "five priority bits");
    let (state, report) = convert(&old, &vms.config, &mpidrs).expect("state");
    assert_report(&report);
    restore(&vms.destination, &state.to_image().expect("image")).expect("restore");
    vms.assert_moved();
}

#[test]
fn a_snapshot_of_other_vcpus_is_an_error() {
    let vms = Move::new();
    let mpidrs: Vec<u64> = vms.config.vcpus.iter().map(|vcpu| vcpu.mpidr.to_attr()).collect();
    let old = old_save(&vms, &mpidrs);
    let registers: Vec<u64> = vms.config.vcpus.iter().map(|vcpu| vcpu.mpidr.to_register()).collect();
    assert!(matches!(convert(&old, &vms.config, &registers), Err(Error::Attribute(_))));
}
