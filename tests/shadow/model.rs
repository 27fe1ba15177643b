//! The slots of the model.

use super::fake::{PAGE, anonymous, shared};
use vgic_state::model::gicv3::{Host, Slots, Vm};
use vgic_state::shadow::{Memslots, ShadowError, ShadowKind, ShadowWindow, Shadowed};
use vgic_state::{Errno, GuestMemoryRead, GuestRange, MemoryError};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

const RAM: u64 = 0x4000_0000;

fn regions(vm: &Vm) -> Vec<(u64, *mut u8, usize)> {
    use vm_memory::GuestMemoryRegion;
    vm.memory().iter().map(|region| (region.start_addr().0, region.as_ptr(), region.size())).collect()
}

#[test]
fn the_model_sees_the_shadow_and_then_its_memory() {
    let memory = GuestMemoryMmap::from_arc_regions(vec![shared(RAM, 2 * PAGE), shared(2 * RAM, PAGE)]).unwrap();
    let vm = Vm::new(Host::default(), memory.clone());
    let before = regions(&vm);
    for (kind, first) in [(ShadowKind::Zero, 0), (ShadowKind::CopyOnWrite, 0x11)] {
        let mut shadowed = Shadowed::new(&memory, Slots::new(&vm), kind);
        let diverted = shadowed.divert().unwrap().divert(PAGE, &mut |shadow| {
            assert_eq!(shadow.extra(), GuestRange::new(2 * RAM + PAGE, PAGE));
            assert_ne!(regions(&vm), before);
            assert_eq!(vm.memory().read_obj::<u8>(GuestAddress(RAM)).unwrap(), first);
            vm.memory().write_obj(0x1234_u16, GuestAddress(shadow.extra().start)).unwrap();
            vm.memory().write_obj(0x77_u8, GuestAddress(RAM)).unwrap();
            let mut bytes = [0; 2];
            assert!(shadow.read(shadow.extra().start, &mut bytes).is_ok() && bytes == [0x34, 0x12]);
            assert!(shadow.read(RAM, &mut bytes).is_ok() && bytes == [0x77, first]);
        });
        assert_eq!(diverted, Ok(()));
        assert_eq!(regions(&vm), before);
        assert_eq!(memory.read_obj::<u16>(GuestAddress(RAM)).unwrap(), 0x1111);
        let mut bytes = [0; 2];
        assert!(shadowed.read(RAM, &mut bytes).is_ok() && bytes == [0x11; 2]);
        assert!(shadowed.read(RAM - 1, &mut bytes) == Err(MemoryError::NotMemory));
    }
}

#[test]
fn it_answers_as_kvm_does() {
    let memory = GuestMemoryMmap::from_arc_regions(vec![anonymous(RAM, PAGE)]).unwrap();
    let vm = Vm::new(Host::default(), memory);
    let mut slots = Slots::new(&vm);
    assert_eq!(slots.create_over_guest(0), Err(Errno::EINVAL));
    assert_eq!(slots.delete(1), Err(Errno::EINVAL));
    assert_eq!(slots.delete(0), Ok(()));
    assert_eq!(slots.delete(0), Err(Errno::EINVAL));
    assert!(regions(&vm).is_empty());
    assert_eq!(slots.create_over_guest(0), Ok(()));
    let error = ShadowWindow::open(&mut slots, ShadowKind::CopyOnWrite, 0).err();
    assert_eq!(error, Some(ShadowError::NotShared { slot: 0 }));
}
