//! `docs/seccomp.md` on real devices and slots: each operation runs in a process under a filter that is made of the tables there.
//!
//! Source: `tests/common/seccomp.rs`.
//!
//! Rule: the request numbers are those that a kernel takes, and what an operation does under its filter has an effect.

use crate::kernel::KernelRig;
use crate::layout;
use crate::program::{self, Devices, Table};
use crate::rig::{Config, Gic, Rig};
use crate::seccomp_rows::{Operation, done, listed_only, operate, refuse, rows, run};
use kvm_bindings::kvm_vcpu_init;
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use std::os::unix::process::ExitStatusExt;
use vgic_state::gicv3::Gicv3;
use vgic_state::kvm::{KvmDevice, VmMemslots, probe, vcpu_numbers};
use vgic_state::shadow::{Backing, ShadowKind};
use vgic_state::uapi::memory::KVM_MEM_LOG_DIRTY_PAGES;
use vgic_state::{Attr, AttrDevice, Command, DynInterruptState, Errno, InterruptState, NoGuestMemory, TableStrategy, Vcpus};
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap, MmapRegion};

const OPERATIONS: &[Operation] = &[
    ("devices", devices, &["Devices"]),
    ("slots", slots, &["Memory slots"]),
    ("guest memory", |headings| in_guest(|| listed_only(headings)), &["Devices", "Guest memory"]),
    (
        "guest memory through a pipe",
        |headings| {
            in_guest(|| {
                refuse(&["process_vm_readv"], libc::EPERM);
                listed_only(headings);
            });
        },
        &["Devices", "Guest memory", "Guest memory without `process_vm_readv`"],
    ),
    (
        "zero shadow",
        |headings| in_image(ShadowKind::Zero, || listed_only(headings)),
        &["Devices", "Guest memory", "Memory slots", "Zero shadow"],
    ),
    (
        "zero shadow in a file",
        |headings| {
            in_image(ShadowKind::Zero, || {
                refuse(&["openat"], libc::EACCES);
                listed_only(headings);
            });
        },
        &["Devices", "Guest memory", "Memory slots", "Zero shadow in a file"],
    ),
    (
        "copy-on-write shadow",
        |headings| in_image(ShadowKind::CopyOnWrite, || listed_only(headings)),
        &["Devices", "Guest memory", "Memory slots", "Copy-on-write shadow"],
    ),
    ("verified flush", |headings| verified(|| listed_only(headings)), &["Devices", "Guest memory", "Memory slots", "Zero shadow"]),
];

/// A VM with one vCPU.
fn vm() -> (VmFd, VcpuFd) {
    let vm = Kvm::new().and_then(|kvm| kvm.create_vm()).expect("a VM from /dev/kvm");
    let vcpu = vm.create_vcpu(0).expect("vCPU");
    let mut target = kvm_vcpu_init::default();
    vm.get_preferred_target(&mut target).expect("preferred target");
    vcpu.vcpu_init(&target).expect("KVM_ARM_VCPU_INIT");
    (vm, vcpu)
}

/// Probe, creation, attachment.
fn devices(headings: &[&str]) {
    let (vm, _vcpu) = vm();
    let vcpus = Vcpus::with_default_mpidrs(1).expect("vCPUs");
    listed_only(headings);
    assert!(probe(&vm).is_ok_and(|offered| offered.gicv3 && offered.its));
    assert!(vcpu_numbers(&vm).is_ok());
    let mut gic = KvmDevice::create_gicv3(&vm).expect("GICv3");
    gic.set(Attr::dist_address(), layout::DIST).expect("distributor address");
    gic.set(Attr::redist_address(), layout::REDIST).expect("redistributor address");
    gic.set(Attr::nr_irqs(), 64).expect("NR_IRQS");
    assert_eq!((gic.has(Attr::nr_irqs().id()), gic.has(Attr::irs_address().id())), (Ok(()), Err(Errno::ENXIO)));
    gic.command(Command::Init).expect("INIT");
    let mut its = KvmDevice::create_its(&vm).expect("ITS");
    its.set(Attr::its_address(), layout::its(0)).expect("ITS address");
    its.command(Command::Init).expect("INIT");
    let gic = Gicv3::attach(gic, vec![its], NoGuestMemory, vcpus).expect("attach");
    assert_eq!(gic.target().nr_irqs.get(), 64);
    done();
}

/// Slots that are listed, added, and removed, with their log.
fn slots(headings: &[&str]) {
    const BYTES: usize = 1 << 20;
    let (vm, _vcpu) = vm();
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(layout::RAM), BYTES)]).expect("memory");
    let plugged = GuestRegionMmap::<()>::new(MmapRegion::new(BYTES).expect("mapping"), GuestAddress(layout::RAM + (1 << 30)));
    let plugged = std::sync::Arc::new(plugged.expect("region"));
    listed_only(headings);
    let mut slots = VmMemslots::from_memory(&vm, &memory, 0, KVM_MEM_LOG_DIRTY_PAGES).expect("slots");
    slots.add_region(1, 0, plugged, Backing::Anonymous).expect("a slot more");
    assert_eq!(slots.take_dirty_log(0).expect("log").iter().filter(|word| **word != 0).count(), 0);
    slots.remove(1).expect("a slot less");
    assert_eq!(slots.take_dirty_log(1), Err(Errno::EINVAL));
    done();
}

/// A guest that has programmed its ITS, and a new VM with its memory.
fn pair(shadow: ShadowKind) -> [KernelRig; 2] {
    let config = Config { shadow, ..Config::default() };
    let mut source = KernelRig::new(config);
    program::basics(&mut source);
    program::enable_its(&mut source, 0, Table::TwoLevels);
    program::map(&mut source, 0, &Devices { devices: 3, ..Devices::TWO_LEVELS });
    let target = KernelRig::with_memory(config, source.memory().clone());
    [source, target]
}

/// Flush, save, check and restore.
fn moves(source: &mut Gic<KernelRig>, target: &mut Gic<KernelRig>) {
    let flushed = source.flush_tables().expect("flush");
    let state = source.save(flushed).expect("save");
    let image = state.to_image().expect("image");
    target.check_image(&image).expect("check");
    target.restore_image(&image).expect("restore");
    target.options_mut().tables = source.options_mut().tables;
    let flushed = target.flush_tables().expect("flush");
    assert_eq!(target.save(flushed).expect("save"), state);
    done();
}

fn in_guest(filter: impl FnOnce()) {
    let [mut source, mut target] = pair(ShadowKind::Zero);
    filter();
    moves(source.gicv3(), target.gicv3());
}

fn in_image(shadow: ShadowKind, filter: impl FnOnce()) {
    let [mut source, mut target] = pair(shadow);
    source.gicv3().options_mut().tables = TableStrategy::Image;
    // A log that the kernel forgets with the slot.
    source.gicv3().memory_mut().slots_mut().inner_mut().set_flags(0, KVM_MEM_LOG_DIRTY_PAGES).expect("flags");
    filter();
    moves(source.gicv3(), target.gicv3());
}

fn verified(filter: impl FnOnce()) {
    let [mut source, mut target] = pair(ShadowKind::Zero);
    source.gicv3().options_mut().verify_flush = true;
    filter();
    moves(source.gicv3(), target.gicv3());
}

/// The process that does one of them.
#[test]
fn operation() {
    operate(OPERATIONS);
}

#[test]
fn each_operation_runs_under_the_filter_of_its_rows() {
    for (name, ..) in OPERATIONS {
        let output = run("seccomp::operation", name, None);
        assert!(
            output.status.success(),
            "{name}: {}; {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Without the row of a request, the process is killed.
#[test]
fn each_request_is_made() {
    for (name, _, headings) in OPERATIONS.iter().filter(|(_, _, headings)| headings.len() == 1) {
        for row in rows(headings[0]) {
            let status = run("seccomp::operation", name, Some(&row)).status;
            assert_eq!(status.signal(), Some(libc::SIGSYS), "{name} without {row:?}: {status}");
        }
    }
}
