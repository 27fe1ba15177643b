//! `vgic-state`: look at the state of an interrupt controller from a shell.
//!
//! Rule: what goes wrong is one line on standard error and exit code 2; what a command finds is its exit code. A reader that has seen
//! enough is no error.

mod check;
mod commands;
mod diff;
mod failure;
mod fields;
mod findings;
mod foreign;
mod input;
mod interrupts;
mod ist;
mod its;
mod judged;
mod known;
mod manual;
mod mappings;
mod number;
mod output;
mod plot;
mod ram;
mod registers;
mod show;
mod units;
mod vcpus;
mod walked;

use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Look at the state of the interrupt controller that KVM emulates for an Arm guest.
///
/// Exit code 0: done. 1: diff found a difference. 2: an error, on standard error. check: see check --help.
#[derive(Debug, Parser)]
#[command(name = "vgic-state", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(show::Args),
    Diff(diff::Args),
    Check(check::Args),
    Commands(commands::Args),
    Its(its::Args),
    Ist(ist::Args),
    Plot(plot::Args),
    #[command(hide = true)]
    Completions(manual::Completions),
    #[command(hide = true)]
    Man(manual::Man),
}

/// Something went wrong.
const ERROR: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = BufWriter::new(io::stdout().lock());
    let result = run(&cli.command, &mut out).and_then(|code| Ok(out.flush().map(|()| code)?));
    match result {
        Ok(code) => ExitCode::from(code),
        // The reader has seen enough.
        Err(error) if error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            // If nobody listens there either, the exit code says it.
            let _ = writeln!(io::stderr(), "vgic-state: {error}");
            ExitCode::from(ERROR)
        }
    }
}

/// Runs a command. Returns its exit code.
fn run(command: &Command, out: &mut impl Write) -> Result<u8, Failure> {
    match command {
        Command::Show(args) => show::run(args, out).map(|()| 0),
        Command::Diff(args) => diff::run(args, out),
        Command::Commands(args) => commands::run(args, out),
        Command::Check(args) => check::run(args, out),
        Command::Its(args) => its::run(args, out),
        Command::Ist(args) => ist::run(args, out),
        Command::Plot(args) => plot::run(args, out).map(|()| 0),
        Command::Completions(args) => manual::completions(args, Cli::command(), out).map(|()| 0),
        Command::Man(args) => manual::man(args, Cli::command(), out).map(|()| 0),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn options_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
