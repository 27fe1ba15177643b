//! Cloud Hypervisor: `Vgic` behind a lock, `Snapshottable` over it, state as JSON.
//!
//! Rule: what the VMM asks through `&self` needs no lock of the adapter's own; nothing is flushed by a pause.

use crate::older::VmConfig;
use crate::older::cloud_hypervisor::{self as older, Gicv3ItsState};
use crate::vms::{assert_restored, pairs};
use crate::{Gic, restore, save};
use std::sync::{Arc, Mutex};
use vgic_state::Error;

/// One variant for each form that a state has had; this is the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum GicState {
    /// Registers, as the VMM has kept them itself.
    Gicv3Its(Gicv3ItsState),
    Image(Vec<u8>),
}

/// The VMM's seam to the hypervisor's controller.
trait Vgic: Send + Sync {
    fn state(&self) -> Result<GicState, Error>;
    fn set_state(&mut self, state: &GicState) -> Result<(), Box<dyn std::error::Error>>;
    fn save_data_tables(&self) -> Result<(), Error>;
}

/// What the VMM makes its controller from. Guest memory, which the backend reads, is not in the VMM's own `VgicConfig` today: it comes here
/// by way of the device manager.
struct VgicConfig {
    devices_and_memory: Gic,
    /// For older snapshots.
    vm: Option<VmConfig>,
}

struct Adapter(VgicConfig);

impl Vgic for Adapter {
    /// Asked by `Vm::snapshot`: guest memory that the flush writes is sent by the dirty pass behind it.
    fn state(&self) -> Result<GicState, Error> {
        save(&self.0.devices_and_memory).map(GicState::Image)
    }

    fn set_state(&mut self, state: &GicState) -> Result<(), Box<dyn std::error::Error>> {
        let report = match (state, &self.0.vm) {
            (GicState::Image(image), _) => restore(&self.0.devices_and_memory, image)?,
            (GicState::Gicv3Its(old), Some(vm)) => {
                let (state, missing) = older::convert(old, vm)?;
                eprint!("{missing}");
                restore(&self.0.devices_and_memory, &state.to_image()?)?
            }
            (GicState::Gicv3Its(_), None) => panic!("an older snapshot of a GICv5"),
        };
        eprint!("{report}");
        Ok(())
    }

    /// Asked by every pause, also where no snapshot follows. Tables that the guest may have put to another use are not written for that.
    fn save_data_tables(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// A part of a snapshot: its name, and a serde value as text.
struct Snapshot {
    id: &'static str,
    text: String,
}

trait Snapshottable {
    fn snapshot(&mut self) -> Result<Snapshot, Box<dyn std::error::Error>>;
}

/// The VMM's device.
struct Device(Arc<Mutex<dyn Vgic>>);

impl Snapshottable for Device {
    fn snapshot(&mut self) -> Result<Snapshot, Box<dyn std::error::Error>> {
        let vgic = self.0.lock().map_err(|_| "a thread has panicked")?;
        let GicState::Image(image) = vgic.state()? else { return Err("an older form".into()) };
        Ok(Snapshot { id: "gic", text: serde_json::to_string(&image)? })
    }
}

#[test]
fn snapshot_and_restore() {
    for (name, pair) in pairs() {
        let source = Arc::new(Mutex::new(Adapter(VgicConfig { devices_and_memory: pair.source, vm: None })));
        // A pause.
        source.lock().expect("lock").save_data_tables().expect("nothing");
        let snapshot = Device(source).snapshot().expect("snapshot");
        assert_eq!(snapshot.id, "gic");

        let state = GicState::Image(serde_json::from_str(&snapshot.text).expect("text"));
        let mut destination = Adapter(VgicConfig { devices_and_memory: pair.destination, vm: None });
        destination.set_state(&state).expect("restore");
        assert_restored(name, &destination.0.devices_and_memory, &pair.image);
    }
}

#[test]
fn a_snapshot_that_was_changed_is_an_error_and_no_panic() {
    for (_, pair) in pairs() {
        let mut image = pair.image;
        image[40] ^= 1;
        let mut destination = Adapter(VgicConfig { devices_and_memory: pair.destination, vm: None });
        let error = destination.set_state(&GicState::Image(image)).expect_err("a changed image");
        assert!(matches!(error.downcast_ref(), Some(Error::Image(_))), "{error}");
    }
}

#[test]
fn an_older_snapshot_is_restored() {
    let vms = crate::older::Move::new();
    let state = GicState::Gicv3Its(older::old_save(&vms));
    let mut destination = Adapter(VgicConfig { devices_and_memory: vms.destination.clone(), vm: Some(vms.config()) });
    destination.set_state(&state).expect("restore");
    vms.assert_moved();
}
