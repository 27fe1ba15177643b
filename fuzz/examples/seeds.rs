//! Writes the images that the image target begins with into `seeds/image`.
//!
//! Rule: what it writes is committed, and follows from nothing but this crate.

fn main() -> std::io::Result<()> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds/image");
    std::fs::create_dir_all(directory)?;
    for (name, image) in vgic_state_fuzz::seeds::images() {
        std::fs::write(format!("{directory}/{name}"), image)?;
    }
    Ok(())
}
