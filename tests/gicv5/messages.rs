//! What is said of what a person provoked and did not understand: each names the register, the section or the vCPU, the value, what is
//! expected, and the causes that are left there.
//!
//! Rule: a line for each, in a snapshot that is read as at three in the morning.

use crate::common::{IRS_BASE, filled, fresh, vcpus};
use crate::save::Save as _;
use crate::snapshot::snapshot;
use std::fmt::Write as _;
use vgic_state::gicv5::{Gicv5, Gicv5State};
use vgic_state::image::{self, IstCoding};
use vgic_state::model::Fault;
use vgic_state::model::gicv5::Vm;
use vgic_state::{Attr, AttrId, Errno, Error, InterruptState, SpiCount, Vcpu, VcpuId, Vcpus};

const HEADER: usize = 32;

/// An image with these words in other places, and the checksum of that.
fn changed(changes: &[(usize, u32)]) -> Vec<u8> {
    let mut image = filled(&vcpus(2), 32, Some(8)).flush_and_save().expect("save").to_image(IstCoding::Sparse).expect("image");
    for (at, word) in changes {
        image[*at..*at + 4].copy_from_slice(&word.to_le_bytes());
    }
    image[28..32].fill(0);
    let checksum = crc32fast::hash(&image);
    image[28..32].copy_from_slice(&checksum.to_le_bytes());
    image
}

#[test]
fn a_wrong_image_is_refused_in_these_words() {
    let good = changed(&[]);
    let places: Vec<usize> = image::sections(&good).expect("sections").iter().map(|section| section.offset).collect();
    let [irs, cpu, spi, lpi] = places[..] else { panic!("{places:?}") };
    let entry = |n: usize| HEADER + 24 * n;
    // Behind the number of columns, the number of records and the columns.
    let record = |table: usize| table + 8 + 8 * u32::from_le_bytes(good[table..table + 4].try_into().expect("word")) as usize;
    let mut text = String::new();
    for (what, changes) in [
        ("header: length = 0", vec![(16, 0)]),
        ("header: no section", vec![(24, 0)]),
        ("header: one section of four", vec![(24, 1)]),
        ("section entry 0: id = 0", vec![(entry(0), 0)]),
        ("section entry 0: id = 2", vec![(entry(0), 2)]),
        ("section entry 0: id = 3", vec![(entry(0), 3)]),
        ("section entry 0: flags = 0", vec![(entry(0) + 4, 0)]),
        ("section entry 3: id = 19", vec![(entry(3), 19)]),
        ("section entry 1: offset", vec![(entry(1) + 8, 64)]),
        ("IRS: no register", vec![(irs, 0)]),
        ("IRS: another first register", vec![(irs + 8, 0x44)]),
        ("IRS: an unknown first register", vec![(irs + 8, 0x7ffc)]),
        ("IRS: a first register of 64 bits", vec![(irs + 12, 0x010a_0002)]),
        ("IRS: reserved word", vec![(record(irs) + 4, 1)]),
        ("IRS: 33 SPIs", vec![(record(irs), 33)]),
        ("CPU: no vCPU", vec![(cpu + 4, 0)]),
        ("CPU: 513 vCPUs", vec![(cpu + 4, 513)]),
        ("SPI: 1025 entries", vec![(spi + 4, 0x401)]),
        ("SPI: coding = 0, of a sparse table", vec![(spi, 0)]),
        ("SPI: a bit for entries that there are not", vec![(spi + 8, 3)]),
        ("SPI: coding = 2", vec![(spi, 2)]),
        ("LPI: 3 entries", vec![(lpi + 4, 3)]),
    ] {
        let error = Gicv5State::parse(&changed(&changes)).map(drop).expect_err(what);
        writeln!(text, "{what}:\n  {error}").expect("text");
    }
    snapshot!("gicv5_messages_of_images", text);
}

#[test]
fn a_device_that_refuses_is_explained_in_these_words() {
    let one = vcpus(1);
    let state = filled(&one, 32, Some(8)).flush_and_save().expect("save");
    let mut text = String::new();
    let mut add = |what: &str, error: Error| writeln!(text, "{what}:\n  {error}").expect("text");
    let attach = |vm: Vm| Gicv5::attach(vm, vcpus(1)).expect_err("attach");

    for (what, attr, errno) in [
        ("save, an errno that is not KVM's", Attr::irs(0x80).id(), Errno::from_raw(84)),
        ("save, denied", AttrId::IST, Errno::EPERM),
        ("save, another process", Attr::irs(0).id(), Errno::EIO),
    ] {
        let mut source = filled(&one, 32, Some(8));
        source.device_mut().set_fault(Fault::attribute(attr, errno));
        add(what, source.flush_and_save().expect_err("fault"));
    }
    add("attach to a VM without a device", attach(Vm::new(Default::default())));
    let initialise =
        |vm: Vm, base, spis| Gicv5::initialise(vm, base, SpiCount::new(spis).expect("SPIs"), vcpus(1)).expect_err("twice");
    add("initialise a VM without a device", initialise(Vm::new(Default::default()), IRS_BASE, 32));
    add("initialise again, another base", initialise(fresh(&one, 32).into_device(), IRS_BASE + 0x100_0000, 32));
    add("initialise again, other SPIs", initialise(fresh(&one, 32).into_device(), IRS_BASE, 64));
    let mut again = fresh(&one, 32);
    again.restore(&state).expect("restore");
    add("restore twice", again.restore(&state).expect_err("again"));
    let other = Gicv5::attach(again.into_device(), vcpus(1)).expect("attach").restore(&state).expect_err("again");
    add("restore twice, through another attachment", other);
    let lpis = state.lpi_ist.as_ref().map(|ist| ist.as_bytes());
    let mut tables = fresh(&one, 32);
    tables.restore(&state).expect("restore");
    add("restore_ists behind a restore, with LPIs", tables.restore_ists(state.spi_ist.as_bytes(), lpis).expect_err("again"));
    let mut vm = fresh(&one, 32).into_device();
    vm.set_fault(Fault::attribute(Attr::irs(0).id(), Errno::EBUSY));
    add("attach while a vCPU runs", attach(vm));

    // By their places in the order, behind the two reads.
    for (what, n) in [("IRS_IDR0", 0), ("IRS_IDR1", 1), ("IRS_IST_CFGR", 9), ("IRS_IST_BASER", 10), ("IRS_CR0", 11)] {
        let mut destination = fresh(&one, 32);
        destination.device_mut().set_fault(Fault::access(2 + n, Errno::EINVAL));
        add(&format!("restore, {what} fails with EINVAL"), destination.restore(&state).expect_err("fault"));
    }
    for retries in [0, 3] {
        let mut source = filled(&one, 32, Some(8));
        source.options_mut().retries = retries;
        source.device_mut().set_fault(Fault::not_quiesced(9));
        add(&format!("save, not quiet, {retries} retries"), source.flush_and_save().expect_err("fault"));
    }
    let mut twice = changed_state(|state| state.vcpus[1] = state.vcpus[0]);
    let two = vcpus(2);
    add("restore, a vCPU twice", fresh(&two, 32).restore(&twice).expect_err("twice"));
    twice.vcpus[1].vcpu = Vcpu { id: VcpuId::new(1).expect("id"), ..twice.vcpus[0].vcpu };
    add("restore, two vCPUs with one affinity", fresh(&two, 32).restore(&twice).expect_err("twice"));
    let other = Vcpus::new([Vcpu { id: VcpuId::new(0).expect("id"), mpidr: vgic_state::Mpidr::new(0, 0, 7, 7) }]).expect("vCPUs");
    add("restore, the same id with another affinity", fresh(&other, 32).restore(&state).expect_err("affinity"));
    for (what, change) in [
        (
            "IDR2.MIN_LPI_ID_BITS > ID_BITS",
            (|state: &mut Gicv5State<'_>| state.identity.idr2 = state.identity.idr2 & !0x1f | 7) as fn(&mut _),
        ),
        ("IRS_IDR0.SETLPI", |state| state.identity.idr0 |= 0x200),
        ("IST_CFGR with reserved bits", |state| state.irs.ist_cfgr |= 0x8000_0000),
    ] {
        let state = changed_state(change);
        add(what, fresh(&two, 32).restore(&state).expect_err(what));
    }
    let vm = |vcpus: &Vcpus| Vm::with_device(Default::default(), vcpus).expect("VM");
    for address in [0x1234, 0x100_0000_0000] {
        let error = Gicv5::initialise(vm(&one), address, SpiCount::MIN, one.clone()).expect_err("address");
        add(&format!("initialise, base {address:#x}"), error);
    }
    snapshot!("gicv5_messages_of_devices", text);
}

fn changed_state(change: impl FnOnce(&mut Gicv5State<'static>)) -> Gicv5State<'static> {
    let mut state = filled(&vcpus(2), 32, Some(8)).flush_and_save().expect("save");
    change(&mut state);
    state
}
