//! A hostile host, and an ITS that believes what it reads.
//!
//! Rule: whatever the host does, the ITS uses no memory that it does not own at that time.

use crate::common::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use vgic_state::GuestRange;
use vgic_state::its::command::{ItsCommand, Version};

/// Commands that fit into the trusted queue of [`rig`].
const QUEUE_OF_ITS: usize = 16;

/// What an ITS may use: what it has been told, and what it is about to be told.
#[derive(Default)]
struct Its {
    /// Place of the next command to read into `queue`, and to execute.
    read: usize,
    creadr: usize,
    queue: VecDeque<ItsCommand>,
    devices: BTreeMap<u32, GuestRange>,
    vpes: BTreeMap<u16, Vec<GuestRange>>,
    /// vPEs that were unmapped and not synchronised (GICv4.0), or that another ITS may have (GICv4.1).
    lingering: Vec<(u16, GuestRange)>,
}

fn ranges(command: ItsCommand) -> Vec<GuestRange> {
    match command {
        ItsCommand::Mapd { size, itt, valid: true, .. } => vec![GuestRange::new(itt, 8 << (size + 1))],
        ItsCommand::Vmapp { vpt, vpt_size, valid: true, .. } => vec![GuestRange::new(vpt, (1 << (vpt_size + 1)) / 8)],
        ItsCommand::Vmapp41 { vpt, vpt_size, vconf, valid: true, .. } => {
            vec![GuestRange::new(vpt, (1 << (vpt_size + 1)) / 8), GuestRange::new(vconf, (1 << (vpt_size + 1)) - 8192)]
        }
        _ => vec![],
    }
}

impl Its {
    fn execute(&mut self) {
        let Some(command) = self.queue.pop_front() else { return };
        self.creadr = (self.creadr + 1) % QUEUE_OF_ITS;
        let mut ranges = ranges(command);
        match command {
            ItsCommand::Mapd { device, valid: true, .. } => drop(self.devices.insert(device, ranges.remove(0))),
            ItsCommand::Mapd { device, .. } => drop(self.devices.remove(&device)),
            ItsCommand::Vmapp { vpe, valid: true, .. } | ItsCommand::Vmapp41 { vpe, valid: true, .. } => {
                self.lingering.retain(|(id, range)| *id != vpe || !ranges.contains(range));
                assert!(self.vpes.insert(vpe, ranges).is_none(), "mapped twice");
            }
            ItsCommand::Vmapp41 { vpe, alloc: true, .. } => {
                self.vpes.remove(&vpe).expect("a vPE");
            }
            ItsCommand::Vmapp { vpe, .. } | ItsCommand::Vmapp41 { vpe, .. } => {
                let ranges = self.vpes.remove(&vpe).expect("a vPE");
                self.lingering.extend(ranges.into_iter().map(|range| (vpe, range)));
            }
            ItsCommand::Vsync { vpe } => self.lingering.retain(|(id, _)| *id != vpe),
            _ => {}
        }
    }

    fn in_use(&self, version: Version) -> Vec<GuestRange> {
        let lingering = self.lingering.iter().filter(|_| version == Version::V40).map(|(_, range)| *range);
        let mapped = self.devices.values().chain(self.vpes.values().flatten()).copied();
        mapped.chain(self.queue.iter().flat_map(|command| ranges(*command))).chain(lingering).collect()
    }
}

fn command(version: Version) -> impl Strategy<Value = [u64; 4]> {
    let (device, vpe) = (0_u64..4, 0_u64..3);
    let itt = prop_oneof![8 => (0_u64..6).prop_map(|n| RAM + n * 0x100), 1 => Just(RAM + 0xef_ff00), 1 => any::<u64>()];
    let vpt = prop_oneof![8 => (0_u64..4).prop_map(|n| VPTS + n * 0x1_0000), 1 => any::<u64>()];
    let vconf = prop_oneof![8 => (0_u64..2).prop_map(|n| VCONFS + n * 0x1_0000), 1 => any::<u64>()];
    let v4 = u64::from(version == Version::V41);
    prop_oneof![
        6 => (device.clone(), 0_u64..9, itt).prop_map(|(device, size, itt)| [device << 32 | 8, size, 1 << 63 | itt, 0]),
        3 => device.prop_map(|device| [device << 32 | 8, 0, 0, 0]),
        4 => (vpe.clone(), 12_u64..16, vpt, vconf, 0_u64..4).prop_map(move |(vpe, size, vpt, vconf, flags)| {
            let vconf = vconf & 0x000f_ffff_ffff_0000;
            [0x29 | (v4 * (vconf | flags << 8)), vpe << 32 | 1023, 1 << 63, vpt & !0x1f | size]
        }),
        3 => (vpe.clone(), 0_u64..2).prop_map(move |(vpe, alloc)| [0x29 | ((v4 * alloc) << 8), vpe << 32, 0, 0]),
        2 => vpe.prop_map(|vpe| [0x25, vpe << 32, 0, 0]),
        1 => any::<[u64; 4]>(),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Put([u64; 4]),
    Writer(u64),
    Go,
    Execute(u8),
}

fn steps(version: Version) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => command(version).prop_map(Step::Put),
        4 => Just(Step::Go),
        4 => (1_u8..5).prop_map(Step::Execute),
        1 => any::<u64>().prop_map(Step::Writer),
    ];
    prop::collection::vec(step, 1..150)
}

fn play(version: Version, granule: u64, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut policy = policy(version);
    policy.memory.granule = granule;
    let mut rig = rig(policy);
    let mut its = Its::default();
    for step in steps {
        match step {
            Step::Put(words) => rig.put(words),
            Step::Writer(offset) => {
                rig.forwarder.forward(offset & 0xfff, &mut rig.host, &mut rig.pages);
            }
            Step::Go => {
                rig.go();
            }
            Step::Execute(count) => {
                for _ in 0..count {
                    its.execute();
                }
                rig.forwarder.retire(its.creadr as u64 * 32, &mut rig.pages).unwrap();
            }
        }
        // What is new in the trusted queue.
        while its.read != rig.forwarder.cwriter() as usize / 32 {
            let words = rig.forwarder.queue()[its.read];
            its.read = (its.read + 1) % QUEUE_OF_ITS;
            let decoded = ItsCommand::decode(words, version).unwrap();
            prop_assert_eq!(decoded.reserved, [0; 4]);
            its.queue.push_back(decoded.command);
        }
        for range in its.in_use(version) {
            prop_assert!(rig.pages.owns(range), "{range} is in use, and not owned");
        }
        let granule = granule.max(1);
        for range in &rig.pages.owned {
            prop_assert!(range.start % granule == 0 && range.end % granule == 0);
            prop_assert!(AREAS.iter().any(|area| area.start <= range.start && range.end <= area.end));
            prop_assert!(PROTECTED.iter().all(|protected| range.end <= protected.start || protected.end <= range.start));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::seeds::cases(256))]

    #[test]
    fn any_commands_of_a_gicv3_are_sent_or_refused_safely(steps in steps(Version::V3)) {
        play(Version::V3, 0, steps)?;
    }

    #[test]
    fn gicv3_with_tables_in_shared_pages(steps in steps(Version::V3)) {
        play(Version::V3, PAGE, steps)?;
    }

    #[test]
    fn any_commands_of_a_gicv4_0_are_sent_or_refused_safely(steps in steps(Version::V40)) {
        play(Version::V40, 0, steps)?;
    }

    #[test]
    fn gicv4_1_with_tables_in_shared_pages(steps in steps(Version::V41)) {
        play(Version::V41, PAGE, steps)?;
    }

    #[test]
    fn any_commands_of_a_gicv4_1_are_sent_or_refused_safely(steps in steps(Version::V41)) {
        play(Version::V41, 0, steps)?;
    }
}
