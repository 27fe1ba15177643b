//! Cloud Hypervisor's own snapshot: three lists of 32-bit words, and the registers of the ITS one by one.

use super::{Move, OF_PRIVATE, OF_SPIS, VmConfig, assert_report, spi_words};
use crate::restore;
use std::error::Error as StdError;
use vgic_state::gicv3::{Attributes, Gicv3State};
use vgic_state::report::Problem;
use vgic_state::report::Report;
use vgic_state::uapi::device::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS as ICC;
use vgic_state::uapi::vgic_v3::{
    KVM_DEV_ARM_VGIC_GRP_DIST_REGS as DIST, KVM_DEV_ARM_VGIC_GRP_ITS_REGS as ITS, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS as REDIST,
};
use vgic_state::uapi::vgic_v3::{dist::*, icc::*, its::*, redist::*};
use vgic_state::{Attr, AttrDevice as _, AttributeError, Mpidr};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gicv3ItsState {
    dist: Vec<u32>,
    rdist: Vec<u32>,
    icc: Vec<u32>,
    gicd_ctlr: u32,
    its_ctlr: u64,
    its_iidr: u64,
    its_cbaser: u64,
    its_cwriter: u64,
    its_creadr: u64,
    its_baser: [u64; 8],
}

const ICC_REGISTERS: [u16; 15] = [
    SYS_ICC_SRE_EL1,
    SYS_ICC_CTLR_EL1,
    SYS_ICC_IGRPEN0_EL1,
    SYS_ICC_IGRPEN1_EL1,
    SYS_ICC_PMR_EL1,
    SYS_ICC_BPR0_EL1,
    SYS_ICC_BPR1_EL1,
    SYS_ICC_AP0R0_EL1,
    SYS_ICC_AP0R1_EL1,
    SYS_ICC_AP0R2_EL1,
    SYS_ICC_AP0R3_EL1,
    SYS_ICC_AP1R0_EL1,
    SYS_ICC_AP1R1_EL1,
    SYS_ICC_AP1R2_EL1,
    SYS_ICC_AP1R3_EL1,
];

/// The words of the distributor, in the order of the list.
fn dist_words(nr_irqs: u32) -> impl Iterator<Item = u32> {
    [GICD_STATUSR].into_iter().chain(OF_SPIS.into_iter().flat_map(move |(register, bits)| spi_words(register, bits, nr_irqs)))
}

/// The words of the redistributors, in the order of the list: the first frames of all vCPUs, then the second ones.
fn redist_words(config: &VmConfig) -> impl Iterator<Item = (Mpidr, u32)> {
    let first = [(GICR_STATUSR, 4), (GICR_WAKER, 4), (GICR_PROPBASER, 8), (GICR_PENDBASER, 8), (GICR_CTLR, 4)];
    let words = |registers: Vec<(u32, u32)>| {
        let offsets: Vec<u32> = registers.iter().flat_map(|(register, bytes)| (*register..register + bytes).step_by(4)).collect();
        config.vcpus.iter().flat_map(move |vcpu| offsets.clone().into_iter().map(move |offset| (vcpu.mpidr, offset)))
    };
    words(first.to_vec()).chain(words(OF_PRIVATE.to_vec()))
}

/// Whether the list has a register of a vCPU with this `ICC_CTLR_EL1`.
fn is_listed(instr: u16, ctlr: u32) -> bool {
    let priority_bits = (ctlr >> 8 & 7) + 1;
    match instr {
        SYS_ICC_AP0R1_EL1 | SYS_ICC_AP1R1_EL1 => priority_bits >= 6,
        SYS_ICC_AP0R2_EL1 | SYS_ICC_AP0R3_EL1 | SYS_ICC_AP1R2_EL1 | SYS_ICC_AP1R3_EL1 => priority_bits == 7,
        _ => true,
    }
}

/// The state that an older snapshot is. Values have no names: a list that is too long is one of another VM, and nothing of it is believed.
pub(crate) fn convert(old: &Gicv3ItsState, config: &VmConfig) -> Result<(Gicv3State, Report), Box<dyn StdError>> {
    for (name, expected, found) in [
        ("dist", dist_words(config.nr_irqs.get()).count(), old.dist.len()),
        ("rdist", redist_words(config).count(), old.rdist.len()),
    ] {
        if found > expected {
            return Err(format!("{name} has {found} words, and this VM {expected}").into());
        }
    }
    let mut attributes = Attributes::default();
    let gic = &mut attributes.gic;
    gic.push((DIST, GICD_CTLR.into(), old.gicd_ctlr.into()));
    let words = dist_words(config.nr_irqs.get()).zip(&old.dist);
    gic.extend(words.map(|(offset, value)| (DIST, offset.into(), (*value).into())));
    let words = redist_words(config).zip(&old.rdist);
    gic.extend(words.map(|((mpidr, offset), value)| (REDIST, mpidr.to_attr() | u64::from(offset), (*value).into())));
    let mut values = old.icc.iter();
    for vcpu in config.vcpus.iter() {
        let mut ctlr = 0;
        for instr in ICC_REGISTERS {
            let Some(value) = is_listed(instr, ctlr).then(|| values.next()).flatten() else { continue };
            ctlr = if instr == SYS_ICC_CTLR_EL1 { *value } else { ctlr };
            gic.push((ICC, vcpu.mpidr.to_attr() | u64::from(instr), (*value).into()));
        }
    }
    if values.next().is_some() {
        return Err("icc has more words than the vCPUs of this VM".into());
    }
    let first = [GITS_CTLR, GITS_IIDR, GITS_CBASER, GITS_CWRITER, GITS_CREADR];
    let values = first.into_iter().zip([old.its_ctlr, old.its_iidr, old.its_cbaser, old.its_cwriter, old.its_creadr]);
    let all = values.chain((GITS_BASER..).step_by(8).zip(old.its_baser));
    attributes.its.push((config.its, all.map(|(offset, value)| (ITS, offset.into(), value)).collect()));
    Ok(Gicv3State::from_attributes(config.nr_irqs, &config.vcpus, &attributes)?)
}

/// What the VMM did: registers in the order of its lists.
pub(crate) fn old_save(from: &Move) -> Gicv3ItsState {
    let (gic, its) = (from.source.gic(), &from.source.its()[0]);
    let word = |attr| gic.get::<u32>(attr).expect("register");
    let its = |offset| its.get(Attr::its(offset)).expect("register");
    let mut icc = Vec::new();
    for vcpu in from.config.vcpus.iter() {
        let mut ctlr = 0;
        for instr in ICC_REGISTERS.into_iter() {
            if is_listed(instr, ctlr) {
                let value = gic.get(Attr::cpu_sysreg(vcpu.mpidr, instr)).expect("register") as u32;
                ctlr = if instr == SYS_ICC_CTLR_EL1 { value } else { ctlr };
                icc.push(value);
            }
        }
    }
    Gicv3ItsState {
        dist: dist_words(from.config.nr_irqs.get()).map(|offset| word(Attr::dist(offset))).collect(),
        rdist: redist_words(&from.config).map(|(mpidr, offset)| word(Attr::redist(mpidr, offset))).collect(),
        icc,
        gicd_ctlr: word(Attr::dist(GICD_CTLR)),
        its_ctlr: its(GITS_CTLR),
        its_iidr: its(GITS_IIDR),
        its_cbaser: its(GITS_CBASER),
        its_cwriter: its(GITS_CWRITER),
        its_creadr: its(GITS_CREADR),
        its_baser: [0, 8, 16, 24, 32, 40, 48, 56].map(|distance| its(GITS_BASER + distance)),
    }
}

#[test]
fn an_older_snapshot_is_restored() {
    let vms = Move::new();
    let old = old_save(&vms);
    // The counts of the VMM's own tests, for its 256 interrupts and for one vCPU.
    assert_eq!((dist_words(256).count(), old.rdist.len() / 3, old.icc.len() / 3), (568, 24, 9));
    let (state, report) = convert(&old, &vms.config).expect("state");
    assert_report(&report);
    restore(&vms.destination, &state.to_image().expect("image")).expect("restore");
    vms.assert_moved();
}

#[test]
fn a_snapshot_that_was_cut_short_is_a_finding_or_an_error() {
    let vms = Move::new();
    let mut old = old_save(&vms);
    old.dist.pop();
    let (_, report) = convert(&old, &vms.config).expect("state");
    let priorities = report.findings.iter().find(|finding| finding.to_string().starts_with("GICD_IPRIORITYR")).expect("a finding");
    assert_eq!((priorities.problem, priorities.count), (Problem::AttributeMissing, 1), "the last of the priorities, by its name");
    old.icc.truncate(9);
    // ICC_CTLR_EL1 of the second vCPU.
    let error = convert(&old, &vms.config).expect_err("too few");
    assert!(error.is::<AttributeError>(), "{error}");
}

#[test]
fn a_list_that_is_too_long_is_an_error() {
    let vms = Move::new();
    let old = old_save(&vms);
    type Longer = fn(&mut Gicv3ItsState);
    let cases: [(&str, Longer); 3] =
        [("dist", |old| old.dist.push(0)), ("rdist", |old| old.rdist.push(0)), ("icc", |old| old.icc.push(0))];
    for (name, longer) in cases {
        let mut old = old.clone();
        longer(&mut old);
        let error = convert(&old, &vms.config).expect_err("too long").to_string();
        assert!(error.starts_with(name), "{error}");
    }
}
