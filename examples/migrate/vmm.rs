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
    // Tables that belong into guest memory go there first; then memory travels, then the image.
    let flushed = source.flush_tables()?;
    let image_max = source.image_max(&flushed)?;
    println!("\n{}: the image takes at most {image_max} bytes", source.kind());
    for range in flushed.written() {
        println!("  the kernel wrote guest memory from {range}");
    }
    copy(flushed.written())?;
    // A VMM would lend its snapshot file or its live-update area.
    let mut image = vec![0; image_max];
    let length = source.save_image(flushed, &mut image)?;
    image.truncate(length);

    // A restore checks again; a management plane asks without one.
    let report = destination.check_image(&image)?;
    println!("the destination accepts the image; findings: {}", report.findings.len());
    // What is odd, and what was written.
    print!("{}", destination.restore_image(&image)?);
    Ok(image)
}
