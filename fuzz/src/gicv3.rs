//! The model of a GICv3 with ITSes against its backend: registers and commands of any kind, save, restore into a fresh VM, save again.
//!
//! Rule: what was saved is restored and is the same; each command does what its decoded form says.

use crate::rig::*;
use arbitrary::Arbitrary;
use std::collections::BTreeMap;
use vgic_state::gicv3::{Gicv3State, TargetEl2};
use vgic_state::its::command::{CommandQueue, ItsCommand, Version};
use vgic_state::judge::{self, Limits, Ranges};
use vgic_state::model::gicv3::{CommandError, Host, Kernel, MappedCollection, MappedDevice, MappedEvent, Mappings, Vm};
use vgic_state::uapi::vgic_v3::{icc, ich, its};
use vgic_state::{Attr, AttrDevice, DynInterruptState, Errno, Error, GuestRange, InterruptState, Options, TableStrategy};
use vm_memory::{Bytes as _, GuestAddress};

#[derive(Arbitrary, Debug)]
struct Hint {
    opcode: u8,
    device: u8,
    event: u8,
    lpi: u8,
    collection: u8,
    flags: u8,
    place: u16,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Dist(u16, u32),
    Redist(u8, u16, u32),
    Icc(u8, u8, u64),
    Level(u8, u8, u32),
    ItsRegister(u8, u8, u64),
    Commands(u8, Vec<Hint>),
    Words(u8, Vec<[u64; 4]>),
    Msi(u8, u8, u8),
}

#[derive(Arbitrary, Debug)]
struct Input {
    shape: u8,
    filled: bool,
    indirect: bool,
    image: bool,
    steps: Vec<Step>,
}

const ITS_REGISTERS: [u32; 8] = [
    its::GITS_CTLR,
    its::GITS_CTLR,
    its::GITS_CTLR,
    its::GITS_BASER,
    its::GITS_BASER + 8,
    its::GITS_CBASER,
    its::GITS_CREADR,
    its::GITS_CWRITER,
];

fn words(hint: &Hint, n: usize) -> [u64; 4] {
    const OPCODES: [u64; 13] = [0x08, 0x0a, 0x0a, 0x09, 0x0b, 0x01, 0x03, 0x04, 0x05, 0x0c, 0x0d, 0x0f, 0x08];
    let opcode = OPCODES[usize::from(hint.opcode) % OPCODES.len()];
    let device = u64::from(hint.device % 8) * if hint.device & 0x80 != 0 { 1025 } else { 1 };
    let (event, icid) = (u64::from(hint.event % 32), 5 + u64::from(hint.collection % 6));
    let valid = if hint.flags & 7 == 0 { 0 } else { VALID };
    let target = u64::from(hint.flags >> 3 & 3) << 16;
    match opcode {
        0x08 => [opcode | device << 32, u64::from(hint.event % 6), valid | (itts(n) + u64::from(hint.place % 0x400) * 256), 0],
        0x09 => [opcode, 0, valid | target | icid, 0],
        0x0b => [opcode | device << 32, 8192 + event, icid, 0],
        _ => [opcode | device << 32, (8192 + u64::from(hint.lpi)) << 32 | event, icid, 0],
    }
}

/// What an ITS has mapped, by the decoded forms of its commands.
#[derive(Default)]
struct Shadow {
    devices: BTreeMap<u32, MappedDevice>,
    collections: Vec<MappedCollection>,
}

impl Shadow {
    fn of(mappings: Mappings) -> Self {
        let devices = mappings.devices.into_iter().map(|device| (device.id, device)).collect();
        Shadow { devices, collections: mappings.collections }
    }

    fn mappings(&self) -> Mappings {
        Mappings { devices: self.devices.values().cloned().collect(), collections: self.collections.clone() }
    }

    fn map(&mut self, device: u32, event: u32, intid: u32, icid: u16) {
        if self.collections.iter().all(|one| one.id != icid) {
            self.collections.push(MappedCollection { id: icid, target: None });
        }
        let events = &mut self.devices.get_mut(&device).expect("a device").events;
        let place = events.partition_point(|one| one.id < event);
        if events.get(place).is_none_or(|one| one.id != event) {
            events.insert(place, MappedEvent { id: event, intid, collection: Some(icid) });
        }
    }

    /// A command that had no error.
    fn execute(&mut self, command: ItsCommand) {
        match command {
            ItsCommand::Mapd { device, size, itt, valid } => {
                self.devices.remove(&device);
                if valid {
                    let mapped = MappedDevice { id: device, itt, event_bits: u32::from(size) + 1, events: Vec::new() };
                    self.devices.insert(device, mapped);
                }
            }
            ItsCommand::Mapc { icid, rdbase, valid: true } => {
                let target = Some(rdbase.get() as u32);
                match self.collections.iter_mut().find(|one| one.id == icid) {
                    Some(collection) => collection.target = target,
                    None => self.collections.push(MappedCollection { id: icid, target }),
                }
            }
            ItsCommand::Mapc { icid, .. } => {
                self.collections.retain(|one| one.id != icid);
                let events = self.devices.values_mut().flat_map(|device| &mut device.events);
                events.filter(|event| event.collection == Some(icid)).for_each(|event| event.collection = None);
            }
            // KVM takes the first event of an ID, and its own idea of collections: both are looked up.
            ItsCommand::Mapti { device, event, intid, icid } if !self.has(device, event) => self.map(device, event, intid, icid),
            ItsCommand::Mapi { device, event, icid } if !self.has(device, event) => self.map(device, event, event, icid),
            ItsCommand::Movi { device, event, icid } => {
                let events = &mut self.devices.get_mut(&device).expect("a device").events;
                events.iter_mut().find(|one| one.id == event).expect("an event").collection = Some(icid);
            }
            ItsCommand::Discard { device, event } => {
                self.devices.get_mut(&device).expect("a device").events.retain(|one| one.id != event);
            }
            _ => {}
        }
    }

    fn has(&self, device: u32, event: u32) -> bool {
        self.devices.get(&device).is_some_and(|device| device.events.iter().any(|one| one.id == event))
    }
}

/// Puts commands into the queue of an ITS and has them run; true if one of them was a `MOVALL`.
fn commands(vm: &Vm, gic: &mut Gic, n: usize, list: &[[u64; 4]]) -> bool {
    let get = |gic: &Gic, offset: u32| gic.its()[n].get::<u64>(Attr::its(offset)).expect("ITS register");
    let (cbaser, cwriter) = (get(gic, its::GITS_CBASER), get(gic, its::GITS_CWRITER));
    let Ok(queue) = CommandQueue::new(cbaser, cwriter, cwriter) else { return false };
    let (memory, range) = (vm.memory(), queue.range());
    let mut end = cwriter;
    for words in list.iter().take(64) {
        let bytes = words.map(u64::to_le_bytes);
        // No memory there: KVM finds that out as well.
        let _ = memory.write_slice(bytes.as_flattened(), GuestAddress(range.start + end));
        end = (end + 32) % (range.end - range.start);
    }
    let queue = CommandQueue::new(cbaser, get(gic, its::GITS_CREADR), end).expect("a queue");
    let viewed: Vec<_> = queue.commands(&memory, Version::V3).collect();
    vm.clear_commands();
    let mut shadow = Shadow::of(vm.mappings(n).expect("ITS"));
    let set = gic.its_mut()[n].set(Attr::its(its::GITS_CWRITER), end);
    set.expect("GITS_CWRITER");
    let executed = vm.commands();
    if get(gic, its::GITS_CTLR) & 1 == 0 {
        assert!(executed.is_empty());
        return false;
    }
    assert_eq!(viewed.len(), executed.len());
    let (mut moved, mut lost) = (false, false);
    for (queued, executed) in viewed.iter().zip(&executed) {
        let unknown = executed.result == Err(CommandError::Host(Errno::ENODEV));
        match queued.decoded {
            Ok(decoded) => {
                assert!(!unknown, "{decoded}");
                assert_eq!(crate::commands::decode(executed.words, Version::V3), Some(decoded));
                if executed.result.is_ok() {
                    shadow.execute(decoded.command);
                }
                moved |= matches!(decoded.command, ItsCommand::Movall { .. });
                // Half of it is done then.
                lost |= executed.result == Err(CommandError::Host(Errno::EFAULT));
            }
            Err(error) => {
                assert!(unknown || executed.result == Err(CommandError::Host(Errno::EFAULT)), "{error}");
                assert!(ItsCommand::decode(executed.words, Version::V3).is_err());
            }
        }
    }
    let mappings = vm.mappings(n).expect("ITS");
    let twice = mappings.devices.windows(2).any(|pair| pair[0].id == pair[1].id);
    assert!(lost || twice || shadow.mappings() == mappings, "{:x?}\nand\n{mappings:x?}", shadow.mappings());
    moved
}

/// True if LPIs are not where their collections say.
fn step(step: &Step, vm: &Vm, gic: &mut Gic) -> bool {
    let vcpus = gic.target().vcpus.clone();
    let vcpu = |n: u8| vcpus.iter().nth(usize::from(n) % vcpus.len()).expect("vCPU").mpidr;
    let count = gic.its().len();
    let n = |n: u8| usize::from(n) % count.max(1);
    match step {
        // Errors of KVM are none of ours.
        Step::Dist(offset, value) => drop(gic.gic_mut().set(Attr::dist(u32::from(offset & !3)), *value)),
        Step::Redist(to, offset, value) => {
            // Both frames, from 0 and from 64 KiB on.
            let offset = u32::from(offset & 0xffc) + if offset >> 15 != 0 { 0x1_0000 } else { 0 };
            let _ = gic.gic_mut().set(Attr::redist(vcpu(*to), offset), *value);
        }
        Step::Icc(to, instr, value) => {
            let of_el2 = if gic.target().el2 == TargetEl2::Absent { &[] } else { ich::REGISTERS };
            let all = icc::REGISTERS.len() + of_el2.len();
            let (_, instr) = icc::REGISTERS.iter().chain(of_el2).nth(usize::from(*instr) % all).expect("one of them");
            let _ = gic.gic_mut().set(Attr::cpu_sysreg(vcpu(*to), *instr as u16), *value);
        }
        Step::Level(to, bank, value) => drop(gic.gic_mut().set(Attr::line_levels(vcpu(*to), u32::from(bank % 4) * 32), *value)),
        _ if count == 0 => {}
        Step::ItsRegister(to, register, value) => {
            let offset = ITS_REGISTERS[usize::from(*register) % ITS_REGISTERS.len()];
            let value = match offset {
                its::GITS_CTLR => value & 1,
                its::GITS_CREADR | its::GITS_CWRITER => value & 0xfe0,
                // In memory, mostly.
                _ if value & 0xff00_0000_0000 == 0 => VALID | RAM | value & 0xc000_0000_001f_0001,
                _ => *value,
            };
            let _ = gic.its_mut()[n(*to)].set(Attr::its(offset), value);
        }
        Step::Commands(to, hints) => {
            let list: Vec<[u64; 4]> = hints.iter().map(|hint| words(hint, n(*to))).collect();
            return commands(vm, gic, n(*to), &list);
        }
        Step::Words(to, list) => return commands(vm, gic, n(*to), list),
        Step::Msi(to, device, event) => {
            let _ = vm.signal_msi(its_base(n(*to)) + its::GITS_TRANSLATER, (*device).into(), (*event).into());
        }
    }
    false
}

/// LPIs that are mapped and have a target. In an image are the pending ones of vCPUs whose LPIs are enabled: when the guest enables
/// those of another, KVM reads its pending table, and nothing else counts.
fn lpis(vm: &Vm, state: &Gicv3State) -> Vec<(u32, bool)> {
    let counts = |id| state.lpis.is_none() || state.vcpus.iter().any(|vcpu| vcpu.vcpu.id == id && vcpu.redist.ctlr & 1 != 0);
    let mapped = vm.lpis().into_iter().filter(|lpi| lpi.references > 0);
    mapped.filter_map(|lpi| lpi.target.map(|id| (lpi.intid, lpi.pending && counts(id)))).collect()
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(arbitrary::Unstructured::new(data)) else { return };
    let is_new = input.shape >> 5 & 1 == 0;
    let shape = Shape {
        // No kernel has it that is not new.
        el2: is_new && input.shape & 3 == 3,
        vcpus: 1 + u32::from(input.shape % 3),
        nr_irqs: 64 + 32 * u32::from(input.shape >> 2 & 1),
        its: [1, 2, 0, 1][usize::from(input.shape >> 3 & 3)],
        host: Host {
            kernel: if is_new { Kernel::V7_3 } else { Kernel::V6_12_118 },
            pri_bits: 5 + u32::from(input.shape >> 6),
            ..Host::default()
        },
    };
    let (vm, mut gic) = if input.filled { filled(shape, input.indirect) } else { fresh(shape, memory()) };
    let mut moved = false;
    for one in &input.steps {
        moved |= step(one, &vm, &mut gic);
    }
    if input.image {
        gic.options_mut().tables = TableStrategy::Image;
    }
    // Tables where there is no memory, or in each other's way.
    let flushed = match gic.flush_tables() {
        Ok(flushed) => flushed,
        Err(error) => {
            assert!(matches!(error, Error::Access(_) | Error::Tables(_)), "{error}");
            return;
        }
    };
    let state = gic.save(flushed).expect("save");
    let image = state.to_image().expect("image");
    assert_eq!(Gicv3State::parse(&image).as_ref(), Ok(&state));
    let bytes = contents(&vm.memory());
    let ranges = Ranges::new(vec![GuestRange::new(RAM, RAM_BYTES as u64)], vec![]);
    let report = judge::gicv3::problems(&state, &vm.memory(), &ranges, &Limits::default());
    let clean = report.findings.is_empty() && !moved;

    let (other, mut destination) = fresh(shape, memory_of(&bytes));
    let tables = if input.image { TableStrategy::Image } else { TableStrategy::GuestMemory };
    destination.set_options(Options::default().with_accept_newer_revision(true).with_tables(tables));
    match destination.restore_image(&image) {
        Ok(_) => {}
        Err(error) if clean => panic!("{error}\n{state:x?}"),
        Err(_) => return,
    }
    let ran = kept::has_commands(&state);
    let flushed = destination.flush_tables().expect("flush");
    let again = destination.save(flushed).expect("save");
    let without = |state: &Gicv3State| {
        let mut state = state.clone();
        state.lpis = None;
        state
    };
    let revision = state.identity.iidr == again.identity.iidr;
    assert!(ran || !revision || without(&again) == without(&state), "{state:x?}\nbecame\n{again:x?}");
    if clean && !ran && revision {
        assert_eq!(again.lpis, state.lpis);
        let mut saved = true;
        for n in 0..shape.its {
            let (mut one, mut two) = (vm.mappings(n).expect("ITS"), other.mappings(n).expect("ITS"));
            // Events without a collection are not saved, and the order of collections is not known to an image.
            for mappings in [&mut one, &mut two] {
                saved &= mappings.devices.iter().flat_map(|device| &device.events).all(|event| event.collection.is_some());
                mappings.devices.iter_mut().for_each(|device| device.events.retain(|event| event.collection.is_some()));
                mappings.collections.sort_by_key(|collection| collection.id);
            }
            assert_eq!(one, two);
        }
        // The LPI of an event that is not saved keeps its target in the source.
        if saved {
            assert_eq!(lpis(&vm, &state), lpis(&other, &state));
        }
    }
}
