//! What KVM does not keep of a state that it takes, by field, with the reason.
//!
//! Source: `arch/arm64/kvm/vgic/`, as the models of this crate have it.
//!
//! Rule: an exception makes equal what a state says and what was saved after its restore, and changes nothing else.

use std::collections::{BTreeMap, BTreeSet};
use vgic_state::gicv2::{self, Gicv2State};
use vgic_state::gicv3::{Gicv3State, InterruptBlock};
use vgic_state::gicv5::{Gicv5State, Iste};
use vgic_state::its::PendingLpis;

/// A field whose bits may change on the way through a VM.
pub(crate) struct Exception<S> {
    pub(crate) field: &'static str,
    pub(crate) why: &'static str,
    /// Makes the field equal: in the state that was restored, and in that which was saved afterwards.
    pub(crate) forget: fn(&mut S, &mut S),
}

const fn exception<S>(field: &'static str, why: &'static str, forget: fn(&mut S, &mut S)) -> Exception<S> {
    Exception { field, why, forget }
}

/// The fewest exceptions that make two states equal, as far as leaving out one after the other finds them; none if all are not enough.
pub(crate) fn needed<S: Clone + PartialEq>(exceptions: &[Exception<S>], said: &S, kept: &S) -> Option<Vec<&'static str>> {
    let equal = |without: &[usize]| {
        let (mut said, mut kept) = (said.clone(), kept.clone());
        for (_, exception) in exceptions.iter().enumerate().filter(|(n, _)| !without.contains(n)) {
            (exception.forget)(&mut said, &mut kept);
        }
        said == kept
    };
    if said == kept {
        return Some(Vec::new());
    }
    if !equal(&[]) {
        return None;
    }
    let mut without = Vec::new();
    for n in 0..exceptions.len() {
        without.push(n);
        if !equal(&without) {
            without.pop();
        }
    }
    Some((0..exceptions.len()).filter(|n| !without.contains(n)).map(|n| exceptions[n].field).collect())
}

fn banks(state: &mut Gicv3State) -> impl Iterator<Item = &mut InterruptBlock> {
    let private = state.vcpus.iter_mut().map(|vcpu| &mut vcpu.private);
    private.chain(state.spis.iter_mut().map(|spis| &mut spis.interrupts))
}

/// Bits of the 32 interrupts that are level-triggered.
fn level_triggered(bank: &InterruptBlock) -> u32 {
    (0..32).filter(|n| bank.config[n / 16] >> (n % 16 * 2 + 1) & 1 == 0).fold(0, |bits, n| bits | 1 << n)
}

/// An ITS that is enabled, with commands in its queue.
pub(crate) fn has_commands(state: &Gicv3State) -> bool {
    state.its.iter().any(|its| its.registers.ctlr & 1 != 0 && its.registers.creadr != its.registers.cwriter)
}

/// Pending LPIs where they are after a restore: those that an event maps, each with the target of its collection, if that has LPIs.
fn pending_that_is_mapped(state: &mut Gicv3State) {
    let Some(lpis) = &mut state.lpis else { return };
    let mut targets = BTreeMap::new();
    for its in &lpis.its {
        for event in its.devices.iter().flat_map(|device| &device.events) {
            let collection = its.collections.iter().find(|collection| collection.icid == event.icid);
            // An LPI that is mapped twice stays where it was mapped first.
            targets.entry(event.intid).or_insert(collection.and_then(|collection| collection.target));
        }
    }
    let all: BTreeSet<u32> = lpis.pending.iter().flat_map(|pending| pending.intids.iter().copied()).collect();
    let enabled = state.vcpus.iter().filter(|vcpu| vcpu.redist.ctlr & 1 != 0).map(|vcpu| vcpu.vcpu);
    let pending = enabled.map(|vcpu| {
        let own = all.iter().copied().filter(|intid| targets.get(intid).copied().flatten() == Some(vcpu.id.get()));
        PendingLpis { vcpu, intids: own.collect() }
    });
    lpis.pending = pending.filter(|pending| !pending.intids.is_empty()).collect();
}

macro_rules! forget {
    (|$state:ident| $body:expr) => {
        |said, kept| {
            for $state in [said, kept] {
                $body;
            }
        }
    };
}

/// The 32 private interrupts of each vCPU, and each 32 SPIs.
fn blocks(state: &mut Gicv2State) -> impl Iterator<Item = &mut gicv2::InterruptBlock> {
    let private = state.vcpus.iter_mut().map(|vcpu| &mut vcpu.private);
    private.chain(state.spis.iter_mut().map(|spis| &mut spis.interrupts))
}

/// Of a VM with two vCPUs, whose CPU interfaces have five bits of priority.
pub(crate) const GICV2: &[Exception<Gicv2State>] = &[
    exception("GICD_CTLR[31:1]", "KVM's distributor has one enable", forget!(|state| state.dist.ctlr &= 1)),
    exception(
        "IPRIORITYR[2:0] of each byte",
        "KVM's distributor has 5 bits of priority",
        forget!(|state| blocks(state).for_each(|block| block.priority.iter_mut().for_each(|word| *word &= 0xf8f8_f8f8))),
    ),
    exception(
        "ITARGETSR of SPIs",
        "no such vCPU",
        forget!(|state| state.spis.iter_mut().for_each(|spis| spis
            .interrupts
            .targets
            .iter_mut()
            .for_each(|word| *word &= 0x0303_0303))),
    ),
    exception(
        "ITARGETSR1 to 7",
        "read-only: each private interrupt has its vCPU as target",
        forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.private.targets = [vcpu.private.targets[0]; 8])),
    ),
    exception(
        "ISPENDR of SGIs",
        "SGIs are pending by their senders",
        forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.private.pending[0] &= 0xffff_0000)),
    ),
    exception(
        "GICC_CTLR[31:10], [8:5]",
        "no such field, or none that KVM has",
        forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.gicc.ctlr &= 0x21f)),
    ),
    exception(
        "GICC_PMR[31:5]",
        "KVM shows five bits of priority mask",
        forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.gicc.pmr &= 0x1f)),
    ),
    exception(
        "GICC_BPR[31:3], GICC_ABPR[31:3]",
        "no such field",
        forget!(|state| state
            .vcpus
            .iter_mut()
            .for_each(|vcpu| (vcpu.gicc.bpr, vcpu.gicc.abpr) = (vcpu.gicc.bpr & 7, vcpu.gicc.abpr & 7))),
    ),
];

pub(crate) const GICV3: &[Exception<Gicv3State>] = &[
    exception(
        "GICR_CTLR[31:1]",
        "CES and IR are read-only, and follow from GICD_IIDR.Revision",
        forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.redist.ctlr &= 1)),
    ),
    exception(
        "GICR_IIDR[23:12]",
        "read-only: Variant and Revision of a redistributor select nothing",
        forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.identity.iidr &= !0x00ff_f000)),
    ),
    exception(
        "GICR_PROPBASER attributes",
        "KVM has its own shareability and cacheability",
        forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.redist.propbaser &= 0x000f_ffff_ffff_f01f)),
    ),
    exception(
        "GICR_PENDBASER attributes",
        "KVM has its own shareability and cacheability; PTZ is write-only",
        forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.redist.pendbaser &= 0x000f_ffff_ffff_0000)),
    ),
    exception(
        "LEVEL_INFO of SGIs, and of interrupts that are edge-triggered",
        "such an interrupt has no line that KVM shows",
        forget!(|state| {
            state.vcpus.iter_mut().for_each(|vcpu| vcpu.private.level &= 0xffff_0000);
            banks(state).for_each(|bank| bank.level &= level_triggered(bank));
        }),
    ),
    exception(
        "IPRIORITYR[2:0] of each byte",
        "KVM's distributor has 5 bits of priority",
        forget!(|state| banks(state).for_each(|bank| bank.priority.iter_mut().for_each(|word| *word &= 0xf8f8_f8f8))),
    ),
    exception(
        "GICD_IROUTER[31:24]",
        "KVM's distributor has no Aff3",
        forget!(|state| state.spis.iter_mut().for_each(|spis| spis.router.iter_mut().for_each(|target| *target &= 0x00ff_ffff))),
    ),
    exception("ICC_SRE_EL1[63:1]", "read-only", forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.icc.sre &= 1))),
    exception(
        "ICC_CTLR_EL1[63:16], [7:2]",
        "no such field, or none that KVM has",
        forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.icc.ctlr &= 0xff03)),
    ),
    exception(
        "ICC_BPR1_EL1 while ICC_CTLR_EL1.CBPR is 1",
        "KVM shows the value of group 0 in its place",
        forget!(|state| {
            let common = state.vcpus.iter_mut().filter(|vcpu| vcpu.icc.ctlr & 1 != 0);
            common.for_each(|vcpu| vcpu.icc.bpr1 = 0);
        }),
    ),
    exception(
        "ICC_IGRPEN0_EL1[63:1], ICC_IGRPEN1_EL1[63:1]",
        "no such field",
        forget!(|state| {
            state
                .vcpus
                .iter_mut()
                .for_each(|vcpu| (vcpu.icc.igrpen0, vcpu.icc.igrpen1) = (vcpu.icc.igrpen0 & 1, vcpu.icc.igrpen1 & 1));
        }),
    ),
    exception(
        "ICC_PMR_EL1[63:8], ICC_BPR0_EL1[63:3], ICC_BPR1_EL1[63:3]",
        "no such field",
        forget!(|state| {
            for vcpu in &mut state.vcpus {
                vcpu.icc.pmr &= 0xff;
                (vcpu.icc.bpr0, vcpu.icc.bpr1) = (vcpu.icc.bpr0 & 7, vcpu.icc.bpr1 & 7);
            }
        }),
    ),
    exception(
        "ICC_AP0R<n>_EL1[63:32], ICC_AP1R<n>_EL1[63:32]",
        "no such field",
        forget!(|state| {
            for icc in state.vcpus.iter_mut().map(|vcpu| &mut vcpu.icc) {
                let zero = [&mut icc.ap0r0, &mut icc.ap0r1, &mut icc.ap0r2, &mut icc.ap0r3];
                let one = [&mut icc.ap1r0, &mut icc.ap1r1, &mut icc.ap1r2, &mut icc.ap1r3];
                zero.into_iter().chain(one).for_each(|register| *register &= 0xffff_ffff);
            }
        }),
    ),
    exception(
        "GITS_CBASER attributes, [63] excepted, and [11:8]",
        "KVM has its own shareability and cacheability",
        forget!(|state| state.its.iter_mut().for_each(|its| its.registers.cbaser &= 0x800f_ffff_ffff_f0ff)),
    ),
    exception(
        "GITS_BASER<n> attributes, Type, Entry_Size, Page_Size",
        "KVM has its own attributes; the others are read-only",
        forget!(|state| {
            for its in &mut state.its {
                its.registers.baser0 &= 0xc000_ffff_ffff_f0ff;
                its.registers.baser1 &= 0x8000_ffff_ffff_f0ff;
            }
        }),
    ),
    exception(
        "GITS_CTLR[31:1]",
        "Quiescent is a status; the other fields are not KVM's",
        forget!(|state| state.its.iter_mut().for_each(|its| its.registers.ctlr &= 1)),
    ),
    exception("GITS_CREADR of an ITS that is enabled", "what is queued runs at once, and the check reports it", |said, kept| {
        if has_commands(said) {
            for (said, kept) in said.its.iter_mut().zip(&mut kept.its).filter(|(said, _)| said.registers.ctlr & 1 != 0) {
                (said.registers.creadr, kept.registers.creadr) = (0, 0);
            }
            // The commands map and unmap what they will.
            (said.lpis, kept.lpis) = (None, None);
        }
    }),
    exception(
        "configuration of LPIs",
        "a save reads the guest's table again; the kernel's copy is compared with the model's",
        |said, kept| {
            if let (Some(said), Some(kept)) = (&mut said.lpis, &mut kept.lpis) {
                said.configuration.clear();
                kept.configuration.clear();
            }
        },
    ),
    exception(
        "pending LPIs that are not mapped, or are to another vCPU",
        "KVM has no LPI that is not mapped; one that is mapped is pending for the target of its collection",
        forget!(|state| pending_that_is_mapped(state)),
    ),
];

/// Entries without `HWU`.
fn without_hwu(state: &mut Gicv5State<'_>) {
    for table in [Some(&mut state.spi_ist), state.lpi_ist.as_mut()].into_iter().flatten() {
        for id in 0..table.len() as u32 {
            let entry = table.get(id).unwrap_or(Iste::new());
            if entry.hwu() != 0 {
                assert!(table.set(id, entry.with_hwu(0)));
            }
        }
    }
}

/// Entries of level-triggered SPIs without a latch.
fn without_level_latches(state: &mut Gicv5State<'_>) {
    for id in 0..state.spi_ist.len() as u32 {
        let entry = state.spi_ist.get(id).unwrap_or_default();
        if entry.hm() {
            assert!(state.spi_ist.set(id, entry.with_pending(false)));
        }
    }
}

pub(crate) const GICV5: &[Exception<Gicv5State<'static>>] = &[
    exception("ISTE.HWU", "means something to the host that wrote it and to no other", forget!(|state| without_hwu(state))),
    exception(
        "ISTE.Pending of a level-triggered SPI",
        "its line says whether it is pending: a latch that is restored never falls, and the report names the line",
        forget!(|state| without_level_latches(state)),
    ),
    exception("IRS_CR0[31:1]", "IDLE is a status; the others are reserved", forget!(|state| state.irs.cr0 &= 1)),
    exception("IRS_CR1[31:16], VMT_WA, VPET_WA", "no such field in a guest's", forget!(|state| state.irs.cr1 &= CR1)),
    exception("IRS_SPI_SELR[31:24]", "reserved", forget!(|state| state.irs.spi_selr &= 0x00ff_ffff)),
    exception("IRS_PE_SELR[31:16]", "reserved", forget!(|state| state.irs.pe_selr &= 0xffff)),
    exception("IRS_IST_CFGR, reserved", "reserved", forget!(|state| state.irs.ist_cfgr &= CFGR)),
    exception("IRS_IST_BASER, reserved", "reserved", forget!(|state| state.irs.ist_baser &= BASER)),
    exception(
        "ICC_ICSR_EL1, reserved",
        "reserved",
        forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.registers.icsr &= 0x0000_ffff_0000_f83f)),
    ),
    exception(
        "ICC_APR_EL1[63:32]",
        "32 priorities",
        forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.registers.apr &= 0xffff_ffff)),
    ),
    exception(
        "ICC_PCR_EL1[63:5]",
        "5 bits of priority",
        forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.registers.pcr &= 0x1f)),
    ),
    exception(
        "ICC_CR0_EL1[63:1]",
        "LINK and LINK_IDLE are a status",
        forget!(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.registers.cr0 &= 1)),
    ),
    exception(
        "ICC_PPI_PRIORITYR0_EL1 to 7, [7:5] of each byte",
        "5 bits of priority",
        forget!(|state| {
            for registers in state.vcpus.iter_mut().map(|vcpu| &mut vcpu.registers) {
                for register in [
                    &mut registers.ppi_priorityr0,
                    &mut registers.ppi_priorityr1,
                    &mut registers.ppi_priorityr2,
                    &mut registers.ppi_priorityr3,
                    &mut registers.ppi_priorityr4,
                    &mut registers.ppi_priorityr5,
                    &mut registers.ppi_priorityr6,
                    &mut registers.ppi_priorityr7,
                ] {
                    *register &= 0x1f1f_1f1f_1f1f_1f1f;
                }
            }
        }),
    ),
    exception(
        "PPIs 64 to 127",
        "KVM has none",
        forget!(|state| {
            for registers in state.vcpus.iter_mut().map(|vcpu| &mut vcpu.registers) {
                for register in [
                    &mut registers.ppi_priorityr8,
                    &mut registers.ppi_priorityr9,
                    &mut registers.ppi_priorityr10,
                    &mut registers.ppi_priorityr11,
                    &mut registers.ppi_priorityr12,
                    &mut registers.ppi_priorityr13,
                    &mut registers.ppi_priorityr14,
                    &mut registers.ppi_priorityr15,
                    &mut registers.ppi_enabler1,
                    &mut registers.ppi_sactiver1,
                    &mut registers.ppi_spendr1,
                ] {
                    *register = 0;
                }
            }
        }),
    ),
];

/// The fields of `IRS_CR1` that KVM keeps.
const CR1: u32 = 0xffff
    & !(vgic_state::uapi::vgic_v5::irs_fields::GICV5_IRS_CR1_VMT_WA | vgic_state::uapi::vgic_v5::irs_fields::GICV5_IRS_CR1_VPET_WA);
/// The fields of `IRS_IST_CFGR`.
const CFGR: u32 = {
    use vgic_state::uapi::vgic_v5::irs_fields::*;
    GICV5_IRS_IST_CFGR_LPI_ID_BITS | GICV5_IRS_IST_CFGR_L2SZ | GICV5_IRS_IST_CFGR_ISTSZ | GICV5_IRS_IST_CFGR_STRUCTURE
};
/// The fields of `IRS_IST_BASER`.
const BASER: u64 = {
    use vgic_state::uapi::vgic_v5::irs_fields::*;
    GICV5_IRS_IST_BASER_VALID | GICV5_IRS_IST_BASER_ADDR
};
