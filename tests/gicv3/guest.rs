//! A guest that sets everything up by itself, through its registers and the command queue, and goes on in another VM.

use crate::common::{CONFIGURATION, Config, FIRST_LPI, Gic, area, copy, fresh, its_base, memory, pending};
use crate::save::Save as _;
use vgic_state::model::gicv3::{CommandError, Guest, Vm};
use vgic_state::uapi::vgic_v3::{dist, icc, its, redist};
use vgic_state::{Errno, InterruptState, VcpuId};
use vm_memory::{Bytes, GuestAddress};

const VALID: u64 = 1 << 63;
const DEVICE: u64 = 42 << 32;

fn vcpu(id: u32) -> VcpuId {
    VcpuId::new(id).expect("id")
}

/// LPIs of both vCPUs, the tables of the ITS, its queue; SPI 40 and SGI 3 and PPI 20 of either vCPU.
fn boot(guest: &mut Guest<'_>) {
    for id in [0, 1] {
        guest.redist_write64(vcpu(id), redist::GICR_PROPBASER, CONFIGURATION | 0xf);
        guest.redist_write64(vcpu(id), redist::GICR_PENDBASER, pending(id.into()));
        guest.redist_write32(vcpu(id), redist::GICR_CTLR, 1);
        assert_eq!(guest.redist_read32(vcpu(id), redist::GICR_CTLR) & 1, 1);
        assert_eq!(guest.redist_read64(vcpu(id), redist::GICR_PENDBASER) & 0xffff_ffff_0000, pending(id.into()));
        guest.redist_write32(vcpu(id), redist::GICR_ISENABLER0, 1 << 20 | 1 << 3);
        guest.redist_write32(vcpu(id), redist::GICR_IPRIORITYR0 + 20, 0x30);
    }
    guest.dist_write32(dist::GICD_CTLR, 2);
    // SPIs 32 to 47 are level-triggered.
    guest.dist_write32(dist::GICD_ICFGR + 8, 0);
    guest.dist_write32(dist::GICD_ISENABLER + 4, 1 << 8);
    guest.dist_write8(dist::GICD_IPRIORITYR + 40, 0x20);
    assert_eq!(guest.dist_read32(dist::GICD_IPRIORITYR + 40), 0x20);
    guest.dist_write64(dist::GICD_IROUTER + 8 * 40, 1 << 8 | 2);
    assert_eq!(guest.dist_read64(dist::GICD_IROUTER + 8 * 40), 1 << 8 | 2);
    guest.its_write64(0, its::GITS_BASER, VALID | (area(0) + 0x1_0000));
    guest.its_write64(0, its::GITS_BASER + 8, VALID | (area(0) + 0x2_0000));
    guest.its_write64(0, its::GITS_CBASER, VALID | area(0) | 0xf);
    guest.its_write32(0, its::GITS_CTLR, 1);
    assert_eq!(guest.its_read32(0, its::GITS_CTLR) & 1, 1);
}

/// Queues commands and lets the ITS run them; what came of each.
fn run(vm: &Vm, commands: &[[u64; 4]]) -> Vec<Result<(), CommandError>> {
    vm.clear_commands();
    vm.run(vcpu(0), |guest| {
        let at = guest.its_read64(0, its::GITS_CWRITER);
        for (address, word) in (area(0) + at..).step_by(8).zip(commands.as_flattened()) {
            guest.write_memory(address, &word.to_le_bytes()).expect("memory");
            let mut back = [0; 8];
            guest.read_memory(address, &mut back).expect("memory");
            assert_eq!(u64::from_le_bytes(back), *word);
        }
        guest.its_write64(0, its::GITS_CWRITER, at + 32 * commands.len() as u64);
        assert_eq!(guest.its_read64(0, its::GITS_CREADR), at + 32 * commands.len() as u64, "all of them ran");
    })
    .expect("run");
    vm.commands().iter().map(|executed| executed.result).collect()
}

fn mapc(collection: u64, target: u64) -> [u64; 4] {
    [0x09, 0, VALID | target << 16 | collection, 0]
}

fn mapti(event: u64, intid: u64, collection: u64) -> [u64; 4] {
    [DEVICE | 0x0a, intid << 32 | event, collection, 0]
}

fn booted() -> (Vm, Gic) {
    let (vm, gic) = fresh(Config::default(), memory());
    vm.memory().write_slice(&[0xa3; 0x1000], GuestAddress(CONFIGURATION)).expect("memory");
    vm.run(vcpu(0), boot).expect("run");
    let mut commands = vec![mapc(3, 0), mapc(4, 1), [DEVICE | 0x08, 4, VALID | (area(0) + 0x4_0000), 0]];
    commands.extend((0..10).map(|event| mapti(event, u64::from(FIRST_LPI) + event, 3 + event % 2)));
    // MAPI: the event is the LPI.
    commands.push([DEVICE | 0x0b, 8, 3, 0]);
    let results = run(&vm, &commands);
    assert!(results[..13].iter().all(Result::is_ok));
    assert_eq!(results[13], Err(CommandError::Its(0x01_0a06)), "8 is no LPI");
    (vm, gic)
}

fn events(vm: &Vm) -> Vec<(u32, u32, Option<u16>)> {
    let mappings = vm.mappings(0).expect("ITS");
    mappings.devices[0].events.iter().map(|event| (event.id, event.intid, event.collection)).collect()
}

#[test]
fn every_command_that_kvm_executes() {
    let (vm, _) = booted();
    let ok = |commands: &[[u64; 4]]| assert!(run(&vm, commands).iter().all(Result::is_ok));
    let lpi = |event: u32| vm.lpi(FIRST_LPI + event).expect("LPI");

    ok(&[[DEVICE | 0x03, 5, 0, 0], [0x05, 0, 1 << 16, 0]]);
    assert!(lpi(5).pending, "INT, SYNC");
    ok(&[[DEVICE | 0x04, 5, 0, 0]]);
    assert!(!lpi(5).pending, "CLEAR");
    ok(&[[DEVICE | 0x01, 6, 4, 0]]);
    assert!(events(&vm).contains(&(6, FIRST_LPI + 6, Some(4))), "MOVI");
    assert_eq!(lpi(6).target, Some(vcpu(1)));

    vm.memory().write_obj(0x52_u8, GuestAddress(CONFIGURATION + 7)).expect("memory");
    assert!(lpi(7).enabled);
    ok(&[[DEVICE | 0x0c, 7, 0, 0]]);
    assert!(!lpi(7).enabled, "INV");
    vm.memory().write_obj(0x53_u8, GuestAddress(CONFIGURATION + 7)).expect("memory");
    ok(&[[0x0d, 0, 4, 0]]);
    assert!(lpi(7).enabled, "INVALL");

    ok(&[[DEVICE | 0x03, 0, 0, 0], [0x0e, 0, 0, 1 << 16]]);
    assert_eq!(lpi(0).target, Some(vcpu(1)), "MOVALL");
    ok(&[[DEVICE | 0x0f, 9, 0, 0]]);
    assert_eq!(events(&vm).len(), 9, "DISCARD");
    ok(&[[0x09, 0, 4, 0]]);
    assert!(events(&vm).contains(&(7, FIRST_LPI + 7, None)), "MAPC of nothing");
    ok(&[[DEVICE | 0x08, 0, 0, 0]]);
    assert_eq!(vm.mappings(0).expect("ITS").devices, [], "MAPD of nothing");
}

#[test]
fn commands_that_an_its_refuses() {
    let (vm, _) = booted();
    let its = |number| Err(CommandError::Its(number));
    for (command, expected) in [
        ([DEVICE | 0x01, 30, 4, 0], its(0x01_0107)),
        ([DEVICE | 0x01, 1, 99, 0], its(0x01_0109)),
        ([DEVICE | 0x03, 30, 0, 0], its(0x01_0307)),
        ([DEVICE | 0x04, 30, 0, 0], its(0x01_0507)),
        ([0x08 | 0x10_0000 << 32, 4, VALID, 0], its(0x01_0801)),
        ([DEVICE | 0x08, 16, VALID, 0], its(0x01_0802)),
        (mapc(5, 77), its(0x01_0902)),
        (mapc(0xffff, 0), its(0x01_0903)),
        ([7 << 32 | 0x0a, 8192 << 32, 3, 0], its(0x01_0a04)),
        (mapti(32, 8300, 3), its(0x01_0a05)),
        (mapti(11, 8191, 3), its(0x01_0a06)),
        ([DEVICE | 0x0c, 30, 0, 0], its(0x01_0c07)),
        ([0x0d, 0, 99, 0], its(0x01_0d09)),
        ([0x0e, 0, 77 << 16, 0], its(0x01_0e01)),
        ([DEVICE | 0x0f, 30, 0, 0], its(0x01_0f07)),
        ([0x29, 0, 0, 0], Err(CommandError::Host(Errno::ENODEV))),
    ] {
        let found = run(&vm, &[command]);
        // The reason is the specification's wherever it gives one; that the command is refused is what counts elsewhere.
        assert!(found[0].is_err(), "{command:x?}");
        if [0x01_0801, 0x01_0802, 0x01_0902, 0x01_0903, 0x01_0a04].iter().any(|known| its(*known) == expected) || command[0] == 0x29
        {
            assert_eq!(found, [expected], "{command:x?}");
        }
    }
}

#[test]
fn it_takes_in_the_other_vm_what_was_pending_in_this_one() {
    let (vm, mut source) = booted();
    for event in [2, 3, 6, 9] {
        assert_eq!(vm.signal_msi(its_base(0) + its::GITS_TRANSLATER, 42, event), Ok(1));
    }
    vm.set_spi_level(40, true).expect("line");
    vm.set_ppi_level(vcpu(1), 20, true).expect("line");
    vm.run(vcpu(0), |guest| {
        assert_eq!(guest.vcpu_id(), vcpu(0));
        guest.enable_interface();
        guest.send_sgi(vcpu(1), 3);
        // In service while it moves.
        assert_eq!(guest.acknowledge(), Some(40));
        assert_eq!(guest.running_priority(), 0x20);
    })
    .expect("run");
    vm.run(vcpu(1), |guest| guest.enable_interface()).expect("run");

    let state = source.flush_and_save().expect("save");
    let (other, mut destination) = fresh(Config::default(), copy(&vm.memory()));
    destination.restore(&state).expect("restore");

    let taken = other
        .run(vcpu(0), |guest| {
            assert_eq!(guest.icc_read(icc::SYS_ICC_PMR_EL1), state.vcpus[0].icc.pmr);
            assert_eq!(guest.acknowledge(), None, "the SPI in service is above all");
            guest.eoi(40);
            guest.deactivate(40);
            assert_eq!(guest.running_priority(), 0xff);
            assert_eq!(guest.acknowledge(), Some(40), "its line is still high");
            guest.eoi(40);
            guest.deactivate(40);
        })
        .and_then(|()| other.set_spi_level(40, false))
        .and_then(|()| other.run(vcpu(0), drain));
    assert_eq!(taken, Ok(vec![FIRST_LPI + 2, FIRST_LPI + 6]));
    let taken = other.run(vcpu(1), |guest| {
        let first = [guest.acknowledge(), None];
        guest.eoi(3);
        (first[0], guest.acknowledge().inspect(|intid| guest.eoi(*intid)))
    });
    assert_eq!(taken, Ok((Some(3), Some(20))));
    other.set_ppi_level(vcpu(1), 20, false).expect("line");
    assert_eq!(other.run(vcpu(1), drain), Ok(vec![FIRST_LPI + 3, FIRST_LPI + 9]));
}

fn drain(guest: &mut Guest<'_>) -> Vec<u32> {
    std::iter::from_fn(|| guest.acknowledge().inspect(|intid| guest.eoi(*intid))).collect()
}
