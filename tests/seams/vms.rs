//! A source and its destination, on the model, for every adapter.
//!
//! Rule: the destination is fresh; of the source, it has guest memory.

use crate::{Gic, gicv3, gicv5, save};
use vgic_state::Mpidr;
use vgic_state::gicv3::{Gicv3, Options, TableStrategy};
use vgic_state::image::IstCoding;
use vgic_state::model::gicv3::{Slots, Vm};
use vgic_state::shadow::{ShadowKind, Shadowed};

/// Two VMs of one kind.
pub(crate) struct Pair {
    pub(crate) source: Gic,
    pub(crate) destination: Gic,
    /// What the destination must save in the end.
    pub(crate) image: Vec<u8>,
    /// Of the vCPUs, in the order of creation.
    pub(crate) mpidrs: Vec<Mpidr>,
}

fn with_slots(vm: &Vm, gic: gicv3::Gic, tables: TableStrategy) -> Gic {
    let vcpus = gic.target().vcpus.clone();
    let (gic, its) = gic.into_devices();
    let memory = Shadowed::new(vm.memory(), Slots::new(vm), ShadowKind::Zero);
    let mut options = Options::default();
    options.tables = tables;
    Box::new(Gicv3::attach(gic, its, memory, vcpus).expect("attach").with_options(options))
}

fn of_gicv3(tables: TableStrategy) -> Pair {
    let config = gicv3::Config::default();
    let (vm, gic) = gicv3::filled(config);
    let mpidrs = gic.target().vcpus.iter().map(|vcpu| vcpu.mpidr).collect();
    let mut source = with_slots(&vm, gic, tables);
    source.flush_tables().expect("flush");
    let image = save(&mut source).expect("save");
    let (other, gic) = gicv3::fresh(config, gicv3::copy(&vm.memory()));
    Pair { source, destination: with_slots(&other, gic, tables), image, mpidrs }
}

fn of_gicv5() -> Pair {
    let vcpus = gicv5::vcpus(3);
    let mut options = vgic_state::gicv5::Options::default();
    options.ist_coding = IstCoding::Sparse;
    let mut source: Gic = Box::new(gicv5::filled(&vcpus, 64, Some(8)).with_options(options));
    let image = save(&mut source).expect("save");
    let destination = Box::new(gicv5::fresh(&vcpus, 64).with_options(options));
    Pair { source, destination, image, mpidrs: vcpus.iter().map(|vcpu| vcpu.mpidr).collect() }
}

/// VMs of every kind, each with its name.
pub(crate) fn pairs() -> [(&'static str, Pair); 3] {
    [
        ("GICv3, tables in guest memory", of_gicv3(TableStrategy::GuestMemory)),
        ("GICv3, tables in the image", of_gicv3(TableStrategy::Image)),
        ("GICv5", of_gicv5()),
    ]
}

/// The backend saves the state of the source.
pub(crate) fn assert_restored(name: &str, mut destination: Gic, image: &[u8]) {
    destination.flush_tables().expect("flush");
    assert!(save(&mut destination).expect("save") == image, "{name}: the destination saves another state");
}
