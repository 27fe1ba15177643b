//! A restore that fails while the kernel sees shadow memory: what was done is said, and guest memory is as it was.

use super::{Rig, config, contents, copy, lpis, saved, shared};
use crate::common::Config;
use crate::snapshot::snapshot;
use vgic_state::its::{Device, TableError};
use vgic_state::model::Fault;
use vgic_state::shadow::{Divert, ShadowError, ShadowKind, ShadowMemory};
use vgic_state::{Attr, Command, DynInterruptState, Errno, Error, GuestMemoryRead, InterruptState, MemoryError};

/// Memory that is diverted to a shadow which does not take some writes, or not at all.
#[derive(Debug)]
struct Broken<M> {
    memory: M,
    opens: bool,
}

impl<M: GuestMemoryRead> GuestMemoryRead for Broken<M> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.memory.read(address, bytes)
    }

    fn diverts(&self) -> bool {
        true
    }

    fn divert(&mut self) -> Option<&mut dyn Divert> {
        self.opens.then_some(self)
    }
}

impl<M: GuestMemoryRead> Divert for Broken<M> {
    fn divert(&mut self, extra: u64, work: &mut dyn FnMut(&mut dyn ShadowMemory)) -> Result<(), ShadowError> {
        let Some(divert) = self.memory.divert() else { return Err(ShadowError::Unavailable) };
        divert.divert(extra, &mut |shadow| work(&mut ReadOnly(shadow)))
    }
}

struct ReadOnly<'a>(&'a mut dyn ShadowMemory);

impl GuestMemoryRead for ReadOnly<'_> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.0.read(address, bytes)
    }
}

impl ShadowMemory for ReadOnly<'_> {
    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), MemoryError> {
        Err(MemoryError::NotMemory)
    }

    fn clear(&mut self, range: vgic_state::GuestRange) -> Result<bool, Errno> {
        self.0.clear(range)
    }

    fn data(&self, within: vgic_state::GuestRange) -> Option<vgic_state::GuestRange> {
        self.0.data(within)
    }

    fn is_zeroed(&self) -> bool {
        self.0.is_zeroed()
    }

    fn extra(&self) -> vgic_state::GuestRange {
        self.0.extra()
    }
}

#[test]
fn messages_say_what_is_applied() {
    let (state, memory) = saved();
    let before = contents(&memory);
    let mut text = String::new();
    let mut add = |what: &str, error: Error, memory: &crate::common::Memory| {
        assert!(error.can_retry_on_same_memory(), "{error}");
        assert!(contents(memory) == before);
        text.push_str(&format!("{what}:\n  {error}\n"));
    };
    for (what, attr) in [
        ("the tables of an ITS", Command::ItsRestoreTables.id()),
        ("a register before", Attr::its(0x108).id()),
        ("a register behind", Attr::its(0).id()),
    ] {
        let mut destination = Rig::new(config(), copy(&memory), ShadowKind::Zero);
        destination.vm.set_fault(Fault::attribute(attr, Errno::EINVAL));
        add(what, destination.gic.restore(&state).expect_err("fault"), &destination.memory);
        // Another VM, the same memory.
        let mut again = Rig::new(config(), destination.memory.clone(), ShadowKind::Zero);
        again.gic.restore(&state).expect("restore");
        assert_eq!(again.flush_and_save(), state);
    }
    for (what, opens) in [("a shadow that takes no writes", true), ("no shadow after all", false)] {
        let destination = Rig::new(config(), copy(&memory), ShadowKind::Zero);
        let guest = destination.memory.clone();
        let slots = vgic_state::model::gicv3::Slots::new(&destination.vm);
        let memory = vgic_state::shadow::Shadowed::new(guest.clone(), slots, ShadowKind::Zero);
        let (gic, its, _) = destination.gic.into_parts();
        let broken = Broken { memory, opens };
        let mut gic = vgic_state::gicv3::Gicv3::attach(gic, its, broken, crate::common::vcpus(2)).expect("attach");
        let error = gic.restore(&state).expect_err("broken");
        match &error {
            Error::TablesNotBuilt { applied, .. } => assert!(opens && applied.done > 100 && !applied.memory_consumed),
            Error::Shadow { applied: Some(applied), .. } => assert!(!opens && applied.done > 100),
            other => panic!("{other:?}"),
        }
        add(what, error, &guest);
    }
    // A save says nothing of a restore.
    let mut source = Rig::filled(config(), ShadowKind::Zero);
    source.vm.set_fault(Fault::attribute(Command::ItsSaveTables.id(), Errno::EACCES));
    let own = contents(&source.memory);
    let error = source.gic.flush_tables().expect_err("fault");
    assert!(contents(&source.memory) == own);
    text.push_str(&format!("a save:\n  {error}\n"));
    snapshot!("gicv3_lpis_failures", text);
}

/// A copy-on-write shadow can clear 64 MiB, each page of which is a page of memory.
#[test]
fn more_to_clear_than_a_copy_on_write_shadow_can() {
    const BYTES: usize = 160 << 20;
    let config = Config { its: 1, ..config() };
    let mut state = Rig::filled(config, ShadowKind::Zero).flush_and_save();
    let its = &mut lpis(&mut state).its[0];
    let far = crate::common::RAM + (64 << 20);
    // Each has 16 bits of EventID, 512 KiB, and no event.
    its.devices.extend((0..140).map(|n| Device {
        id: 2000 + n,
        itt: far + u64::from(n) * (8 << 16),
        event_bits: 16,
        events: vec![],
    }));
    let mut destination = Rig::new(config, shared(BYTES), ShadowKind::CopyOnWrite);
    let error = destination.gic.restore(&state).expect_err("too much");
    assert!(matches!(&error, Error::TablesNotBuilt { error, .. } if matches!(**error, TableError::Unclear { .. })), "{error:?}");
    assert!(error.to_string().contains("more has to be cleared than the shadow memory can hold; "), "{error}");
    assert!(error.can_retry_on_same_memory());
    // Zeros cost nothing.
    let mut destination = Rig::new(config, shared(BYTES), ShadowKind::Zero);
    destination.gic.restore(&state).expect("restore");
    assert_eq!(destination.flush_and_save().lpis.map(|lpis| lpis.its), state.lpis.map(|lpis| lpis.its));
}
