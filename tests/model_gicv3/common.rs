//! VMs to begin with, the layout of their guest memory, and ITS commands by name.
//!
//! Source: Arm Generic Interrupt Controller Architecture Specification, GICv3, ITS commands.
//!
//! Rule: a VM made here is as far in its life as its name says, and no further.

use vgic_state::model::gicv3::{CommandError, Device, Host, Kernel, Vm};
use vgic_state::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V3};
use vgic_state::{Attr, AttrDevice, Command, Errno, Mpidr, Vcpu, VcpuId};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

pub(crate) const RAM: u64 = 0x4000_0000;
pub(crate) const RAM_BYTES: usize = 8 << 20;
pub(crate) const DIST: u64 = 0x800_0000;
pub(crate) const REDIST: u64 = 0x80a_0000;
/// LPI configuration table, and one pending table for each vCPU.
pub(crate) const CONFIG: u64 = RAM + 0x1_0000;
pub(crate) const PENDING: u64 = RAM + 0x3_0000;
/// Level-2 pages of an indirect device table.
pub(crate) const LEVEL2: u64 = RAM + 0x20_0000;
pub(crate) const ITTS: u64 = RAM + 0x40_0000;
pub(crate) const VALID: u64 = 1 << 63;
pub(crate) const INDIRECT: u64 = 1 << 62;

/// What an ITS has at which address; ITSes count from 0.
pub(crate) const fn doorbell(its: usize) -> u64 {
    0x900_0000 + its as u64 * 0x3_0000 + 0x1_0040
}

pub(crate) const fn queue(its: usize) -> u64 {
    RAM + 0x10_0000 + its as u64 * 0x4_0000
}

pub(crate) const fn devices(its: usize) -> u64 {
    queue(its) + 0x1_0000
}

pub(crate) const fn collections(its: usize) -> u64 {
    queue(its) + 0x2_0000
}

/// Ids and affinities that say nothing of each other, and of the order of creation.
pub(crate) const VCPUS: [(u32, Mpidr); 3] = [(5, Mpidr::new(0, 1, 2, 3)), (2, Mpidr::new(0, 0, 4, 1)), (9, Mpidr::new(0, 6, 0, 2))];

pub(crate) fn vcpu(index: usize) -> Vcpu {
    let (id, mpidr) = VCPUS[index];
    Vcpu { id: VcpuId::new(id).unwrap(), mpidr }
}

pub(crate) fn on(kernel: Kernel) -> Host {
    Host { kernel, ..Host::default() }
}

/// What a raw setup of a VM holds.
pub(crate) struct Rig {
    pub(crate) vm: Vm,
    pub(crate) gic: Device,
    pub(crate) its: Vec<Device>,
    pub(crate) memory: GuestMemoryMmap<()>,
}

pub(crate) fn new_memory() -> GuestMemoryMmap<()> {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(RAM), RAM_BYTES)]).unwrap()
}

/// Guest memory with the same contents.
pub(crate) fn copy(memory: &GuestMemoryMmap<()>) -> GuestMemoryMmap<()> {
    let mut bytes = vec![0; RAM_BYTES];
    memory.read_slice(&mut bytes, GuestAddress(RAM)).unwrap();
    let new = new_memory();
    new.write_slice(&bytes, GuestAddress(RAM)).unwrap();
    new
}

pub(crate) fn same(a: &GuestMemoryMmap<()>, b: &GuestMemoryMmap<()>) -> bool {
    let (mut x, mut y) = (vec![0; RAM_BYTES], vec![0; RAM_BYTES]);
    a.read_slice(&mut x, GuestAddress(RAM)).unwrap();
    b.read_slice(&mut y, GuestAddress(RAM)).unwrap();
    x == y
}

/// vCPUs and devices that nothing was asked of.
pub(crate) fn created_with(host: Host, its: usize, memory: GuestMemoryMmap<()>) -> Rig {
    let vm = Vm::new(host, memory.clone());
    for index in 0..VCPUS.len() {
        vm.create_vcpu(vcpu(index)).unwrap();
    }
    let gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3).unwrap();
    let its = (0..its).map(|_| vm.create_device(KVM_DEV_TYPE_ARM_VGIC_ITS).unwrap()).collect();
    Rig { vm, gic, its, memory }
}

pub(crate) fn created(its: usize) -> Rig {
    created_with(Host::default(), its, new_memory())
}

/// Addresses set, 96 interrupts, initialised.
pub(crate) fn ready_with(host: Host, its: usize, memory: GuestMemoryMmap<()>) -> Rig {
    let mut rig = created_with(host, its, memory);
    rig.gic.set(Attr::dist_address(), DIST).unwrap();
    rig.gic.set(Attr::redist_address(), REDIST).unwrap();
    rig.gic.set(Attr::nr_irqs(), 96).unwrap();
    rig.gic.command(Command::Init).unwrap();
    for (index, device) in rig.its.iter_mut().enumerate() {
        device.set(Attr::its_address(), doorbell(index) - 0x1_0040).unwrap();
        device.command(Command::Init).unwrap();
    }
    rig
}

pub(crate) fn ready(its: usize) -> Rig {
    ready_with(Host::default(), its, new_memory())
}

/// Tables of the redistributors set and LPIs enabled, registers of the ITSes set and the ITSes disabled.
pub(crate) fn prepared_with(host: Host, its: usize, indirect: bool, memory: GuestMemoryMmap<()>) -> Rig {
    let mut rig = ready_with(host, its, memory);
    rig.gic.set(Attr::dist(0), 2).unwrap();
    for (index, (_, mpidr)) in VCPUS.into_iter().enumerate() {
        rig.redist64(mpidr, 0x70, CONFIG | 15);
        rig.redist64(mpidr, 0x78, PENDING + index as u64 * 0x1_0000);
        rig.gic.set(Attr::redist(mpidr, 0), 1).unwrap();
    }
    for index in 0..rig.its.len() {
        rig.its_registers(index, indirect);
    }
    rig
}

/// As [`prepared_with`], ITSes enabled, and an LPI configuration table where priorities follow from the INTID.
pub(crate) fn running_with(host: Host, its: usize, indirect: bool) -> Rig {
    let memory = new_memory();
    for lpi in 0..0xe000_u64 {
        memory.write_obj(config(8192 + lpi as u32), GuestAddress(CONFIG + lpi)).unwrap();
    }
    for index in 0..8 * u64::from(indirect) {
        for its in 0..its {
            memory.write_obj(VALID | level2(its, index), GuestAddress(devices(its) + 8 * index)).unwrap();
        }
    }
    let mut rig = prepared_with(host, its, indirect, memory);
    rig.enable_its();
    rig
}

/// Level-2 page of an ITS's device table.
pub(crate) fn level2(its: usize, index: u64) -> u64 {
    LEVEL2 + its as u64 * 0x8_0000 + index * 0x1_0000
}

pub(crate) fn running() -> Rig {
    running_with(Host::default(), 1, false)
}

/// Configuration byte of an LPI: enabled, priority from 0x20 to 0xa0.
pub(crate) fn config(intid: u32) -> u8 {
    0x21 + (intid % 17) as u8 * 8
}

impl Rig {
    pub(crate) fn redist64(&mut self, mpidr: Mpidr, offset: u32, value: u64) {
        self.gic.set(Attr::redist(mpidr, offset), value as u32).unwrap();
        self.gic.set(Attr::redist(mpidr, offset + 4), (value >> 32) as u32).unwrap();
    }

    pub(crate) fn its_registers(&mut self, index: usize, indirect: bool) {
        let its = &mut self.its[index];
        its.set(Attr::its(0x80), VALID | queue(index) | 15).unwrap();
        its.set(Attr::its(0x100), VALID | devices(index) | if indirect { INDIRECT } else { 0 }).unwrap();
        its.set(Attr::its(0x108), VALID | collections(index)).unwrap();
    }

    pub(crate) fn enable_its(&mut self) {
        for its in &mut self.its {
            its.set(Attr::its(0), 1).unwrap();
            assert_eq!(its.get(Attr::its(0)).unwrap() & 1, 1);
        }
    }

    /// Puts a command into the queue of an ITS and lets it run. Gives what came of it.
    pub(crate) fn command_on(&mut self, index: usize, words: [u64; 4]) -> Result<(), CommandError> {
        let its = &mut self.its[index];
        let at = its.get(Attr::its(0x88)).unwrap();
        for (offset, word) in (at..).step_by(8).zip(words) {
            self.memory.write_obj(word, GuestAddress(queue(index) + offset)).unwrap();
        }
        its.set(Attr::its(0x88), (at + 32) % 0x1_0000).unwrap();
        assert_eq!(its.get(Attr::its(0x90)), its.get(Attr::its(0x88)));
        self.vm.commands().last().unwrap().result
    }

    pub(crate) fn command(&mut self, words: [u64; 4]) -> Result<(), CommandError> {
        self.command_on(0, words)
    }

    pub(crate) fn read64(&self, address: u64) -> u64 {
        self.memory.read_obj(GuestAddress(address)).unwrap()
    }

    pub(crate) fn write64(&self, address: u64, value: u64) {
        self.memory.write_obj(value, GuestAddress(address)).unwrap();
    }

    pub(crate) fn pending(&self, intid: u32) -> bool {
        self.vm.lpi(intid).unwrap().pending
    }
}

pub(crate) fn movi(device: u64, event: u64, collection: u64) -> [u64; 4] {
    [device << 32 | 0x01, event, collection, 0]
}

pub(crate) fn event(opcode: u64, device: u64, event: u64) -> [u64; 4] {
    [device << 32 | opcode, event, 0, 0]
}

pub(crate) const INT: u64 = 0x03;
pub(crate) const CLEAR: u64 = 0x04;
pub(crate) const INV: u64 = 0x0c;
pub(crate) const DISCARD: u64 = 0x0f;

pub(crate) fn mapd(device: u64, bits: u64, itt: u64) -> [u64; 4] {
    [device << 32 | 0x08, bits - 1, VALID | itt, 0]
}

pub(crate) fn unmapd(device: u64) -> [u64; 4] {
    [device << 32 | 0x08, 0, 0, 0]
}

pub(crate) fn mapc(collection: u64, target: u64) -> [u64; 4] {
    [0x09, 0, VALID | target << 16 | collection, 0]
}

pub(crate) fn unmapc(collection: u64) -> [u64; 4] {
    [0x09, 0, collection, 0]
}

pub(crate) fn mapti(device: u64, event: u64, intid: u64, collection: u64) -> [u64; 4] {
    [device << 32 | 0x0a, intid << 32 | event, collection, 0]
}

pub(crate) fn mapi(device: u64, event: u64, collection: u64) -> [u64; 4] {
    [device << 32 | 0x0b, event, collection, 0]
}

pub(crate) fn invall(collection: u64) -> [u64; 4] {
    [0x0d, 0, collection, 0]
}

pub(crate) fn movall(from: u64, to: u64) -> [u64; 4] {
    [0x0e, 0, from << 16, to << 16]
}

/// An error number of the architecture.
pub(crate) fn its_error(number: u32) -> Result<(), CommandError> {
    Err(CommandError::Its(number))
}

pub(crate) fn host_error(errno: Errno) -> Result<(), CommandError> {
    Err(CommandError::Host(errno))
}

/// A guest with five devices on two collections, a third collection, and pending LPIs. Gives the pending ones.
pub(crate) fn populate(rig: &mut Rig, its: usize) -> Vec<u32> {
    for (collection, target) in [(4, 2), (11, 9), (7, 5)] {
        rig.command_on(its, mapc(collection, target)).unwrap();
    }
    let mut pending = Vec::new();
    for (n, (device, bits)) in (0_u64..).zip([(70, 4), (3, 5), (8191, 6), (71, 3), (20, 2)]) {
        rig.command_on(its, mapd(device, bits, ITTS + (its as u64 * 8 + n) * 0x800)).unwrap();
        for (m, event) in (0_u64..).zip([0, 3, (1 << bits) - 1]).take(3 - n as usize % 3) {
            let intid = 8200 + its as u64 * 1000 + n * 32 + m * 5;
            rig.command_on(its, mapti(device, event, intid, if m == 1 { 11 } else { 4 })).unwrap();
            if (n + m) % 2 == 0 {
                assert_eq!(rig.vm.signal_msi(doorbell(its), device as u32, event as u32), Ok(1));
                pending.push(intid as u32);
            }
        }
    }
    pending
}

/// Everything that a VMM moves, into a new VM on a copy of guest memory: redistributors, then ITS registers, tables, enables.
pub(crate) fn migrate(source: &mut Rig, host: Host, indirect: bool) -> Rig {
    source.gic.command(Command::SavePendingTables).unwrap();
    for its in &mut source.its {
        its.command(Command::ItsSaveTables).unwrap();
    }
    let mut target = prepared_with(host, source.its.len(), indirect, copy(&source.memory));
    for (from, to) in source.its.iter().zip(&mut target.its) {
        for offset in [0x80, 0x90, 0x88, 0x100, 0x108] {
            to.set(Attr::its(offset), from.get(Attr::its(offset)).unwrap()).unwrap();
        }
        to.command(Command::ItsRestoreTables).unwrap();
        to.set(Attr::its(0), 1).unwrap();
    }
    target
}
