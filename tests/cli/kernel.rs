//! Memory of a guest of a real kernel: Linux 7.3, its own tables and queue. `tests/golden/README.md` says how it was taken.

use super::{snapshot, stderr, stdout, vgic_state};

/// Runs a command on the dump.
fn run(command: &str, more: &[&str]) -> String {
    const RANGES: [&str; 7] = ["40020000", "40100000", "40110000", "40200000", "40210000", "40220000", "402c0000"];
    let mut args = vec![command.to_owned()];
    for start in RANGES {
        args.extend([format!("--ram=tests/golden/its/linux73-{start}.bin"), format!("--base=0x{start}")]);
    }
    args.push("--image=tests/golden/its/linux73.img".to_owned());
    args.extend(more.iter().map(ToString::to_string));
    let output = vgic_state(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    stdout(&output).to_owned()
}

#[test]
fn tables_that_a_kernel_wrote() {
    snapshot!("cli_kernel_its", run("its", &["--format", "tsv", "--only", "interrupts"]));
}

#[test]
fn an_audit_has_nothing_to_say() {
    assert!(run("its", &["--audit"]).contains("findings: none"));
}

#[test]
fn commands_that_a_kernel_ran() {
    snapshot!("cli_kernel_commands", run("commands", &["--format", "tsv"]));
}
