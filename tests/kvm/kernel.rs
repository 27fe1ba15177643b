//! A VM of this machine's KVM.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_ARM_VCPU_INIT`, `KVM_IRQ_LINE`, `KVM_SET_USER_MEMORY_REGION`, `KVM_SIGNAL_MSI`; Arm ARM
//! for the few instructions that the guest has.

use crate::fault::Faulty;
use crate::faults::Faults;
use crate::layout;
use crate::rig::{BeforeInit, Config, Gic, Memory, Rig};
use kvm_bindings::{KVM_ARM_VCPU_PSCI_0_2, KVM_MSI_VALID_DEVID, kvm_msi, kvm_userspace_memory_region, kvm_vcpu_init};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use std::os::unix::thread::JoinHandleExt;
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};
use vgic_state::gicv3::Gicv3;
use vgic_state::kvm::{KvmDevice, VmMemslot, VmMemslots};
use vgic_state::model::gicv3::{Behaviour, Kernel};
use vgic_state::shadow::{Backing, Memslot, Shadowed};
use vgic_state::uapi::vgic_v3::dist::{GICD_CTLR, GICD_TYPER2};
use vgic_state::uapi::vgic_v3::icc::SYS_ICC_CTLR_EL1;
use vgic_state::uapi::vgic_v3::ich::SYS_ICH_VTR_EL2;
use vgic_state::uapi::vgic_v3::its::GITS_TRANSLATER;
use vgic_state::{Attr, AttrDevice, Command, Errno, GuestRange};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryRegion, MemoryRegionAddress};

/// Of `include/uapi/linux/kvm.h` and `arch/arm64/include/uapi/asm/kvm.h`; not every kvm-bindings has them.
const KVM_CAP_ARM_EL2: std::ffi::c_ulong = 240;
const KVM_ARM_VCPU_HAS_EL2: u32 = 7;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(30);

const NOP: u32 = 0xd503_201f;
const ISB: u32 = 0xd503_3fdf;
/// `mrs x0, ICC_IAR1_EL1`
const IAR: u32 = 0xd538_cc00;
/// `msr ICC_EOIR1_EL1, x0`
const EOIR: u32 = 0xd518_cc20;
/// `str w0, [x1]`
const STR: u32 = 0xb900_0020;
/// `b .`
const STAY: u32 = 0x1400_0000;

/// Acknowledges, tells, ends, over and over. Each program begins with two instructions that do nothing: to complete the store that
/// ended the run before, KVM moves the PC on by one.
const ACKNOWLEDGE: &[u32] = &[NOP, NOP, IAR, STR, EOIR, ISB, STAY | (-4_i32 as u32 & 0x03ff_ffff)];
/// Ends an interrupt, and tells.
const END: &[u32] = &[NOP, NOP, EOIR, ISB, STR, STAY];
/// Does nothing, for ever.
const SPIN: &[u32] = &[NOP, NOP, STAY];

/// Writes the first word of x0 pages from x2 on, and tells.
const TOUCH: &[u32] = &[NOP, NOP, 0xf900_0042, 0x9140_0442, 0xd100_0400, 0xb5ff_ffa0, STR, STAY];

const ACKNOWLEDGE_AT: u64 = layout::CODE;
const END_AT: u64 = layout::CODE + 0x40;
const SPIN_AT: u64 = layout::CODE + 0x80;
const TOUCH_AT: u64 = layout::CODE + 0xc0;
const PROGRAMS: [(u64, &[u32]); 4] = [(ACKNOWLEDGE_AT, ACKNOWLEDGE), (END_AT, END), (SPIN_AT, SPIN), (TOUCH_AT, TOUCH)];

/// `KVM_REG_ARM_CORE` of 64 bits at this offset of `struct kvm_regs`.
const fn core_register(offset: u64) -> u64 {
    0x6030_0000_0010_0000 + offset / 4
}

const PC: u64 = core_register(0x100);
const PSTATE: u64 = core_register(0x108);
/// EL1h, every exception masked.
const MASKED: u64 = 0x3c5;
/// `HCR_EL2` as a register of `KVM_SET_ONE_REG`; what a hypervisor sets while its guest runs: RW, IMO, FMO, and no TGE.
const HCR_EL2: u64 = 0x6030_0000_0013_e088;
const HCR_NESTED: u64 = 1 << 31 | 1 << 4 | 1 << 3;
const HCR_TGE: u64 = 1 << 27;

/// The field order is the order of destruction: memory goes last.
#[derive(Debug)]
pub(crate) struct KernelRig {
    gicv3: Gic<KernelRig>,
    faults: Faults,
    vcpus: Vec<Option<VcpuFd>>,
    vm: Arc<VmFd>,
    config: Config,
    memory: Memory,
}

/// Release of the kernel.
#[allow(dead_code, reason = "not for the benchmarks")]
pub(crate) fn release() -> String {
    uname("osrelease")
}

fn uname(which: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/kernel/{which}")).expect("release of the kernel").trim().to_string()
}

/// What the model knows of this machine's kernel; `VGIC_STATE_MODEL_KERNEL` names another release that it is to be like, where the
/// model does not know it.
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

/// What KVM takes over from the host: `ICC_CTLR_EL1` and `GICD_TYPER2` of a fresh VM.
pub(crate) fn host_registers() -> (u64, u32) {
    static REGISTERS: OnceLock<(u64, u32)> = OnceLock::new();
    *REGISTERS.get_or_init(|| {
        let mut rig = KernelRig::new(Config { vcpus: 1, its: 0, ..Config::default() });
        (rig.icc(0, SYS_ICC_CTLR_EL1).expect("ICC_CTLR_EL1"), rig.dist(GICD_TYPER2))
    })
}

/// `ICH_VTR_EL2` of a fresh VM whose vCPUs have EL2; none where there is no such VM, or it does not show it.
pub(crate) fn virtual_interface() -> Option<u64> {
    static REGISTER: OnceLock<Option<u64>> = OnceLock::new();
    *REGISTER.get_or_init(|| {
        let has = KernelRig::offers_el2() && linux().has(Behaviour::HasEl2Registers);
        let mut rig = has.then(|| KernelRig::new(Config { vcpus: 1, its: 0, el2: true, ..Config::default() }))?;
        rig.icc(0, SYS_ICH_VTR_EL2).ok()
    })
}

fn set_registers(vcpu: &VcpuFd, registers: &[(u64, u64)]) {
    for (id, value) in registers {
        vcpu.set_one_reg(*id, &value.to_le_bytes()).expect("core register");
    }
}

/// Runs a program from its first instruction to its first store, then on as long as the answer to a store is to go on.
fn run(vcpu: &mut VcpuFd, program: u64, x0: u64, mut go_on: impl FnMut(u32) -> bool) {
    let registers = [(PC, program), (PSTATE, MASKED), (core_register(0), x0), (core_register(8), layout::MMIO)];
    set_registers(vcpu, &registers);
    loop {
        match vcpu.run().expect("KVM_RUN") {
            VcpuExit::MmioWrite(layout::MMIO, &[a, b, c, d]) => {
                if !go_on(u32::from_le_bytes([a, b, c, d])) {
                    return;
                }
            }
            other => panic!("the guest ended with {other:?}"),
        }
    }
}

impl KernelRig {
    /// What a VMM that knows its host decides.
    #[allow(dead_code, reason = "not for the benchmarks")]
    pub(crate) fn ask_for_vcpu_numbers(&mut self) {
        self.gicv3.options_mut().vcpu_numbers = vgic_state::kvm::vcpu_numbers(&*self.vm).expect("capability");
    }

    /// Runs a program at EL1 of a vCPU with EL2, without a stage 2 of its own: as the guest of a hypervisor that has set `HCR_EL2` for it.
    fn run_nested(&mut self, vcpu: usize, program: u64, x0: u64, go_on: impl FnMut(u32) -> bool) {
        let fd = self.vcpus[vcpu].as_mut().expect("vCPU is not running");
        let mut own = [0; 8];
        fd.get_one_reg(HCR_EL2, &mut own).expect("HCR_EL2");
        let own = u64::from_le_bytes(own);
        set_registers(fd, &[(HCR_EL2, own & !HCR_TGE | HCR_NESTED)]);
        run(fd, program, x0, go_on);
        set_registers(fd, &[(HCR_EL2, own)]);
    }

    /// Has the guest write to every page of a range. How long it takes is what the benchmark asks.
    #[allow(dead_code, reason = "for the benchmark")]
    pub(crate) fn touch(&mut self, vcpu: usize, start: u64, bytes: u64) -> Duration {
        let fd = self.vcpus[vcpu].as_mut().expect("vCPU is not running");
        set_registers(fd, &[(core_register(16), start)]);
        let began = Instant::now();
        run(fd, TOUCH_AT, bytes / 4096, |_| false);
        began.elapsed()
    }
}

/// Gives a VM its memory.
fn memslots(vm: &Arc<VmFd>, memory: &Memory) -> VmMemslots<Arc<VmFd>> {
    let slots = (0..).zip(memory.iter()).map(|(slot, region)| {
        let range = GuestRange::new(region.start_addr().0, region.len());
        let mapping = region.get_mmap();
        let host = region.get_host_address(MemoryRegionAddress(0)).expect("address") as u64;
        let region = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: range.start,
            memory_size: range.end - range.start,
            userspace_addr: host,
        };
        #[expect(unsafe_code, reason = "the guest writes there")]
        // SAFETY: mapped with this address and length; lives in `KernelRig::memory`, which is dropped after the VM.
        unsafe { vm.set_user_memory_region(region) }.expect("memory slot");
        VmMemslot { memslot: Memslot::new(slot, 0, range, Backing::of(&*mapping)), userspace_addr: host }
    });
    let slots: Vec<_> = slots.collect();
    #[expect(unsafe_code, reason = "the slots are created again")]
    // SAFETY: these are the slots just created, and the memory outlives the VM.
    unsafe {
        VmMemslots::new(Arc::clone(vm), slots)
    }
}

impl Rig for KernelRig {
    type Device = KvmDevice;
    type Slots = VmMemslots<Arc<VmFd>>;

    fn with_memory(config: Config, memory: Memory) -> Self {
        let vm = Kvm::new().and_then(|kvm| kvm.create_vm()).expect("a VM from /dev/kvm");
        let vm = Arc::new(vm);
        let slots = memslots(&vm, &memory);
        for (address, program) in PROGRAMS {
            for (n, instruction) in (0..).zip(program) {
                memory.write_obj(*instruction, GuestAddress(address + 4 * n)).expect("memory for the guest's code");
            }
        }
        let mut target = kvm_vcpu_init::default();
        vm.get_preferred_target(&mut target).expect("preferred target");
        target.features[0] |= 1 << KVM_ARM_VCPU_PSCI_0_2;
        if config.el2 {
            target.features[0] |= 1 << KVM_ARM_VCPU_HAS_EL2;
        }
        let vcpus: Vec<VcpuFd> = (0..config.vcpus).map(|n| vm.create_vcpu(config.vcpu(n).id.get().into()).expect("vCPU")).collect();
        vcpus.iter().for_each(|vcpu| vcpu.vcpu_init(&target).expect("KVM_ARM_VCPU_INIT"));

        let mut gic = KvmDevice::create_gicv3(&vm).expect("GICv3");
        gic.set(Attr::dist_address(), layout::DIST).expect("distributor address");
        gic.set(Attr::redist_address(), layout::REDIST).expect("redistributor address");
        gic.set(Attr::nr_irqs(), config.nr_irqs).expect("NR_IRQS");
        if config.maintenance_irq != 0 {
            gic.set(Attr::maintenance_irq(), config.maintenance_irq).expect("MAINT_IRQ");
        }
        gic.command(Command::Init).expect("INIT");
        let its = (0..config.its).map(|n| {
            let mut its = KvmDevice::create_its(&vm).expect("ITS");
            its.set(Attr::its_address(), layout::its(n)).expect("ITS address");
            its.command(Command::Init).expect("INIT");
            its
        });
        let faults = Faults::default();
        let its = its.map(|its| Faulty::new(its, &faults)).collect();
        let guest = Shadowed::new(memory.clone(), Faulty::new(slots, &faults), config.shadow);
        let mut gicv3 = Gicv3::attach(Faulty::new(gic, &faults), its, guest, config.vcpus()).expect("attach");
        gicv3.options_mut().vcpu_numbers = config.vcpu_numbers();
        KernelRig { gicv3, faults, vcpus: vcpus.into_iter().map(Some).collect(), vm, config, memory }
    }

    fn offers_el2() -> bool {
        Kvm::new().expect("/dev/kvm").check_extension_raw(KVM_CAP_ARM_EL2) > 0
    }

    fn before_init() -> BeforeInit {
        let vm = Kvm::new().and_then(|kvm| kvm.create_vm()).expect("a VM from /dev/kvm");
        let _vcpu = vm.create_vcpu(0).expect("vCPU");
        let mut gic = KvmDevice::create_gicv3(&vm).expect("GICv3");
        BeforeInit::ask(&mut gic, || line(&vm, kvm_bindings::KVM_ARM_IRQ_TYPE_SPI, 0, 7, true))
    }

    fn config(&self) -> Config {
        self.config
    }

    fn kernel() -> Kernel {
        linux()
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn gicv3(&mut self) -> &mut Gic<Self> {
        &mut self.gicv3
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn msi(&mut self, its: usize, device: u32, event: u32) -> Result<i32, Errno> {
        let doorbell = layout::its(its) + GITS_TRANSLATER;
        let msi = kvm_msi {
            address_lo: doorbell as u32,
            address_hi: (doorbell >> 32) as u32,
            data: event,
            flags: KVM_MSI_VALID_DEVID,
            devid: device,
            ..kvm_msi::default()
        };
        self.vm.signal_msi(msi).map_err(|error| Errno::from_raw(error.errno()))
    }

    fn spi_line(&mut self, intid: u32, level: bool) -> Result<(), Errno> {
        line(&self.vm, kvm_bindings::KVM_ARM_IRQ_TYPE_SPI, 0, intid, level)
    }

    fn ppi_line(&mut self, vcpu: usize, intid: u32, level: bool) -> Result<(), Errno> {
        line(&self.vm, kvm_bindings::KVM_ARM_IRQ_TYPE_PPI, line_vcpu(self.config, vcpu), intid, level)
    }

    fn acknowledge(&mut self, vcpu: usize) -> Vec<u32> {
        let mut intids = Vec::new();
        let (vm, line_vcpu) = (&self.vm, line_vcpu(self.config, vcpu));
        let fd = self.vcpus[vcpu].as_mut().expect("vCPU is not running");
        // There is none when there is none twice: KVM fills list registers when the guest is entered, and an interrupt that was ended
        // since then has left one empty.
        let mut is_first = true;
        run(fd, ACKNOWLEDGE_AT, 0, |intid| {
            if (1020..1024).contains(&intid) {
                return std::mem::replace(&mut is_first, false);
            }
            is_first = true;
            lower(vm, line_vcpu, intid);
            intids.push(intid);
            assert!(intids.len() < 0x1_0000, "the guest is never done: {:?}", &intids[..100]);
            true
        });
        intids
    }

    fn enter_handler(&mut self, vcpu: usize) -> u32 {
        let fd = self.vcpus[vcpu].as_mut().expect("vCPU is not running");
        let mut acknowledged = 0;
        run(fd, ACKNOWLEDGE_AT, 0, |intid| {
            acknowledged = intid;
            false
        });
        lower(&self.vm, line_vcpu(self.config, vcpu), acknowledged);
        acknowledged
    }

    fn leave_handler(&mut self, vcpu: usize, intid: u32) {
        let fd = self.vcpus[vcpu].as_mut().expect("vCPU is not running");
        run(fd, END_AT, intid.into(), |_| false);
    }

    fn nested_acknowledge(&mut self, vcpu: usize) -> Vec<u32> {
        let mut intids = Vec::new();
        self.run_nested(vcpu, ACKNOWLEDGE_AT, 0, |intid| {
            let goes_on = !(1020..1024).contains(&intid);
            if goes_on {
                intids.push(intid);
            }
            assert!(intids.len() < 100, "the nested guest is never done: {intids:?}");
            goes_on
        });
        intids
    }

    fn nested_enter_handler(&mut self, vcpu: usize) -> u32 {
        let mut acknowledged = 0;
        self.run_nested(vcpu, ACKNOWLEDGE_AT, 0, |intid| {
            acknowledged = intid;
            false
        });
        acknowledged
    }

    fn nested_leave_handler(&mut self, vcpu: usize, intid: u32) {
        self.run_nested(vcpu, END_AT, intid.into(), |_| false);
    }

    fn while_running<T>(&mut self, vcpu: usize, act: impl FnOnce(&mut Self) -> T) -> T {
        let fd = self.vcpus[vcpu].take().expect("vCPU is not running");
        let running = Running::start(fd);
        let deadline = Instant::now() + PATIENCE;
        while self.gicv3.gic().get(Attr::dist(GICD_CTLR)) != Err(Errno::EBUSY) {
            assert!(Instant::now() < deadline, "the vCPU does not run");
            sleep(Duration::from_millis(1));
        }
        let result = act(self);
        self.vcpus[vcpu] = Some(running.stop());
        result
    }
}

/// How `KVM_IRQ_LINE` names a vCPU: by its id or by its place in the order of creation.
fn line_vcpu(config: Config, vcpu: usize) -> u32 {
    if linux().has(Behaviour::NamesVcpusById) { config.vcpu(vcpu).id.get() } else { vcpu as u32 }
}

/// Drives an interrupt line.
fn line(vm: &VmFd, kind: u32, vcpu: u32, intid: u32, level: bool) -> Result<(), Errno> {
    use kvm_bindings::{KVM_ARM_IRQ_TYPE_SHIFT, KVM_ARM_IRQ_VCPU_SHIFT};
    let irq = kind << KVM_ARM_IRQ_TYPE_SHIFT | vcpu << KVM_ARM_IRQ_VCPU_SHIFT | intid;
    vm.set_irq_line(irq, level).map_err(|error| Errno::from_raw(error.errno()))
}

/// What a device does when its interrupt is served.
fn lower(vm: &VmFd, vcpu: u32, intid: u32) {
    match intid {
        16..32 => line(vm, kvm_bindings::KVM_ARM_IRQ_TYPE_PPI, vcpu, intid, false).expect("PPI line"),
        32..1020 => line(vm, kvm_bindings::KVM_ARM_IRQ_TYPE_SPI, 0, intid, false).expect("SPI line"),
        _ => {}
    }
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
    use vgic_state::kvm::probe;

    let vm = Kvm::new().and_then(|kvm| kvm.create_vm()).expect("a VM from /dev/kvm");
    let offered = probe(&vm).expect("probe");
    assert!(offered.gicv3 && offered.its, "{offered:?}");
    let by_id = linux().has(Behaviour::NamesVcpusById);
    let numbers = if by_id { vgic_state::VcpuNumbers::VcpuId } else { vgic_state::VcpuNumbers::CreationOrder };
    assert_eq!(vgic_state::kvm::vcpu_numbers(&vm), Ok(numbers));
    KvmDevice::create_gicv3(&vm).expect("GICv3");
    assert_eq!(KvmDevice::create_gicv3(&vm).err().map(|error| error.errno), Some(Errno::EEXIST));
    assert_eq!(KvmDevice::create_gicv5(&vm).is_ok(), offered.gicv5);
}
