//! Firecracker: an enum of controllers, `Persist` around it, a snapshot of at most 10 MB.
//!
//! Rule: sizes are known before a byte is saved, vCPUs are compared before one is restored, in the form that this VMM passes: an
//! attribute's, not the register's.

use crate::older::VmConfig;
use crate::older::firecracker as older;
use crate::vms::{assert_restored, pairs};
use crate::{Gic, restore, save};
use vgic_state::gicv2::Gicv2State;
use vgic_state::gicv3::Gicv3State;
use vgic_state::gicv5::Gicv5State;
use vgic_state::image::{self, Kind};
use vgic_state::{Error, Mpidr, TopologyError, Vcpus};

/// What a snapshot file can hold.
const SNAPSHOT_MAX: usize = 10_000_000;

/// The state of this version of the VMM.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GicState {
    image: Vec<u8>,
}

impl GicState {
    /// The state of a snapshot of an earlier version.
    fn upgrade(old: &older::GicState, vm: &VmConfig, mpidrs: &[u64]) -> Result<Self, GicError> {
        let (state, missing) = older::convert(old, vm, mpidrs)?;
        eprint!("{missing}");
        Ok(GicState { image: state.to_image()? })
    }
}

#[derive(Debug, thiserror::Error)]
enum GicError {
    #[error("the interrupt controller: {0}")]
    State(Error),
    #[error("the interrupt controller does not fit into a snapshot")]
    TooLarge,
    #[error("the VM has other vCPUs than the snapshot")]
    Vcpus,
}

impl<E: Into<Error>> From<E> for GicError {
    fn from(error: E) -> Self {
        GicError::State(error.into())
    }
}

/// The VMM's controllers: one variant for all of them.
enum GicDevice {
    Backend(Gic),
}

/// The vCPUs that an image is of.
fn vcpus(image: &[u8]) -> Result<Vcpus, GicError> {
    let topology = match image::kind(image)? {
        Kind::Gicv2 => Gicv2State::parse(image)?.topology(),
        Kind::Gicv3 => Gicv3State::parse(image)?.topology(),
        Kind::Gicv5 => Gicv5State::parse(image)?.topology(),
        _ => return Err(GicError::Vcpus),
    };
    topology.map_err(|error: TopologyError| error.into())
}

/// Whether these are the vCPUs of the VM, whose affinities the VMM has made ready for the attributes of its device: `[63:32]`.
fn same(vcpus: &Vcpus, mpidrs: &[u64]) -> bool {
    let mpidrs = mpidrs.iter().map(|mpidr| Mpidr::from_attr(*mpidr));
    vcpus.iter().map(|vcpu| vcpu.mpidr).eq(mpidrs)
}

impl GicDevice {
    /// The VMM writes its memory file after this.
    fn save_device(&self, mpidrs: &[u64]) -> Result<GicState, GicError> {
        let GicDevice::Backend(gic) = self;
        let image = save(gic)?;
        if image.len() > SNAPSHOT_MAX {
            return Err(GicError::TooLarge);
        }
        if same(&vcpus(&image)?, mpidrs) { Ok(GicState { image }) } else { Err(GicError::Vcpus) }
    }

    fn restore_device(&self, mpidrs: &[u64], state: &GicState) -> Result<(), GicError> {
        if !same(&vcpus(&state.image)?, mpidrs) {
            return Err(GicError::Vcpus);
        }
        let GicDevice::Backend(gic) = self;
        eprint!("{}", restore(gic, &state.image)?);
        Ok(())
    }
}

/// The VMM's contract of everything that has state.
trait Persist: Sized {
    type State;
    type ConstructorArgs;
    type Error;
    fn save(&self) -> Self::State;
    fn restore(args: Self::ConstructorArgs, state: &Self::State) -> Result<Self, Self::Error>;
}

/// A controller with the vCPUs it belongs to.
struct Controller(GicDevice, Vec<u64>);

impl Persist for Controller {
    type State = Result<GicState, String>;
    type ConstructorArgs = (Gic, Vec<u64>);
    type Error = GicError;

    /// The contract has no error here: it goes into the state, and the VMM looks before it writes the file.
    fn save(&self) -> Self::State {
        self.0.save_device(&self.1).map_err(|error| error.to_string())
    }

    fn restore((gic, mpidrs): Self::ConstructorArgs, state: &Self::State) -> Result<Self, GicError> {
        let device = GicDevice::Backend(gic);
        device.restore_device(&mpidrs, state.as_ref().map_err(|_| GicError::Vcpus)?)?;
        Ok(Controller(device, mpidrs))
    }
}

/// What the VMM makes of the `MPIDR_EL1` of its vCPUs, which it has read with `KVM_GET_ONE_REG`.
fn for_attributes(vcpus: &[Mpidr]) -> Vec<u64> {
    const RES1: u64 = 1 << 31;
    let attribute = |register: u64| {
        let [.., aff3, _, aff2, aff1, aff0] = register.to_be_bytes();
        u64::from_be_bytes([aff3, aff2, aff1, aff0, 0, 0, 0, 0])
    };
    vcpus.iter().map(|mpidr| attribute(mpidr.to_register() | RES1)).collect()
}

#[test]
fn save_and_restore() {
    for (name, pair) in pairs() {
        let mpidrs = for_attributes(&pair.mpidrs);
        assert!(mpidrs.len() >= 2, "an affinity that is taken wrongly can be right by chance for one vCPU");
        let source = Controller(GicDevice::Backend(pair.source), mpidrs.clone());
        let state = source.save();
        let restored = Controller::restore((pair.destination, mpidrs), &state).expect("restore");
        let GicDevice::Backend(gic) = restored.0;
        assert_restored(name, &gic, &pair.image);
    }
}

#[test]
fn other_vcpus_and_large_images_are_refused() {
    for (_, mut pair) in pairs() {
        let bound = pair.source.attach(&mut |gic| {
            assert!(gic.requirements()?.image_max < SNAPSHOT_MAX, "whatever the guest has mapped");
            Ok(())
        });
        assert_eq!(bound, Ok(()));
        let state = Ok(GicState { image: pair.image });
        pair.mpidrs.reverse();
        let refused = Controller::restore((pair.destination, for_attributes(&pair.mpidrs)), &state);
        assert!(matches!(refused, Err(GicError::Vcpus)));
    }
}

/// The registers themselves, which another VMM may pass, are other vCPUs in this form.
#[test]
fn registers_are_refused() {
    for (_, pair) in pairs() {
        let registers = pair.mpidrs.iter().map(|mpidr| mpidr.to_register()).collect();
        let refused = Controller::restore((pair.destination, registers), &Ok(GicState { image: pair.image }));
        assert!(matches!(refused, Err(GicError::Vcpus)));
    }
}

#[test]
fn an_older_snapshot_is_restored() {
    let vms = crate::older::Move::new();
    let config = vms.config();
    let mpidrs = for_attributes(&config.vcpus.iter().map(|vcpu| vcpu.mpidr).collect::<Vec<_>>());
    let state = GicState::upgrade(&older::old_save(&vms, &mpidrs), &config, &mpidrs).expect("state");
    Controller::restore((vms.destination.clone(), mpidrs), &Ok(state)).expect("restore");
    vms.assert_moved();
}
