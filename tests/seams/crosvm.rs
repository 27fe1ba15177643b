//! crosvm: an interrupt chip that makes an erased snapshot of itself, with an ITS too.
//!
//! Rule: what is in an erased snapshot is found out by looking, and is an error if it is something else.

use crate::vms::{assert_restored, pairs};
use crate::{Gic, restore, save};
use std::error::Error;
use vgic_state::gicv3::Gicv3State;
use vgic_state::image::{self, Kind};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A serde value of which nobody knows the type; the VMM writes it as CBOR.
struct AnySnapshot(serde_json::Value);

impl AnySnapshot {
    fn of_image(image: &[u8]) -> Result<Self> {
        Ok(AnySnapshot(serde_json::to_value(image)?))
    }

    fn into_image(self) -> Result<Vec<u8>> {
        Ok(serde_json::from_value(self.0)?)
    }
}

/// The VMM's interrupt chip.
trait IrqChip {
    fn snapshot(&mut self, cpus_num: usize) -> Result<AnySnapshot>;
    fn restore(&mut self, data: AnySnapshot, vcpus_num: usize) -> Result<()>;
    fn has_vgic_its(&self) -> bool;
    /// Every vCPU exists: the controller can be initialised.
    fn finalize(&mut self) -> Result<()>;
}

/// The chip before and after it is initialised.
struct Chip {
    gic: Option<Gic>,
    /// Creates the devices, and initialises them.
    initialise: Option<Box<dyn FnOnce() -> Gic>>,
    its: bool,
}

impl Chip {
    fn gic(&self) -> Result<&Gic> {
        self.gic.as_ref().ok_or_else(|| "the interrupt chip is not finalized".into())
    }
}

/// Number of vCPUs and of ITSes in an image.
fn counts(image: &[u8]) -> Result<(usize, usize)> {
    Ok(match image::kind(image)? {
        Kind::Gicv3 => {
            let state = Gicv3State::parse(image)?;
            (state.vcpus.len(), state.its.len())
        }
        Kind::Gicv2 => (vgic_state::gicv2::Gicv2State::parse(image)?.vcpus.len(), 0),
        Kind::Gicv5 => (vgic_state::gicv5::Gicv5State::parse(image)?.vcpus.len(), 0),
        kind => return Err(format!("{kind}: unknown").into()),
    })
}

impl IrqChip for Chip {
    fn snapshot(&mut self, cpus_num: usize) -> Result<AnySnapshot> {
        let image = save(self.gic()?)?;
        match counts(&image)? {
            (vcpus, _) if vcpus == cpus_num => AnySnapshot::of_image(&image),
            (vcpus, _) => Err(format!("{vcpus} vCPUs in the snapshot, {cpus_num} in the VM").into()),
        }
    }

    fn restore(&mut self, data: AnySnapshot, vcpus_num: usize) -> Result<()> {
        let image = data.into_image()?;
        let (vcpus, its) = counts(&image)?;
        if vcpus != vcpus_num || (its != 0) != self.has_vgic_its() {
            return Err(format!("a snapshot of {vcpus} vCPUs and {its} ITSes").into());
        }
        eprint!("{}", restore(self.gic()?, &image)?);
        Ok(())
    }

    fn has_vgic_its(&self) -> bool {
        self.its
    }

    fn finalize(&mut self) -> Result<()> {
        let initialise = self.initialise.take().ok_or("finalized twice")?;
        self.gic = Some(initialise());
        Ok(())
    }
}

fn chip(gic: Gic, its: bool) -> Chip {
    let mut chip = Chip { gic: None, initialise: Some(Box::new(|| gic)), its };
    assert!(chip.snapshot(1).is_err(), "before there is a controller");
    chip.finalize().expect("finalize");
    assert!(chip.finalize().is_err());
    chip
}

#[test]
fn snapshot_and_restore() {
    for (name, pair) in pairs() {
        let its = name.starts_with("GICv3");
        let (mut source, mut destination) = (chip(pair.source, its), chip(pair.destination, its));
        let vcpus = pair.mpidrs.len();
        assert!(source.snapshot(vcpus + 1).is_err());
        let snapshot = source.snapshot(vcpus).expect("snapshot");
        assert!(destination.restore(AnySnapshot(snapshot.0.clone()), vcpus + 1).is_err());
        assert!(destination.restore(AnySnapshot("CBOR".into()), vcpus).is_err());
        destination.restore(snapshot, vcpus).expect("restore");
        assert_restored(name, &destination.gic.expect("finalized"), &pair.image);
    }
}
