//! Starts one VMM after the other, each connected with the next, and says what the last one has found.
//!
//! Rule: of the guest, the operator has nothing but the descriptors of its memory.

use super::options::{Options, Tables};
use super::report::Report;
use super::wire::Wire;
use super::{Result, layout, shared};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

/// For the image of a VM of this size.
const AREA_BYTES: usize = 4 << 20;

/// VMMs that run; ended if the operator gives up.
#[derive(Debug, Default)]
struct Nodes(Vec<Child>);

impl Nodes {
    fn wait(&mut self, generation: usize) -> Result<()> {
        let node = self.0.get_mut(generation).ok_or("no such VMM")?;
        let status = node.wait()?;
        if status.success() { Ok(()) } else { Err(format!("VMM {generation}: {status}").into()) }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in &mut self.0 {
            // Most of them have ended long ago.
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

/// Whether nothing was lost and nothing doubled.
pub(super) fn run(mut options: Options) -> Result<bool> {
    let memory = options.in_place.then(|| shared::create(layout::RAM_BYTES)).transpose()?;
    let area = options.in_place.then(|| shared::create(AREA_BYTES)).transpose()?;
    options.memory = memory.as_ref().map(shared::number);
    options.area = area.as_ref().map(shared::number);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!(
        "{} moves {}, tables in {}, seed {}, Linux {}",
        options.moves,
        if options.in_place { "in place" } else { "to other memory" },
        match options.tables {
            Tables::Guest => "guest memory",
            Tables::Image => "the image",
            Tables::Turns => "guest memory and the image by turns",
        },
        options.seed,
        release.trim()
    );

    let program = std::env::current_exe()?;
    let mut nodes = Nodes::default();
    let mut input = Stdio::null();
    let mut end = None;
    for generation in 0..=options.moves {
        let (ours, theirs) = UnixStream::pair()?;
        let node = Command::new(&program)
            .args(options.arguments(generation))
            .stdin(core::mem::replace(&mut input, Stdio::null()))
            .stdout(OwnedFd::from(theirs))
            .spawn()?;
        nodes.0.push(node);
        if generation == options.moves {
            end = Some(ours);
        } else {
            input = Stdio::from(OwnedFd::from(ours));
        }
        // The one before has given its guest away when it ends.
        if let Some(before) = nodes.0.len().checked_sub(2) {
            nodes.wait(before)?;
        }
    }
    let mut wire = Wire::new(end.ok_or("no VMM")?)?;
    let report = Report::get(&mut wire).map_err(|error| format!("no report of the last VMM: {error}"))?;
    nodes.wait(nodes.0.len() - 1)?;
    println!("{report}");
    Ok(report.good(options.moves))
}
