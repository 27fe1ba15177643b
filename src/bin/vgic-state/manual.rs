//! `vgic-state completions`, `vgic-state man`: what a package installs.
//!
//! Source: the command line as it is defined.
//!
//! Rule: nothing is written by hand.

use crate::failure::Failure;
use clap::{Args as ClapArgs, Command};
use clap_complete::Shell;
use std::io::Write;

/// Print the completions for a shell.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:
  vgic-state completions bash > ~/.local/share/bash-completion/completions/vgic-state")]
pub(crate) struct Completions {
    shell: Shell,
}

/// Print the manual page, or that of a command.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:
  vgic-state man > vgic-state.1; vgic-state man show > vgic-state-show.1")]
pub(crate) struct Man {
    /// The command.
    command: Option<String>,
}

/// Prints the completions of a command line.
pub(crate) fn completions(args: &Completions, mut command: Command, out: &mut impl Write) -> Result<(), Failure> {
    // The generator does not expect a reader that goes away.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "vgic-state", &mut text);
    Ok(out.write_all(&text)?)
}

/// Prints a page of a command line.
pub(crate) fn man(args: &Man, mut command: Command, out: &mut impl Write) -> Result<(), Failure> {
    // Gives every command its full name.
    command.build();
    let page = match &args.command {
        None => command,
        Some(name) => {
            let command = command.find_subcommand(name).ok_or_else(|| format!("there is no command {name}"))?;
            command.clone()
        }
    };
    Ok(clap_mangen::Man::new(page).render(out)?)
}
