//! How often a save and a restore access the device: no more often than the interface asks for, whatever the size of the VM.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst, arm-vgic-v5.rst. An access is one ioctl.
//!
//! Rule: counts, never times: the same on every machine.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

#[path = "common/gicv3.rs"]
#[allow(dead_code, reason = "of what the tests share, a part")]
mod rig3;
#[path = "common/gicv5.rs"]
mod rig5;
#[allow(dead_code, reason = "of what the tests share, a part")]
#[path = "common/save.rs"]
mod save;

use save::Save as _;
use std::cell::RefCell;
use std::collections::HashSet;
use vgic_state::gicv3::{Gicv3, Gicv3State};
use vgic_state::gicv5::{CpuInterface, IrsIdentity, IrsState};
use vgic_state::model::gicv3::Vm;
use vgic_state::model::{Access, Op};
use vgic_state::{AttrId, DynInterruptState, GuestMemoryRead, GuestRange, InterruptState, MemoryError};

/// Gets, sets and the rest of some accesses.
fn tally(trace: &[Access]) -> (usize, usize, usize) {
    let of = |op| trace.iter().filter(|access| access.op == op).count();
    (of(Op::Get), of(Op::Set), of(Op::Has))
}

/// No attribute twice, and nothing but gets.
fn assert_once(trace: &[Access]) {
    assert_eq!(tally(trace), (trace.len(), 0, 0));
    let distinct: HashSet<AttrId> = trace.iter().map(|access| access.id).collect();
    assert_eq!(distinct.len(), trace.len(), "an attribute is read twice");
}

#[test]
fn a_gicv5_save_reads_what_is_state_once() {
    for (vcpus, spis, lpi_bits) in [(1, 32, None), (1, 1024, Some(16)), (7, 32, Some(8)), (64, 64, None)] {
        let vcpus = rig5::vcpus(vcpus);
        let mut source = rig5::filled(&vcpus, spis, lpi_bits);
        let state = source.flush_and_save().expect("save");
        let trace = source.device().trace();
        assert_once(&trace);
        // The registers that the document lists, and both tables at once. A number of interrupts is in none of it.
        let registers = IrsIdentity::REGISTERS.len() + IrsState::REGISTERS.len() + vcpus.len() * CpuInterface::REGISTERS.len();
        assert_eq!(trace.len(), registers + 1);
        assert_eq!(registers, 12 + 26 * vcpus.len());

        let mut destination = rig5::fresh(&vcpus, spis);
        destination.restore(&state).expect("restore");
        // Two are read before: what they show of a VM that is not fresh, KVM would say halfway, or not at all. For three vCPUs or more,
        // the kernel is asked whether it has PPIs above 63, by eight registers of one vCPU; this one has none.
        let (asked, left_out) = if vcpus.len() < 3 { (0, 0) } else { (8, 11 * vcpus.len()) };
        assert_eq!(tally(&destination.device().trace()), (2 + asked, registers + 1 + asked - left_out, 0));
        // The attachment knows it then. A save through another one has no way to find out: the guest has run.
        destination.device_mut().clear_trace();
        assert_eq!(destination.flush_and_save().expect("save"), state);
        assert_eq!(destination.device().trace().len(), registers + 1 - left_out);
    }
}

/// The accesses of a save of a GICv3 without an ITS, and the state.
fn gicv3_save(vcpus: u32, nr_irqs: u32) -> (Vec<Access>, Gicv3State) {
    let config = rig3::Config { vcpus, nr_irqs, its: 0, ..rig3::Config::default() };
    let (vm, mut source) = rig3::fresh(config, rig3::memory());
    if vcpus <= 30 {
        // There are no more priority masks, to give each vCPU one of its own.
        rig3::fill(&mut source);
    }
    vm.clear_trace();
    let state = source.flush_and_save().expect("save");
    (trace(&vm), state)
}

fn trace(vm: &Vm) -> Vec<Access> {
    vm.trace().iter().map(|traced| traced.access).collect()
}

/// Registers that Firecracker's list reads for one vCPU and 96 SPIs, by its public source; 32 bits of a register are one access, but
/// for the CPU interface.
const FIRECRACKER: usize = {
    let distributor = 2 + 7 * 3 + 6 + 24 + 192; // CTLR, STATUSR; seven of one bit; ICFGR; IPRIORITYR; IROUTER, both halves
    let redistributor = 3 + 2 * 2 + 7 + 2 + 8; // CTLR, STATUSR, WAKER; PROPBASER, PENDBASER; seven of one bit; ICFGR; IPRIORITYR
    let cpu_interface = 7 + 2 + 1; // one active-priority register of each group; ICC_CTLR_EL1 again for their number
    distributor + redistributor + cpu_interface
};

/// What that list lacks: GICD_TYPER, GICD_IIDR, GICD_TYPER2; GICR_IIDR, GICR_TYPER in two halves; line levels, four times 32.
const MISSED: usize = 3 + 3 + 4;

/// A read of every offset: the distributor, and both frames of a redistributor, 64 KiB each.
const EVERY_OFFSET: usize = 3 * 0x1_0000 / 4;

#[test]
fn a_gicv3_save_reads_less_than_others_and_more_of_what_is_state() {
    let (trace, _) = gicv3_save(1, 128);
    assert_once(&trace);
    // GICR_IIDR, both halves of GICR_TYPER: the attachment has read them.
    assert_eq!((trace.len() + 3, FIRECRACKER, MISSED), (177, 279, 10));
    assert!(trace.len() <= FIRECRACKER + MISSED);
    assert!(trace.len() * 250 < EVERY_OFFSET);
}

/// A restore of the state that [`rig3::fill`] makes, without an ITS.
const GETS: usize = 4;
const SETS: usize = 3;
const GETS_OF_VCPU: usize = 5;
const SETS_OF_VCPU: usize = 23;
const GETS_OF_BANK: usize = 5;
const SETS_OF_BANK: usize = 49;

#[test]
fn a_gicv3_is_saved_and_restored_in_a_fixed_number_of_accesses_for_each_vcpu_and_each_32_spis() {
    let restore = |vcpus, nr_irqs| {
        let (_, state) = gicv3_save(vcpus, nr_irqs);
        let config = rig3::Config { vcpus, nr_irqs, its: 0, ..rig3::Config::default() };
        let (vm, mut destination) = rig3::fresh(config, rig3::memory());
        destination.restore(&state).expect("restore");
        tally(&trace(&vm))
    };
    let save = |vcpus, nr_irqs| gicv3_save(vcpus, nr_irqs).0.len();
    for (vcpus, nr_irqs) in [(1, 64), (1, 992), (512, 64)] {
        assert_eq!(save(vcpus, nr_irqs), 8 + vcpus as usize * 25 + (nr_irqs as usize / 32 - 1) * 47);
    }
    // What is written is written once; it is read back where KVM may drop a write without an error, and read before where it may not
    // need the write.
    let (any, vcpu, bank) = ((GETS, SETS), (GETS_OF_VCPU, SETS_OF_VCPU), (GETS_OF_BANK, SETS_OF_BANK));
    for (vcpus, nr_irqs) in [(1, 64), (2, 64), (1, 96), (1, 992), (30, 64)] {
        let (own, banks) = (vcpus as usize, nr_irqs as usize / 32 - 1);
        let expected = (any.0 + own * vcpu.0 + banks * bank.0, any.1 + own * vcpu.1 + banks * bank.1, 0);
        assert_eq!(restore(vcpus, nr_irqs), expected, "{vcpus} vCPUs, {nr_irqs} interrupts");
    }
}

/// Why each access of one more vCPU is made: by its attachment, by a save, by a restore into a new VM. In the order in which they are made.
const REASONS: [(&str, &str); 56] = [
    ("get GICR_TYPER", "its number is the vcpu_id, and one vCPU is the last"),
    ("get GICR_TYPER[63:32]", "its affinity is the vCPU's"),
    ("get ICC_CTLR_EL1", "each vCPU has its own number of priority bits once one was written"),
    ("get GICR_PENDBASER", "state"),
    ("get GICR_PENDBASER[63:32]", "state"),
    ("get GICR_CTLR", "state"),
    ("get GICR_IGROUPR0", "state"),
    ("get GICR_ISENABLER0", "state"),
    ("get GICR_ICFGR1", "state: KVM's PPIs are level-triggered, which no document promises"),
    ("get line levels of INTIDs 0 to 31", "state"),
    ("get GICR_ISPENDR0", "state"),
    ("get GICR_ISACTIVER0", "state"),
    ("get GICR_IPRIORITYR0", "state"),
    ("get GICR_IPRIORITYR1", "state"),
    ("get GICR_IPRIORITYR2", "state"),
    ("get GICR_IPRIORITYR3", "state"),
    ("get GICR_IPRIORITYR4", "state"),
    ("get GICR_IPRIORITYR5", "state"),
    ("get GICR_IPRIORITYR6", "state"),
    ("get GICR_IPRIORITYR7", "state"),
    ("get ICC_CTLR_EL1", "state"),
    ("get ICC_IGRPEN0_EL1", "state"),
    ("get ICC_IGRPEN1_EL1", "state"),
    ("get ICC_PMR_EL1", "state"),
    ("get ICC_BPR0_EL1", "state"),
    ("get ICC_BPR1_EL1", "state"),
    ("get ICC_AP0R0_EL1", "state"),
    ("get ICC_AP1R0_EL1", "state"),
    ("get GICR_CTLR", "LPIs that are enabled would freeze the table registers"),
    ("get GICR_PENDBASER", "a write of what is there would change the memory attributes"),
    ("get GICR_PENDBASER[63:32]", "likewise"),
    ("set GICR_IGROUPR0", "state"),
    ("set GICR_ICENABLER0", "the next register only sets"),
    ("set GICR_ISENABLER0", "state"),
    ("get GICR_ICFGR1", "KVM ignores a write: compared"),
    ("set line levels of INTIDs 0 to 31", "state"),
    ("set GICR_ISPENDR0", "state"),
    ("get GICR_ISPENDR0", "that a write clears latches, too, is not documented"),
    ("set GICR_ICACTIVER0", "the next register only sets"),
    ("set GICR_ISACTIVER0", "state"),
    ("set GICR_IPRIORITYR0", "state"),
    ("set GICR_IPRIORITYR1", "state"),
    ("set GICR_IPRIORITYR2", "state"),
    ("set GICR_IPRIORITYR3", "state"),
    ("set GICR_IPRIORITYR4", "state"),
    ("set GICR_IPRIORITYR5", "state"),
    ("set GICR_IPRIORITYR6", "state"),
    ("set GICR_IPRIORITYR7", "state"),
    ("set ICC_CTLR_EL1", "state"),
    ("set ICC_IGRPEN0_EL1", "state"),
    ("set ICC_IGRPEN1_EL1", "state"),
    ("set ICC_PMR_EL1", "state"),
    ("set ICC_BPR0_EL1", "state"),
    ("set ICC_BPR1_EL1", "state"),
    ("set ICC_AP0R0_EL1", "state"),
    ("set ICC_AP1R0_EL1", "state"),
];

#[test]
fn each_access_of_one_more_vcpu_has_its_reason() {
    let config = rig3::Config { vcpus: 2, nr_irqs: 64, its: 0, ..rig3::Config::default() };
    let second = rig3::vcpus(2).iter().nth(1).expect("two vCPUs").mpidr;
    let of_second = |vm: &Vm| -> Vec<String> {
        let suffix = format!(" of vCPU {second}");
        let own = trace(vm).into_iter().map(|access| (access.op, access.id.to_string()));
        own.filter_map(|(op, id)| Some(format!("{} {}", format!("{op:?}").to_lowercase(), id.strip_suffix(&suffix)?))).collect()
    };
    let attach = |memory| {
        let (vm, gic) = rig3::fresh(config, memory);
        let (gic, its, memory) = gic.into_parts();
        vm.clear_trace();
        let gic = vgic_state::gicv3::Gicv3::attach(gic, its, memory, rig3::vcpus(2)).expect("attach");
        (vm, gic)
    };
    let (vm, mut source) = attach(rig3::memory());
    let mut seen = of_second(&vm);
    rig3::fill(&mut source);
    vm.clear_trace();
    let state = source.flush_and_save().expect("save");
    seen.extend(of_second(&vm));
    let saved = seen.len();
    let (vm, mut destination) = attach(rig3::memory());
    vm.clear_trace();
    destination.restore(&state).expect("restore");
    let restored = of_second(&vm);
    // The attachment is a part of each: a VMM attaches for each operation.
    assert_eq!((saved, 3 + restored.len()), (28, 31));
    seen.extend(restored);
    assert_eq!(seen, REASONS.map(|(access, _)| access));
}

/// With an ITS, a flush reads where the tables of each vCPU are, and the save behind it does not read that again.
#[test]
fn a_flush_and_the_save_behind_it_read_each_register_of_a_redistributor_once() {
    for (vcpus, its) in [(1, 1), (2, 1), (2, 2), (16, 1)] {
        let (vm, mut source) = rig3::filled(rig3::Config { vcpus, its, ..rig3::Config::default() });
        vm.clear_trace();
        let flushed = source.flush_tables().expect("flush");
        let of_flush: Vec<AttrId> = trace(&vm).iter().map(|access| access.id).filter(|id| id.mpidr().is_some()).collect();
        let state = source.save(flushed).expect("save");
        let of_vcpus: Vec<AttrId> = trace(&vm).iter().map(|access| access.id).filter(|id| id.mpidr().is_some()).collect();
        let distinct: HashSet<AttrId> = of_vcpus.iter().copied().collect();
        assert_eq!(of_vcpus.len(), distinct.len(), "a register is read twice");
        // GICR_CTLR and both halves of GICR_PENDBASER; those of GICR_PROPBASER once.
        assert_eq!(of_flush.len(), 2 + 3 * vcpus as usize);
        assert!(state.vcpus.iter().all(|vcpu| vcpu.redist.lpis_enabled()));
        let pendbasers: HashSet<u64> = state.vcpus.iter().map(|vcpu| vcpu.redist.pendbaser).collect();
        assert_eq!(pendbasers.len(), vcpus as usize, "each is the vCPU's own");
    }
}

/// The table "Many vCPUs" of docs/performance.md, measured on a real kernel: the model makes as many accesses.
#[test]
fn the_document_has_these_counts() {
    let text = include_str!("../docs/performance.md");
    let (_, section) = text.split_once("\n## Many vCPUs\n").expect("a section");
    let rows = section.lines().filter_map(|line| {
        let cells: Vec<u32> = line
            .split('|')
            .map_while(|cell| match cell.trim().replace(',', "").parse() {
                Ok(number) => Some(number),
                Err(_) => cell.trim().is_empty().then_some(0),
            })
            .collect();
        // vCPUs, us, calls of a save before and now.
        (line.starts_with("| ") && cells.len() >= 5).then(|| (cells[1], cells[4], line))
    });
    let mut seen = 0;
    for (vcpus, save, line) in rows {
        seen += 1;
        let config = rig3::Config { vcpus, nr_irqs: 128, its: 0, ..rig3::Config::default() };
        let attach = |(vm, gic): (Vm, rig3::Gic)| {
            let (gic, its, memory) = gic.into_parts();
            vm.clear_trace();
            (Gicv3::attach(gic, its, memory, rig3::vcpus(vcpus)).expect("attach"), vm)
        };
        let (mut source, vm) = attach(rig3::fresh(config, rig3::memory()));
        let state = source.flush_and_save().expect("save");
        assert_eq!(vm.trace().len(), save as usize, "{line}");
        assert_eq!(save, 15 + 47 * 3 + 28 * vcpus);
        let (mut destination, vm) = attach(rig3::fresh(config, rig3::memory()));
        destination.restore(&state).expect("restore");
        let restore = format!("| {} |", thousands(vm.trace().len()));
        assert!(line.contains(&restore), "{line}: {restore}");
        assert_eq!(vm.trace().len() as u32, 14 + 50 * 3 + 31 * vcpus);
    }
    assert_eq!(seen, 6);
}

fn thousands(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}

#[test]
fn a_check_and_a_refusal_access_nothing() {
    let (_, mut state) = gicv3_save(2, 96);
    let (vm, mut destination) = rig3::fresh(rig3::Config { its: 0, ..rig3::Config::default() }, rig3::memory());
    destination.check(&state).expect("check");
    state.vcpus.pop();
    destination.restore(&state).expect_err("a vCPU is missing");
    destination.restore_image(&[0; 8]).expect_err("no image");
    assert_eq!(vm.trace().len(), 0);
}

/// Guest memory, with the lengths of what is read of it.
struct Counted<'a> {
    memory: rig3::Memory,
    reads: &'a RefCell<Vec<usize>>,
}

impl GuestMemoryRead for Counted<'_> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.reads.borrow_mut().push(bytes.len());
        self.memory.read(address, bytes)
    }

    fn ranges(&self) -> Option<Vec<GuestRange>> {
        GuestMemoryRead::ranges(&self.memory)
    }
}

/// A copy of guest memory is a system call: of up to 4 KiB, and none for each entry. Two ITSes with tables of 64 KiB, three devices each.
#[test]
fn tables_are_read_in_pieces_of_4_kib() {
    const PIECE: usize = 4096;
    let config = rig3::Config { its: 2, ..rig3::Config::default() };
    let (vm, gic) = rig3::filled(config);
    let reads = RefCell::new(Vec::new());
    let (gic, its, memory) = gic.into_parts();
    let memory = Counted { memory, reads: &reads };
    let mut source = Gicv3::attach(gic, its, memory, rig3::vcpus(config.vcpus)).expect("attach");
    let take = || {
        let reads = reads.take();
        (reads.len(), reads.iter().sum::<usize>())
    };
    let flushed = source.flush_tables().expect("flush");
    let (table, device_ids) = (0x1_0000, 0x1_0000 / 8);
    // Before the kernel is given a command, one entry: whether memory can be read.
    assert_eq!(take(), (1 + 2 * 2 * table / PIECE, 8 + 2 * (device_ids * 8 + table)), "device and collection tables");
    let state = source.save(flushed).expect("save");
    assert_eq!(take(), (0, 0));
    let (_, destination) = rig3::fresh(config, vm.memory());
    let (gic, its, memory) = destination.into_parts();
    let destination = Gicv3::attach(gic, its, Counted { memory, reads: &reads }, rig3::vcpus(config.vcpus)).expect("attach");
    destination.check(&state).expect("check");
    let (count, bytes) = take();
    // All of the tables, ITTs of 16 events, 56 KiB of configuration and 7 of pending bits for each vCPU.
    let expected = 2 * 2 * table + 2 * 3 * 16 * 8 + (0x1_0000 - 8192) + 2 * (0x1_0000 - 8192) / 8;
    assert_eq!(bytes, expected);
    assert_eq!(count, 2 * 2 * table / PIECE + 2 * 3 + 14 + 2 * 2);
}
