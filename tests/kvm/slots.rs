//! Memory slots of a real VM while they are diverted: dirty logs, and memory of a kind that the model has not.

use crate::kernel::KernelRig;
use crate::layout;
use crate::memory::{changed, copy, page as page_bytes};
use crate::program::{self, Devices};
use crate::rig::{Config, Memory, Rig};
use std::fs::File;
use std::os::fd::FromRawFd;
use vgic_state::TableStrategy;
use vgic_state::shadow::{ShadowError, ShadowKind};
use vgic_state::uapi::memory::KVM_MEM_LOG_DIRTY_PAGES;
use vgic_state::{DynInterruptState, Error, InterruptState};
use vm_memory::{FileOffset, GuestAddress, GuestMemoryBackend};

fn set_up(rig: &mut KernelRig) {
    program::basics(rig);
    program::enable_its(rig, 0, program::Table::Flat);
    program::map(rig, 0, &Devices { devices: 3, ..Devices::FLAT });
    assert_eq!(rig.msi(0, 8, 1), Ok(1));
}

/// Pages of guest memory in the dirty log of the only slot.
fn dirty(rig: &mut KernelRig) -> Vec<u64> {
    let log = rig.gicv3().memory_mut().slots_mut().inner_mut().take_dirty_log(0).expect("dirty log");
    let pages = (0..log.len() as u64 * 64).filter(|page| log[*page as usize / 64] >> (page % 64) & 1 != 0);
    pages.map(|page| layout::RAM + page * page_bytes()).collect()
}

#[test]
fn a_diversion_forgets_no_dirty_page_and_adds_none() {
    let mut rig = KernelRig::new(Config::default());
    set_up(&mut rig);
    rig.gicv3().memory_mut().slots_mut().inner_mut().set_flags(0, KVM_MEM_LOG_DIRTY_PAGES).expect("flags");
    dirty(&mut rig);
    let _ = rig.gicv3().flush_tables().expect("flush");
    let of = |address: u64| address / page_bytes() * page_bytes();
    assert!(dirty(&mut rig).contains(&of(layout::pending(1))), "the pending bit");
    // It is as it should be from then on.
    let _ = rig.gicv3().flush_tables().expect("flush");
    let expected = dirty(&mut rig);
    let tables = [of(layout::device_table(0)), of(layout::itt(0, 2))];
    assert!(tables.iter().all(|table| expected.contains(table)), "{expected:x?}");

    let _ = rig.gicv3().flush_tables().expect("flush");
    rig.gicv3().options_mut().tables = TableStrategy::Image;
    for _ in 0..2 {
        let _ = rig.gicv3().flush_tables().expect("flush");
    }
    assert_eq!(dirty(&mut rig), expected, "of the flush into guest memory, before the slot was diverted");
    assert_eq!(dirty(&mut rig), [0; 0]);
    rig.gicv3().options_mut().tables = TableStrategy::GuestMemory;
    let _ = rig.gicv3().flush_tables().expect("flush");
    assert_eq!(dirty(&mut rig), expected, "the slot still logs");
}

/// Guest memory in huge pages, exactly as many as there are.
fn huge_memory() -> Result<Memory, String> {
    // Not nr_hugepages: where a page has 16 KiB, the default size of a huge one is 32 MiB.
    const HUGE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
    let pages = (layout::RAM_BYTES >> 21).to_string();
    std::fs::write(HUGE, &pages).map_err(|error| format!("{HUGE}: {error}"))?;
    let found = std::fs::read_to_string(HUGE).map_err(|error| error.to_string())?;
    if found.trim() != pages {
        return Err(format!("{} of {pages} huge pages", found.trim()));
    }
    #[expect(unsafe_code, reason = "std has no function for it")]
    // SAFETY: the name is a C string; the descriptor, if there is one, is new.
    let file = unsafe {
        match libc::memfd_create(c"guest".as_ptr(), libc::MFD_HUGETLB | libc::MFD_HUGE_2MB) {
            fd if fd < 0 => return Err(std::io::Error::last_os_error().to_string()),
            fd => File::from_raw_fd(fd),
        }
    };
    file.set_len(layout::RAM_BYTES as u64).map_err(|error| error.to_string())?;
    let region = (GuestAddress(layout::RAM), layout::RAM_BYTES, Some(FileOffset::new(file, 0)));
    Memory::from_ranges_with_files([region]).map_err(|error| error.to_string())
}

#[test]
fn huge_pages_need_a_zero_shadow() {
    let memory = match huge_memory() {
        Ok(memory) => memory,
        Err(why) => return println!("skipped: no guest memory in huge pages: {why}"),
    };
    for shadow in [ShadowKind::Zero, ShadowKind::CopyOnWrite] {
        let mut rig = KernelRig::with_memory(Config { shadow, ..Config::default() }, memory.clone());
        set_up(&mut rig);
        let before = copy(rig.memory());
        rig.gicv3().options_mut().tables = TableStrategy::Image;
        match (shadow, rig.gicv3().flush_tables()) {
            (ShadowKind::Zero, flushed) => {
                let flushed = flushed.expect("flush");
                assert_eq!(flushed.written(), []);
                let lpis = rig.gicv3().save(flushed).expect("save").lpis.expect("LPIs");
                assert_eq!(lpis.its[0].devices.len(), 3);
            }
            (_, refused) => {
                let error = ShadowError::HugePages { slot: 0 };
                assert_eq!(refused, Err(Error::Shadow { error, applied: None }));
            }
        }
        assert_eq!(changed(&before, rig.memory()).first(), None);
        assert_eq!(rig.memory().iter().count(), 1);
    }
}
