//! Cloud Hypervisor: `Vgic` behind a lock, `Snapshottable` over it, state as JSON.
//!
//! Rule: what the VMM asks through `&self` goes through a lock of the adapter's own; nothing is flushed by a pause.

use crate::vms::{assert_restored, pairs};
use crate::{Gic, save};
use std::sync::{Arc, Mutex, MutexGuard};
use vgic_state::Error;

/// One variant for each form that a state has had; this is the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum GicState {
    Image(Vec<u8>),
}

/// The VMM's seam to the hypervisor's controller.
trait Vgic: Send + Sync {
    fn state(&self) -> Result<GicState, Error>;
    fn set_state(&mut self, state: &GicState) -> Result<(), Error>;
    fn save_data_tables(&self) -> Result<(), Error>;
}

struct Adapter(Mutex<Gic>);

impl Adapter {
    /// A thread that panicked under this lock has left a save or restore half-way: a new save begins from the start.
    fn gic(&self) -> MutexGuard<'_, Gic> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Vgic for Adapter {
    /// Tables that go into guest memory were flushed when the VMM said so; those that go into the image are flushed here, where no
    /// order with guest memory is left to keep.
    fn state(&self) -> Result<GicState, Error> {
        let gic = &mut *self.gic();
        if !gic.requirements()?.guest_memory.written_by_flush {
            gic.flush_tables()?;
        }
        save(gic).map(GicState::Image)
    }

    fn set_state(&mut self, state: &GicState) -> Result<(), Error> {
        let GicState::Image(image) = state;
        for finding in self.gic().restore_image(image)?.findings {
            eprintln!("interrupt controller restored, but odd: {finding}");
        }
        Ok(())
    }

    fn save_data_tables(&self) -> Result<(), Error> {
        // The ranges are for a VMM without a dirty log; this one has KVM's.
        self.gic().flush_tables().map(drop)
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
        let GicState::Image(image) = vgic.state()?;
        Ok(Snapshot { id: "gic", text: serde_json::to_string(&image)? })
    }
}

#[test]
fn snapshot_and_restore() {
    for (name, pair) in pairs() {
        let source = Arc::new(Mutex::new(Adapter(Mutex::new(pair.source))));
        // Before the last pass over guest memory, and only if a snapshot is to follow.
        source.lock().expect("lock").save_data_tables().expect("flush");
        let snapshot = Device(source).snapshot().expect("snapshot");
        assert_eq!(snapshot.id, "gic");

        let state = GicState::Image(serde_json::from_str(&snapshot.text).expect("text"));
        let mut destination = Adapter(Mutex::new(pair.destination));
        destination.set_state(&state).expect("restore");
        assert_restored(name, destination.0.into_inner().expect("lock"), &pair.image);
    }
}

#[test]
fn a_snapshot_that_was_changed_is_an_error_and_no_panic() {
    for (_, pair) in pairs() {
        let mut image = pair.image;
        image[40] ^= 1;
        let mut destination = Adapter(Mutex::new(pair.destination));
        assert!(matches!(destination.set_state(&GicState::Image(image)), Err(Error::Image(_))));
    }
}
