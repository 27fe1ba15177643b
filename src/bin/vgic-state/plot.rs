//! `vgic-state plot`: one picture of an image.
//!
//! Source: the same rows that `show` prints.
//!
//! Rule: what is pending stands out, by colour and by shape. A few interrupts are drawn one by one; many are counted and drawn as bars.

mod canvas;
mod events;
mod grid;
mod mood;

use crate::failure::Failure;
use crate::input::{Image, State};
use crate::interrupts::{self, Interrupt};
use crate::output::commas;
use crate::ram::RamArgs;
use crate::{show, walked};
use canvas::{Canvas, WIDTH};
use clap::Args as ClapArgs;
use mood::{Mood, Tally};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Draw an image: interrupts by target vCPU and priority, with those pending, active and disabled marked; of ITSes, devices against
/// events.
///
/// The picture is an SVG file: a browser shows it, with the name of an interrupt under the pointer. Interrupts that nobody has
/// configured are not drawn.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  vgic-state plot guest.img -o guest.svg
  vgic-state plot guest.img --ram ram.bin --base 0x40000000 -o guest.svg   # with tables in guest memory
  vgic-state plot guest.img -o - | rsvg-convert > guest.png")]
pub(crate) struct Args {
    /// The image.
    file: PathBuf,
    /// The picture; - for standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    ram: RamArgs,
}

pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let image = Image::open(&args.file)?;
    let (mut walked, ram) = (None, args.ram.open()?);
    if !args.ram.ram.is_empty() {
        let State::Gicv3(state) = &image.state else {
            return Err("--ram: the interrupts of a GICv5 are all in its image".into());
        };
        let read = walked::read(state, &ram)?;
        // The picture has no place for it.
        for line in read.missing() {
            let _ = writeln!(io::stderr(), "vgic-state: {line}");
        }
        walked = Some(read.mapped);
    }
    let rows = interrupts::interrupts(&image.state, walked.as_ref());
    let mapped = match &image.state {
        State::Gicv3(state) => walked.as_ref().or(state.lpis.as_ref()),
        State::Gicv2(_) | State::Gicv5(_) => None,
    };

    let name = args.file.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    let mut canvas = Canvas::new();
    canvas.heading(&name);
    // The summary of `show`, a line for each half.
    for half in show::summary(&image, &rows).split("; ") {
        canvas.line(half);
    }
    let used: Vec<&Interrupt> = rows.iter().filter(|row| row.used).collect();
    legend(&mut canvas, &used);
    grid::draw(&mut canvas, &used);
    if let Some(mapped) = mapped {
        events::draw(&mut canvas, mapped, &used);
    }
    let picture = canvas.finish();
    if args.output == Path::new("-") {
        return Ok(svg::write(out, &picture)?);
    }
    save(&args.output, &picture).map_err(|error| format!("{}: {error}", args.output.display()).into())
}

fn save(path: &Path, picture: &svg::Document) -> Result<(), Failure> {
    let mut file = BufWriter::new(File::create(path)?);
    svg::write(&mut file, picture)?;
    file.write_all(b"\n")?;
    Ok(file.flush()?)
}

/// What the marks mean, with how many there are of each.
fn legend(canvas: &mut Canvas, used: &[&Interrupt]) {
    let mut tally = Tally::default();
    used.iter().for_each(|interrupt| tally.add(Mood::of(interrupt)));
    let y = canvas.advance(28.0);
    for (n, mood) in Mood::ALL.into_iter().enumerate() {
        let x = 20.0 + n as f32 * (WIDTH - 40.0) / 5.0;
        canvas.mark(x, y, 14.0, 14.0, mood, mood.name());
        canvas.text(x + 20.0, y + 11.0, 12.0, &format!("{} ({})", mood.name(), commas(tally.of(mood) as u64)));
    }
}
