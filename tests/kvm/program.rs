//! Makes the state that an operating system would make: through registers and commands, without guest code.

use crate::layout;
use crate::rig::{Config, Rig};
use std::sync::OnceLock;
use vgic_state::Errno;
use vgic_state::model::gicv3::Behaviour;
use vgic_state::uapi::vgic_v3::{dist, icc, its, redist};
use vm_memory::{Bytes, GuestAddress};

pub(crate) const FIRST_LPI: u32 = 8192;

/// The collection of a vCPU.
pub(crate) const fn collection(vcpu: usize) -> u64 {
    vcpu as u64 + 3
}

/// A device table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// One page: DeviceIDs below 8192.
    Flat,
    /// Eight pages: every DeviceID.
    FlatWide,
    /// Two levels: every DeviceID.
    TwoLevels,
}

/// Devices of an ITS with their events; which event is which LPI, and where it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Devices {
    pub(crate) devices: u32,
    pub(crate) events: u32,
    pub(crate) first_id: u32,
    /// Distance from one DeviceID to the next.
    pub(crate) step: u32,
    pub(crate) table: Table,
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) device: u32,
    pub(crate) event: u32,
    pub(crate) lpi: u32,
    pub(crate) vcpu: usize,
}

impl Devices {
    pub(crate) const FLAT: Devices = Devices { devices: 24, events: 16, first_id: 8, step: 8, table: Table::Flat };
    /// DeviceIDs 5 to 61000: in each of the eight level-2 tables, with gaps of more than one entry.
    pub(crate) const TWO_LEVELS: Devices = Devices { devices: 24, events: 16, first_id: 5, step: 2650, table: Table::TwoLevels };

    pub(crate) fn id(&self, device: u32) -> u32 {
        self.first_id + device * self.step
    }

    pub(crate) fn event_bits(&self) -> u64 {
        u64::from((self.events.max(2) - 1).ilog2() + 1)
    }

    /// Every event of an ITS.
    pub(crate) fn events(&self, its: usize, vcpus: usize) -> impl Iterator<Item = (u32, Event)> {
        let Devices { devices, events, .. } = *self;
        let first = FIRST_LPI + its as u32 * devices * events;
        let ids = *self;
        (0..devices).flat_map(move |n| {
            (0..events).map(move |event| {
                let lpi = first + n * events + event;
                (n, Event { device: ids.id(n), event, lpi, vcpu: event as usize % vcpus })
            })
        })
    }
}

/// LPI configuration: whether it is enabled. Every 16th is not, among those of one device another each time.
pub(crate) fn lpi_enabled(lpi: u32) -> bool {
    (lpi + lpi / 16) % 16 != 15
}

/// LPI configuration: its priority, one of 16.
pub(crate) fn lpi_priority(lpi: u32) -> u8 {
    0x40 + (lpi % 16 * 8) as u8
}

/// A command of 32 bytes.
pub(crate) type Command = [u64; 4];

pub(crate) fn mapc(collection: u64, vcpu: u64) -> Command {
    [0x09, 0, 1 << 63 | vcpu << 16 | collection, 0]
}

pub(crate) fn mapd(device: u32, bits: u64, itt: u64) -> Command {
    [0x08 | u64::from(device) << 32, bits - 1, 1 << 63 | itt, 0]
}

pub(crate) fn mapti(device: u32, event: u32, lpi: u32, collection: u64) -> Command {
    [0x0a | u64::from(device) << 32, u64::from(lpi) << 32 | u64::from(event), collection, 0]
}

pub(crate) fn invall(collection: u64) -> Command {
    [0x0d, 0, collection, 0]
}

/// Puts commands into the queue of an ITS, without telling it. Returns what `GITS_CWRITER` is to be.
pub(crate) fn queue<R: Rig>(rig: &mut R, n: usize, commands: &[Command]) -> u64 {
    let mut at = rig.its_register(n, its::GITS_CWRITER);
    for command in commands {
        for (word, value) in (0..).zip(command) {
            rig.write(layout::queue(n) + at + word * 8, *value);
        }
        at = (at + 32) % layout::QUEUE_BYTES;
    }
    at
}

/// Has an ITS run commands.
pub(crate) fn commands<R: Rig>(rig: &mut R, n: usize, commands: &[Command]) {
    // One less than the queue holds: a full queue would look empty.
    for some in commands.chunks(layout::QUEUE_BYTES as usize / 32 - 1) {
        let cwriter = queue(rig, n, some);
        rig.set_its(n, its::GITS_CWRITER, cwriter).expect("GITS_CWRITER");
        assert_eq!(rig.its_register(n, its::GITS_CREADR), cwriter, "the commands have run");
    }
}

/// CPU interfaces, redistributors and distributor as an operating system has them: priority mask open, group 1 on, LPIs on.
pub(crate) fn basics<R: Rig>(rig: &mut R) {
    static CONFIGURATION: OnceLock<Vec<u8>> = OnceLock::new();
    let configuration =
        CONFIGURATION.get_or_init(|| (FIRST_LPI..0x1_0000).map(|lpi| lpi_priority(lpi) | 2 | u8::from(lpi_enabled(lpi))).collect());
    rig.memory().write_slice(configuration, GuestAddress(layout::CONFIGURATION)).expect("memory");
    rig.set_dist(dist::GICD_CTLR, 2);
    let lpis = rig.config().its != 0;
    for vcpu in 0..rig.config().vcpus {
        if lpis {
            rig.set_redist64(vcpu, redist::GICR_PROPBASER, layout::CONFIGURATION | 15);
            rig.set_redist64(vcpu, redist::GICR_PENDBASER, layout::pending(vcpu));
            rig.set_redist(vcpu, redist::GICR_CTLR, 1);
        }
        rig.set_icc(vcpu, icc::SYS_ICC_PMR_EL1, 0xf0).expect("ICC_PMR_EL1");
        rig.set_icc(vcpu, icc::SYS_ICC_IGRPEN1_EL1, 1).expect("ICC_IGRPEN1_EL1");
    }
}

/// Four priorities, each a multiple of 8.
fn priorities(of: impl Fn(u32) -> u32) -> u32 {
    u32::from_le_bytes([0, 1, 2, 3].map(|n| (of(n) & 0xf8) as u8))
}

/// SPIs and PPIs, each with a state of its own.
pub(crate) fn wires<R: Rig>(rig: &mut R) {
    let config = rig.config();
    for vcpu in 0..config.vcpus {
        let salt = vcpu as u32;
        rig.set_redist(vcpu, redist::GICR_IGROUPR0, u32::MAX);
        // PPIs 16 to 22 only: others belong to timers and the PMU of KVM.
        rig.set_redist(vcpu, redist::GICR_ISENABLER0, 0x001f_000f + (salt << 21));
        for n in 0..8 {
            rig.set_redist(vcpu, redist::GICR_IPRIORITYR0 + 4 * n, priorities(|k| 0x20 + (n * 4 + k) * 4 + salt * 8));
        }
        // An SGI and a PPI.
        rig.set_redist(vcpu, redist::GICR_ISPENDR0, 0x0002_0004 << vcpu);
    }
    for bank in 1..config.nr_irqs / 32 {
        let at = 4 * bank;
        rig.set_dist(dist::GICD_IGROUPR + at, u32::MAX);
        rig.set_dist(dist::GICD_ISENABLER + at, 0x8421_00ff_u32.rotate_left(bank));
        rig.set_dist(dist::GICD_ICFGR + 2 * at, 0x0aa0_2080_u32.rotate_left(2 * bank));
        rig.set_dist(dist::GICD_ICFGR + 2 * at + 4, 0x8008_a802_u32.rotate_left(2 * bank));
        for n in 0..8 {
            rig.set_dist(dist::GICD_IPRIORITYR + 8 * at + 4 * n, priorities(|k| bank * 64 + n * 24 + k * 40));
        }
        for intid in 32 * bank..32 * bank + 32 {
            let target = config.mpidr(intid as usize * 7 / 3 % config.vcpus).packed();
            rig.set_dist(dist::GICD_IROUTER + 8 * intid, target);
        }
        rig.set_dist(dist::GICD_ISPENDR + at, 0x0001_0021_u32.rotate_left(bank));
        if bank < 4 {
            // At most two for a vCPU: an older KVM gives its list registers to active interrupts first, and a vCPU with as many of
            // those as it has list registers, the one that it handles included, is given no other.
            rig.set_dist(dist::GICD_ISACTIVER + at, if bank == 2 { 0x80 } else { 0x40 });
        }
    }
    // Devices hold level interrupts.
    for intid in [33, 40, 70] {
        rig.spi_line(intid, true).expect("SPI line");
    }
    let line = rig.ppi_line(config.vcpus - 1, 20, true);
    if takes_id_for_index::<R>(config) {
        assert_eq!(line, Err(Errno::EINVAL));
    } else {
        line.expect("PPI line");
    }
}

/// Whether KVM takes the id of a vCPU for its place in the order of creation, where a PPI's line is driven and where an ITS is told the
/// target of a collection.
pub(crate) fn takes_id_for_index<R: Rig>(config: Config) -> bool {
    config.id_step != 1 && !R::kernel().has(Behaviour::NamesVcpusById)
}

/// What an ITS knows a vCPU by.
fn target<R: Rig>(config: Config, vcpu: usize) -> u64 {
    if takes_id_for_index::<R>(config) { vcpu as u64 } else { config.vcpu(vcpu).id.get().into() }
}

/// Queue, tables and enable of an ITS.
pub(crate) fn enable_its<R: Rig>(rig: &mut R, n: usize, table: Table) {
    if table == Table::TwoLevels {
        for index in 0..8 {
            rig.write(layout::device_table(n) + index * 8, 1 << 63 | layout::level2(n, index));
        }
    }
    for (offset, value) in its_registers(n, table) {
        rig.set_its(n, offset, value).expect("ITS register");
    }
    assert_eq!(rig.its_register(n, its::GITS_CTLR) & 1, 1, "the ITS is enabled");
}

/// Registers of an ITS that is enabled, in order.
pub(crate) fn its_registers(n: usize, table: Table) -> [(u32, u64); 4] {
    let devices = match table {
        Table::Flat => layout::device_table(n),
        Table::FlatWide => layout::level2(n, 0) | 7,
        Table::TwoLevels => layout::device_table(n) | its::GITS_BASER_INDIRECT,
    };
    [
        (its::GITS_CBASER, 1 << 63 | layout::queue(n) | (layout::QUEUE_BYTES / 4096 - 1)),
        (its::GITS_BASER, 1 << 63 | devices | 2 << 8),
        (its::GITS_BASER + 8, 1 << 63 | layout::collection_table(n) | 2 << 8),
        (its::GITS_CTLR, 1),
    ]
}

/// Collections, devices and events of an ITS.
pub(crate) fn map<R: Rig>(rig: &mut R, n: usize, devices: &Devices) {
    let config = rig.config();
    let mut all: Vec<Command> = (0..config.vcpus).map(|vcpu| mapc(collection(vcpu), target::<R>(config, vcpu))).collect();
    all.extend((0..devices.devices).map(|device| mapd(devices.id(device), devices.event_bits(), layout::itt(n, device))));
    all.extend(
        devices.events(n, config.vcpus).map(|(_, event)| mapti(event.device, event.event, event.lpi, collection(event.vcpu))),
    );
    all.extend((0..config.vcpus).map(|vcpu| invall(collection(vcpu))));
    commands(rig, n, &all);
}
