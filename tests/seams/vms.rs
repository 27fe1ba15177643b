//! A source and its destination, on the model, for every adapter.
//!
//! Rule: the destination is fresh; of the source, it has guest memory.

use crate::{Devices, Gic, gicv2, gicv3, gicv5, save};
use std::sync::{Arc, Mutex, PoisonError};
use vgic_state::gicv2::Gicv2;
use vgic_state::gicv3::Gicv3;
use vgic_state::gicv5::Gicv5;
use vgic_state::image::IstCoding;
use vgic_state::model::gicv2 as model_gicv2;
use vgic_state::model::gicv3::{Device, Slots, Vm};
use vgic_state::model::gicv5 as model_gicv5;
use vgic_state::shadow::{ShadowKind, Shadowed};
use vgic_state::{DynInterruptState, Error, InterruptState, Mpidr, Options, SpiSet, TableStrategy, Vcpus};

/// Two VMs of one kind.
pub(crate) struct Pair {
    pub(crate) source: Gic,
    pub(crate) destination: Gic,
    /// What the destination must save in the end.
    pub(crate) image: Vec<u8>,
    /// Of the vCPUs, in the order of creation.
    pub(crate) mpidrs: Vec<Mpidr>,
}

/// The devices of a GICv3 with an ITS.
pub(crate) struct OfGicv3 {
    gic: Device,
    its: Vec<Device>,
    vm: Vm,
    vcpus: Vcpus,
    tables: TableStrategy,
}

impl OfGicv3 {
    pub(crate) fn shared(vm: Vm, gic: gicv3::Gic, tables: TableStrategy) -> Gic {
        let vcpus = gic.target().vcpus.clone();
        let (gic, its, _) = gic.into_parts();
        Arc::new(OfGicv3 { gic, its, vm, vcpus, tables })
    }
}

impl Devices for OfGicv3 {
    fn attach(&self, work: &mut dyn FnMut(&mut dyn DynInterruptState) -> Result<(), Error>) -> Result<(), Error> {
        let memory = Shadowed::new(self.vm.memory(), Slots::new(&self.vm), ShadowKind::Zero);
        let options = Options::default().with_tables(self.tables);
        work(&mut Gicv3::attach(self.gic.clone(), self.its.clone(), memory, self.vcpus.clone())?.with_options(options))
    }
}

/// The device of a GICv2.
struct OfGicv2 {
    gic: model_gicv2::Device,
    vcpus: Vcpus,
}

impl Devices for OfGicv2 {
    fn attach(&self, work: &mut dyn FnMut(&mut dyn DynInterruptState) -> Result<(), Error>) -> Result<(), Error> {
        work(&mut Gicv2::attach(self.gic.clone(), self.vcpus.clone())?)
    }
}

/// The device of a GICv5. KVM's is a descriptor; the model's is the VM itself, which wants a lock. The VMM's interrupt allocator knows
/// which SPIs its devices have made level-triggered: KVM does not say it, so each operation is told.
struct OfGicv5 {
    vm: Mutex<model_gicv5::Vm>,
    vcpus: Vcpus,
    level_spis: SpiSet,
}

/// A UART and a clock.
const LEVEL: [u32; 2] = [3, 47];

impl OfGicv5 {
    fn shared(gic: Gicv5<model_gicv5::Vm>) -> Gic {
        let vcpus = gic.target().vcpus.clone();
        let level_spis = SpiSet::new(LEVEL).expect("SPIs");
        Arc::new(OfGicv5 { vm: Mutex::new(gic.into_device()), vcpus, level_spis })
    }
}

impl Devices for OfGicv5 {
    fn attach(&self, work: &mut dyn FnMut(&mut dyn DynInterruptState) -> Result<(), Error>) -> Result<(), Error> {
        let mut vm = self.vm.lock().unwrap_or_else(PoisonError::into_inner);
        let options = Options::default().with_ist_coding(IstCoding::Sparse).with_level_spis(self.level_spis);
        work(&mut Gicv5::attach(&mut *vm, self.vcpus.clone())?.with_options(options))
    }
}

fn of_gicv2() -> Pair {
    let (count, nr_irqs) = (3, 96);
    let shared = |gic: Gicv2<model_gicv2::Device>| -> Gic {
        let vcpus = gic.target().vcpus.clone();
        Arc::new(OfGicv2 { gic: gic.into_gic(), vcpus })
    };
    let (_, mut gic) = gicv2::attached(model_gicv2::Host::default(), count, nr_irqs);
    gic.restore(&gicv2::full_state(count, nr_irqs)).expect("restore");
    let source = shared(gic);
    let image = save(&source).expect("save");
    let (_, gic) = gicv2::attached(model_gicv2::Host::default(), count, nr_irqs);
    let mpidrs = gic.target().vcpus.iter().map(|vcpu| vcpu.mpidr).collect();
    Pair { source, destination: shared(gic), image, mpidrs }
}

fn of_gicv3(tables: TableStrategy) -> Pair {
    let config = gicv3::Config::default();
    let (vm, gic) = gicv3::filled(config);
    let mpidrs = gic.target().vcpus.iter().map(|vcpu| vcpu.mpidr).collect();
    let source = OfGicv3::shared(vm.clone(), gic, tables);
    let image = save(&source).expect("save");
    let (other, gic) = gicv3::fresh(config, gicv3::copy(&vm.memory()));
    Pair { source, destination: OfGicv3::shared(other, gic, tables), image, mpidrs }
}

fn of_gicv5() -> Pair {
    let vcpus = gicv5::vcpus(3);
    let source = OfGicv5::shared(gicv5::filled(&vcpus, 64, Some(8)));
    let image = save(&source).expect("save");
    let destination = OfGicv5::shared(gicv5::fresh(&vcpus, 64));
    Pair { source, destination, image, mpidrs: vcpus.iter().map(|vcpu| vcpu.mpidr).collect() }
}

/// VMs of every kind, each with its name.
pub(crate) fn pairs() -> [(&'static str, Pair); 4] {
    [
        ("GICv2", of_gicv2()),
        ("GICv3, tables in guest memory", of_gicv3(TableStrategy::GuestMemory)),
        ("GICv3, tables in the image", of_gicv3(TableStrategy::Image)),
        ("GICv5", of_gicv5()),
    ]
}

/// The backend saves the state of the source.
pub(crate) fn assert_restored(name: &str, destination: &Gic, image: &[u8]) {
    assert!(save(destination).expect("save") == image, "{name}: the destination saves another state");
}
