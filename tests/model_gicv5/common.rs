//! VMs to begin with, raw accesses, and a table of checks broken in pairs.
//!
//! Source: none; helpers.
//!
//! Rule: a VM made here is as far in its life as its name says, and no further.

use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::model::{Op, User};
use vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V5;
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, Mpidr, Vcpu, VcpuId};

pub(crate) const IRS_ADDRESS: u64 = 0x4_5670_0000;
pub(crate) const CFGR: u32 = 0x190;
pub(crate) const BASER: u32 = 0x180;
/// A guest's LPI table: address and VALID.
pub(crate) const BASER_VALID: u64 = 0x8_9abc_dec1;
/// LPI ID bits of most tests: 1024 bytes.
pub(crate) const BITS: u32 = 8;
pub(crate) const SPIS: u32 = 64;
pub(crate) const SPI_BYTES: usize = 256;
pub(crate) const LPI_BYTES: usize = 1024;

pub(crate) fn vcpu_id(id: u32) -> VcpuId {
    VcpuId::new(id).unwrap()
}

/// Ids and affinities that say nothing of each other, and of the order of creation: 5, 2, 9.
pub(crate) const VCPUS: [(u32, Mpidr); 3] = [(5, Mpidr::new(0, 1, 2, 3)), (2, Mpidr::new(0, 0, 4, 1)), (9, Mpidr::new(7, 0, 0, 6))];

pub(crate) fn vcpu(index: usize) -> Vcpu {
    let (id, mpidr) = VCPUS[index];
    Vcpu { id: vcpu_id(id), mpidr }
}

/// vCPUs and an untouched device.
pub(crate) fn created_on(host: Host) -> Vm {
    let mut vm = Vm::new(host);
    for index in 0..VCPUS.len() {
        vm.create_vcpu(vcpu(index)).unwrap();
    }
    vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V5).unwrap();
    vm
}

pub(crate) fn created() -> Vm {
    created_on(Host::default())
}

/// Address set, 64 SPIs, initialised.
pub(crate) fn ready_on(host: Host) -> Vm {
    let mut vm = created_on(host);
    vm.set(Attr::irs_address(), IRS_ADDRESS).unwrap();
    vm.set(Attr::nr_irqs(), SPIS).unwrap();
    vm.command(Command::Init).unwrap();
    vm
}

pub(crate) fn ready() -> Vm {
    ready_on(Host::default())
}

/// Ready, and the registers say that the guest has an LPI table.
pub(crate) fn ready_for_lpis() -> Vm {
    let mut vm = ready();
    vm.set(Attr::irs(CFGR), u64::from(BITS)).unwrap();
    vm.set(Attr::irs(BASER), BASER_VALID).unwrap();
    vm
}

/// Every vCPU ran once and did nothing.
pub(crate) fn run_all(vm: &mut Vm) {
    for (id, _) in VCPUS {
        vm.run(vcpu_id(id), |_| ()).unwrap();
    }
}

pub(crate) fn get64(vm: &mut Vm, id: AttrId) -> Result<u64, Errno> {
    let mut value = 0x5a5a;
    vm.ioctl(Op::Get, id, User::U64(&mut value)).map(|()| value)
}

pub(crate) fn set64(vm: &mut Vm, id: AttrId, mut value: u64) -> Result<(), Errno> {
    vm.ioctl(Op::Set, id, User::U64(&mut value))
}

pub(crate) fn has(vm: &mut Vm, id: AttrId) -> Result<(), Errno> {
    vm.ioctl(Op::Has, id, User::Null)
}

/// A check of the kernel: its name, how to fail it, the error number.
pub(crate) type Row<C> = (&'static str, fn(&mut C), Errno);

/// Breaks every check alone, and every check together with each later one: the earlier one answers. Checks that exclude each other
/// set the same part of the case, and the earlier one is broken last.
pub(crate) fn assert_order<C: Clone>(good: &C, rows: &[Row<C>], access: impl Fn(&C) -> Result<(), Errno>) {
    assert_eq!(access(good), Ok(()), "nothing broken");
    for (index, (first, break_first, errno)) in rows.iter().enumerate() {
        for (later, break_later, _) in &rows[index..] {
            let mut case = good.clone();
            break_later(&mut case);
            break_first(&mut case);
            assert_eq!(access(&case), Err(*errno), "{first}, before {later}");
        }
    }
}
