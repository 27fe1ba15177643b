//! Registers of PPIs 64 to 127 are left out where the kernel has shown that it has none, and only there.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v5.c`, Linux 7.4, has none; a later kernel may.
//!
//! Rule: the later kernel is this one with registers that keep what is written to them.

use crate::common::{filled, fresh, vcpus};
use crate::save::Save as _;
use std::collections::{BTreeMap, HashMap};
use vgic_state::gicv5::{CpuInterface, Gicv5, Gicv5State};
use vgic_state::model::gicv5::Vm;
use vgic_state::model::{Access, Fault, Op};
use vgic_state::report::Problem;
use vgic_state::uapi::vgic_v5::icc;
use vgic_state::{
    Attr, AttrDevice, AttrId, Command, DeviceError, Errno, Error, InterruptState, IstDevice, Mpidr, Operation, Vcpus, Word,
};

/// A kernel that has the registers of PPIs 64 to 127.
#[derive(Debug)]
struct Later {
    vm: Vm,
    registers: HashMap<AttrId, u64>,
    /// Bits that it keeps of each.
    kept: u64,
}

impl Later {
    fn new(vm: Vm) -> Self {
        Later { vm, registers: HashMap::new(), kept: u64::MAX }
    }
}

fn is_above_63(id: AttrId) -> bool {
    let name = id.to_string();
    let names = ["ENABLER1_", "SACTIVER1_", "SPENDR1_"].map(String::from).into_iter();
    names.chain((8..16).map(|n| format!("PRIORITYR{n}_"))).any(|part| name.contains(&part))
}

impl AttrDevice for Later {
    fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno> {
        let value = self.vm.get(attr)?;
        Ok(self.registers.get(&attr.id()).map_or(value, |kept| W::from_ne_bytes([*kept, 0].to_ne_bytes())))
    }

    fn set<W: Word>(&mut self, attr: Attr<W>, value: W) -> Result<(), Errno> {
        self.vm.set(attr, value)?;
        if is_above_63(attr.id()) {
            self.registers.insert(attr.id(), <[u64; 2]>::from_ne_bytes(value.to_ne_bytes())[0] & self.kept);
        }
        Ok(())
    }

    fn has(&self, attr: AttrId) -> Result<(), Errno> {
        self.vm.has(attr)
    }

    fn command(&mut self, command: Command) -> Result<(), Errno> {
        self.vm.command(command)
    }
}

impl IstDevice for Later {
    fn save_ist(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Errno> {
        self.vm.save_ist(spi, lpi)
    }

    fn restore_ist(&mut self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), Errno> {
        self.vm.restore_ist(spi, lpi)
    }
}

fn later(vcpus: &Vcpus) -> Gicv5<Later> {
    Gicv5::attach(Later::new(fresh(vcpus, 32).into_device()), vcpus.clone()).expect("attach")
}

/// Accesses of these registers, by vCPU.
fn above_63(trace: &[Access], op: Op) -> BTreeMap<Option<Mpidr>, usize> {
    let mut counts = BTreeMap::new();
    for access in trace.iter().filter(|access| access.op == op && is_above_63(access.id)) {
        *counts.entry(access.id.mpidr()).or_default() += 1;
    }
    counts
}

/// A state whose every register of PPIs 64 to 127 has a value of its own, but for those of one vCPU: zeros.
fn state_above_63(vcpus: &Vcpus, zero: usize) -> Gicv5State<'static> {
    let mut state = filled(vcpus, 32, Some(8)).flush_and_save().expect("save");
    for (n, vcpu) in (0..).zip(&mut state.vcpus).filter(|(n, _)| *n != zero) {
        let registers: &mut CpuInterface = &mut vcpu.registers;
        registers.ppi_enabler1 = 0x1_0001 << n;
        registers.ppi_sactiver1 = 0x2_0003 << n;
        registers.ppi_spendr1 = 0x4_0005 << n;
        registers.ppi_priorityr8 = 0x0801 + n as u64;
        registers.ppi_priorityr9 = 0x0902 + n as u64;
        registers.ppi_priorityr10 = 0x0a03 + n as u64;
        registers.ppi_priorityr11 = 0x0b04 + n as u64;
        registers.ppi_priorityr12 = 0x0c05 + n as u64;
        registers.ppi_priorityr13 = 0x0d06 + n as u64;
        registers.ppi_priorityr14 = 0x0e07 + n as u64;
        registers.ppi_priorityr15 = 0x0f08 + n as u64;
    }
    state
}

#[test]
fn a_kernel_without_them_is_asked_once_for_a_vm() {
    let vcpus = vcpus(5);
    let state = filled(&vcpus, 32, Some(8)).flush_and_save().expect("save");
    let mut gic = fresh(&vcpus, 32);
    gic.restore(&state).expect("restore");
    let first = state.vcpus[0].vcpu.mpidr;
    let trace = gic.device().trace();
    for op in [Op::Get, Op::Set] {
        assert_eq!(above_63(&trace, op), BTreeMap::from([(Some(first), 8)]), "eight priorities of one vCPU are asked for");
    }
    // What the restore has learnt, a save makes use of; another attachment knows nothing.
    gic.device_mut().clear_trace();
    assert_eq!(gic.flush_and_save().expect("save"), state);
    assert_eq!(gic.device().trace().len(), 12 + 1 + 15 * 5);
    let mut other = Gicv5::attach(gic.into_device(), vcpus.clone()).expect("attach");
    other.device_mut().clear_trace();
    assert_eq!(other.flush_and_save().expect("save"), state);
    assert_eq!(other.device().trace().len(), 12 + 1 + 26 * 5);
}

/// With zeros in the registers of any vCPU, the first included: a restore that failed has left something in each.
#[test]
fn a_kernel_with_them_gets_and_gives_all() {
    let vcpus = vcpus(4);
    for zero in 0..4 {
        let state = state_above_63(&vcpus, zero);
        let mut gic = later(&vcpus);
        for vcpu in vcpus.iter() {
            let attrs = icc::REGISTERS.iter().map(|(_, instr)| Attr::cpu_sysreg(vcpu.mpidr, *instr as u16));
            for attr in attrs.filter(|attr| is_above_63(attr.id())) {
                gic.device_mut().set(attr, 0xdead).expect("set");
            }
        }
        let report = gic.restore(&state).expect("restore");
        assert!(
            report.findings.iter().any(|finding| finding.problem == Problem::IgnoredBits),
            "as before: no kernel is known to have them"
        );
        assert_eq!(gic.flush_and_save().expect("save"), state);
        let mut other = Gicv5::attach(gic.into_device(), vcpus.clone()).expect("attach");
        assert_eq!(other.flush_and_save().expect("save"), state);
    }
}

/// One priority bit of one PPI is enough.
#[test]
fn a_kernel_that_keeps_any_priority_has_them() {
    let vcpus = vcpus(3);
    let state = state_above_63(&vcpus, 1);
    for bit in 0..64 {
        let mut gic = later(&vcpus);
        gic.device_mut().kept = 1 << bit;
        assert_eq!(gic.probe_ppis(), Ok(false));
        gic.restore(&state).expect("restore");
        let found = gic.flush_and_save().expect("save");
        for (found, given) in found.vcpus.iter().zip(&state.vcpus) {
            assert_eq!(found.registers.ppi_priorityr15, given.registers.ppi_priorityr15 & 1 << bit);
            assert_eq!(found.registers.ppi_enabler1, given.registers.ppi_enabler1 & 1 << bit);
        }
    }
}

#[test]
fn an_attachment_that_is_kept_can_ask_before_the_guest_runs() {
    let vcpus = vcpus(2);
    let mut gic = fresh(&vcpus, 32);
    assert_eq!(gic.probe_ppis(), Ok(true));
    assert_eq!(gic.device().trace().len(), 24, "each is read, written and read");
    let state = filled(&vcpus, 32, Some(8)).flush_and_save().expect("save");
    gic.device_mut().clear_trace();
    gic.restore(&state).expect("restore");
    assert_eq!(gic.device().trace().len(), 2 + 12 + 1 + 15 * 2);
    gic.device_mut().clear_trace();
    assert_eq!(gic.flush_and_save().expect("save"), state);
    assert_eq!(gic.device().trace().len(), 12 + 1 + 15 * 2);

    // What was there is there again.
    let mut gic = later(&vcpus);
    let first = vcpus.iter().next().expect("a vCPU").mpidr;
    let attr = Attr::cpu_sysreg(first, icc::SYS_ICC_PPI_PRIORITYR8_EL1);
    gic.device_mut().set(attr, 0x77).expect("set");
    assert_eq!(gic.probe_ppis(), Ok(false));
    assert_eq!(gic.device().get(attr), Ok(0x77));
    assert_eq!(gic.device().registers.len(), 1, "one register is enough");
    gic.device_mut().clear_trace();
    gic.flush_and_save().expect("save");
    assert_eq!(gic.device().vm.trace().len(), 12 + 1 + 26 * 2);
}

impl Later {
    fn clear_trace(&mut self) {
        self.vm.clear_trace();
    }
}

#[test]
fn a_guest_that_has_run_is_not_asked() {
    let vcpus = vcpus(3);
    let state = filled(&vcpus, 32, None).flush_and_save().expect("save");
    let mut gic = fresh(&vcpus, 32);
    let first = state.vcpus[0].vcpu;
    gic.device_mut().run(first.id, |_| ()).expect("run");
    gic.device_mut().clear_trace();
    let Err(Error::Access(error)) = gic.probe_ppis() else { panic!("the kernel refuses a write") };
    assert_eq!((error.operation, error.errno), (Operation::Set, Errno::EBUSY));
    gic.device_mut().clear_trace();
    gic.flush_and_save().expect("save");
    assert_eq!(gic.device().trace().len(), 12 + 1 + 26 * 3);
    // And a restore says what it said before: nothing of these registers.
    let error = gic.restore(&state).expect_err("it has run");
    assert!(
        matches!(&error, Error::Device(error) if matches!(**error, DeviceError::NotFresh { .. }))
            || error.to_string().contains("IRS_IDR0"),
        "{error}"
    );
}

#[test]
fn a_question_that_fails_says_how_far_the_restore_has_come() {
    let vcpus = vcpus(3);
    let state = filled(&vcpus, 32, Some(8)).flush_and_save().expect("save");
    let mut gic = fresh(&vcpus, 32);
    gic.restore(&state).expect("restore");
    let steps = gic.device().trace();
    let questions = 2 + 12 + 1..2 + 12 + 1 + 16;
    for (k, step) in steps.iter().enumerate().filter(|(k, _)| questions.contains(k)) {
        let mut gic = fresh(&vcpus, 32);
        gic.device_mut().set_fault(Fault::access(k as u32, Errno::ENOSPC));
        let Err(Error::Access(error)) = gic.restore(&state) else { panic!("fault {k}") };
        let operation = if step.op == Op::Get { Operation::Get } else { Operation::Set };
        assert_eq!((error.operation, error.attr, error.errno), (operation, step.id, Errno::ENOSPC));
        assert_eq!(error.value, (step.op == Op::Set).then_some(u64::MAX), "what was to be written");
        let applied = error.applied.expect("how far it came");
        assert_eq!((applied.done, applied.total, applied.last), (13, 13 + 26 * 3, Some(AttrId::IST)));
        assert!(error.to_string().ends_with("discard this VM"), "{error}");
        assert_eq!(gic.restore(&state), Err(DeviceError::RestoredBefore.into()));
    }
}
