//! A guest with a GICv5: what it is before the move, and what it takes after it.
//!
//! Rule: on the model a guest is a closure; what it leaves pending is what it must acknowledge on the other side.

use super::{Result, show, vmm};
use vgic_state::gicv5::{Gicv5, Gicv5State, Idr0, Idr1, Idr2, IrsIdentity, Iste};
use vgic_state::image::IstCoding;
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::uapi::vgic_v5::{irs, irs_fields};
use vgic_state::{DynInterruptState, IntId, InterruptState, IstDevice, Options, SpiCount, SpiSet, VcpuId, Vcpus};

/// Guest physical address of the IRS frames.
pub(crate) const IRS_BASE: u64 = 0x0800_0000;
/// LPIs of a Linux guest on four CPUs, taken out of its memory while interrupts arrived.
const LINUX_LPIS: &[u8] = include_bytes!("../../tests/golden/linux73-lpi-load-flushed.lpi.ist");
const LINUX_LPI_ID_BITS: u32 = 10;
/// The first of four more LPIs, one for each CPU: what another CPU interrupts it with, as Linux does.
const IPI: u32 = 200;
/// The PPI that software makes pending.
pub(crate) const SW_PPI: u32 = 3;
/// An SPI whose device holds its line high until it is served.
const LEVEL_SPI: u32 = 20;

/// What both ends have in common.
pub(crate) fn vm_of_the_guest() -> Result<(Vcpus, SpiCount)> {
    Ok((Vcpus::with_default_mpidrs(4)?, SpiCount::new(64)?))
}

pub(crate) fn between_models() -> Result<Vec<u8>> {
    let (vcpus, spis) = vm_of_the_guest()?;
    let mut destination = model_vm(Host::default(), &vcpus, spis)?;
    let (state, image) = migrate_to(&mut destination)?;
    deliver(destination.device_mut(), &vcpus, &state)?;
    Ok(image)
}

/// Moves a guest from a VM on the model to a fresh device.
pub(crate) fn migrate_to<D: IstDevice>(destination: &mut Gicv5<D>) -> Result<(Gicv5State<'static>, Vec<u8>)> {
    let target = destination.target();
    let mut source = run_source(model_vm(host_like(&target.identity), &target.vcpus, target.spi_count)?)?;
    let flushed = source.flush_tables()?;
    let state = source.save(flushed)?;
    show::state(&state);

    let image = vmm::migrate(&mut source, destination, |_| Ok(()))?;
    println!("\nimage: {} bytes raw, {} bytes sparse", image.len(), state.to_image(IstCoding::Sparse)?.len());
    let flushed = destination.flush_tables()?;
    if destination.save(flushed)? != state {
        return Err("the destination differs from the source".into());
    }
    println!("the destination saves the same state");
    Ok((state, image))
}

/// What KVM's interface does not carry: which SPIs the devices of the VM have made level-triggered. Both ends are told.
pub(crate) fn options() -> Result<Options> {
    Ok(Options::default().with_level_spis(SpiSet::new([LEVEL_SPI])?))
}

/// A VM on the model with an initialised GICv5.
fn model_vm(host: Host, vcpus: &Vcpus, spis: SpiCount) -> Result<Gicv5<Vm>> {
    let vm = Vm::with_device(host, vcpus)?;
    Ok(Gicv5::initialise(vm, IRS_BASE, spis, vcpus.clone())?.with_options(options()?))
}

/// A host of the model with the limits of this one: what a guest was shown, it must be shown again.
fn host_like(identity: &IrsIdentity) -> Host {
    let idr2 = Idr2::from_bits(identity.idr2);
    Host {
        id_bits: idr2.id_bits().into(),
        min_lpi_id_bits: idr2.min_lpi_id_bits().into(),
        priority_bits: u32::from(Idr1::from_bits(identity.idr1).priority_bits()) + 1,
        pa_range: Idr0::from_bits(identity.idr0).pa_range().into(),
        ..Host::default()
    }
}

/// Lets a guest configure interrupts, and stops it with some of them pending.
fn run_source(mut source: Gicv5<Vm>) -> Result<Gicv5<Vm>> {
    let vm = source.device_mut();
    // The table of the Linux guest, in the least width of LPI IDs that the host has and that holds it.
    let bits = LINUX_LPI_ID_BITS.max(vm.host().min_lpi_id_bits);
    let mut lpis = LINUX_LPIS.to_vec();
    lpis.resize(4 << bits, 0);
    vm.plant_lpi_ist(bits, &lpis).map_err(|error| format!("the host has no LPI IDs of {bits} bits: {error}"))?;

    for id in 0..4 {
        vm.run(VcpuId::new(id)?, |guest| {
            guest.enable_interface();
            guest.set_priority_mask(31);
            guest.enable_ppi(SW_PPI, true);
            guest.set_ppi_priority(SW_PPI, 8);
            let own = IntId::Lpi(IPI + id);
            guest.cdpri(own, 2);
            guest.cdaff(own, guest.iaffid());
            guest.cden(own);
        })?;
    }
    vm.run(VcpuId::new(0)?, |guest| {
        guest.irs_write32(irs::GICV5_IRS_CR0, irs_fields::GICV5_IRS_CR0_IRSEN);
        for spi in 0..8 {
            let id = IntId::Spi(spi * 5);
            guest.cdpri(id, 4 + spi);
            guest.cdaff(id, (spi % 4) as u16);
            guest.cden(id);
        }
        guest.irs_write32(irs::GICV5_IRS_SPI_SELR, LEVEL_SPI);
        guest.irs_write32(irs::GICV5_IRS_SPI_CFGR, irs_fields::GICV5_IRS_SPI_CFGR_TM);
        // This CPU interrupts two others.
        guest.cdpend(IntId::Lpi(IPI + 1), true);
        guest.cdpend(IntId::Lpi(IPI + 3), true);
    })?;
    vm.run(VcpuId::new(2)?, |guest| guest.pend_ppi(SW_PPI, true))?;
    // Devices raise their lines while nobody looks.
    for spi in [5, LEVEL_SPI, 35] {
        vm.set_spi_level(spi, true)?;
    }
    Ok(source)
}

/// Lets the guest of the destination take its interrupts: exactly those that were pending or whose line is high, by priority.
fn deliver(vm: &mut Vm, vcpus: &Vcpus, state: &Gicv5State<'_>) -> Result<()> {
    // Lines are in no image: this device holds its own high.
    vm.set_spi_level(LEVEL_SPI, true)?;

    println!("\nthe destination's guest acknowledges");
    for vcpu in vcpus.iter() {
        let mut taken = Vec::new();
        while let Some(id) = vm.run(vcpu.id, |guest| guest.acknowledge())? {
            taken.push(id);
            if id == IntId::Spi(LEVEL_SPI) {
                if !is_pending(vm, id) {
                    return Err(format!("{id} is not pending, and its line is high").into());
                }
                // The driver has served the device.
                vm.set_spi_level(LEVEL_SPI, false)?;
            }
            vm.run(vcpu.id, |guest| {
                guest.eoi();
                guest.deactivate(id);
            })?;
            if is_pending(vm, id) {
                return Err(format!("{id} is still pending").into());
            }
        }
        println!("  {vcpu}: {}", show::list(&taken));
        let mut expected = expected(state, vcpu.id);
        expected.sort_unstable();
        if taken != expected.into_iter().map(|(_, id)| id).collect::<Vec<IntId>>() {
            return Err(format!("{vcpu} took other interrupts than were pending").into());
        }
    }
    Ok(())
}

/// Whether an SPI or LPI is pending.
fn is_pending(vm: &Vm, id: IntId) -> bool {
    vm.entry(id).is_some_and(|entry| Iste::from_bits(entry).pending())
}

/// What a vCPU must acknowledge, with the priority: pending or with a line that is high, enabled, not active, its own.
fn expected(state: &Gicv5State<'_>, vcpu: VcpuId) -> Vec<(u8, IntId)> {
    let pending = |id, entry: &Iste| entry.pending() || id == IntId::Spi(LEVEL_SPI);
    let deliverable = |entry: &Iste| entry.enable() && !entry.active() && entry.iaffid() == vcpu.iaffid();
    let all = show::interrupts(state).filter(|(id, entry)| pending(*id, entry) && deliverable(entry));
    all.map(|(id, entry)| (entry.priority(), id)).collect()
}
