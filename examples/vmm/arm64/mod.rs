//! The VMM: an operator that starts one process after the other, and the processes.
//!
//! Rule: what cannot be done ends the process that notices, and so the whole.

mod controller;
mod devices;
mod guest;
mod layout;
mod machine;
mod memory;
mod node;
mod operator;
mod options;
mod report;
mod shared;
mod vcpu;
mod wire;

use controller::Choice;
use kvm_ioctls::Kvm;
use machine::Machine;
use options::Options;
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard};
use vgic_state::kvm::{Offered, probe};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The lock of something that no thread has left half-done.
fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>> {
    mutex.lock().map_err(|_| "a thread has panicked".into())
}

pub(super) fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vmm: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let options = Options::parse(std::env::args().skip(1))?;
    if let Some(generation) = options.generation {
        node::run(&options, generation).map_err(|error| format!("VMM {generation}: {error}"))?;
        return Ok(true);
    }
    let offered = match Kvm::new().and_then(|kvm| kvm.create_vm()) {
        Ok(vm) => probe(&vm)?,
        Err(_) => Offered::default(),
    };
    match Choice::of(&offered) {
        None => println!("skipped: no arm64 KVM here"),
        Some(Choice::Gicv3) => return operator::run(options),
        Some(Choice::Gicv5) => between_gicv5s(&options)?,
    }
    Ok(true)
}

/// The state of a GICv5 goes from a VM to another one. The guest's program knows none: nothing runs.
fn between_gicv5s(options: &Options) -> Result<()> {
    let mut source = Machine::new(memory::map(None)?, options.strategy(0))?;
    let mut destination = Machine::new(memory::map(None)?, options.strategy(0))?;
    let flushed = source.gic.flush_tables()?;
    let mut image = vec![0; source.gic.image_max(&flushed)?];
    let length = source.gic.save_image(flushed, &mut image)?;
    let report = destination.gic.restore_image(image.get(..length).unwrap_or_default())?;
    println!("{}: an image of {length} bytes; {} findings; no guest ran", source.gic.kind(), report.findings.len());
    print!("{report}");
    Ok(())
}
