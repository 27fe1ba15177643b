//! What a VMM does to move the interrupts of a guest: written once, for every controller.
//!
//! Rule: nothing here knows which controller it is.

use super::Result;
use vgic_state::{DynInterruptState, GuestRange};

/// Moves the interrupts of a guest whose vCPUs are stopped. `copy` moves guest memory; it is told what the kernel wrote last.
/// Returns the image.
pub(crate) fn migrate(
    source: &mut dyn DynInterruptState,
    destination: &mut dyn DynInterruptState,
    copy: impl FnOnce(&[GuestRange]) -> Result<()>,
) -> Result<Vec<u8>> {
    let requirements = source.requirements()?;
    println!("\n{}: the image takes at most {} bytes", source.kind(), requirements.image_max);

    // Tables that belong into guest memory go there first; then memory travels, then the image.
    let written = source.flush_tables()?;
    for range in &written {
        println!("  the kernel wrote guest memory from {range}");
    }
    copy(&written)?;
    // A VMM would lend its snapshot file or its live-update area.
    let mut image = vec![0; requirements.image_max];
    let length = source.save_image(&mut image)?;
    image.truncate(length);

    // A restore checks again; a management plane asks without one.
    let report = destination.check_image(&image)?;
    println!("the destination accepts the image; findings: {}", report.findings.len());
    for finding in &report.findings {
        println!("  {finding}");
    }
    let report = destination.restore_image(&image)?;
    for range in &report.guest_memory_written {
        println!("  the kernel may have written guest memory from {range}");
    }
    Ok(image)
}
