//! Guest code on one vCPU: MMIO, guest memory, system registers.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio.c`, `dispatch_mmio_read` and `dispatch_mmio_write`; Arm Generic Interrupt Controller
//! Architecture Specification, GICv3, CPU interface registers.
//!
//! Rule: a guest has no way in that a real one lacks: offsets in frames, names of system registers, addresses in memory.

use super::its::{Register, Run};
use super::registers::{By, Frame};
use super::state::State;
use super::vm::Vm;
use crate::uapi::vgic_v3::icc::{
    SYS_ICC_AP0R0_EL1, SYS_ICC_AP0R3_EL1, SYS_ICC_AP1R0_EL1, SYS_ICC_AP1R3_EL1, SYS_ICC_BPR0_EL1, SYS_ICC_BPR1_EL1,
    SYS_ICC_CTLR_EL1, SYS_ICC_IGRPEN0_EL1, SYS_ICC_IGRPEN1_EL1, SYS_ICC_PMR_EL1, SYS_ICC_SRE_EL1,
};
use crate::{Errno, VcpuId};
use vm_memory::{Bytes, GuestAddress};

/// Guest code on a vCPU, inside [`Vm::run`].
///
/// Offsets are in bytes, from the start of a frame. A lower number is a higher priority. In a VM without a GICv3 every read gives 0 and
/// nothing has an effect.
#[derive(Debug)]
pub struct Guest<'a> {
    vm: &'a Vm,
    id: VcpuId,
    pub(super) index: usize,
}

impl<'a> Guest<'a> {
    pub(super) fn new(vm: &'a Vm, id: VcpuId, index: usize) -> Self {
        Guest { vm, id, index }
    }

    /// The `vcpu_id` of the vCPU; also its `GICR_TYPER.Processor_Number`, by which ITS commands name it.
    #[must_use]
    pub fn vcpu_id(&self) -> VcpuId {
        self.id
    }

    pub(super) fn state<R>(&self, work: impl FnOnce(&mut State) -> R) -> Option<R> {
        let mut state = self.vm.lock();
        state.dist.exists.then(|| work(&mut state))
    }

    fn read(&self, frame: Frame, vcpu: VcpuId, offset: u32, width: u32) -> u64 {
        let value =
            self.state(|state| state.index_of(vcpu).map(|index| state.read_register(frame, index, offset, width, By::Guest)));
        value.flatten().unwrap_or(0)
    }

    fn write(&self, frame: Frame, vcpu: VcpuId, offset: u32, width: u32, value: u64) {
        self.state(|state| {
            if let Some(index) = state.index_of(vcpu) {
                // Only user space is refused.
                let _ = state.write_register(frame, index, offset, width, value, By::Guest);
            }
        });
    }

    /// A 32-bit read at `offset` in the distributor's frame; 0 where no register is.
    #[must_use]
    pub fn dist_read32(&self, offset: u32) -> u32 {
        self.read(Frame::Dist, self.id, offset, 4) as u32
    }

    /// A 32-bit write at `offset` in the distributor's frame; ignored where no register is.
    pub fn dist_write32(&mut self, offset: u32, value: u32) {
        self.write(Frame::Dist, self.id, offset, 4, value.into());
    }

    /// A 64-bit read at `offset` in the distributor's frame: `GICD_IROUTER`; 0 for any other.
    #[must_use]
    pub fn dist_read64(&self, offset: u32) -> u64 {
        self.read(Frame::Dist, self.id, offset, 8)
    }

    /// A 64-bit write at `offset` in the distributor's frame: `GICD_IROUTER`; ignored for any other.
    pub fn dist_write64(&mut self, offset: u32, value: u64) {
        self.write(Frame::Dist, self.id, offset, 8, value);
    }

    /// An 8-bit write at `offset` in the distributor's frame: `GICD_IPRIORITYR`; ignored for any other.
    pub fn dist_write8(&mut self, offset: u32, value: u8) {
        self.write(Frame::Dist, self.id, offset, 1, value.into());
    }

    /// A 32-bit read at `offset` in the redistributor of a vCPU: the RD frame from 0, the SGI frame from 0x10000; 0 where no register is.
    #[must_use]
    pub fn redist_read32(&self, vcpu: VcpuId, offset: u32) -> u32 {
        self.read(Frame::Redist, vcpu, offset, 4) as u32
    }

    /// A 32-bit write at `offset` in the redistributor of a vCPU; ignored where no register is.
    pub fn redist_write32(&mut self, vcpu: VcpuId, offset: u32, value: u32) {
        self.write(Frame::Redist, vcpu, offset, 4, value.into());
    }

    /// A 64-bit read at `offset` in the redistributor of a vCPU; 0 where no 64-bit register is.
    #[must_use]
    pub fn redist_read64(&self, vcpu: VcpuId, offset: u32) -> u64 {
        self.read(Frame::Redist, vcpu, offset, 8)
    }

    /// A 64-bit write at `offset` in the redistributor of a vCPU; ignored where no 64-bit register is.
    pub fn redist_write64(&mut self, vcpu: VcpuId, offset: u32, value: u64) {
        self.write(Frame::Redist, vcpu, offset, 8, value);
    }

    fn its_read(&self, its: usize, offset: u32, width: u32) -> u64 {
        let value = self.state(|state| {
            let its = state.its.get(its).filter(|its| its.address.is_some())?;
            let register = its_register(offset, width)?;
            let value = its.read(register, offset.into());
            Some(if width == 4 && offset & 4 != 0 && register.width() == 8 { value >> 32 } else { value })
        });
        value.flatten().unwrap_or(0)
    }

    fn its_write(&self, its: usize, offset: u32, width: u32, value: u64) {
        self.state(|state| {
            let Some(register) = its_register(offset, width) else { return };
            state.with_its(its, |model, ctx, log| {
                if model.address.is_some() && model.write(register, offset, width, value, ctx) == Run::Queue {
                    model.process_commands(its, ctx, log);
                }
            });
        });
    }

    /// A 32-bit read at `offset` in the control frame of an ITS; 0 where no register is. `its` is the index of the ITS in the order of
    /// creation, from 0.
    #[must_use]
    pub fn its_read32(&self, its: usize, offset: u32) -> u32 {
        self.its_read(its, offset, 4) as u32
    }

    /// A 32-bit write at `offset` in the control frame of an ITS; ignored where no register is.
    pub fn its_write32(&mut self, its: usize, offset: u32, value: u32) {
        self.its_write(its, offset, 4, value.into());
    }

    /// A 64-bit read at `offset` in the control frame of an ITS; 0 where no 64-bit register is.
    #[must_use]
    pub fn its_read64(&self, its: usize, offset: u32) -> u64 {
        self.its_read(its, offset, 8)
    }

    /// A 64-bit write at `offset` in the control frame of an ITS; ignored where no 64-bit register is.
    pub fn its_write64(&mut self, its: usize, offset: u32, value: u64) {
        self.its_write(its, offset, 8, value);
    }

    /// Reads guest memory from the guest physical address `address` on.
    ///
    /// # Errors
    ///
    /// `EFAULT`: a byte of the range is in no memory slot. A real vCPU would exit with `KVM_EXIT_MMIO`.
    pub fn read_memory(&self, address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        self.vm.lock().ram.slots().read_slice(bytes, GuestAddress(address)).map_err(|_| Errno::EFAULT)
    }

    /// Writes guest memory from the guest physical address `address` on. [`Vm::written`] does not include it.
    ///
    /// # Errors
    ///
    /// As [`Guest::read_memory`].
    pub fn write_memory(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.vm.lock().ram.slots().write_slice(bytes, GuestAddress(address)).map_err(|_| Errno::EFAULT)
    }

    /// Reads a CPU interface register by a name of [`uapi::vgic_v3::icc`](crate::uapi::vgic_v3::icc); 0 for any other.
    #[must_use]
    pub fn icc_read(&self, instr: u16) -> u64 {
        self.state(|state| state.cpus.get(self.index).and_then(|cpu| cpu.icc.get(instr).ok())).flatten().unwrap_or(0)
    }

    /// Writes a CPU interface register by a name of [`uapi::vgic_v3::icc`](crate::uapi::vgic_v3::icc); ignored for any other.
    pub fn icc_write(&mut self, instr: u16, value: u64) {
        self.state(|state| {
            let host = state.host;
            let Some(cpu) = state.cpus.get_mut(self.index) else { return };
            match instr {
                SYS_ICC_CTLR_EL1 => cpu.icc.guest_ctlr(value),
                SYS_ICC_SRE_EL1 => {}
                // A register that the CPU does not have would be undefined.
                SYS_ICC_PMR_EL1
                | SYS_ICC_BPR0_EL1
                | SYS_ICC_BPR1_EL1
                | SYS_ICC_IGRPEN0_EL1
                | SYS_ICC_IGRPEN1_EL1
                | SYS_ICC_AP0R0_EL1..=SYS_ICC_AP0R3_EL1
                | SYS_ICC_AP1R0_EL1..=SYS_ICC_AP1R3_EL1 => {
                    let _ = cpu.icc.set(instr, value, &host);
                    cpu.icc.load(host.pri_bits);
                }
                _ => {}
            }
        });
    }
}

/// The register of an aligned access of a width that it takes.
fn its_register(offset: u32, width: u32) -> Option<Register> {
    let register = Register::at(offset.into())?;
    (offset.is_multiple_of(width) && (width == 4 || register.width() == 8)).then_some(register)
}
