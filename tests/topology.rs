//! What is fixed before a device is initialised.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

use vgic_state::{Errno, IntId, LpiIdBits, Mpidr, TopologyError, Vcpu, VcpuId, Vcpus};

fn vcpu(id: u32, aff: [u8; 4]) -> Vcpu {
    Vcpu { id: VcpuId::new(id).expect("id"), mpidr: Mpidr::new(aff[0], aff[1], aff[2], aff[3]) }
}

#[test]
fn an_affinity_has_three_forms() {
    // MPIDR_EL1 with Aff3 0x43, RES1, U, MT, Aff2 0x32, Aff1 0x21, Aff0 0x10.
    let mpidr = Mpidr::from_register(0x0000_0043_c132_2110);
    assert_eq!(mpidr, Mpidr::new(0x43, 0x32, 0x21, 0x10));
    assert_eq!(mpidr.packed(), 0x4332_2110);
    assert_eq!(Mpidr::from_packed(0x4332_2110), mpidr);
    assert_eq!(mpidr.to_register(), 0x0000_0043_0032_2110);
    assert_eq!(format!("{mpidr} {mpidr:?}"), "67.50.33.16 Mpidr(67.50.33.16)");
}

#[test]
fn the_form_of_an_attribute_is_not_that_of_the_register() {
    let mpidr = Mpidr::new(0x43, 0x32, 0x21, 0x10);
    assert_eq!(Mpidr::from_attr(0x4332_2110_0000_0000), mpidr);
    assert_eq!(Mpidr::from_attr(0x4332_2110_dead_c664), mpidr, "the register below does not matter");
    assert_eq!(mpidr.to_attr(), 0x4332_2110_0000_0000);
    assert_eq!(Mpidr::from_attr(mpidr.to_attr()).to_register(), mpidr.to_register());
    // Taken for the other form, it is another affinity.
    assert_ne!(Mpidr::from_register(mpidr.to_attr()), mpidr);
    assert_ne!(Mpidr::from_attr(mpidr.to_register()), mpidr);
    let attr = vgic_state::Attr::cpu_sysreg(mpidr, 0xc664).id();
    assert_eq!(attr.attr() & !0xffff_ffff, mpidr.to_attr());
}

#[test]
fn ids_and_the_affinities_that_kvm_gives_them() {
    assert_eq!(VcpuId::new(511).map(VcpuId::iaffid), Ok(511));
    assert_eq!(VcpuId::new(512), Err(TopologyError::VcpuId { found: 512 }));
    assert_eq!(Vcpu::with_default_mpidr(0x1f7), Ok(vcpu(0x1f7, [0, 0, 0x1f, 7])));
    assert_eq!(Vcpu::with_default_mpidr(u32::MAX), Err(TopologyError::VcpuId { found: u32::MAX }));
    assert_eq!(vcpu(5, [1, 2, 3, 4]).to_string(), "vCPU 5 (1.2.3.4)");
}

#[test]
fn a_set_of_vcpus_has_no_name_twice() {
    let (a, b, c) = (vcpu(9, [0, 0, 0, 1]), vcpu(2, [0, 0, 0, 2]), vcpu(2, [0, 0, 0, 3]));
    let set = Vcpus::new([a, b]).expect("vCPUs");
    assert_eq!(set.iter().collect::<Vec<_>>(), [b, a], "in the order of ids");
    assert_eq!(set.len(), 2);
    assert_eq!(Vcpus::new([]), Err(TopologyError::NoVcpu));
    assert_eq!(Vcpus::new([b, a, c]), Err(TopologyError::DuplicateVcpuId { id: b.id }));
    let twin = vcpu(3, [0, 0, 0, 1]);
    assert_eq!(Vcpus::new([b, a, twin]), Err(TopologyError::DuplicateMpidr { mpidr: a.mpidr }));
    // An endless source of vCPUs is a duplicate, not an allocation without end.
    assert!(matches!(Vcpus::new(std::iter::repeat(a)), Err(TopologyError::DuplicateVcpuId { .. })));
}

#[test]
fn sets_with_kvms_affinities() {
    assert_eq!(Vcpus::with_default_mpidrs(0), Err(TopologyError::NoVcpu));
    assert_eq!(Vcpus::with_default_mpidrs(512).map(|set| set.len()), Ok(512));
    assert_eq!(Vcpus::with_default_mpidrs(513), Err(TopologyError::VcpuId { found: 512 }));
    assert_eq!(Vcpus::with_default_mpidrs(u32::MAX), Err(TopologyError::VcpuId { found: u32::MAX - 1 }));
}

#[test]
fn sets_from_ids() {
    let set = Vcpus::from_ids([0x1f7, 0, 0x20]).expect("vCPUs");
    let expected = [vcpu(0, [0, 0, 0, 0]), vcpu(0x20, [0, 0, 2, 0]), vcpu(0x1f7, [0, 0, 0x1f, 7])];
    assert_eq!(set.iter().collect::<Vec<_>>(), expected, "in the order of ids");
    assert_eq!(Vcpus::from_ids(0..3), Vcpus::with_default_mpidrs(3));
    assert_eq!(Vcpus::from_ids(0..512).map(|set| set.len()), Ok(512));
    assert_eq!(Vcpus::from_ids([]), Err(TopologyError::NoVcpu));
    assert_eq!(Vcpus::from_ids([3, 512]), Err(TopologyError::VcpuId { found: 512 }));
    let id = VcpuId::new(3).expect("id");
    assert_eq!(Vcpus::from_ids([3, 4, 3]), Err(TopologyError::DuplicateVcpuId { id }));
    assert_eq!(Vcpus::from_ids(std::iter::repeat(3)), Err(TopologyError::DuplicateVcpuId { id }));
}

#[test]
fn widths_of_lpi_ids() {
    for (bits, bytes) in [(0, 4), (1, 8), (10, 4096), (16, 262_144)] {
        let width = LpiIdBits::new(bits).expect("width");
        assert_eq!((width.get(), width.lpis(), width.ist_bytes()), (bits, 1 << bits, bytes));
    }
    for bits in [17, 24, u32::MAX] {
        assert_eq!(LpiIdBits::new(bits), Err(TopologyError::LpiIdBits { found: bits }));
    }
}

#[test]
fn topology_errors_and_interrupts_print_as_documented() {
    assert_eq!([IntId::Ppi(3), IntId::Spi(4), IntId::Lpi(5)].map(|id| id.to_string()), ["PPI 3", "SPI 4", "LPI 5"]);
    let errors = [
        TopologyError::SpiCount { found: 33 },
        TopologyError::LpiIdBits { found: 17 },
        TopologyError::VcpuId { found: 512 },
        TopologyError::NoVcpu,
        TopologyError::DuplicateVcpuId { id: VcpuId::new(7).expect("id") },
        TopologyError::DuplicateMpidr { mpidr: Mpidr::new(0, 0, 1, 2) },
    ];
    assert_eq!(
        errors.map(|error| error.to_string()).join("\n"),
        "33 SPIs: must be a multiple of 32, from 32 to 1024\n\
         17 LPI ID bits: at most 16\n\
         vcpu_id 512: must be below 512\n\
         no vCPU: at least one must exist before the device is initialised\n\
         vcpu_id 7 is given twice\n\
         affinity 0.0.1.2 is given twice"
    );
}

#[test]
#[cfg(feature = "std")]
fn an_error_number_is_an_error_of_io() {
    let error = std::io::Error::from(Errno::ENOENT);
    assert_eq!((error.raw_os_error(), error.kind()), (Some(2), std::io::ErrorKind::NotFound));
}

#[test]
fn error_numbers() {
    assert_eq!(Errno::from_raw(-16), Errno::EBUSY);
    assert_eq!((Errno::EBUSY.raw(), Errno::EBUSY.name(), format!("{:?}", Errno::EBUSY)), (16, Some("EBUSY"), "EBUSY".to_owned()));
    assert_eq!((Errno::from_raw(9999).name(), Errno::from_raw(9999).to_string()), (None, "errno 9999".to_owned()));
    assert_eq!(Errno::from_raw(i32::MIN).raw(), i32::MAX);
    let all = [
        (Errno::EPERM, 1),
        (Errno::ENOENT, 2),
        (Errno::EINTR, 4),
        (Errno::EIO, 5),
        (Errno::ENXIO, 6),
        (Errno::E2BIG, 7),
        (Errno::EBADF, 9),
        (Errno::ENOMEM, 12),
        (Errno::EACCES, 13),
        (Errno::EFAULT, 14),
        (Errno::EEXIST, 17),
        (Errno::ENODEV, 19),
        (Errno::EINVAL, 22),
        (Errno::ENOTTY, 25),
        (Errno::ENOSPC, 28),
        (Errno::ETIMEDOUT, 110),
    ];
    for (errno, number) in all {
        assert_eq!(errno.raw(), number);
        assert!(errno.name().is_some_and(|name| name == errno.to_string()));
    }
}
