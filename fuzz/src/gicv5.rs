//! The model of a GICv5 against its backend and its image: save, restore into a fresh VM, save again.
//!
//! Rule: registers and tables hold what user space can put there; what was saved is restored, and is the same.

use arbitrary::Arbitrary;
use vgic_state::gicv5::{Gicv5, Gicv5State};
use vgic_state::image::IstCoding;
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::report::{Problem, Refusal};
use vgic_state::uapi::vgic_v5::{icc, irs};
use vgic_state::{Attr, AttrDevice, DynInterruptState, Error, InterruptState, IstKind, Options, SpiCount, Vcpus};

#[derive(Arbitrary, Debug)]
struct Input {
    vcpus: u8,
    spis: u8,
    lpi_bits: u8,
    priority_bits: u8,
    sparse: bool,
    irs: Vec<(u8, u64)>,
    icc: Vec<(u8, u8, u64)>,
    /// Entries: place, word.
    table: Vec<(u16, u32)>,
    fill: u32,
}

/// Offsets of the IRS, also those that are no state.
const OFFSETS: u32 = 0x400;

fn fresh(host: Host, vcpus: &Vcpus, spis: SpiCount, coding: IstCoding) -> Gicv5<Vm> {
    let vm = Vm::with_device(host, vcpus).expect("VM");
    let options = Options::default().with_ist_coding(coding);
    Gicv5::initialise(vm, 0x0800_0000, spis, vcpus.clone()).expect("device").with_options(options)
}

fn table(input: &Input, entries: usize, kind: IstKind) -> Vec<u8> {
    // Reserved bits are none of hardware's.
    let mask = !0x0000_01e0;
    let mut words = vec![input.fill & mask; entries];
    for (at, word) in input.table.iter().filter(|(at, _)| (at & 1 == 0) == (kind == IstKind::Spi)) {
        words[usize::from(at >> 1) % entries] = word & mask;
    }
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(arbitrary::Unstructured::new(data)) else { return };
    let vcpus = Vcpus::with_default_mpidrs(1 + u32::from(input.vcpus % 5)).expect("vCPUs");
    let spis = SpiCount::new(32 * (1 + u32::from(input.spis % 32))).expect("SPIs");
    let host = Host { min_lpi_id_bits: 0, priority_bits: 1 + u32::from(input.priority_bits % 5), ..Host::default() };
    let coding = if input.sparse { IstCoding::Sparse } else { IstCoding::Raw };
    let mut source = fresh(host, &vcpus, spis, coding);
    let vm = source.device_mut();
    vm.plant_spi_ist(&table(&input, spis.get() as usize, IstKind::Spi)).expect("SPIs");
    // 12 bits at most: an execution costs what a table does.
    let bits = u32::from(input.lpi_bits % 16);
    if bits <= 12 {
        vm.plant_lpi_ist(bits, &table(&input, 1 << bits, IstKind::Lpi)).expect("LPIs");
    }
    for (at, value) in &input.irs {
        let attr: Attr<u64> = Attr::irs(u32::from(*at) * 4 % OFFSETS);
        // An IDR that is written is narrowed: the backend has read it before, as a VMM has.
        if u32::from(*at) * 4 % OFFSETS >= irs::GICV5_IRS_CR0 {
            let _ = vm.set(attr, *value);
        }
    }
    for (vcpu, instr, value) in &input.icc {
        let vcpu = vcpus.iter().nth(usize::from(*vcpu) % vcpus.len()).expect("vCPU");
        let (_, instr) = icc::REGISTERS[usize::from(*instr) % icc::REGISTERS.len()];
        vm.set(Attr::cpu_sysreg(vcpu.mpidr, instr as u16), *value).expect("register");
    }
    // A guest that made its table valid and whose kernel has none: no such VM has run.
    let flush = |gic: &mut Gicv5<Vm>| gic.flush_tables().expect("nothing to flush");
    let flushed = flush(&mut source);
    let Ok(state) = source.save(flushed) else { return };
    let image = state.to_image(coding).expect("image");
    assert!(image.len() <= source.requirements().expect("requirements").image_max);
    let mut buffer = vec![0xee; source.requirements().expect("requirements").image_max];
    let flushed = flush(&mut source);
    let length = source.save_image(flushed, &mut buffer).expect("save");
    assert!(buffer[..length] == image, "two ways to an image");
    assert_eq!(Gicv5State::parse(&image).as_ref(), Ok(&state));

    let mut destination = fresh(host, &vcpus, spis, coding);
    destination.device_mut().clear_trace();
    match destination.restore_image(&image) {
        Ok(_) => {
            let flushed = flush(&mut destination);
            assert_eq!(destination.save(flushed).as_ref(), Ok(&state));
        }
        Err(Error::Refused(refusal)) => {
            // What the guest wrote there makes no difference to it, and KVM would refuse it.
            assert!(destination.device().trace().is_empty(), "a refusal accesses nothing: {refusal}");
            let Refusal::Problem(finding) = *refusal else { panic!("{refusal}") };
            assert!(matches!(finding.problem, Problem::IstCfgr | Problem::LpiIdBits), "{finding}");
        }
        Err(error) => panic!("{error}"),
    }
}
