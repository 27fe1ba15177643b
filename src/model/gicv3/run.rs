//! `KVM_RUN`: a vCPU executes guest code.
//!
//! Source: `arch/arm64/kvm/arm.c`, `kvm_arch_vcpu_ioctl_run`, `kvm_arch_vcpu_run_pid_change`; `vgic-init.c`, `kvm_vgic_map_resources`;
//! Documentation/virt/kvm/api.rst, `KVM_RUN`.
//!
//! Rule: the lock is not held while guest code runs.

use super::behaviour::Behaviour;
use super::cpu::Cpu;
use super::el2::DEFAULT_MAINTENANCE;
use super::guest::Guest;
use super::irq::Sorting;
use super::state::State;
use super::vm::Vm;
use crate::{Errno, VcpuId};

impl Vm {
    /// `KVM_RUN`: the vCPU executes `code` as its guest, then exits; gives what `code` returned. Other threads may use the VM meanwhile;
    /// their operations that need the lock of this vCPU fail with `EBUSY`.
    ///
    /// # Errors
    ///
    /// In this order; `vgic-init.c` and `vgic-v3.c`. The last three are found by the first run, and the VM is dead after each of
    /// them; older kernels leave a VM without a working GIC:
    /// - `EBADF`: no such vCPU.
    /// - `EIO`: the VM is dead.
    /// - `EINTR`: another thread has the vCPU locked. KVM would wait; the model answers as if a signal ended the wait.
    /// - `ENXIO`: a redistributor or the distributor has no address.
    /// - `EINVAL`: the frames of distributor and redistributors overlap.
    /// - `EBUSY`: the GICv3 is not initialised.
    pub fn run<R>(&self, id: VcpuId, code: impl FnOnce(&mut Guest<'_>) -> R) -> Result<R, Errno> {
        let index = self.lock().enter(id)?;
        let running = Running { vm: self, index };
        let result = code(&mut Guest::new(self, id, index));
        drop(running);
        Ok(result)
    }
}

/// A vCPU inside `KVM_RUN`, also when guest code panics.
struct Running<'a> {
    vm: &'a Vm,
    index: usize,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.vm.lock();
        state.irqs.prune(self.index);
        if let Some(cpu) = state.cpus.get_mut(self.index) {
            cpu.running = false;
        }
    }
}

impl State {
    /// The part of `KVM_RUN` before the guest.
    fn enter(&mut self, id: VcpuId) -> Result<usize, Errno> {
        let index = self.index_of(id).ok_or(Errno::EBADF)?;
        self.alive()?;
        if self.cpus.get(index).is_none_or(Cpu::is_busy) {
            return Err(Errno::EINTR);
        }
        self.map_resources().inspect_err(|_| self.dead = true)?;
        let host = self.host;
        if let Some(cpu) = self.cpus.get_mut(index) {
            (cpu.running, cpu.has_run) = (true, true);
            cpu.icc.load(host.pri_bits);
            if let Some(el2) = &mut cpu.el2 {
                el2.load(&host);
                if self.dist.maintenance == 0 {
                    self.dist.maintenance = DEFAULT_MAINTENANCE;
                }
            }
        }
        self.irqs.sort(index, self.sorting(index));
        Ok(index)
    }

    /// How the list registers of a vCPU are filled.
    pub(super) fn sorting(&self, vcpu: usize) -> Sorting {
        let has = |behaviour| self.host.kernel.has(behaviour);
        let groups = self.cpus.get(vcpu).map(|cpu| [cpu.icc.igrpen0, cpu.icc.igrpen1]);
        Sorting {
            registers: self.host.list_registers as usize,
            pending_first: has(Behaviour::PendingBeforeActive),
            groups: groups.filter(|_| has(Behaviour::DisabledGroupsLast)),
        }
    }
}
