//! VMs on the model, and a guest that was saved on one.
//!
//! Rule: the same small VMs as those of the tests of single bits.

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/bits/kept.rs"]
pub(crate) mod kept;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/bits/reading.rs"]
mod reading;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/bits/rig.rs"]
mod small;

pub(crate) use reading::*;
pub(crate) use small::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use vgic_state::gicv3::Gicv3State;
use vgic_state::{DynInterruptState, InterruptState};

/// Words of pages of 4 KiB, by their numbers.
pub(crate) type Pages = BTreeMap<u64, Vec<[u8; 8]>>;

static SAVED: LazyLock<(Gicv3State, Pages)> = LazyLock::new(|| {
    let (vm, mut gic) = filled(Shape { its: 2, ..Shape::default() }, false);
    let flushed = gic.flush_tables().expect("flush");
    let pages: Vec<Vec<[u8; 8]>> = contents(&vm.memory()).chunks(4096).map(|page| page.as_chunks().0.to_vec()).collect();
    let pages = (RAM / 4096..).zip(pages).filter(|(_, page)| page.iter().any(|word| *word != [0; 8])).collect();
    (gic.save(flushed).expect("save"), pages)
});

/// The registers of a guest with two ITSes, whose tables are in its memory.
pub(crate) fn saved() -> &'static Gicv3State {
    &SAVED.0
}

/// Its memory: pages of 4 KiB that are not empty.
pub(crate) fn saved_pages() -> &'static Pages {
    &SAVED.1
}
