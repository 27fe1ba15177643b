//! Whatever memory and registers hold, an audit ends within its bound, and a report is small.

use crate::rig::subject;
use proptest::prelude::*;
use std::cell::Cell;
use std::sync::LazyLock;
use vgic_state::gicv3::Gicv3State;
use vgic_state::its::{Collection, Device, Event, ItsMappings, LpiConfiguration, LpiState, PendingLpis};
use vgic_state::judge::{self, Limits, Ranges};
use vgic_state::report::Problem;
use vgic_state::{GuestMemoryRead, GuestRange, MemoryError, NoGuestMemory};

static STATE: LazyLock<Gicv3State> = LazyLock::new(|| subject(2, false).state);

/// Memory that follows from a seed, mostly of some words, with holes.
struct Random {
    words: Vec<u64>,
    seed: u64,
    hole: u64,
    read: Cell<u64>,
}

impl GuestMemoryRead for Random {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.read.set(self.read.get() + bytes.len().div_ceil(8) as u64);
        if (address >> 12) % 64 == self.hole {
            return Err(MemoryError::NotMemory);
        }
        for (at, byte) in (address..).zip(bytes) {
            let n = ((at / 8) ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            *byte = self.words[n as usize % self.words.len()].to_le_bytes()[at as usize % 8];
        }
        Ok(())
    }
}

/// Entries that mean something, and some that do not.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => Just(0),
        1 => any::<u64>(),
        1 => (0_u64..20, 0_u64..0x100_0000, 0_u64..40).prop_map(|(size, itt, next)| 1 << 63 | next << 49 | itt << 5 | size),
        1 => (0_u64..4, 8100_u64..9000, 0_u64..20).prop_map(|(icid, lpi, next)| next << 48 | lpi << 16 | icid),
        1 => (0_u64..8, 0_u64..4).prop_map(|(icid, target)| 1 << 63 | target << 16 | icid),
    ]
}

fn state(registers: [[u64; 8]; 2]) -> Gicv3State {
    let mut state = STATE.clone();
    for (its, [cbaser, creadr, cwriter, baser0, baser1, baser2, ctlr, typer]) in state.its.iter_mut().zip(registers) {
        let known = its.registers;
        // Half of the registers are as they were: else nearly nothing is valid.
        let mix = |random: u64, known: u64| if random & 8 == 0 { known ^ random & 0xff } else { random };
        its.registers.cbaser = mix(cbaser, known.cbaser);
        its.registers.creadr = mix(creadr, known.creadr);
        its.registers.cwriter = mix(cwriter, known.cwriter);
        its.registers.baser0 = mix(baser0, known.baser0);
        its.registers.baser1 = mix(baser1, known.baser1);
        its.registers.baser2 = mix(baser2, 0);
        its.registers.ctlr = ctlr as u32;
        its.identity.typer = mix(typer, its.identity.typer);
    }
    for (vcpu, [propbaser, pendbaser, ..]) in state.vcpus.iter_mut().zip(registers) {
        vcpu.redist.propbaser ^= propbaser & 0x1f;
        vcpu.redist.pendbaser = if pendbaser & 1 == 0 { vcpu.redist.pendbaser } else { pendbaser };
    }
    state
}

fn ranges() -> impl Strategy<Value = Ranges> {
    let some = || prop::collection::vec((any::<u64>(), any::<u64>()), 0..4);
    (some(), some(), any::<bool>()).prop_map(|(memory, protected, all)| {
        let range = |(start, end)| GuestRange { start, end };
        let mut memory: Vec<GuestRange> = memory.into_iter().map(range).collect();
        memory.extend(all.then_some(GuestRange { start: 0, end: u64::MAX }));
        Ranges::new(memory, protected.into_iter().map(range).collect())
    })
}

fn mappings() -> impl Strategy<Value = LpiState> {
    let number = || prop_oneof![0_u32..10, 8190_u32..8200, 65530_u32..65540, any::<u32>()];
    let event = (number(), number(), 0_u16..4).prop_map(|(id, intid, icid)| Event { id, intid, icid });
    let device = (number(), any::<u64>(), 0_u32..40, prop::collection::vec(event, 0..4))
        .prop_map(|(id, itt, event_bits, events)| Device { id, itt, event_bits, events });
    let collection = (0_u16..4, prop::option::of(number())).prop_map(|(icid, target)| Collection { icid, target });
    let its = (0_usize..3, prop::collection::vec(collection, 0..4), prop::collection::vec(device, 0..4))
        .prop_map(|(n, collections, devices)| ItsMappings { base: crate::common::its_base(n), collections, devices });
    let configuration = (number(), any::<u8>()).prop_map(|(intid, byte)| LpiConfiguration { intid, byte });
    let pending = prop::collection::vec(number(), 0..4).prop_map(|intids| PendingLpis { vcpu: STATE.vcpus[0].vcpu, intids });
    let all = (prop::collection::vec(its, 0..3), prop::collection::vec(configuration, 0..4), prop::collection::vec(pending, 0..3));
    all.prop_map(|(its, configuration, pending)| LpiState { its, configuration, pending })
}

proptest! {
    #![proptest_config(crate::seeds::cases(192))]

    #[test]
    fn random_memory_and_registers(
        words in prop::collection::vec(word(), 1..12),
        (seed, hole) in (any::<u64>(), 0_u64..128),
        registers in any::<[[u64; 8]; 2]>(),
        ranges in ranges(),
        limit in prop_oneof![0_u64..1000, 0_u64..200_000],
    ) {
        let memory = Random { words, seed, hole, read: Cell::new(0) };
        let report = judge::gicv3::problems(&state(registers), &memory, &ranges, &Limits::entries(limit));
        // What is not memory is asked for a second time, entry by entry.
        prop_assert!(memory.read.get() <= 2 * limit);
        prop_assert!(report.findings.len() <= Problem::ALL.len());
        prop_assert!(report.findings.iter().map(|finding| finding.severity()).rev().is_sorted());
        prop_assert_eq!(report.max_severity(), report.findings.first().map(|finding| finding.severity()));
    }

    #[test]
    fn small_limits_hold(
        words in prop::collection::vec(word(), 1..12),
        (seed, hole) in (any::<u64>(), 0_u64..128),
        registers in any::<[[u64; 8]; 2]>(),
        ranges in ranges(),
    ) {
        let state = state(registers);
        for limit in (0..10).chain([511, 512, 513]) {
            let memory = Random { words: words.clone(), seed, hole, read: Cell::new(0) };
            let report = judge::gicv3::problems(&state, &memory, &ranges, &Limits::entries(limit));
            prop_assert!(memory.read.get() <= 2 * limit, "{} of {limit}", memory.read.get());
            prop_assert!(limit > 0 || memory.read.get() == 0);
            drop(report);
        }
    }

    #[test]
    fn any_mappings_are_judged_within_the_number_of_problems(lpis in mappings(), registers in any::<[[u64; 8]; 2]>(), ranges in ranges()) {
        let mut state = state(registers);
        state.lpis = Some(lpis);
        let report = judge::gicv3::problems(&state, &NoGuestMemory, &ranges, &Limits::default());
        prop_assert!(report.findings.len() <= Problem::ALL.len());
    }
}

/// What a random run once found: with nothing to spend, the first queued command was read before it was paid for.
#[test]
fn a_queued_command_is_paid_for_before_it_is_read() {
    let memory = Random { words: vec![0], seed: 0, hole: 0, read: Cell::new(0) };
    let ranges = Ranges::new([GuestRange { start: 6_670_064_795_732_299_292, end: 12_447_506_310_093_852_230 }].into(), [].into());
    let registers = [
        [3_929_985_868_478_696_800, 1_617_331_927_547_503_376, 1_001_268_381_616_161_136, 0, 0, 0, 3_385_213_760_038_828_049, 0],
        [
            0,
            0,
            197,
            9_276_989_448_466_377_580,
            6_663_241_090_892_471_896,
            12_509_513_581_504_927_279,
            9_826_420_792_825_940_718,
            9_218_521_189_597_368_127,
        ],
    ];
    let report = judge::gicv3::problems(&state(registers), &memory, &ranges, &Limits::entries(0));
    assert_eq!(memory.read.get(), 0);
    assert!(report.find(Problem::WorkExceeded).is_some());
}
