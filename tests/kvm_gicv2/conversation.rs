//! Random conversations of user space and guest with a VM: the kernel must say and do what the model says and does.
//!
//! Source: the attributes that the scenarios use, those that are none, and lines; values from small sets, so that they meet.
//!
//! Rule: a seed decides everything. A difference is made as short as it can be, and printed as a list of steps.
//!
//! `VGIC_STATE_CONVERSATIONS` is how many (default: 40), `VGIC_STATE_CONVERSATION_SEED` where they begin (default: 1).

use crate::log::Log;
use crate::model::ModelRig;
use crate::rig::Rig;
use crate::save::Save as _;
use proptest::prelude::*;
use proptest::test_runner::{Config as Limits, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::cell::Cell;
use vgic_state::uapi::vgic_v2::cpu::*;
use vgic_state::uapi::vgic_v2::dist::*;
use vgic_state::uapi::vgic_v3::dist::*;
use vgic_state::{Attr, AttrDevice, InterruptState};

const VCPUS: u32 = 2;
const NR_IRQS: u32 = 64;

/// What is done next.
#[derive(Clone, Debug)]
enum Step {
    Dist(u32, u32, u32),
    Cpu(u32, u32, u32),
    /// Read, written and asked for; there may be no such register, and no such vCPU.
    Any(bool, u32, u32, u32),
    SpiLine(u32, bool),
    PpiLine(u32, u32, bool),
    SendSgi(u32, u32),
    Acknowledge(u32),
    /// To another VM.
    Move,
    /// The same state into the same VM.
    Again,
}

fn dist_step() -> impl Strategy<Value = Step> {
    const BITS: [u32; 6] = [GICD_IGROUPR, GICD_ISENABLER, GICD_ICENABLER, GICD_ISPENDR, GICD_ICPENDR, GICD_ICACTIVER];
    // SGIs and PPIs 16 to 22: the others are KVM's.
    let kept = |bank: u32| if bank == 0 { 0x007f_ffff } else { u32::MAX };
    let word = prop_oneof![any::<u32>(), Just(0), Just(u32::MAX), (0..32_u32).prop_map(|bit| 1 << bit)];
    let vcpu = 0..VCPUS;
    prop_oneof![
        4 => (vcpu.clone(), 0..BITS.len(), 0..2_u32, word.clone())
            .prop_map(move |(vcpu, n, bank, value)| Step::Dist(vcpu, BITS[n] + 4 * bank, value & kept(bank))),
        // Few active ones: an older KVM gives a vCPU with as many as it has list registers nothing else.
        1 => (vcpu.clone(), 0..2_u32).prop_map(|(vcpu, bit)| Step::Dist(vcpu, GICD_ISACTIVER + 4, 2 << bit)),
        2 => (vcpu.clone(), prop_oneof![0..5_u32, 8..16_u32], word.clone())
            .prop_map(|(vcpu, n, value)| Step::Dist(vcpu, GICD_IPRIORITYR + 4 * n, value)),
        2 => (vcpu.clone(), 0..16_u32, word.clone()).prop_map(|(vcpu, n, value)| Step::Dist(vcpu, GICD_ITARGETSR + 4 * n, value)),
        1 => (vcpu.clone(), 2..4_u32, word.clone()).prop_map(|(vcpu, n, value)| Step::Dist(vcpu, GICD_ICFGR + 4 * n, value)),
        2 => (vcpu.clone(), 0..4_u32, any::<bool>(), 0..16_u32).prop_map(|(vcpu, n, set, bits)| {
            let offset = if set { GICD_SPENDSGIR } else { GICD_CPENDSGIR };
            // From both vCPUs, or from one; of two of the four.
            Step::Dist(vcpu, offset + 4 * n, bits & 3 | (bits & 12) << 14)
        }),
        2 => (vcpu.clone(), 0..4_u32).prop_map(|(vcpu, value)| Step::Dist(vcpu, GICD_CTLR, value | 1)),
        1 => (vcpu, 0..5_u32).prop_map(|(vcpu, revision)| Step::Dist(vcpu, GICD_IIDR, 0x4b00_043b | revision << 12)),
    ]
}

fn cpu_step() -> impl Strategy<Value = Step> {
    let vcpu = 0..VCPUS;
    prop_oneof![
        2 => (vcpu.clone(), 0..32_u32).prop_map(|(vcpu, value)| Step::Cpu(vcpu, GICC_CTLR, value | 1)),
        2 => (vcpu.clone(), 0..64_u32).prop_map(|(vcpu, value)| Step::Cpu(vcpu, GICC_PMR, value)),
        1 => (vcpu.clone(), 0..16_u32).prop_map(|(vcpu, value)| Step::Cpu(vcpu, GICC_BPR, value)),
        1 => (vcpu.clone(), 0..16_u32).prop_map(|(vcpu, value)| Step::Cpu(vcpu, GICC_ABPR, value)),
        1 => (vcpu, 0..4_u32, 16..34_u32)
            .prop_map(|(vcpu, n, bit)| Step::Cpu(vcpu, GICC_APR + 4 * n, 1_u32.checked_shl(bit).unwrap_or(0))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => dist_step(),
        3 => cpu_step(),
        2 => (any::<bool>(), 0..4_u32, 0..0x1010_u32, any::<u32>())
            // Not what must stay as it is for KVM's own interrupts, and no list of active ones.
            .prop_filter("enables, pending and active bits", |(cpu, _, offset, _)| *cpu || !(0x100..0x400).contains(offset))
            .prop_map(|(cpu, vcpu, offset, value)| Step::Any(cpu, vcpu, offset, value)),
        2 => (30..66_u32, any::<bool>()).prop_map(|(intid, level)| Step::SpiLine(intid, level)),
        2 => (0..3_u32, 14..23_u32, any::<bool>()).prop_map(|(vcpu, intid, level)| Step::PpiLine(vcpu, intid, level)),
        2 => (0..VCPUS, 0..16_u32, 0..4_u32, 0..4_u32)
            .prop_map(|(vcpu, intid, targets, filter)| Step::SendSgi(vcpu, filter << 24 | targets << 16 | intid)),
        3 => (0..VCPUS).prop_map(Step::Acknowledge),
        1 => Just(Step::Move),
        1 => Just(Step::Again),
    ]
}

fn act<R: Rig>(mut rig: R, step: &Step, log: &mut Log) -> R {
    let line = match *step {
        Step::Dist(vcpu, offset, value) => {
            let answer = rig.set_dist(vcpu, offset, value);
            format!("{answer:?} {:x?}", rig.dist(vcpu, offset))
        }
        Step::Cpu(vcpu, offset, value) => {
            let answer = rig.set_cpu(vcpu, offset, value);
            format!("{answer:?} {:x?}", rig.cpu(vcpu, offset))
        }
        Step::Any(cpu, vcpu, offset, value) => {
            let id = crate::common::id(vcpu);
            let attr = if cpu { Attr::gicv2_cpu(id, offset) } else { Attr::gicv2_dist(id, offset) };
            let gic = rig.gic().gic_mut();
            format!("{:?} {:x?} {:?} {:x?}", gic.has(attr.id()), gic.get(attr), gic.set(attr, value), gic.get(attr))
        }
        Step::SpiLine(intid, level) => format!("{:?}", rig.spi_line(intid, level)),
        Step::PpiLine(vcpu, intid, level) => format!("{:?}", rig.ppi_line(vcpu, intid, level)),
        Step::SendSgi(vcpu, value) => {
            rig.send_sgi(vcpu, value);
            String::new()
        }
        Step::Acknowledge(vcpu) => {
            let mut served = rig.acknowledge(vcpu, |rig, iar| match iar {
                16..32 => rig.ppi_line(vcpu, iar, false).expect("PPI line"),
                32..1020 => rig.spi_line(iar, false).expect("SPI line"),
                _ => {}
            });
            // Those of one priority come in any order.
            served.sort_unstable();
            format!("{served:x?}")
        }
        Step::Move => {
            let state = rig.gic().flush_and_save().expect("save");
            let mut target = R::new(VCPUS, NR_IRQS);
            let restored = target.gic().restore(&state).map_err(|error| error.to_string());
            let line = format!("{state:x?} {restored:x?}");
            // A VM whose restore failed is thrown away.
            if restored.is_ok() {
                rig = target;
            }
            line
        }
        Step::Again => {
            let state = rig.gic().flush_and_save().expect("save");
            format!("{:x?}", rig.gic().restore(&state).map_err(|error| error.to_string()))
        }
    };
    log.value(&format!("{step:x?}"), line);
    rig
}

/// What a VM says.
fn talk<R: Rig>(steps: &[Step]) -> Log {
    let mut log = Log::default();
    let mut rig = R::new(VCPUS, NR_IRQS);
    rig.set_up(VCPUS);
    for step in steps {
        rig = act(rig, step, &mut log);
    }
    log.value("in the end", rig.gic().flush_and_save().expect("save"));
    log
}

fn differs(steps: &[Step]) -> Result<(), String> {
    let model = talk::<ModelRig>(steps);
    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    let other = talk::<crate::kernel::KernelRig>(steps);
    // Nothing but the seed decides.
    #[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
    let other = talk::<ModelRig>(steps);
    model.difference(&other).map_or(Ok(()), Err)
}

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

#[test]
fn random_conversations() {
    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    if !crate::kernel::is_offered() {
        return eprintln!("skipped: this KVM offers no GICv2 (VGIC_STATE_KVM_GIC=2)");
    }
    let count = setting("VGIC_STATE_CONVERSATIONS", 40);
    let seed = setting("VGIC_STATE_CONVERSATION_SEED", 1);
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let limits = Limits { cases: count, failure_persistence: None, max_shrink_iters: 500, ..Limits::default() };
    let mut runner = TestRunner::new_with_rng(limits, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let steps = Cell::new(0);
    let result = runner.run(&proptest::collection::vec(step(), 1..60), |conversation| {
        steps.set(steps.get() + conversation.len());
        differs(&conversation).map_err(TestCaseError::fail)
    });
    if let Err(error) = result {
        panic!("seed {seed}: {error}");
    }
    println!("{count} conversations of {} steps from seed {seed}", steps.get());
}
