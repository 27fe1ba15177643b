//! What a package installs, and the help.

use super::{of_guests, stderr, stdout};

#[test]
fn completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish"] {
        let output = of_guests(&["completions", shell]);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
        assert!(stdout(&output).contains("ignore-restore"), "{shell}");
    }
    for (page, part) in [(None, "vgic\\-state\\-show"), (Some("show"), "Only this part"), (Some("diff"), "\\-\\-ignore\\-restore")]
    {
        let args: Vec<&str> = ["man"].into_iter().chain(page).collect();
        let output = of_guests(&args);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
        assert!(stdout(&output).contains(".TH vgic-state") && stdout(&output).contains(part), "{}", stdout(&output));
    }
    let output = of_guests(&["man", "frob"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(2), "vgic-state: there is no command frob\n"));
    // They are not for those who look for a command.
    assert!(!stdout(&of_guests(&["--help"])).contains("completions"));
}

#[test]
fn every_command_has_examples_in_its_help() {
    let help = of_guests(&["--help"]);
    for command in ["show", "diff", "check", "commands", "its", "ist", "plot"] {
        assert!(stdout(&help).contains(&format!("\n  {command} ")), "{command}");
        let output = of_guests(&[command, "--help"]);
        assert!(stdout(&output).contains("Examples:\n  "), "{command}");
    }
}
