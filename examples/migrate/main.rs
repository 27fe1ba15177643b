//! Moves the interrupts of two guests from one VM to another, one with a GICv5 and one with a GICv3 and an ITS, through code of a VMM
//! that is written once: size, flush, save, check, restore; then compares, and lets the guests go on.
//!
//! `cargo run --example migrate` does it between VMs on the model. `cargo run --example migrate -- --kvm` restores the GICv5 guest
//! into a VM of this host's KVM instead, if the host has a GICv5; the source is then on a model of the same limits.
//!
//! Rule: exit code 0 says that the destinations save the same state, and that their guests, on the model, take what was pending.

mod gicv3;
mod gicv5;
mod kvm;
mod show;
mod vmm;

use std::error::Error;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        None => gicv5::between_models().and_then(|()| gicv3::between_models()),
        Some("--kvm") => gicv5::vm_of_the_guest().and_then(|(vcpus, spis)| kvm::migrate(&vcpus, spis)),
        Some(other) => Err(format!("unknown argument {other}; usage: migrate [--kvm]").into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("migrate: {error}");
            ExitCode::FAILURE
        }
    }
}
