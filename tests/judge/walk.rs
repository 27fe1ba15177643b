//! The walker alone: what it shows as taken is what KVM has mapped.

use crate::rig::*;
use vgic_state::MemoryError;
use vgic_state::its::{Cte, Dte, Ite, Level1, Table, TableRange};
use vgic_state::judge::gicv3::walk::{At, Broken, Budget, Reach, Visitor, walk};

/// Everything that is shown.
#[derive(Default)]
struct Seen {
    tables: Vec<Table>,
    collections: Vec<(u16, u32)>,
    level1: usize,
    /// DeviceID, address of the ITT, bits.
    devices: Vec<(u32, u64, u32)>,
    /// DeviceID, EventID, LPI, ICID.
    events: Vec<(u32, u32, u32, u16)>,
    odd: usize,
}

impl Visitor for Seen {
    fn table(&mut self, table: TableRange) -> bool {
        self.tables.push(table.table);
        true
    }

    fn collection(&mut self, _: At, reach: Reach, entry: Cte) {
        self.odd += usize::from(reach != Reach::Taken);
        self.collections.push((entry.icid(), entry.target()));
    }

    fn level1(&mut self, _: At, _: Level1) {
        self.level1 += 1;
    }

    fn device(&mut self, at: At, reach: Reach, entry: Dte) {
        self.odd += usize::from(reach != Reach::Taken);
        self.devices.push((at.id, entry.itt(), entry.event_bits()));
    }

    fn event(&mut self, at: At, reach: Reach, entry: Ite) {
        self.odd += usize::from(reach != Reach::Taken);
        let Table::Itt { device, .. } = at.table else { panic!("an event in {}", at.table) };
        self.events.push((device, at.id, entry.pintid(), entry.icid()));
    }

    fn chain(&mut self, _: At, _: Broken) {
        self.odd += 1;
    }

    fn unreadable(&mut self, _: At, _: MemoryError) {
        self.odd += 1;
    }
}

#[test]
fn what_is_taken_is_what_kvm_has_mapped() {
    for indirect in [false, true] {
        let subject = subject(2, indirect);
        for (its, mappings) in subject.state.its.iter().zip(&subject.mappings) {
            let mut seen = Seen::default();
            assert_eq!(walk(its, &subject.memory, &mut Budget::new(1 << 20), &mut seen), Ok(()));
            let collections = mappings.collections.iter().map(|c| (c.id, c.target.expect("mapped")));
            assert!(seen.collections.iter().copied().eq(collections));
            assert!(seen.devices.iter().copied().eq(mappings.devices.iter().map(|d| (d.id, d.itt, d.event_bits))));
            let events =
                mappings.devices.iter().flat_map(|d| d.events.iter().map(|e| (d.id, e.id, e.intid, e.collection.expect("mapped"))));
            assert!(seen.events.iter().copied().eq(events));
            assert_eq!((seen.odd, seen.level1), (0, if indirect { 8 } else { 0 }));
            assert_eq!(seen.tables.len(), 2 + 3 + seen.level1);
        }
    }
}

#[test]
fn it_stops_where_the_budget_ends() {
    let subject = subject(1, false);
    let mut seen = Seen::default();
    let spent = walk(&subject.state.its[0], &subject.memory, &mut Budget::new(100), &mut seen).expect_err("spent");
    assert_eq!((spent.table, spent.address), (seen.tables[0], collections(0) + 800));
    assert_eq!((seen.collections.len(), seen.tables.len()), (2, 1));
}
