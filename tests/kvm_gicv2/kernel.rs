//! A VM of this machine's KVM.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_ARM_VCPU_INIT`, `KVM_IRQ_LINE`, `KVM_SET_USER_MEMORY_REGION`; Arm ARM for the few
//! instructions that the guest has.

use crate::common::{CPU, DIST, vcpus};
use crate::rig::Rig;
use kvm_bindings::{KVM_ARM_VCPU_PSCI_0_2, kvm_userspace_memory_region, kvm_vcpu_init};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use std::os::unix::thread::JoinHandleExt;
use std::sync::OnceLock;
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};
use vgic_state::gicv2::Gicv2;
use vgic_state::kvm::{KvmDevice, probe};
use vgic_state::model::gicv3::Kernel;
use vgic_state::{Attr, AttrDevice, Command, Errno};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(30);

const RAM: u64 = 0x4000_0000;
const RAM_BYTES: usize = 0x1_0000;
/// Nothing there: a store of the guest ends in the VMM.
const MMIO: u64 = 0x0900_0000;

const NOP: u32 = 0xd503_201f;
const ISB: u32 = 0xd503_3fdf;
/// `ldr w0, [x2, #0xc]`: `GICC_IAR`
const IAR: u32 = 0xb940_0c40;
/// `str w0, [x2, #0x10]`: `GICC_EOIR`
const EOIR: u32 = 0xb900_1040;
/// `str w0, [x3, #0xf00]`: `GICD_SGIR`
const SGIR: u32 = 0xb90f_0060;
/// `str w0, [x1]`
const STR: u32 = 0xb900_0020;
/// `dsb sy`
const DSB: u32 = 0xd503_3f9f;
/// `b .`
const STAY: u32 = 0x1400_0000;

/// Acknowledges, tells, ends, over and over. Each program begins with two instructions that do nothing: to complete the store that
/// ended the run before, KVM moves the PC on by one.
const ACKNOWLEDGE: &[u32] = &[NOP, NOP, IAR, STR, EOIR, DSB, ISB, STAY | (-5_i32 as u32 & 0x03ff_ffff)];
/// Ends an interrupt, and tells.
const END: &[u32] = &[NOP, NOP, EOIR, DSB, ISB, STR, STAY];
/// Sends an SGI, and tells.
const SEND: &[u32] = &[NOP, NOP, SGIR, DSB, STR, STAY];
/// Does nothing, for ever.
const SPIN: &[u32] = &[NOP, NOP, STAY];

const ACKNOWLEDGE_AT: u64 = RAM + 0x1000;
const END_AT: u64 = RAM + 0x1040;
const SEND_AT: u64 = RAM + 0x1080;
const SPIN_AT: u64 = RAM + 0x10c0;
const PROGRAMS: [(u64, &[u32]); 4] = [(ACKNOWLEDGE_AT, ACKNOWLEDGE), (END_AT, END), (SEND_AT, SEND), (SPIN_AT, SPIN)];

/// `KVM_REG_ARM_CORE` of 64 bits at this offset of `struct kvm_regs`.
const fn core_register(offset: u64) -> u64 {
    0x6030_0000_0010_0000 + offset / 4
}

const PC: u64 = core_register(0x100);
const PSTATE: u64 = core_register(0x108);
/// EL1h, every exception masked.
const MASKED: u64 = 0x3c5;

/// The field order is the order of destruction: memory goes last.
#[derive(Debug)]
pub(crate) struct KernelRig {
    gic: Gicv2<KvmDevice>,
    vcpus: Vec<Option<VcpuFd>>,
    vm: VmFd,
    _memory: GuestMemoryMmap<()>,
}

/// Release of the kernel.
pub(crate) fn release() -> String {
    uname("osrelease")
}

fn uname(which: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/kernel/{which}")).expect("release of the kernel").trim().to_string()
}

/// What the model knows of this machine's kernel; `VGIC_STATE_MODEL_KERNEL` names another release that it is to be like.
pub(crate) fn linux() -> Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    *KERNEL.get_or_init(|| {
        let kernel = match std::env::var("VGIC_STATE_MODEL_KERNEL") {
            Ok(like) => like.parse(),
            Err(_) => Kernel::from_uname(&release(), &uname("version")),
        };
        kernel.unwrap_or_else(|error| panic!("{error} (VGIC_STATE_MODEL_KERNEL=RELEASE: take it for that one)"))
    })
}

fn new_vm() -> VmFd {
    Kvm::new().and_then(|kvm| kvm.create_vm()).expect("a VM from /dev/kvm")
}

/// Whether this machine's KVM has a GICv2.
pub(crate) fn is_offered() -> bool {
    static OFFERED: OnceLock<bool> = OnceLock::new();
    *OFFERED.get_or_init(|| probe(new_vm()).expect("probe").gicv2)
}

fn set_registers(vcpu: &VcpuFd, registers: &[(u64, u64)]) {
    for (id, value) in registers {
        vcpu.set_one_reg(*id, &value.to_le_bytes()).expect("core register");
    }
}

/// Runs a program from its first instruction to the end of a store of its own, then on as long as the answer to a store is to go on.
fn run(vcpu: &mut VcpuFd, program: u64, x0: u64, mut go_on: impl FnMut(u32) -> bool) {
    let (x1, x2, x3) = (core_register(8), core_register(16), core_register(24));
    set_registers(vcpu, &[(PC, program), (PSTATE, MASKED), (core_register(0), x0), (x1, MMIO), (x2, CPU), (x3, DIST)]);
    loop {
        match vcpu.run().expect("KVM_RUN") {
            VcpuExit::MmioWrite(MMIO, &[a, b, c, d]) => {
                if !go_on(u32::from_le_bytes([a, b, c, d])) {
                    return;
                }
            }
            other => panic!("the guest ended with {other:?}"),
        }
    }
}

fn create_vcpus(vm: &VmFd, ids: impl Iterator<Item = u32>) -> Vec<VcpuFd> {
    let mut target = kvm_vcpu_init::default();
    vm.get_preferred_target(&mut target).expect("preferred target");
    target.features[0] |= 1 << KVM_ARM_VCPU_PSCI_0_2;
    let vcpus: Vec<VcpuFd> = ids.map(|id| vm.create_vcpu(id.into()).expect("vCPU")).collect();
    vcpus.iter().for_each(|vcpu| vcpu.vcpu_init(&target).expect("KVM_ARM_VCPU_INIT"));
    vcpus
}

impl Rig for KernelRig {
    type Device = KvmDevice;

    fn new(count: u32, nr_irqs: u32) -> Self {
        let vm = new_vm();
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(RAM), RAM_BYTES)]).expect("memory");
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: RAM,
            memory_size: RAM_BYTES as u64,
            userspace_addr: memory.get_host_address(GuestAddress(RAM)).expect("address") as u64,
        };
        #[expect(unsafe_code, reason = "the guest runs there")]
        // SAFETY: mapped with this address and length; lives in `KernelRig::_memory`, which is dropped after the VM.
        unsafe { vm.set_user_memory_region(region) }.expect("memory slot");
        for (address, program) in PROGRAMS {
            for (n, instruction) in (0..).zip(program) {
                memory.write_obj(*instruction, GuestAddress(address + 4 * n)).expect("memory for the guest's code");
            }
        }
        let fds = create_vcpus(&vm, 0..count);
        let mut gic = KvmDevice::create_gicv2(&vm).expect("GICv2");
        gic.set(Attr::gicv2_dist_address(), DIST).expect("distributor address");
        gic.set(Attr::gicv2_cpu_address(), CPU).expect("CPU interface address");
        gic.set(Attr::nr_irqs(), nr_irqs).expect("NR_IRQS");
        gic.command(Command::Init).expect("INIT");
        let gic = Gicv2::attach(gic, vcpus(count)).expect("attach");
        KernelRig { gic, vcpus: fds.into_iter().map(Some).collect(), vm, _memory: memory }
    }

    fn new_device(ids: &[u32]) -> (KvmDevice, Box<dyn std::any::Any>) {
        let vm = new_vm();
        let vcpus = create_vcpus(&vm, ids.iter().copied());
        (KvmDevice::create_gicv2(&vm).expect("GICv2"), Box::new((vcpus, vm)))
    }

    fn gic(&mut self) -> &mut Gicv2<KvmDevice> {
        &mut self.gic
    }

    fn kernel() -> Kernel {
        linux()
    }

    fn spi_line(&mut self, intid: u32, level: bool) -> Result<(), Errno> {
        line(&self.vm, kvm_bindings::KVM_ARM_IRQ_TYPE_SPI, 0, intid, level)
    }

    fn ppi_line(&mut self, vcpu: u32, intid: u32, level: bool) -> Result<(), Errno> {
        line(&self.vm, kvm_bindings::KVM_ARM_IRQ_TYPE_PPI, vcpu, intid, level)
    }

    fn acknowledge(&mut self, vcpu: u32, mut served: impl FnMut(&mut Self, u32)) -> Vec<u32> {
        let mut acknowledged = Vec::new();
        let mut fd = self.vcpus[vcpu as usize].take().expect("vCPU is not running");
        run(&mut fd, ACKNOWLEDGE_AT, 0, |iar| {
            if iar & 0x3ff >= 1020 {
                return false;
            }
            served(self, iar);
            acknowledged.push(iar);
            assert!(acknowledged.len() < 100, "the guest is never done: {acknowledged:x?}");
            true
        });
        self.vcpus[vcpu as usize] = Some(fd);
        acknowledged
    }

    fn enter_handler(&mut self, vcpu: u32) -> u32 {
        let fd = self.vcpus[vcpu as usize].as_mut().expect("vCPU is not running");
        let mut acknowledged = 0;
        run(fd, ACKNOWLEDGE_AT, 0, |iar| {
            acknowledged = iar;
            false
        });
        acknowledged
    }

    fn leave_handler(&mut self, vcpu: u32, iar: u32) {
        let fd = self.vcpus[vcpu as usize].as_mut().expect("vCPU is not running");
        run(fd, END_AT, iar.into(), |_| false);
    }

    fn send_sgi(&mut self, vcpu: u32, value: u32) {
        let fd = self.vcpus[vcpu as usize].as_mut().expect("vCPU is not running");
        run(fd, SEND_AT, value.into(), |_| false);
    }

    fn while_running<T>(&mut self, vcpu: u32, act: impl FnOnce(&mut Self) -> T) -> T {
        let fd = self.vcpus[vcpu as usize].take().expect("vCPU is not running");
        let running = Running::start(fd);
        let deadline = Instant::now() + PATIENCE;
        while self.dist(0, 0) != Err(Errno::EBUSY) {
            assert!(Instant::now() < deadline, "the vCPU does not run");
            sleep(Duration::from_millis(1));
        }
        let result = act(self);
        self.vcpus[vcpu as usize] = Some(running.stop());
        result
    }
}

/// Drives an interrupt line.
fn line(vm: &VmFd, kind: u32, vcpu: u32, intid: u32, level: bool) -> Result<(), Errno> {
    use kvm_bindings::{KVM_ARM_IRQ_TYPE_SHIFT, KVM_ARM_IRQ_VCPU_SHIFT};
    let irq = kind << KVM_ARM_IRQ_TYPE_SHIFT | vcpu << KVM_ARM_IRQ_VCPU_SHIFT | intid;
    vm.set_irq_line(irq, level).map_err(|error| Errno::from_raw(error.errno()))
}

/// A vCPU in `KVM_RUN`, in a guest that never leaves it; stopped when dropped.
struct Running(Option<JoinHandle<VcpuFd>>);

impl Running {
    fn start(mut vcpu: VcpuFd) -> Self {
        extern "C" fn nothing(_: libc::c_int) {}
        let handler: extern "C" fn(libc::c_int) = nothing;
        #[expect(unsafe_code, reason = "a signal is what ends KVM_RUN")]
        // SAFETY: a handler that does nothing. No other part of the test process uses the signal. Without SA_RESTART, which all-zero
        // flags leave out, the signal interrupts a system call. All-zero bytes are a valid `sigaction`.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as libc::sighandler_t;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
        }
        Running(Some(std::thread::spawn(move || {
            set_registers(&vcpu, &[(PC, SPIN_AT), (PSTATE, MASKED)]);
            match vcpu.run() {
                Err(error) if error.errno() == libc::EINTR => {}
                Ok(VcpuExit::Intr) => {}
                other => panic!("KVM_RUN ended with {other:?}"),
            }
            vcpu
        })))
    }

    /// Signals the thread until it has noticed: a signal between two system calls is lost.
    fn end(&mut self) -> Option<VcpuFd> {
        let handle = self.0.take()?;
        let deadline = Instant::now() + PATIENCE;
        while !handle.is_finished() {
            #[expect(unsafe_code, reason = "a signal is what ends KVM_RUN")]
            // SAFETY: the thread has not been joined, so that its id is valid.
            unsafe {
                libc::pthread_kill(handle.as_pthread_t() as _, libc::SIGUSR1);
            }
            if Instant::now() > deadline {
                return None;
            }
            sleep(Duration::from_millis(1));
        }
        handle.join().ok()
    }

    fn stop(mut self) -> VcpuFd {
        self.end().expect("the vCPU stops")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn what_this_machine_offers() {
    let vm = new_vm();
    let created = KvmDevice::create_gicv2(&vm);
    assert_eq!(created.is_ok(), is_offered(), "{created:?}");
    let again = KvmDevice::create_gicv2(&vm).err().map(|error| error.errno);
    assert_eq!(again, Some(if is_offered() { Errno::EEXIST } else { Errno::ENODEV }));
}
