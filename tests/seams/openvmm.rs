//! OpenVMM: `SaveRestore` of a device in a state unit, state as protobuf.
//!
//! Source: the protobuf wire format, of which one field of bytes is used.
//!
//! Rule: the saved state is a message with a field number, so that another field can come beside it; the version of what is inside
//! is the image's own.

use crate::vms::{assert_restored, pairs};
use crate::{Gic, restore, save};
use vgic_state::Error;

#[derive(Debug, thiserror::Error)]
enum SaveError {
    #[error("the interrupt controller was not saved")]
    State(#[source] Error),
    #[error("the VM runs")]
    Running,
}

#[derive(Debug, thiserror::Error)]
enum RestoreError {
    #[error("the interrupt controller was not restored")]
    State(#[source] Error),
    #[error("not the state of this interrupt controller")]
    InvalidSavedState(#[source] Error),
}

/// The VMM's seam to every device.
trait SaveRestore {
    type SavedState;
    fn save(&mut self) -> Result<Self::SavedState, SaveError>;
    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError>;
}

/// `message SavedState { bytes image = 1; }`
struct SavedState {
    image: Vec<u8>,
}

/// Field 1, a length and bytes.
const IMAGE: u8 = 1 << 3 | 2;

impl SavedState {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![IMAGE];
        let mut length = self.image.len();
        while length > 0x7f {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(&self.image);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (IMAGE, mut rest) = bytes.split_first().map(|(field, rest)| (*field, rest))? else { return None };
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let (byte, behind) = rest.split_first()?;
            rest = behind;
            length |= usize::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        (rest.len() == length).then(|| SavedState { image: rest.to_vec() })
    }
}

/// The controller as a unit that is stopped, saved or restored, and started.
struct Unit {
    gic: Gic,
    running: bool,
}

impl Unit {
    /// The vCPUs, which depend on this unit, have stopped before. Nothing is flushed: nobody has said that a save follows.
    fn stop(&mut self) {
        self.running = false;
    }

    fn start(&mut self) {
        self.running = true;
    }
}

impl SaveRestore for Unit {
    type SavedState = SavedState;

    fn save(&mut self) -> Result<SavedState, SaveError> {
        if self.running {
            return Err(SaveError::Running);
        }
        // Guest memory is a unit that is saved after this one, or its tables are in the image.
        save(&self.gic).map(|image| SavedState { image }).map_err(SaveError::State)
    }

    fn restore(&mut self, state: SavedState) -> Result<(), RestoreError> {
        restore(&self.gic, &state.image).map(|report| eprint!("{report}")).map_err(|error| match error {
            error @ (Error::Image(_) | Error::Refused(_)) => RestoreError::InvalidSavedState(error),
            error => RestoreError::State(error),
        })
    }
}

#[test]
fn save_and_restore() {
    for (name, pair) in pairs() {
        let mut source = Unit { gic: pair.source, running: true };
        assert!(matches!(source.save(), Err(SaveError::Running)));
        source.stop();
        let bytes = source.save().expect("save").encode();
        source.start();

        let mut destination = Unit { gic: pair.destination, running: false };
        destination.restore(SavedState::decode(&bytes).expect("message")).expect("restore");
        assert_restored(name, &destination.gic, &pair.image);
    }
}

#[test]
fn what_is_no_state_is_an_error() {
    for bytes in [
        &[][..],
        &[IMAGE],
        &[IMAGE, 0x80],
        &[IMAGE, 2, 0],
        &[0x12, 0],
        &[IMAGE, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert!(SavedState::decode(bytes).is_none(), "{bytes:?}");
    }
    let [.., (_, pair)] = pairs();
    let mut destination = Unit { gic: pair.destination, running: false };
    let refused = destination.restore(SavedState { image: vec![7; 99] });
    assert!(matches!(refused, Err(RestoreError::InvalidSavedState(_))), "{refused:?}");
}
