//! Prints an image and the pages with tables of a guest that runs on KVM: the material of `tests/golden/its`, for the tool's tests.
//!
//! Rule: a line for each page: its guest physical address, and its bytes in hexadecimal.

use crate::kernel::{KernelRig, release};
use crate::layout;
use crate::program::{self, Devices, Table};
use crate::rig::{Config, Rig};
use crate::save::Save as _;
use vm_memory::{Bytes, GuestAddress};

#[test]
#[ignore = "writes nothing that a test compares"]
fn its_tables() {
    let devices = Devices { devices: 3, events: 4, first_id: 8, step: 8, table: Table::Flat };
    let config = Config { nr_irqs: 64, ..Config::default() };
    let mut rig = KernelRig::new(config);
    program::basics(&mut rig);
    program::enable_its(&mut rig, 0, devices.table);
    program::map(&mut rig, 0, &devices);
    for (device, event) in [(8, 0), (8, 3), (16, 1), (24, 2)] {
        assert_eq!(rig.msi(0, device, event), Ok(1));
    }
    let image = rig.gicv3().flush_and_save().expect("save").to_image().expect("image");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    println!("DUMP release {}", release());
    println!("DUMP image {}", hex(&image));
    let itts = layout::itt(0, 0);
    for (start, pages) in [
        (layout::CONFIGURATION, 14),
        (layout::pending(0), 2),
        (layout::pending(1), 2),
        (layout::queue(0), 16),
        (layout::device_table(0), 16),
        (layout::collection_table(0), 16),
        (itts, 3),
    ] {
        let mut bytes = vec![0; pages * 4096];
        rig.memory().read_slice(&mut bytes, GuestAddress(start)).expect("memory");
        println!("DUMP {start:#x} {}", hex(&bytes));
    }
}
