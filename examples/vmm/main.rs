//! A small VMM that gives a running guest away, again and again, and counts its interrupts.
//!
//! A guest of two vCPUs takes MSIs through an ITS, SPIs of both kinds, SGIs and timer ticks. It is stopped at any moment; its vCPUs, its
//! memory and its interrupt controller go to another process, which makes a VM of them and lets it run; and so on.
//!
//! `vmm --moves 100`: to other memory, through a socket. `vmm --in-place 100`: memory stays, as in a live update. The tables of the ITS
//! and the pending bits of LPIs go with guest memory (`--tables guest`), in the image (`--tables image`), or by turns.
//! `--fault lose` and `--fault double` do what must be found.
//!
//! On a machine without arm64 KVM, `cargo run --target aarch64-unknown-linux-musl --example vmm` emulates one.
//!
//! Rule: exit code 0 says that no interrupt was lost and none came twice, or that there is no KVM to try it on.

#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod arm64;

fn main() -> std::process::ExitCode {
    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    return arm64::main();
    #[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
    {
        println!("skipped: no arm64 KVM here");
        std::process::ExitCode::SUCCESS
    }
}
