//! Moves a guest's interrupts from one VM to another: size, save, look, check, restore, compare, go on.
//!
//! `cargo run --example migrate` does it between two VMs on the model. `cargo run --example migrate -- --kvm` restores into a VM of
//! this host's KVM instead, if the host has a GICv5.

#[path = "migrate/kvm.rs"]
mod kvm;
#[path = "migrate/show.rs"]
mod show;

use std::error::Error;
use std::process::ExitCode;
use vgic_state::gicv5::{Gicv5, Gicv5State, Iste};
use vgic_state::image::IstCoding;
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::{DynInterruptState, IntId, InterruptState, SpiCount, VcpuId, Vcpus};

/// Guest physical address of the IRS frames.
const IRS_BASE: u64 = 0x0800_0000;
/// LPIs of a Linux guest on four CPUs, taken out of its memory while interrupts arrived.
const LINUX_LPIS: &[u8] = include_bytes!("../tests/golden/linux73-lpi-load-flushed.lpi.ist");
const LINUX_LPI_ID_BITS: u32 = 10;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        None => migrate(false),
        Some("--kvm") => migrate(true),
        Some(other) => Err(format!("unknown argument {other}; usage: migrate [--kvm]").into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("migrate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn migrate(kvm: bool) -> Result<()> {
    let vcpus = Vcpus::with_default_mpidrs(4)?;
    let spis = SpiCount::new(64)?;

    let source = run_source(model_vm(&vcpus, spis)?)?;
    let state = source.save()?;
    show::state(&state);

    // The bytes that travel. A VMM would lend its snapshot file or its live-update area.
    let image = save(&source)?;
    println!("\nimage: {} bytes raw, {} bytes sparse", image.len(), state.to_image(IstCoding::Sparse)?.len());

    if kvm {
        return kvm::restore(&vcpus, &state, &image);
    }
    let mut destination = model_vm(&vcpus, spis)?;
    restore(&mut destination, &state, &image)?;
    deliver(destination.device_mut(), &vcpus, &state)
}

/// Saves the image of any interrupt controller.
fn save(source: &dyn DynInterruptState) -> Result<Vec<u8>> {
    let mut image = vec![0; source.requirements()?.image_max];
    let length = source.save_image(&mut image)?;
    image.truncate(length);
    Ok(image)
}

/// Restores the image and compares what the destination then has.
fn restore<S>(destination: &mut S, state: &Gicv5State<'static>, image: &[u8]) -> Result<()>
where
    S: InterruptState<State<'static> = Gicv5State<'static>>,
{
    let report = destination.restore_image(image)?;
    println!("\nrestored; findings:");
    for finding in &report.findings {
        println!("  {finding}");
    }
    if destination.save()? != *state {
        return Err("the destination differs from the source".into());
    }
    println!("the destination saves the same state");
    Ok(())
}

/// A VM on the model with an initialised GICv5.
fn model_vm(vcpus: &Vcpus, spis: SpiCount) -> Result<Gicv5<Vm>> {
    let vm = Vm::with_device(Host::default(), vcpus)?;
    Ok(Gicv5::initialise(vm, IRS_BASE, spis, vcpus.clone())?)
}

/// Lets a guest configure interrupts, and stops it with some of them pending.
fn run_source(mut source: Gicv5<Vm>) -> Result<Gicv5<Vm>> {
    let vm = source.device_mut();
    vm.plant_lpi_ist(LINUX_LPI_ID_BITS, LINUX_LPIS)?;
    for id in 0..4 {
        vm.run(VcpuId::new(id)?, |guest| {
            guest.enable_interface();
            guest.set_priority_mask(31);
            // PPI 3 is what one CPU kicks another with.
            guest.enable_ppi(3, true);
            guest.set_ppi_priority(3, 2);
            guest.pend_ppi(3, guest.iaffid() == 2);
        })?;
    }
    vm.run(VcpuId::new(0)?, |guest| {
        guest.irs_write32(vgic_state::uapi::vgic_v5::irs::GICV5_IRS_CR0, 1);
        for spi in 0..8 {
            let id = IntId::Spi(spi * 5);
            guest.cdpri(id, 4 + spi);
            guest.cdaff(id, (spi % 4) as u16);
            guest.cden(id);
        }
    })?;
    // Devices raise their lines while nobody looks.
    for spi in [5, 20, 35] {
        vm.set_spi_level(spi, true)?;
    }
    Ok(source)
}

/// Lets the guest of the destination take its interrupts: exactly those that were pending, by priority.
fn deliver(vm: &mut Vm, vcpus: &Vcpus, state: &Gicv5State<'_>) -> Result<()> {
    println!("\nthe destination's guest acknowledges");
    for vcpu in vcpus.iter() {
        let mut expected = expected(state, vcpu.id);
        let taken = vm.run(vcpu.id, |guest| {
            let mut taken = Vec::new();
            while let Some(id) = guest.acknowledge() {
                taken.push(id);
                guest.eoi();
                guest.deactivate(id);
            }
            taken
        })?;
        println!("  {vcpu}: {}", show::list(&taken));
        expected.sort_unstable();
        if taken != expected.into_iter().map(|(_, id)| id).collect::<Vec<IntId>>() {
            return Err(format!("{vcpu} took other interrupts than were pending").into());
        }
    }
    Ok(())
}

/// What a vCPU must acknowledge, with the priority: pending, enabled, not active, its own.
fn expected(state: &Gicv5State<'_>, vcpu: VcpuId) -> Vec<(u8, IntId)> {
    let deliverable = |entry: &Iste| entry.pending() && entry.enable() && !entry.active() && entry.iaffid() == vcpu.iaffid();
    let tables = state.spi_ist.nonzero().chain(state.lpi_ist.iter().flat_map(|table| table.nonzero()));
    let mut all: Vec<(u8, IntId)> =
        tables.filter(|(_, entry)| deliverable(entry)).map(|(id, entry)| (entry.priority(), id)).collect();
    for own in state.vcpus.iter().filter(|own| own.vcpu.id == vcpu) {
        let registers = &own.registers;
        let pending = registers.ppi_spendr0 & registers.ppi_enabler0 & !registers.ppi_sactiver0;
        all.extend(
            (0..8)
                .filter(|ppi| pending >> ppi & 1 != 0)
                .map(|ppi| ((registers.ppi_priorityr0 >> (8 * ppi)) as u8, IntId::Ppi(ppi))),
        );
    }
    all
}
