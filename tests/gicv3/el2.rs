//! vCPUs with EL2 (nested virtualization): what is carried, where it is refused, and what is said where the device does not show it.

use crate::common::{Config, Gic, copy, filled, fresh, memory};
use crate::save::Save as _;
use std::collections::HashSet;
use vgic_state::gicv3::{El2Identity, El2State, Gicv3, Gicv3State, TargetEl2, has_icc};
use vgic_state::image::ImageError;
use vgic_state::model::gicv3::{Behaviour, Host, Kernel, Vm};
use vgic_state::model::{Fault, Op};
use vgic_state::report::{Problem, Refusal};
use vgic_state::uapi::vgic_v3::icc::SYS_ICC_CTLR_EL1;
use vgic_state::uapi::vgic_v3::ich::{SYS_ICH_AP0R0_EL2, SYS_ICH_HCR_EL2, SYS_ICH_LR0_EL2, SYS_ICH_VTR_EL2};
use vgic_state::{Attr, AttrDevice, AttrId, DeviceError, DynInterruptState, El2Policy, Errno, Error, InterruptState, Options};

fn config(el2: bool) -> Config {
    Config { el2, ..Config::default() }
}

fn on(host: Host, el2: bool) -> Config {
    Config { host, ..config(el2) }
}

fn with_policy((vm, mut gic): (Vm, Gic), el2: El2Policy) -> (Vm, Gic) {
    *gic.options_mut() = Options::default().with_el2(el2);
    (vm, gic)
}

fn saved(config: Config) -> Gicv3State {
    filled(config).1.flush_and_save().expect("save")
}

fn is_unavailable(error: Error) -> bool {
    matches!(error, Error::Device(error) if *error == DeviceError::El2StateUnavailable)
}

/// Why a VM refuses a state; nothing is accessed.
fn refusal((vm, mut gic): (Vm, Gic), state: &Gicv3State) -> Refusal {
    let Err(Error::Refused(refusal)) = gic.restore(state) else { panic!("not refused") };
    assert!(vm.trace().is_empty() && vm.written().is_empty());
    *refusal
}

#[test]
fn every_register_is_carried() {
    for (pri_bits, aprs) in [(5, 1), (6, 2), (7, 4), (8, 1)] {
        for (vcpus, maintenance_irq) in [(1, 0), (3, 20)] {
            let host = Host { pri_bits, list_registers: 16, ..Host::default() };
            let config = Config { vcpus, maintenance_irq, ..on(host, true) };
            let (vm, mut source) = filled(config);
            // Active priorities that only so many bits have.
            for vcpu in source.target().vcpus.clone().iter() {
                for instr in (0..aprs).flat_map(|n| [SYS_ICH_AP0R0_EL2 + n, SYS_ICH_AP0R0_EL2 + 8 + n]) {
                    let value = 1 << (instr % 16 + vcpu.id.get() as u16);
                    source.gic_mut().set(Attr::cpu_sysreg(vcpu.mpidr, instr), value).expect("active priorities");
                }
            }
            let state = source.flush_and_save().expect("save");
            assert_eq!(state.maintenance_irq, if maintenance_irq == 0 { 25 } else { maintenance_irq });
            let mut values = HashSet::new();
            for vcpu in &state.vcpus {
                let el2 = vcpu.el2.expect("EL2");
                for (row, value) in el2.registers.values() {
                    let is_there = has_icc(row.key, vcpu.icc.ctlr);
                    assert_eq!(value != 0, is_there, "{} of {}", row.id(), vcpu.vcpu);
                    assert!(!is_there || values.insert((row.key, value)), "{} has one value in two vCPUs", row.id());
                }
                assert_eq!(
                    el2.registers.values().map(|(_, value)| value).collect::<HashSet<u64>>().len(),
                    18 + 2 * aprs as usize + usize::from(aprs < 4)
                );
            }
            let (_, mut target) = fresh(config, copy(&vm.memory()));
            target.restore(&state).expect("restore");
            assert_eq!(target.flush_and_save().expect("save"), state);
            // And as an image.
            let image = state.to_image().expect("image");
            assert_eq!(Gicv3State::parse(&image).expect("image"), state);
            let (_, mut target) = fresh(config, copy(&vm.memory()));
            target.restore_image(&image).expect("restore");
            assert_eq!(target.flush_and_save().expect("save"), state);
        }
    }
}

#[test]
fn it_goes_where_it_can_be_and_nowhere_else() {
    let (nested, plain) = (saved(config(true)), saved(config(false)));
    assert_eq!(refusal(fresh(config(false), memory()), &nested), Refusal::El2Missing);
    assert_eq!(refusal(fresh(config(true), memory()), &plain), Refusal::El2Unexpected);
    for kernel in Kernel::ALL {
        let host = Host { kernel, ..Host::default() };
        let shown = kernel.has(Behaviour::HasEl2Registers);
        if kernel.has(Behaviour::RunsGuestsWithEl2) && !shown {
            // It has EL2, and no registers to write.
            assert_eq!(refusal(fresh(on(host, true), memory()), &nested), Refusal::El2Missing, "{kernel:?}");
        }
        assert_eq!(refusal(fresh(on(host, false), memory()), &nested), Refusal::El2Missing, "{kernel:?}");
    }
    let other = |maintenance_irq| Config { maintenance_irq, ..config(true) };
    let differs = Refusal::MaintenanceIrq { expected: 27, found: 25 };
    assert_eq!(refusal(fresh(other(27), memory()), &nested), differs);
    assert_eq!(refusal(fresh(other(25), memory()), &saved(other(27))), Refusal::MaintenanceIrq { expected: 25, found: 27 });
    // What the host says of itself.
    for (host, field) in [
        (Host { list_registers: 5, ..Host::default() }, "ListRegs"),
        (Host { tds: false, ..Host::default() }, "TDS"),
        (Host { pri_bits: 6, ..Host::default() }, "PREbits"),
    ] {
        let Refusal::Identity { register, field: found, .. } = refusal(fresh(on(host, true), memory()), &nested) else {
            panic!("another refusal");
        };
        assert_eq!((register.register_name().expect("name").to_string(), found), ("ICH_VTR_EL2".to_owned(), field));
    }
}

#[test]
fn the_kernel_has_its_own_maintenance_interrupt_once_a_vcpu_has_run() {
    let (vm, mut source) = filled(config(true));
    let before = source.flush_and_save().expect("save");
    vm.run(source.target().vcpus.iter().next().expect("vCPU").id, |_| ()).expect("run");
    let attached = {
        let vcpus = source.target().vcpus.clone();
        let (gic, its, memory) = source.into_parts();
        Gicv3::attach(gic, its, memory, vcpus).expect("attach")
    };
    assert_eq!(attached.target().el2, TargetEl2::Shown { maintenance_irq: before.maintenance_irq });
}

#[test]
fn a_vmm_can_say_that_it_may_be_lost() {
    let (vm, mut source) = with_policy(filled(config(true)), El2Policy::Lost);
    let state = source.flush_and_save().expect("save");
    assert!(state.vcpus.iter().all(|vcpu| vcpu.el2.is_none()) && state.maintenance_irq == 0);
    for el2 in [false, true] {
        let (_, mut target) = with_policy(fresh(config(el2), copy(&vm.memory())), El2Policy::Lost);
        target.restore(&state).expect("restore");
        assert_eq!(target.flush_and_save().expect("save"), state);
    }
    let nested = saved(config(true));
    assert_eq!(refusal(with_policy(fresh(config(true), memory()), El2Policy::Lost), &nested), Refusal::El2Missing);
}

#[test]
fn a_vmm_that_knows_of_el2_is_told_where_the_device_does_not_show_it() {
    let state = saved(config(true));
    for kernel in Kernel::ALL {
        let runs = kernel.has(Behaviour::RunsGuestsWithEl2);
        for el2 in [false, true].into_iter().filter(|el2| runs || !el2) {
            let config = on(Host { kernel, ..Host::default() }, el2);
            let shown = el2 && kernel.has(Behaviour::HasEl2Registers);
            let tells = !kernel.has(Behaviour::HasMaintenanceIrq) || kernel.has(Behaviour::GivesMaintenanceIrqAfterInit);
            let expected = match (shown, tells) {
                (true, _) => TargetEl2::Shown { maintenance_irq: 25 },
                (false, true) => TargetEl2::Absent,
                (false, false) => TargetEl2::Unknown,
            };
            let (vm, mut gic) = with_policy(fresh(config, memory()), El2Policy::Required);
            assert_eq!(gic.target().el2, expected, "{kernel:?}");
            if shown {
                gic.flush_and_save().expect("save");
                continue;
            }
            assert!(is_unavailable(gic.flush_tables().expect_err("flush")), "{kernel:?}");
            assert!(is_unavailable(gic.check(&state).expect_err("check")), "{kernel:?}");
            assert!(is_unavailable(gic.restore(&state).expect_err("restore")), "{kernel:?}");
            assert!(vm.trace().is_empty() && vm.written().is_empty());
        }
    }
}

#[test]
fn attaching_asks_twice_of_a_vm_and_twice_more_if_its_vcpus_have_el2() {
    for (vcpus, el2) in [(1, false), (7, false), (1, true), (7, true)] {
        let (vm, gic) = fresh(Config { vcpus, its: 0, ..config(el2) }, memory());
        let list = gic.target().vcpus.clone();
        let (device, ..) = gic.into_parts();
        vm.clear_trace();
        let gic = Gicv3::attach(device, Vec::new(), memory(), list).expect("attach");
        let first = gic.target().vcpus.iter().next().expect("vCPU").mpidr;
        let questions: Vec<(Op, AttrId)> = vm.trace().iter().map(|traced| (traced.access.op, traced.access.id)).collect();
        let of_vm = [(Op::Get, Attr::<u64>::cpu_sysreg(first, SYS_ICH_VTR_EL2).id()), (Op::Get, Attr::maintenance_irq().id())];
        let identity = if el2 { El2Identity::REGISTERS.len() } else { 0 };
        // GICR_IIDR once.
        assert_eq!(questions.len(), 4 + 1 + 3 * vcpus as usize + of_vm.len() + identity);
        assert!(of_vm.iter().all(|question| questions.contains(question)));
    }
}

#[test]
fn a_save_reads_each_register_once_and_a_restore_writes_it_once_behind_those_that_it_follows() {
    for vcpus in [1, 5] {
        let count = |el2: bool| {
            let config = Config { vcpus, its: 0, ..config(el2) };
            let (vm, mut source) = fresh(config, memory());
            crate::common::fill(&mut source);
            vm.clear_trace();
            let state = source.flush_and_save().expect("save");
            let saved = vm.trace().len();
            let (vm, mut target) = fresh(config, memory());
            target.restore(&state).expect("restore");
            (saved, vm.trace())
        };
        let ((plain, before), (nested, trace)) = (count(false), count(true));
        // Of 5 priority bits, one register of active priorities for each group.
        let registers = El2State::REGISTERS.len() - 6;
        assert_eq!(nested - plain, El2Identity::REGISTERS.len() + vcpus as usize * registers);
        // ICH_HCR_EL2 is read back.
        assert_eq!(trace.len() - before.len(), vcpus as usize * (registers + 1));
        let place = |instr: u16, n: usize| {
            let is = |id: AttrId| id.attr() as u16 == instr && id.group() == 6;
            trace
                .iter()
                .enumerate()
                .filter(|(_, traced)| traced.access.op == Op::Set && is(traced.access.id))
                .nth(n)
                .expect("write")
                .0
        };
        let last = vcpus as usize - 1;
        assert!(place(SYS_ICC_CTLR_EL1, last) < place(SYS_ICH_AP0R0_EL2, 0));
        assert!((0..=last).all(|n| place(SYS_ICH_LR0_EL2 + 15, n) < place(SYS_ICH_HCR_EL2, n)));
    }
}

#[test]
fn another_answer_than_that_there_is_none_is_an_error() {
    let (vm, gic) = fresh(Config { its: 0, ..config(true) }, memory());
    let list = gic.target().vcpus.clone();
    let (device, ..) = gic.into_parts();
    let first = list.iter().next().expect("vCPU").mpidr;
    let vtr = Attr::cpu_sysreg(first, SYS_ICH_VTR_EL2);
    // Behind what is read of the distributor and of two vCPUs.
    vm.set_fault(Fault::access(4 + 1 + 2 * 3, Errno::EIO));
    let error = Gicv3::attach(device.clone(), Vec::new(), memory(), list).expect_err("attach");
    assert!(error.to_string().starts_with("get ICH_VTR_EL2 of vCPU"), "{error}");
    vm.clear_faults();
    assert_eq!(device.get(vtr), Ok(0x9018_0003));
}

#[test]
fn bits_that_a_vcpu_which_has_run_drops_are_found_out() {
    let mut state = saved(config(true));
    let el2 = state.vcpus[1].el2.as_mut().expect("EL2");
    el2.registers.hcr |= 1 << 15;
    let (vm, mut target) = fresh(config(true), memory());
    vm.run(state.vcpus[1].vcpu.id, |_| ()).expect("run");
    let report = target.check(&state).expect("check");
    assert_eq!(report.findings.iter().filter(|finding| finding.problem == Problem::IgnoredBits).count(), 1);
    let Err(Error::ReadBack(error)) = target.restore(&state) else { panic!("not read back") };
    assert_eq!(error.attr.register_name().expect("name").to_string(), "ICH_HCR_EL2");
}

/// The problems of a state with one change.
fn problems(change: impl FnOnce(&mut Gicv3State)) -> Vec<Problem> {
    let (_, gic) = fresh(config(true), memory());
    let mut state = saved(config(true));
    // Of those that the model's host does not have.
    for vcpu in &mut state.vcpus {
        let registers = &mut vcpu.el2.as_mut().expect("EL2").registers;
        *registers = El2State::new(|row| {
            let value = registers.values().find(|(other, _)| *other == row).expect("register").1;
            if row.key > u32::from(SYS_ICH_LR0_EL2) + 3 { 0 } else { value }
        });
    }
    change(&mut state);
    let memory = vgic_state::NoGuestMemory;
    let ranges = vgic_state::judge::Ranges::new(vec![], vec![]);
    let report = vgic_state::judge::gicv3::problems(&state, &memory, &ranges, &gic.options().limits);
    report.findings.iter().filter(|finding| finding.first.register.is_some()).map(|finding| finding.problem).collect()
}

#[test]
fn what_is_odd_is_a_finding() {
    fn el2(state: &mut Gicv3State) -> &mut El2State {
        &mut state.vcpus[1].el2.as_mut().expect("EL2").registers
    }
    const PENDING: u64 = 1 << 62;
    const HW: u64 = 1 << 61;
    let clean = problems(|_| ());
    let more = |change: fn(&mut Gicv3State)| {
        let mut all = problems(change);
        for old in &clean {
            all.remove(all.iter().position(|new| new == old).expect("as before"));
        }
        all
    };
    assert_eq!(more(|state| el2(state).lr4 = 1), [Problem::ListRegisterBeyond]);
    for intid in [1020, 1023, 0x1_0000] {
        assert_eq!(problems(|state| el2(state).lr0 = PENDING | intid).len(), clean.len() + 1, "{intid}");
    }
    assert_eq!(more(|state| el2(state).lr0 = PENDING | 1020), [Problem::ListRegisterIntid]);
    assert_eq!(more(|state| el2(state).lr0 = 1020), []);
    assert_eq!(more(|state| el2(state).lr0 = PENDING | el2(state).lr1 & 0xffff_ffff), [Problem::ListRegisterTwice]);
    assert_eq!(more(|state| el2(state).lr0 = el2(state).lr1 & 0xffff_ffff), []);
    // 96 interrupts: PPIs and SPIs are 16 to 95.
    assert_eq!(more(|state| el2(state).lr0 = PENDING | HW | 15 << 32), [Problem::ListRegisterHardware]);
    assert_eq!(more(|state| el2(state).lr0 = PENDING | HW | 96 << 32), [Problem::ListRegisterHardware]);
    assert_eq!(more(|state| el2(state).lr0 = PENDING | HW | 95 << 32), []);
    for bit in [45, 47, 56, 58] {
        assert_eq!(problems(|state| el2(state).lr0 ^= 1 << bit).len(), clean.len() + 1, "{bit}");
    }
    assert_eq!(more(|state| el2(state).lr0 |= 1 << 32), [Problem::ReservedBits]);
    assert_eq!(more(|state| el2(state).lr0 |= 1 << 41), [], "EOI");
    assert_eq!(more(|state| el2(state).hcr |= 1 << 16), [Problem::ReservedBits]);
    assert_eq!(more(|state| el2(state).hcr |= 1 << 15), [Problem::IgnoredBits]);
    assert_eq!(more(|state| el2(state).hcr |= 1 << 14), []);
    assert_eq!(more(|state| el2(state).vmcr |= 1 << 5), [Problem::ReservedBits]);
    assert_eq!(more(|state| el2(state).ap1r0 |= 1 << 32), [Problem::ReservedBits]);
    assert_eq!(more(|state| el2(state).ap1r1 = 1), [Problem::ActivePriority]);
    assert_eq!(more(|state| state.vcpus[1].el2 = None), [Problem::El2OfSome]);
    assert_eq!(more(|state| state.maintenance_irq = 32), [Problem::MaintenanceIrq]);
    assert_eq!(more(|state| state.vcpus.iter_mut().for_each(|vcpu| vcpu.el2 = None)), [Problem::MaintenanceIrq]);
}

/// Where section 20 is, and its entry in the section table.
fn section(image: &[u8]) -> (usize, usize) {
    let entry = |n: usize| 32 + n * 24;
    let number = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().expect("word"));
    let at = (0..).map(entry).find(|at| number(*at) == 20).expect("section 20");
    (number(at + 8) as usize, at)
}

#[test]
fn an_image_with_it_is_refused_by_a_reader_that_does_not_know_it_and_a_changed_one_by_this_one() {
    let state = saved(config(true));
    let image = state.to_image().expect("image");
    let (start, entry) = section(&image);
    assert_eq!(image[entry + 4], 1, "critical: a reader that does not know the section refuses the image");
    assert_eq!(image[start..start + 8], [25, 0, 0, 0, 0, 0, 0, 0]);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut image = image.clone();
        change(&mut image);
        image[28..32].fill(0);
        let checksum = crc32(&image);
        image[28..32].copy_from_slice(&checksum.to_le_bytes());
        Gicv3State::parse(&image)
    };
    assert_eq!(changed(&|_| ()).as_ref(), Ok(&state));
    assert_eq!(changed(&|image| image[entry + 4] = 0), Err(ImageError::SectionFlags { id: 20, flags: 0 }));
    assert_eq!(changed(&|image| image[start + 4] = 1), Err(ImageError::Reserved { id: 20 }));
    // Behind the head and the columns: the name of the first vCPU, then the same of the second.
    let columns = El2Identity::REGISTERS.len() + El2State::REGISTERS.len();
    let first = start + 8 + 8 + columns * 8;
    let second = first + 8 + columns * 8;
    let unknown = |id, mpidr| Err(ImageError::El2Vcpu { id, mpidr });
    let [one, two] = [state.vcpus[0].vcpu, state.vcpus[1].vcpu];
    assert_eq!(changed(&|image| image[first] = 9), unknown(9, one.mpidr.packed()));
    assert_eq!(changed(&|image| image[second + 4] ^= 0x40), unknown(1, two.mpidr.packed() ^ 0x40));
    assert_eq!(
        changed(&|image| {
            let name: Vec<u8> = image[first..first + 8].to_vec();
            image[second..second + 8].copy_from_slice(&name);
        }),
        unknown(0, one.mpidr.packed()),
        "twice"
    );
}

/// CRC-32 as of images.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
