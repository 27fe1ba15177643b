//! Random conversations of user space and guest with a VM: the kernel must say and do what the model says and does.
//!
//! Source: the attributes, commands and tables that the scenarios use; values from small sets, so that they meet.
//!
//! Rule: a seed decides everything. A difference is made as short as it can be, and printed as a list of steps.
//!
//! `VGIC_STATE_CONVERSATIONS` is how many (default: 40), `VGIC_STATE_CONVERSATION_SEED` where they begin (default: 1).

use crate::layout;
use crate::log::Log;
use crate::memory;
use crate::model::ModelRig;
use crate::program::{self, Devices, Table};
use crate::rig::{Config, Memory, Rig};
use proptest::prelude::*;
use proptest::test_runner::{Config as Limits, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::Cell;
use vgic_state::TableStrategy;
use vgic_state::uapi::vgic_v3::{dist, icc, its, redist};
use vgic_state::{Attr, AttrDevice, Command, DynInterruptState, InterruptState};
use vm_memory::{Bytes, GuestAddress};

const CONFIG: Config = Config {
    vcpus: 2,
    id_step: 1,
    nr_irqs: 96,
    its: 1,
    shadow: vgic_state::shadow::ShadowKind::Zero,
    slots: 1,
    el2: false,
    maintenance_irq: 0,
};
const DEVICES: Devices = Devices { devices: 3, events: 8, first_id: 2, step: 3, table: Table::Flat };
const PAGE: usize = 4096;

/// What is done next.
#[derive(Clone, Debug)]
enum Step {
    Dist(u32, u32),
    Redist(usize, u32, u32),
    Icc(usize, u16, u64),
    Its(u32, u64),
    LineLevels(usize, u32, u32),
    /// Run by the ITS, if it is enabled.
    ItsCommand(program::Command),
    Control(Command),
    Msi(u32, u32),
    SpiLine(u32, bool),
    PpiLine(usize, u32, bool),
    Acknowledge(usize),
    /// The guest, or who made the snapshot, writes to a table.
    Write(u64, u64),
    Flip(u64, u32),
    Flush(TableStrategy),
    /// To another VM: saved, checked or not, restored.
    Move(TableStrategy, bool),
    /// The same state into the same VM.
    Again,
}

/// A conversation: whether the guest has mapped devices before it begins, and its steps.
#[derive(Clone, Debug)]
struct Conversation {
    mapped: bool,
    steps: Vec<Step>,
}

fn dist_step() -> impl Strategy<Value = Step> {
    let bits = [dist::GICD_ISENABLER, dist::GICD_ICENABLER, dist::GICD_ISPENDR, dist::GICD_IGROUPR];
    let word = prop_oneof![any::<u32>(), Just(0), Just(u32::MAX), (0..32_u32).prop_map(|bit| 1 << bit)];
    prop_oneof![
        (0..4_usize, 1..4_u32, word.clone()).prop_map(move |(n, bank, value)| Step::Dist(bits[n] + 4 * bank, value)),
        // Few active ones: an older KVM gives a vCPU with as many as it has list registers nothing else.
        (0..2_u32, 0..2_u32).prop_map(|(clear, bit)| Step::Dist(dist::GICD_ISACTIVER + 0x80 * clear + 4, 2 << bit)),
        (8..26_u32, word.clone()).prop_map(|(n, value)| Step::Dist(dist::GICD_IPRIORITYR + 4 * n, value)),
        (2..7_u32, word.clone()).prop_map(|(n, value)| Step::Dist(dist::GICD_ICFGR + 4 * n, value)),
        (32..100_u32, 0..4_u32).prop_map(|(intid, value)| Step::Dist(dist::GICD_IROUTER + 8 * intid, value)),
        (0..8_u32).prop_map(|value| Step::Dist(dist::GICD_CTLR, value)),
        (any::<bool>(), word).prop_map(|(low, value)| Step::Dist(if low { 0x8 } else { 0xc }, value)),
    ]
}

fn redist_step() -> impl Strategy<Value = Step> {
    // SGIs and PPIs 16 to 22: the others are KVM's.
    const PRIVATE: u32 = 0x007f_ffff;
    let bits = [redist::GICR_ISENABLER0, redist::GICR_ICENABLER0, redist::GICR_ISPENDR0, redist::GICR_IGROUPR0];
    let vcpu = 0..2_usize;
    prop_oneof![
        (vcpu.clone(), 0..4_usize, any::<u32>()).prop_map(move |(vcpu, n, value)| Step::Redist(vcpu, bits[n], value & PRIVATE)),
        (vcpu.clone(), 0..6_u32, any::<u32>()).prop_map(|(vcpu, n, value)| Step::Redist(
            vcpu,
            redist::GICR_IPRIORITYR0 + 4 * n,
            value
        )),
        (vcpu.clone(), any::<u32>()).prop_map(|(vcpu, value)| Step::Redist(vcpu, redist::GICR_ICFGR1, value & 0x3fff)),
        (vcpu.clone(), 0..2_u32).prop_map(|(vcpu, value)| Step::Redist(vcpu, redist::GICR_CTLR, value)),
        (vcpu.clone(), 0..16_u32, 0..2_u32).prop_map(|(vcpu, bits, place)| {
            Step::Redist(vcpu, redist::GICR_PROPBASER, (layout::CONFIGURATION as u32 + 0x1000 * place) | bits)
        }),
        (vcpu, 0..4_usize).prop_map(|(vcpu, place)| Step::Redist(vcpu, redist::GICR_PENDBASER, layout::pending(place) as u32)),
    ]
}

fn its_step() -> impl Strategy<Value = Step> {
    let baser = |at: u64| prop_oneof![Just(0), Just(1 << 63 | at), Just(1 << 63 | 1 << 62 | at), Just(1 << 63 | layout::SPARE)];
    prop_oneof![
        (0..3_u64).prop_map(|value| Step::Its(its::GITS_CTLR, value)),
        baser(layout::device_table(0)).prop_map(|value| Step::Its(its::GITS_BASER, value)),
        baser(layout::collection_table(0)).prop_map(|value| Step::Its(its::GITS_BASER + 8, value)),
        Just(Step::Its(its::GITS_CBASER, 1 << 63 | layout::queue(0) | 15)),
        (0..8_u64).prop_map(|value| Step::Its(its::GITS_CREADR, value * 32)),
    ]
}

fn its_command() -> impl Strategy<Value = Step> {
    let fields = (0..14_u32, 0..10_u32, 0..10_u32, 2..8_u64, 0..3_u64, any::<bool>());
    let command = fields.prop_map(|(device, event, lpi, collection, vcpu, valid)| {
        let id = u64::from(device) << 32;
        let valid = u64::from(valid) << 63;
        let lpi = program::FIRST_LPI + lpi * 3;
        [
            [0x01 | id, event.into(), collection, 0],
            [0x03 | id, event.into(), 0, 0],
            [0x04 | id, event.into(), 0, 0],
            [0x08 | id, 3, valid | layout::itt(0, device), 0],
            [0x09, 0, valid | vcpu << 16 | collection, 0],
            program::mapti(device, event, lpi, collection),
            program::mapti(device, event, lpi, collection),
            [0x0b | id, lpi.into(), collection, 0],
            [0x0c | id, event.into(), 0, 0],
            program::invall(collection),
            [0x0e, 0, vcpu << 16, (2 - vcpu) << 16],
            [0x0f | id, event.into(), 0, 0],
        ]
    });
    (command, 0..12_usize).prop_map(|(commands, n)| Step::ItsCommand(commands[n]))
}

/// An entry of a table.
fn entry() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0..20_u64).prop_map(|n| layout::device_table(0) + 8 * n),
        (0..6_u64).prop_map(|n| layout::collection_table(0) + 8 * n),
        (0..4_u32, 0..12_u64).prop_map(|(device, n)| layout::itt(0, device) + 8 * n),
        (0..2_usize, 0..8_u64).prop_map(|(vcpu, n)| layout::pending(vcpu) + 1024 + 8 * n),
        (0..8_u64).prop_map(|n| layout::CONFIGURATION + 8 * n),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let strategy = || prop_oneof![Just(TableStrategy::GuestMemory), Just(TableStrategy::Image)];
    let icc = prop_oneof![
        // Of the bits that a CPU with five bits of priority does not have, QEMU's keeps some when it runs.
        (0..32_u64).prop_map(|value| (icc::SYS_ICC_PMR_EL1, value * 8)),
        (0..2_u64).prop_map(|value| (icc::SYS_ICC_IGRPEN1_EL1, value)),
        (0..8_u64).prop_map(|value| (icc::SYS_ICC_BPR1_EL1, value)),
        any::<u64>().prop_map(|value| (icc::SYS_ICC_CTLR_EL1, value)),
    ];
    let controls = [Command::SavePendingTables, Command::ItsSaveTables, Command::ItsRestoreTables, Command::ItsReset];
    prop_oneof![
        4 => dist_step(),
        3 => redist_step(),
        1 => (0..2_usize, icc).prop_map(|(vcpu, (register, value))| Step::Icc(vcpu, register, value)),
        2 => its_step(),
        1 => (0..2_usize, 0..3_u32, any::<u32>()).prop_map(|(vcpu, bank, value)| {
            Step::LineLevels(vcpu, 32 * bank, if bank == 0 { value & 0x007f_0000 } else { value })
        }),
        12 => its_command(),
        3 => (0..4_usize).prop_map(move |n| Step::Control(controls[n])),
        4 => (0..12_u32, 0..10_u32).prop_map(|(device, event)| Step::Msi(device, event)),
        2 => (30..100_u32, any::<bool>()).prop_map(|(intid, level)| Step::SpiLine(intid, level)),
        1 => (0..2_usize, 15..23_u32, any::<bool>()).prop_map(|(vcpu, intid, level)| Step::PpiLine(vcpu, intid, level)),
        2 => (0..2_usize).prop_map(Step::Acknowledge),
        1 => (entry(), prop_oneof![Just(0), any::<u64>().prop_map(|value| value & !0x10)]).prop_map(|(at, value)| Step::Write(at, value)),
        // Bit 4 would be an ITT of more entries than anybody waits for.
        1 => (entry(), (0..64_u32).prop_filter("size", |bit| *bit != 4)).prop_map(|(at, bit)| Step::Flip(at, bit)),
        2 => strategy().prop_map(Step::Flush),
        2 => (strategy(), any::<bool>()).prop_map(|(tables, checked)| Step::Move(tables, checked)),
        1 => Just(Step::Again),
    ]
}

fn conversation() -> impl Strategy<Value = Conversation> {
    (any::<bool>(), proptest::collection::vec(step(), 1..40)).prop_map(|(mapped, steps)| Conversation { mapped, steps })
}

fn begin<R: Rig>(mapped: bool) -> R {
    let mut rig = R::with_memory(CONFIG, fresh());
    program::basics(&mut rig);
    program::enable_its(&mut rig, 0, DEVICES.table);
    if mapped {
        program::map(&mut rig, 0, &DEVICES);
    }
    rig
}

/// Does a step; what came of it goes to the log. The VM may be another one after it.
fn act<R: Rig>(mut rig: R, step: &Step, detail: bool, log: &mut Log) -> R {
    let vcpu = |n: usize| CONFIG.mpidr(n);
    let line = match step.clone() {
        Step::Dist(offset, value) => {
            let gic = rig.gicv3().gic_mut();
            format!("{:x?}", (gic.set(Attr::dist(offset), value), gic.get(Attr::dist(offset))))
        }
        Step::Redist(n, offset, value) => {
            let gic = rig.gicv3().gic_mut();
            let attr = Attr::redist(vcpu(n), offset);
            format!("{:x?}", (gic.set(attr, value), gic.get(attr)))
        }
        Step::Icc(n, register, value) => format!("{:x?}", (rig.set_icc(n, register, value), rig.icc(n, register))),
        Step::Its(offset, value) => {
            let written = rig.set_its(0, offset, value);
            format!("{:x?}", (written, rig.its_register(0, offset), rig.its_register(0, its::GITS_CTLR)))
        }
        Step::LineLevels(n, first, value) => {
            let attr = Attr::line_levels(vcpu(n), first);
            let gic = rig.gicv3().gic_mut();
            format!("{:x?}", (gic.set(attr, value), gic.get(attr)))
        }
        Step::ItsCommand(command) => {
            let cwriter = program::queue(&mut rig, 0, &[command]);
            let written = rig.set_its(0, its::GITS_CWRITER, cwriter);
            format!("{:x?}", (written, rig.its_register(0, its::GITS_CREADR), rig.its_register(0, its::GITS_CWRITER)))
        }
        Step::Control(command @ Command::SavePendingTables) => format!("{:?}", rig.gicv3().gic_mut().command(command)),
        Step::Control(command) => format!("{:?}", rig.gicv3().its_mut()[0].command(command)),
        Step::Msi(device, event) => format!("{:?}", rig.msi(0, device, event)),
        Step::SpiLine(intid, level) => format!("{:?}", rig.spi_line(intid, level)),
        Step::PpiLine(n, intid, level) => format!("{:?}", rig.ppi_line(n, intid, level)),
        Step::Acknowledge(n) => {
            // Those of one priority come in any order.
            let mut served = rig.acknowledge(n);
            served.sort_unstable();
            format!("{served:?}")
        }
        Step::Write(at, value) => {
            rig.write(at, value);
            String::new()
        }
        Step::Flip(at, bit) => {
            rig.write(at, rig.read(at) ^ 1 << bit);
            String::new()
        }
        Step::Flush(tables) => {
            rig.gicv3().options_mut().tables = tables;
            format!("{:x?}", rig.gicv3().flush_tables().map_err(|error| error.to_string()))
        }
        Step::Move(tables, checked) => {
            rig.gicv3().options_mut().tables = tables;
            let state = rig.gicv3().flush_tables().and_then(|flushed| rig.gicv3().save(flushed));
            match state {
                Err(error) => error.to_string(),
                Ok(state) => {
                    let mut target = R::with_memory(CONFIG, copy(rig.memory()));
                    if !checked {
                        target.gicv3().options_mut().refuse_at = None;
                    }
                    let restored = target.gicv3().restore(&state).map_err(|error| error.to_string());
                    let line = if detail {
                        format!("{state:x?} {restored:x?}")
                    } else {
                        let image = state.to_image().map_or(0, |image| sum(image.iter().map(|byte| (*byte).into())));
                        format!("{image:x} {restored:x?}")
                    };
                    // A VM whose restore failed is thrown away.
                    if restored.is_ok() {
                        rig = target;
                    }
                    line
                }
            }
        }
        Step::Again => {
            rig.gicv3().options_mut().tables = TableStrategy::Image;
            let state = rig.gicv3().flush_tables().and_then(|flushed| rig.gicv3().save(flushed));
            let restored = state.and_then(|state| rig.gicv3().restore(&state));
            format!("{:x?}", restored.map_err(|error| error.to_string()))
        }
    };
    log.add(format!("{step:x?}: {line}"));
    rig
}

/// As much memory as the guest uses: an emulated CPU takes its time for each page.
fn fresh() -> Memory {
    memory::of([(layout::RAM, (layout::itt(0, 64) - layout::RAM) as usize, false)].into_iter())
}

/// Does something with each page that is not empty, and its place.
fn for_pages(memory: &Memory, mut act: impl FnMut(u64, &[u8; PAGE])) {
    let mut page = [0; PAGE];
    for at in memory::touched(memory) {
        memory.read_slice(&mut page, GuestAddress(at)).expect("memory");
        if words(&page).fold(0, |all, word| all | word) != 0 {
            act(at, &page);
        }
    }
}

fn words(page: &[u8; PAGE]) -> impl Iterator<Item = u64> {
    page.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word))
}

fn copy(memory: &Memory) -> Memory {
    let copy = fresh();
    for_pages(memory, |at, page| copy.write_slice(page, GuestAddress(at)).expect("memory"));
    copy
}

fn sum(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325_u64, |sum, word| (sum ^ word).wrapping_mul(0x100_0000_01b3))
}

/// Guest memory but for the guest's code, a number for each page that is not empty.
fn sums<R: Rig>(rig: &R) -> Vec<(u64, u64)> {
    let mut sums = Vec::new();
    for_pages(rig.memory(), |at, page| {
        sums.push((at, sum(words(page))));
    });
    sums.retain(|(at, _)| *at >= layout::CONFIGURATION);
    sums
}

/// What a VM says, and how many steps it lived.
fn talk<R: Rig>(conversation: &Conversation, steps: usize, detail: bool, alive: impl Fn(&R) -> bool) -> (Log, usize) {
    let mut log = Log::default();
    let mut rig: R = begin(conversation.mapped);
    for (n, step) in conversation.steps.iter().take(steps).enumerate() {
        let before = log.len();
        rig = act(rig, step, detail, &mut log);
        if !alive(&rig) {
            log.truncate(before);
            return (log, n);
        }
    }
    log.value("memory", sums(&rig));
    (log, steps)
}

/// The model first: where it says that the host would crash, the conversation ends before. The steps that were taken, or the difference.
/// Without detail, of a state there is a sum: emulated, to print it takes longer than to save it.
fn differs(conversation: &Conversation, detail: bool) -> Result<usize, String> {
    let steps = conversation.steps.len();
    let (mut model, lived) = talk::<ModelRig>(conversation, steps, detail, ModelRig::is_alive);
    if lived < steps {
        model = talk::<ModelRig>(conversation, lived, detail, ModelRig::is_alive).0;
    }
    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    let other = talk::<crate::kernel::KernelRig>(conversation, lived, detail, |_| true).0;
    // Nothing but the seed decides.
    #[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
    let other = talk::<ModelRig>(conversation, lived, detail, ModelRig::is_alive).0;
    model.difference(&other).map_or(Ok(lived), Err)
}

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

#[test]
fn random_conversations() {
    let count = setting("VGIC_STATE_CONVERSATIONS", 40);
    let seed = setting("VGIC_STATE_CONVERSATION_SEED", 1);
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let limits = Limits { cases: count, failure_persistence: None, max_shrink_iters: 500, ..Limits::default() };
    let mut runner = TestRunner::new_with_rng(limits, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let steps = Cell::new(0);
    let result = runner.run(&conversation(), |conversation| {
        steps.set(steps.get() + differs(&conversation, false).map_err(TestCaseError::fail)?);
        Ok(())
    });
    match result {
        Err(TestError::Fail(_, conversation)) => {
            let difference = differs(&conversation, true).err();
            panic!("seed {seed}: {}\n{conversation:#x?}", difference.expect("the same difference again"));
        }
        Err(error) => panic!("seed {seed}: {error}"),
        Ok(()) => {}
    }
    println!("{count} conversations of {} steps from seed {seed}", steps.get());
}
