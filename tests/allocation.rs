//! Tables go between the kernel and the caller's bytes without an allocation and without a copy; what a reader
//! allocates is bounded by the image.
//!
//! Source of the sizes: Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_IST`.
//!
//! Rule: what the device is handed are the caller's slices, at their addresses and of their lengths. The model allocates and has no
//! part here; the device is a stub that notes what it sees.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

#[path = "common/allocator.rs"]
mod allocator;
#[allow(dead_code, reason = "of what the tests share, a part")]
#[path = "common/save.rs"]
mod save;

use allocator::{allocated, allocations};
use save::SaveImage as _;
use std::cell::Cell;
use std::hint::black_box;
use vgic_state::gicv3::Gicv3State;
use vgic_state::gicv5::{Gicv5, Gicv5State, Ist, Iste, Target, VcpuState};
use vgic_state::image::IstCoding;
use vgic_state::its::{Collection, Device, Event, ItsMappings, LpiConfiguration, LpiState, PendingLpis};
use vgic_state::uapi::device::{KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, KVM_DEV_ARM_VGIC_GRP_NR_IRQS};
use vgic_state::uapi::vgic_v5::{KVM_DEV_ARM_VGIC_GRP_IRS_REGS, irs};
use vgic_state::{
    Attr, AttrDevice, AttrId, Command, DynInterruptState, Errno, IstDevice, IstKind, LpiIdBits, Options, SpiCount, Vcpus, Word,
    judge,
};

const SPIS: usize = 64;
const LPI_ID_BITS: usize = 10;
const SPI_BYTES: usize = SPIS * 4;
const LPI_BYTES: usize = 4 << LPI_ID_BITS;

const VCPUS: u32 = 3;

/// Addresses and lengths of the SPI buffer and of the LPI buffer.
type Seen = (*const [u8], Option<*const [u8]>);

/// A GICv5 that says what its tables are like, and notes where it is told to put them. Its registers are 0 otherwise.
#[derive(Debug, Default)]
struct Stub {
    seen: Cell<Option<Seen>>,
    /// No table of LPIs yet.
    fresh: bool,
}

impl AttrDevice for Stub {
    fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno> {
        const IDR1: u32 = irs::GICV5_IRS_IDR1;
        const IDR2: u32 = irs::GICV5_IRS_IDR2;
        const IST_CFGR: u32 = irs::GICV5_IRS_IST_CFGR;
        const IST_BASER: u32 = irs::GICV5_IRS_IST_BASER;
        let id = attr.id();
        let value: u64 = match (id.group(), id.attr() as u32) {
            (KVM_DEV_ARM_VGIC_GRP_NR_IRQS, _) => SPIS as u64,
            (KVM_DEV_ARM_VGIC_GRP_IRS_REGS, IDR1) => (VCPUS | (VCPUS - 1).ilog2() << 16).into(), // PE_CNT, IAFFID_BITS
            (KVM_DEV_ARM_VGIC_GRP_IRS_REGS, IDR2) => 16 | 1 << 5,
            (KVM_DEV_ARM_VGIC_GRP_IRS_REGS, IST_CFGR) => LPI_ID_BITS as u64,
            (KVM_DEV_ARM_VGIC_GRP_IRS_REGS, IST_BASER) if !self.fresh => 0x4001,
            (KVM_DEV_ARM_VGIC_GRP_IRS_REGS | KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, _) => 0,
            _ => return Err(Errno::ENXIO),
        };
        Ok(W::from_ne_bytes([value, 0].to_ne_bytes()))
    }

    fn set<W: Word>(&mut self, _: Attr<W>, _: W) -> Result<(), Errno> {
        Ok(())
    }

    fn has(&self, _: AttrId) -> Result<(), Errno> {
        Ok(())
    }

    fn command(&mut self, _: Command) -> Result<(), Errno> {
        Ok(())
    }
}

impl IstDevice for Stub {
    fn save_ist(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Errno> {
        // Enabled, and pending for the first of each table.
        let lpi = lpi.map(|lpi| {
            lpi.fill(0);
            lpi[0] = 9;
            &raw const *lpi
        });
        spi.fill(0);
        spi[0] = 9;
        self.seen.set(Some((spi, lpi)));
        Ok(())
    }

    fn restore_ist(&mut self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), Errno> {
        self.seen.set(Some((spi, lpi.map(|lpi| &raw const *lpi))));
        Ok(())
    }
}

fn attached() -> Gicv5<Stub> {
    Gicv5::attach(Stub::default(), Vcpus::with_default_mpidrs(VCPUS).expect("vCPUs")).expect("attached")
}

fn seen(gic: &Gicv5<Stub>) -> Seen {
    gic.device().seen.take().expect("the device was handed buffers")
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| black_box(Vec::<u8>::with_capacity(64))).0, 1);
    assert_eq!(allocations(|| black_box([0_u8; 64])).0, 0);
}

#[test]
fn tables_are_saved_into_and_restored_from_the_callers_slices() {
    let mut gic = attached();
    let mut area = vec![0; SPI_BYTES + LPI_BYTES + 16];
    // Of any alignment, with a gap between them.
    let (spi, lpi) = area.split_at_mut(SPI_BYTES + 5);
    let (spi, lpi) = (&mut spi[1..=SPI_BYTES], &mut lpi[2..2 + LPI_BYTES]);
    let expected: Seen = (spi, Some(lpi));

    let (count, result) = allocations(|| gic.save_ists(spi, Some(lpi)));
    result.expect("save");
    assert_eq!((count, seen(&gic)), (0, expected));

    let (count, result) = allocations(|| gic.restore_ists(spi, Some(lpi)));
    result.expect("restore");
    assert_eq!((count, seen(&gic)), (0, expected));
}

#[test]
fn an_image_is_saved_where_the_caller_wants_it() {
    for ist_coding in [IstCoding::Raw, IstCoding::Sparse] {
        let mut gic = attached().with_options(Options::default().with_ist_coding(ist_coding));
        let (count, requirements) = allocations(|| gic.requirements());
        assert_eq!(count, 0, "{ist_coding:?}");
        let mut image = vec![0; requirements.expect("requirements").image_max];
        let whole = image.as_ptr_range();

        let (count, length) = allocations(|| gic.flush_and_save_image(&mut image));
        assert_eq!(count, 0, "{ist_coding:?}");
        let (spi, lpi) = seen(&gic);
        let lpi = lpi.expect("a buffer for LPIs");
        for (table, bytes) in [(spi, SPI_BYTES), (lpi, LPI_BYTES)] {
            assert_eq!(table.len(), bytes, "{ist_coding:?}");
            let start = table.cast::<u8>();
            assert!(whole.start <= start && start.wrapping_add(bytes) <= whole.end, "{ist_coding:?}: inside of the image's buffer");
        }

        // In raw coding they stay there: the state that is read borrows the same bytes, and a restore hands them to the device.
        let image = &image[..length.expect("save")];
        let state = Gicv5State::parse(image).expect("parse");
        let stub = Stub { fresh: true, ..Stub::default() };
        let mut destination = Gicv5::attach(stub, Vcpus::with_default_mpidrs(VCPUS).expect("vCPUs")).expect("attached");
        destination.restore_image(image).expect("restore");
        if ist_coding == IstCoding::Raw {
            assert_eq!(&raw const *state.spi_ist.as_bytes(), spi);
            assert_eq!(&raw const *state.lpi_ist.expect("LPIs").as_bytes(), lpi);
            assert_eq!(seen(&destination), (spi, Some(lpi)));
        }
    }
}

#[test]
fn commands_are_forwarded_without_an_allocation() {
    use vgic_state::GuestRange;
    use vgic_state::forward::*;
    use vgic_state::its::command::ItsCommand as Its;

    /// A queue of `MAPD`s: maps a device, maps it elsewhere, unmaps it, and one that is refused.
    struct Host;

    impl Untrusted for Host {
        fn fetch(&mut self, offset: u64) -> Option<[u8; 32]> {
            let n = offset / 32;
            let itt = [0x4000_0000, 0x4000_1000, 0, 0x5000_0000][n as usize % 4];
            Some(Its::Mapd { device: n as u32 / 4, size: 3, itt: itt + n / 4 * 0x1_0000, valid: n % 4 != 2 }.to_bytes())
        }

        fn level1(&mut self, _: IdTable, _: u32) -> Option<u64> {
            Some(1 << 63 | 0x4800_0000)
        }
    }

    #[derive(Default)]
    struct Counts(usize, usize);

    impl Owner for Counts {
        fn donate(&mut self, _: GuestRange, _: Holder) -> bool {
            self.0 += 1;
            true
        }

        fn clear(&mut self, _: GuestRange, _: Holder) {}

        fn release(&mut self, _: GuestRange, _: Holder) {
            self.1 += 1;
        }
    }

    let memory = &[GuestRange::new(0x4000_0000, 0x1000_0000)];
    let policy = Policy {
        limits: IdLimits::from_typer(0x1_ef71),
        targets: Targets::Processors(1),
        memory: TableMemory { itts: memory, vpts: &[], vconfs: &[], level2: memory, protected: &[], granule: 0x1000 },
        on_refusal: OnRefusal::Skip,
        strict: true,
        batch: 100,
    };
    let (mut queue, mut live, mut level1) = ([[0; 4]; 32], [LiveRange::EMPTY; 32], [0; 8]);
    let (count, (passed, counts)) = allocations(|| {
        let devices = TableLevels::TwoLevel(TrustedLevel1::new(&mut level1, 0x1_0000, 8).expect("shape"));
        let storage = Storage { queue: &mut queue, live: &mut live, devices, vpes: TableLevels::Flat(0) };
        let mut forwarder = Forwarder::new(policy, storage, 0x1000).expect("setup");
        let (mut counts, mut passed) = (Counts::default(), 0);
        for _ in 0..8 {
            passed += forwarder.forward(0xfe0, &mut Host, &mut counts).passed;
            forwarder.retire(forwarder.cwriter(), &mut counts).expect("executed");
        }
        (passed, counts)
    });
    assert_eq!((passed, counts.0, counts.1, count), (96, 65, 64, 0));
}

#[test]
fn a_small_image_does_not_ask_for_much() {
    for vcpus in [1, 512] {
        let vcpus = Vcpus::with_default_mpidrs(vcpus).expect("vCPUs");
        let spi_ist = Ist::new(IstKind::Spi, vec![0; SpiCount::MAX.ist_bytes()]).expect("SPIs");
        let mut state = Gicv5State::new(SpiCount::MAX, spi_ist);
        state.vcpus = vcpus.iter().map(VcpuState::new).collect();
        state.lpi_ist = Some(Ist::new(IstKind::Lpi, vec![0; LpiIdBits::MAX.ist_bytes()]).expect("LPIs"));
        let [raw, sparse] = [IstCoding::Raw, IstCoding::Sparse].map(|coding| state.to_image(coding).expect("image"));
        // Registers, and lists of vCPUs and sections; tables only where the image does not hold them.
        let (bytes, parsed) = allocated(|| Gicv5State::parse(&raw));
        assert!(bytes <= 2 * (raw.len() - (4 + 256) * 1024), "{bytes} bytes for an image of {}", raw.len());
        assert_eq!(parsed.as_ref(), Ok(&state));
        let (bytes, parsed) = allocated(|| Gicv5State::parse(&sparse));
        assert!(bytes <= 2 * sparse.len() + (4 + 256) * 1024, "{bytes} bytes for an image of {}", sparse.len());
        assert_eq!(parsed, Ok(state));
    }
}

/// A GICv3 with two vCPUs, and nothing in its registers.
fn gicv3(lpis: LpiState) -> Gicv3State {
    let mut state = Gicv3State::new(vgic_state::NrIrqs::new(64).expect("interrupts"));
    state.vcpus = Vcpus::with_default_mpidrs(2).expect("vCPUs").iter().map(vgic_state::gicv3::VcpuState::new).collect();
    state.lpis = Some(lpis);
    state
}

/// Bytes asked for in all while an image is read, for each byte of it. By what there is most of.
#[test]
fn mappings_take_at_most_three_and_a_half_times_the_image() {
    let vcpu = Vcpus::with_default_mpidrs(2).expect("vCPUs").iter().next().expect("vCPU");
    let lpis = 8192..1 << 16;
    let event = |intid| Event { id: intid, intid, icid: 0 };
    let device = |id, events| Device { id, itt: 0, event_bits: 16, events };
    let its = |collections, devices| vec![ItsMappings { base: 0, collections, devices }];
    let configuration = || lpis.clone().map(|intid| LpiConfiguration { intid, byte: 3 }).collect();
    let shapes = [
        (
            "events",
            3.5,
            LpiState {
                its: its(vec![], vec![device(0, lpis.clone().map(event).collect())]),
                configuration: configuration(),
                pending: vec![],
            },
        ),
        (
            "events of one LPI",
            2.7,
            LpiState {
                its: its(vec![], vec![device(0, lpis.clone().map(|id| Event { id, ..event(9000) }).collect())]),
                configuration: vec![LpiConfiguration { intid: 9000, byte: 3 }],
                pending: vec![],
            },
        ),
        (
            "devices of one event",
            2.1,
            LpiState {
                its: its(vec![], lpis.clone().map(|id| device(id, vec![event(id)])).collect()),
                configuration: configuration(),
                pending: vec![],
            },
        ),
        ("devices", 1.7, LpiState { its: its(vec![], lpis.clone().map(|id| device(id, vec![])).collect()), ..LpiState::default() }),
        (
            "collections",
            1.6,
            LpiState {
                its: its((0..u16::MAX).map(|icid| Collection { icid, target: None }).collect(), vec![]),
                ..LpiState::default()
            },
        ),
        (
            "pending LPIs",
            2.1,
            LpiState { pending: vec![PendingLpis { vcpu, intids: lpis.clone().collect() }], ..LpiState::default() },
        ),
    ];
    for (what, factor, lpis) in shapes {
        let state = gicv3(lpis);
        let image = state.to_image().expect("image");
        let (bytes, parsed) = allocated(|| Gicv3State::parse(&image));
        assert_eq!(parsed, Ok(state), "{what}");
        let found = bytes as f64 / image.len() as f64;
        assert!(found <= factor && factor < found + 0.25, "{what}: {found:.2}");
    }
}

#[test]
fn the_number_of_allocations_does_not_depend_on_the_size() {
    let counts = |vcpus: u32, spis: u32, lpi_bits: u32| {
        let vcpus = Vcpus::with_default_mpidrs(vcpus).expect("vCPUs");
        let (spis, bits) = (SpiCount::new(spis).expect("SPIs"), LpiIdBits::new(lpi_bits).expect("LPIs"));
        let mut state = Gicv5State::new(spis, Ist::new(IstKind::Spi, vec![0; spis.ist_bytes()]).expect("SPIs"));
        state.identity.idr2 = 16 | 1 << 5;
        (state.irs.ist_baser, state.irs.ist_cfgr) = (1, lpi_bits);
        state.vcpus = vcpus.iter().map(VcpuState::new).collect();
        state.lpi_ist = Some(Ist::new(IstKind::Lpi, vec![0; bits.ist_bytes()]).expect("LPIs"));
        for id in (0..bits.lpis()).step_by(3) {
            assert!(state.lpi_ist.as_mut().expect("LPIs").set(id, Iste::new().with_enable(true)));
        }
        let target = Target::of(&state).expect("vCPUs");
        let check = || {
            judge::gicv5::fit(&state, &target).expect("fits");
            assert_eq!(judge::gicv5::problems(&state).findings, []);
        };
        let mut counts = vec![allocations(check).0];
        for coding in [IstCoding::Raw, IstCoding::Sparse] {
            let mut image = vec![0; state.image_max(coding)];
            let (count, length) = allocations(|| state.encode(&mut image, coding));
            counts.push(count);
            let image = &image[..length.expect("encode")];
            let (count, parsed) = allocations(|| Gicv5State::parse(image).is_ok());
            assert!(parsed);
            counts.push(count);
        }
        counts
    };
    // Lists of vCPUs and of sections; both tables, where they are sparse. Check, encode and parse raw, encode and parse sparse.
    let expected = [1, 2, 4, 2, 6];
    for (vcpus, spis, lpi_bits) in [(1, 32, 0), (2, 64, 4), (16, 1024, 16), (512, 1024, 16)] {
        assert_eq!(counts(vcpus, spis, lpi_bits), expected, "{vcpus} vCPUs, {spis} SPIs, {lpi_bits} bits of LPI ID");
    }
}
