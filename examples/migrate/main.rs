//! Moves the interrupts of four guests from one VM to another, with a GICv5, with a GICv3 and an ITS, with a GICv3 and EL2 (a hypervisor and
//! its own guest), and with a GICv2, through code of a VMM that is written once: size, flush, save, check, restore; then compares, and lets
//! the guests go on.
//!
//! `cargo run --example migrate` does it between VMs on the model. `cargo run --example migrate -- --kvm` restores the GICv5 guest
//! into a VM of this host's KVM instead, if the host has a GICv5; the source is then on a model of the same limits. With
//! `--images DIRECTORY`, the images are left there, for the tool to look at.
//!
//! Rule: exit code 0 says that the destinations save the same state, and that their guests, on the model, take what was pending.

mod gicv2;
mod gicv3;
mod gicv5;
mod kvm;
mod nested;
mod show;
mod vmm;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => between_models(None),
        ["--images", directory] => between_models(Some(directory.as_ref())),
        ["--kvm"] => gicv5::vm_of_the_guest().and_then(|(vcpus, spis)| kvm::migrate(&vcpus, spis)),
        _ => Err("usage: migrate [--images DIRECTORY | --kvm]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("migrate: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Moves a guest, and returns the image.
type Move = fn() -> Result<Vec<u8>>;

fn between_models(directory: Option<&Path>) -> Result<()> {
    let guests: [(&str, Move); 4] = [
        ("gicv5.img", gicv5::between_models),
        ("gicv3.img", gicv3::between_models),
        ("gicv3-el2.img", nested::between_models),
        ("gicv2.img", gicv2::between_models),
    ];
    for (name, move_guest) in guests {
        let image = move_guest()?;
        if let Some(directory) = directory {
            std::fs::write(directory.join(name), image)?;
        }
    }
    Ok(())
}
