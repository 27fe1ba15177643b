//! The bound of work.

use crate::common::its_base;
use crate::rig::*;
use std::cell::Cell;
use vgic_state::its::Table;
use vgic_state::judge::{self, Limits, Ranges};
use vgic_state::report::Problem::WorkExceeded;
use vgic_state::report::{Problem, Severity};
use vgic_state::{GuestMemoryRead, GuestRange, MemoryError};

/// Memory that is the same 8 bytes everywhere, and counts what is read.
pub(crate) struct Same {
    pub(crate) word: u64,
    pub(crate) entries: Cell<u64>,
}

impl GuestMemoryRead for Same {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.entries.set(self.entries.get() + bytes.len().div_ceil(8) as u64);
        let word = self.word.to_le_bytes();
        for (at, byte) in (address..).zip(bytes) {
            *byte = word[at as usize % 8];
        }
        Ok(())
    }
}

/// Counts reads of other memory.
struct Counted<'a, M>(&'a M, Cell<u64>);

impl<M: GuestMemoryRead> GuestMemoryRead for Counted<'_, M> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.1.set(self.1.get() + bytes.len().div_ceil(8) as u64);
        self.0.read(address, bytes)
    }
}

#[test]
fn tables_that_lead_to_themselves_do_not_exceed_it() {
    let everything = Ranges::new([GuestRange { start: 0, end: u64::MAX }].into(), [].into());
    // A device with 16 bits of EventID whose next is the one behind it, as an event an LPI: 65,536 devices with 65,536 events each.
    let word = VALID | 1 << 49 | 0x100 << 5 | 15;
    for indirect in [0, 1 << 62] {
        for limit in [0, 1, 511, 512, 100_000, 1 << 21] {
            let mut state = subject(2, false).state;
            for its in &mut state.its {
                its.registers.baser0 |= indirect | 0xff;
                its.registers.baser1 |= 0xff;
            }
            let memory = Same { word, entries: Cell::new(0) };
            let report = judge::gicv3::problems(&state, &memory, &everything, &Limits::entries(limit));
            assert!(memory.entries.get() <= limit, "{} of {limit}", memory.entries.get());
            let finding = report.find(WorkExceeded).expect("found");
            assert_eq!((finding.severity(), finding.count), (Severity::High, 1));
            assert!(finding.first.table.is_some() && finding.first.address.is_some());
            assert!(report.findings.len() <= Problem::ALL.len());
        }
    }
}

#[test]
fn what_a_guest_uses_is_what_is_counted() {
    let subject = subject(1, false);
    let memory = Counted(&subject.memory, Cell::new(0));
    assert_eq!(judge::gicv3::problems(&subject.state, &memory, &subject.ranges, &Limits::default()).to_string(), "");
    let read = memory.1.get();
    // One page of collections, eight of devices, three ITTs, 57,344 bytes of configuration, two pending tables of 7 KiB.
    assert_eq!(read, 8192 + 8 * 8192 + (32 + 16 + 2) + 57_344 / 8 + 2 * 7 * 128);
    let exactly = |entries| judge::gicv3::problems(&subject.state, &subject.memory, &subject.ranges, &Limits::entries(entries));
    assert_eq!(exactly(read).to_string(), "");
    assert_eq!(problems(&exactly(read - 1)), [WorkExceeded]);
}

#[test]
fn a_report_says_where_it_stopped() {
    let subject = subject(1, false);
    let report = judge::gicv3::problems(&subject.state, &subject.memory, &subject.ranges, &Limits::entries(8192 + 8));
    let place = report.find(WorkExceeded).expect("found").first;
    // Devices come behind the collections, and the ITT of device 3 as soon as its entry was met.
    assert_eq!(place.table, Some(Table::Itt { its: its_base(0), device: 3 }));
    assert_eq!(place.address, Some(itts(0)));
}
