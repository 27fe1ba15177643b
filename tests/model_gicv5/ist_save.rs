//! Get of `GRP_IST`.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5.c` and `vgic-v5-tables.c`, Linux 7.4; arm-vgic-v5.rst, `GRP_IST`.
//!
//! Rule: one row per condition of the kernel; pairs show which comes first. A save changes nothing of the VM.

use crate::common::*;
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::model::{Buffer, Fault, HostStep, IstArg, Memory, Op, User};
use vgic_state::{Attr, AttrDevice, AttrId, Errno, IntId, IstDevice};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum At {
    Null,
    Bad,
    Short,
    Good,
}

impl At {
    pub(crate) fn memory(self, bytes: &mut [u8]) -> Memory<'_> {
        match self {
            At::Null => Memory::Null,
            At::Bad => Memory::Fault,
            At::Short => Memory::Bytes(&mut bytes[..8]),
            At::Good => Memory::Bytes(bytes),
        }
    }
}

#[derive(Clone)]
struct Case {
    attr: u64,
    held: bool,
    init: bool,
    argument: At,
    spi: At,
    spi_size: u64,
    cfgr: u64,
    lpi: At,
    lpi_size: u64,
    host: Option<(HostStep, Errno)>,
    disturbed: u32,
    /// The registers claim a table that was never restored.
    claimed: bool,
}

const WITH_LPIS: Case = Case {
    attr: 0,
    held: false,
    init: true,
    argument: At::Good,
    spi: At::Good,
    spi_size: 256,
    cfgr: BITS as u64,
    lpi: At::Good,
    lpi_size: 1024,
    host: None,
    disturbed: 0,
    claimed: false,
};

fn save(case: &Case) -> Result<(), Errno> {
    let mut vm = if case.init { ready() } else { created() };
    if case.init && (case.claimed || case.cfgr != u64::from(BITS)) {
        vm.set(Attr::irs(CFGR), case.cfgr).unwrap();
        vm.set(Attr::irs(BASER), BASER_VALID).unwrap();
    } else if case.init {
        vm.plant_lpi_ist(BITS, &[0x11; LPI_BYTES]).unwrap();
    }
    vm.hold_vcpu(vcpu_id(5), case.held);
    if let Some((step, errno)) = case.host {
        vm.set_fault(Fault::host(step, errno));
    }
    vm.set_fault(Fault::not_quiesced(case.disturbed));
    let (mut spi, mut lpi) = ([0; SPI_BYTES], [0; LPI_BYTES]);
    let user = match case.argument {
        At::Null => User::Null,
        At::Good => User::Ist(IstArg {
            spi: Buffer { memory: case.spi.memory(&mut spi), size: case.spi_size },
            lpi: Buffer { memory: case.lpi.memory(&mut lpi), size: case.lpi_size },
        }),
        At::Bad | At::Short => User::Fault,
    };
    vm.ioctl(Op::Get, AttrId::from_raw(11, case.attr), user)
}

#[test]
fn save_checks_in_order() {
    let rows: &[Row<Case>] = &[
        ("1: attribute not 0", |c| c.attr = 1, Errno::ENXIO),
        ("2: vCPU locked", |c| c.held = true, Errno::EBUSY),
        ("3: not initialised", |c| c.init = false, Errno::EBUSY),
        ("4: address 0", |c| c.argument = At::Null, Errno::EINVAL),
        ("5: structure unreadable", |c| c.argument = At::Bad, Errno::EFAULT),
        ("6: SPI address 0", |c| c.spi = At::Null, Errno::EINVAL),
        ("6: SPI size 4 less", |c| c.spi_size = 252, Errno::EINVAL),
        ("6: SPI size 4 more", |c| c.spi_size = 260, Errno::EINVAL),
        ("8: LPI_ID_BITS below the minimum", |c| c.cfgr = 7, Errno::EINVAL),
        ("8: LPI_ID_BITS above the maximum", |c| c.cfgr = 17, Errno::EINVAL),
        ("8: ISTSZ", |c| c.cfgr = 8 | 1 << 7, Errno::EINVAL),
        ("8: STRUCTURE", |c| c.cfgr = 8 | 1 << 16, Errno::EINVAL),
        ("9: LPI address 0", |c| c.lpi = At::Null, Errno::EINVAL),
        ("9: LPI size wrong", |c| c.lpi_size = 2048, Errno::EINVAL),
        ("10: the host does not answer", |c| c.host = Some((HostStep::Quiesce, Errno::ETIMEDOUT)), Errno::ETIMEDOUT),
        ("11: not quiet", |c| c.disturbed = 1, Errno::EBUSY),
        ("12: no host table", |c| (c.host, c.disturbed) = (Some((HostStep::SpiTable, Errno::ENXIO)), 0), Errno::ENXIO),
        ("12: bad page of the SPI buffer", |c| (c.spi, c.host, c.disturbed) = (At::Short, None, 0), Errno::EFAULT),
        (
            "13: the host does not answer",
            |c| (c.host, c.disturbed) = (Some((HostStep::QuietAfterSpi, Errno::ETIMEDOUT)), 0),
            Errno::ETIMEDOUT,
        ),
        ("14: registers without a table", |c| (c.claimed, c.lpi, c.lpi_size, c.host) = (true, At::Good, 1024, None), Errno::ENXIO),
        ("14: bad page of the LPI buffer", |c| (c.lpi, c.claimed) = (At::Bad, false), Errno::EFAULT),
        ("15: no longer quiet", |c| (c.host, c.lpi) = (Some((HostStep::QuietAfterLpi, Errno::EBUSY)), At::Good), Errno::EBUSY),
    ];
    assert_order(&WITH_LPIS, rows, save);
}

#[test]
fn a_legal_second_level_size_does_not_matter_to_a_linear_table() {
    // L2SZ alone: legal, but there is no table.
    assert_eq!(save(&Case { cfgr: 8 | 3 << 5, ..WITH_LPIS }), Err(Errno::ENXIO));
}

#[test]
fn without_an_lpi_table_address_and_size_must_be_0() {
    let mut spi = [0; SPI_BYTES];
    let mut lpi = [0; 4];
    for (memory, size, result) in [
        (Memory::Null, 0, Ok(())),
        (Memory::Null, 4, Err(Errno::EINVAL)),
        (Memory::Fault, 0, Err(Errno::EINVAL)),
        (Memory::Bytes(&mut lpi), 4, Err(Errno::EINVAL)),
    ] {
        let arg = IstArg { spi: Buffer::bytes(&mut spi), lpi: Buffer { memory, size } };
        assert_eq!(ready().ioctl(Op::Get, AttrId::IST, User::Ist(arg)), result);
    }
    assert_eq!(ready().save_ist(&mut spi, Some(&mut [])), Err(Errno::EINVAL));
}

#[test]
fn illegal_cfgr_does_not_matter_while_the_table_is_invalid() {
    let mut vm = ready();
    vm.set(Attr::irs(CFGR), 0x1_01ff).unwrap();
    assert_eq!(vm.save_ist(&mut [0; SPI_BYTES], None), Ok(()));
}

#[test]
fn the_argument_has_32_bytes() {
    let mut vm = ready();
    for user in [User::U32(&mut 1), User::U64(&mut 2), User::U64x2(&mut [3, 4])] {
        assert_eq!(vm.ioctl(Op::Get, AttrId::IST, user), Err(Errno::EFAULT));
    }
}

#[test]
fn the_buffer_must_be_writable() {
    let mut vm = ready();
    let user = User::Ist(IstArg { spi: Buffer::read_only(&[7; SPI_BYTES]), lpi: Buffer::NONE });
    assert_eq!(vm.ioctl(Op::Get, AttrId::IST, user), Err(Errno::EFAULT));
}

#[test]
fn has_looks_at_the_attribute_alone() {
    let mut vm = Vm::new(Host::default());
    vm.create_device(16).unwrap();
    assert_eq!(has(&mut vm, AttrId::IST), Ok(()));
    for attr in [1, 2, 1 << 32, u64::MAX] {
        assert_eq!(has(&mut vm, AttrId::from_raw(11, attr)), Err(Errno::ENXIO));
    }
}

/// Words of a real guest's table, from an emulator's own trace: enabled; pending, active and enabled; pending and disabled;
/// level-handled. At LPIs 3, 70, 255 and 0.
const REAL: [(usize, u32); 4] = [(3, 0x0001_f808), (70, 0x0002_f80b), (255, 0x0000_f801), (0, 0x0000_b804)];

fn planted() -> Vm {
    let mut table = [0; LPI_BYTES];
    for (lpi, word) in REAL {
        table[lpi * 4..lpi * 4 + 4].copy_from_slice(&word.to_le_bytes());
    }
    let mut vm = ready();
    vm.plant_lpi_ist(BITS, &table).unwrap();
    vm.plant_spi_ist(&core::array::from_fn::<u8, SPI_BYTES, _>(|index| index as u8)).unwrap();
    vm
}

#[test]
fn what_is_saved() {
    let vm = planted();
    let (mut spi, mut lpi) = ([0xee; SPI_BYTES], [0xee; LPI_BYTES]);
    vm.save_ist(&mut spi, Some(&mut lpi)).unwrap();
    assert_eq!(spi, core::array::from_fn(|index| index as u8));
    for index in 0..256 {
        let expected = REAL.iter().find(|(lpi, _)| *lpi == index).map_or(0, |(_, word)| *word);
        assert_eq!(lpi[index * 4..index * 4 + 4], expected.to_le_bytes(), "{index}");
    }
}

#[test]
fn a_save_changes_nothing_and_can_be_repeated() {
    let mut vm = planted();
    vm.run(vcpu_id(9), |guest| guest.cdpend(IntId::Spi(9), true)).unwrap();
    let before: Vec<_> = (0..64).map(|spi| vm.spi(spi)).collect();
    let mut tables = [([0; SPI_BYTES], [0; LPI_BYTES]), ([1; SPI_BYTES], [2; LPI_BYTES])];
    for (spi, lpi) in &mut tables {
        vm.save_ist(spi, Some(lpi)).unwrap();
    }
    assert_eq!(tables[0], tables[1]);
    assert_eq!(before, (0..64).map(|spi| vm.spi(spi)).collect::<Vec<_>>());
}

#[test]
fn not_quiet_at_three_points_in_turn() {
    let mut vm = planted();
    vm.set_fault(Fault::not_quiesced(4));
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (mut spi, mut lpi) = ([0xee; SPI_BYTES], [0xee; LPI_BYTES]);
        assert_eq!(vm.save_ist(&mut spi, Some(&mut lpi)), Err(Errno::EBUSY));
        seen.push((spi != [0xee; SPI_BYTES], lpi != [0xee; LPI_BYTES]));
    }
    assert_eq!(seen, [(false, false), (true, false), (true, true), (false, false)], "what was written");
    assert_eq!(vm.save_ist(&mut [0; SPI_BYTES], Some(&mut [0; LPI_BYTES])), Ok(()));
}

#[test]
fn a_save_that_failed_late_has_written_the_spi_buffer() {
    let vm = ready_for_lpis();
    let mut spi = [0xee; SPI_BYTES];
    assert_eq!(vm.save_ist(&mut spi, Some(&mut [0xee; LPI_BYTES])), Err(Errno::ENXIO));
    assert_eq!(spi, [0; SPI_BYTES]);
}
