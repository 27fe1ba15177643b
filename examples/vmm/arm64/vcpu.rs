//! vCPUs: how they run, how they are stopped, what of them goes to another VMM.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_RUN`, `KVM_GET_REG_LIST`, `KVM_GET_ONE_REG`, `KVM_GET_MP_STATE`,
//! `KVM_GET_VCPU_EVENTS`, `KVM_ARM_VCPU_INIT`.
//!
//! Rule: a vCPU that has left `KVM_RUN` for the VMM enters it once more, with `immediate_exit`, before anything of it is saved: only
//! there KVM completes the instruction that made it leave.

#![expect(unsafe_code, reason = "a signal is what ends KVM_RUN")]

use super::Result;
use super::devices::Devices;
use super::layout::{CODE, DEVICE, DEVICE_PANIC, VCPUS};
use super::wire::Wire;
use kvm_bindings::{KVM_ARM_VCPU_POWER_OFF, KVM_ARM_VCPU_PSCI_0_2, RegList, kvm_mp_state, kvm_vcpu_events, kvm_vcpu_init};
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

/// `KVM_REG_ARM_CORE` of 64 bits at this offset of `struct kvm_regs`.
const fn core_register(offset: u64) -> u64 {
    0x6030_0000_0010_0000 + offset / 4
}

const PC: u64 = core_register(0x100);
const PSTATE: u64 = core_register(0x108);
/// `CNTVCT_EL0`, under the number that `CNTV_CVAL_EL0` should have: KVM has the two the other way round.
const KVM_REG_ARM_TIMER_CNT: u64 = 0x6030_0000_0013_df1a;
const PSTATE_I: u64 = 1 << 7;
/// A register has at most 2048 bits.
const REGISTER_BYTES: u64 = 256;
const REGISTERS_MAX: usize = 500;

/// The vCPUs of a VM; the second one is off until the first one turns it on, or until its state says otherwise.
pub(super) fn create(vm: &VmFd) -> Result<Vec<VcpuFd>> {
    let mut target = kvm_vcpu_init::default();
    vm.get_preferred_target(&mut target)?;
    let [features, ..] = &mut target.features;
    *features |= 1 << KVM_ARM_VCPU_PSCI_0_2;
    let create = |id: u32| {
        let fd = vm.create_vcpu(id.into())?;
        let mut target = target;
        if let ([features, ..], 1..) = (&mut target.features, id) {
            *features |= 1 << KVM_ARM_VCPU_POWER_OFF;
        }
        fd.vcpu_init(&target)?;
        Ok(fd)
    };
    (0..VCPUS).map(create).collect()
}

/// Where the first vCPU of a new guest starts: EL1h, all exceptions masked.
pub(super) fn boot(vcpu: &VcpuFd) -> Result<()> {
    for (id, value) in [(PC, CODE), (PSTATE, 0x3c5), (core_register(0), 0)] {
        vcpu.set_one_reg(id, &value.to_le_bytes())?;
    }
    Ok(())
}

/// Whether the vCPU is in its interrupt handler, or about to sleep or wake with interrupts masked.
pub(super) fn masked(vcpu: &VcpuFd) -> Result<bool> {
    let mut pstate = [0; 8];
    vcpu.get_one_reg(PSTATE, &mut pstate)?;
    Ok(u64::from_le_bytes(pstate) & PSTATE_I != 0)
}

/// `CNTVCT_EL0`, as the guest reads it.
pub(super) fn count(vcpu: &VcpuFd) -> Result<u64> {
    let mut count = [0; 8];
    vcpu.get_one_reg(KVM_REG_ARM_TIMER_CNT, &mut count)?;
    Ok(u64::from_le_bytes(count))
}

/// Sends a vCPU: every register that KVM lists, whether it runs, what exceptions it has to take.
pub(super) fn put(wire: &mut Wire, vcpu: &VcpuFd) -> Result<()> {
    let mut list = RegList::new(REGISTERS_MAX).map_err(|error| format!("a list of registers: {error:?}"))?;
    vcpu.get_reg_list(&mut list)?;
    wire.put(list.as_slice().len() as u64)?;
    for id in list.as_slice() {
        // KVM_REG_SIZE: [55:52] is the binary logarithm of the length in bytes.
        let mut bytes = vec![0; 1 << (id >> 52 & 0xf)];
        vcpu.get_one_reg(*id, &mut bytes).map_err(|error| format!("register {id:#x}: {error}"))?;
        wire.put(*id)?;
        wire.put_bytes(&bytes)?;
    }
    wire.put(vcpu.get_mp_state()?.mp_state.into())?;
    let exception = vcpu.get_vcpu_events()?.exception;
    wire.put(exception.serror_pending.into())?;
    wire.put(exception.serror_has_esr.into())?;
    wire.put(exception.serror_esr)
}

/// Receives a vCPU. In the order in which KVM listed the registers. `KVM_REG_ARM_TIMER_CNT` is one for all vCPUs: the last one that
/// is written counts, and is the one that was read last.
pub(super) fn get(wire: &mut Wire, vcpu: &VcpuFd) -> Result<()> {
    for _ in 0..wire.get_up_to(REGISTERS_MAX as u64)? {
        let (id, value) = (wire.get()?, wire.get_bytes(REGISTER_BYTES)?);
        vcpu.set_one_reg(id, &value).map_err(|error| format!("register {id:#x}: {error}"))?;
    }
    vcpu.set_mp_state(kvm_mp_state { mp_state: wire.get()?.try_into()? })?;
    let mut events = kvm_vcpu_events::default();
    events.exception.serror_pending = wire.get()?.try_into()?;
    events.exception.serror_has_esr = wire.get()?.try_into()?;
    events.exception.serror_esr = wire.get()?;
    Ok(vcpu.set_vcpu_events(&events)?)
}

/// vCPUs that run, each in a thread of its own.
#[derive(Debug)]
pub(super) struct Running {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<std::result::Result<VcpuFd, String>>>,
}

impl Running {
    pub(super) fn start(vcpus: Vec<VcpuFd>, devices: &Arc<Devices>) -> Result<Self> {
        handle_signal()?;
        let stop = Arc::new(AtomicBool::new(false));
        let start = |vcpu: VcpuFd| {
            let (stop, devices) = (Arc::clone(&stop), Arc::clone(devices));
            std::thread::spawn(move || run(vcpu, &stop, &devices))
        };
        Ok(Running { threads: vcpus.into_iter().map(start).collect(), stop })
    }

    /// Whether a vCPU has ended by itself.
    pub(super) fn failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Signals each thread until it has noticed: a signal between two calls of `KVM_RUN` is lost.
    pub(super) fn stop(self) -> Result<Vec<VcpuFd>> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(running) = self.threads.iter().find(|thread| !thread.is_finished()) {
            // SAFETY: the thread has not been joined, so that its id is valid; the process has a handler for the signal.
            unsafe { libc::pthread_kill(running.as_pthread_t() as _, libc::SIGUSR1) };
            sleep(Duration::from_micros(200));
        }
        let join = |thread: JoinHandle<std::result::Result<VcpuFd, String>>| match thread.join() {
            Ok(vcpu) => Ok(vcpu?),
            Err(_) => Err("the thread of a vCPU has panicked".into()),
        };
        self.threads.into_iter().map(join).collect()
    }
}

/// Has `SIGUSR1` interrupt system calls.
fn handle_signal() -> Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler: extern "C" fn(libc::c_int) = nothing;
    // SAFETY: a handler that does nothing, for a signal that nothing else in this process uses. All-zero bytes are a valid
    // `sigaction`; without SA_RESTART, the signal interrupts a system call.
    let result = unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        libc::sigaction(libc::SIGUSR1, &raw const action, core::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
}

fn run(mut vcpu: VcpuFd, stop: &AtomicBool, devices: &Devices) -> std::result::Result<VcpuFd, String> {
    while !stop.load(Ordering::Relaxed) {
        serve(&mut vcpu, devices)?;
    }
    // Completes the store that the guest may have left by.
    vcpu.set_kvm_immediate_exit(1);
    serve(&mut vcpu, devices)?;
    vcpu.set_kvm_immediate_exit(0);
    Ok(vcpu)
}

/// Enters the guest once.
fn serve(vcpu: &mut VcpuFd, devices: &Devices) -> std::result::Result<(), String> {
    match vcpu.run() {
        Ok(VcpuExit::Intr) => Ok(()),
        Ok(VcpuExit::MmioWrite(DEVICE, &[a, b, c, d])) => {
            devices.served(u32::from_le_bytes([a, b, c, d])).map_err(|error| error.to_string())
        }
        Ok(VcpuExit::MmioWrite(DEVICE_PANIC, esr)) => Err(format!("the guest took an exception: ESR_EL1 = {esr:x?}")),
        Ok(other) => Err(format!("the guest ended with {other:?}")),
        Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => Ok(()),
        Err(error) => Err(format!("KVM_RUN: {error}")),
    }
}
