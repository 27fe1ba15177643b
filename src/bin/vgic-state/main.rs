//! `vgic-state`: look at the state of an interrupt controller from a shell.
//!
//! Rule: what is wrong is one line on standard error and exit code 1; the output is for a person, or for a pipeline with
//! `--format tsv`.

mod ist;

use clap::{Parser, Subcommand};
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Look at the state of the interrupt controller that KVM emulates for an Arm guest.
#[derive(Debug, Parser)]
#[command(name = "vgic-state", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ist(ist::Args),
}

/// Why a command failed, in words for standard error.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = BufWriter::new(io::stdout().lock());
    let result = match &cli.command {
        Command::Ist(args) => ist::run(args, &mut out),
    };
    match result.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough.
        Err(error) if error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("vgic-state: {error}");
            ExitCode::FAILURE
        }
    }
}
