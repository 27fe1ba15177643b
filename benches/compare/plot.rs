//! Time per vCPU and per interrupt, as a drawing: flat where the work is linear.
//!
//! Rule: both axes are logarithmic, so that a line that is flat for the large numbers is flat in the drawing, whatever it costs to
//! begin.

use crate::device::InFile;
use crate::image;
use crate::pair::calls;
use crate::save::Save as _;
use crate::save::SaveImage as _;
use crate::states::{self, ALL, used};
use std::fmt::Write as _;
use std::time::Duration;
use vgic_state::DynInterruptState;
use vgic_state::gicv3::Gicv3State;
use vgic_state::gicv5::{Gicv5, Gicv5State};
use vgic_state::image::IstCoding;

/// A line of a chart: its name, and a time in nanoseconds for each number.
struct Line {
    name: &'static str,
    points: Vec<(u32, f64)>,
}

/// The least time of one call, in nanoseconds.
fn least(mut runs: impl FnMut(u64) -> Duration) -> f64 {
    let once = runs(1).max(Duration::from_nanos(20));
    let batch = (Duration::from_millis(2).as_nanos() / once.as_nanos()).clamp(1, 10_000) as u64;
    (0..15).map(|_| runs(batch).as_secs_f64() * 1e9 / batch as f64).fold(f64::INFINITY, f64::min)
}

fn per_unit(name: &'static str, numbers: impl Iterator<Item = u32>, mut time: impl FnMut(u32) -> f64) -> Line {
    Line { name, points: numbers.map(|n| (n, time(n) / f64::from(n))).collect() }
}

fn vcpus() -> Vec<Line> {
    let numbers = || (0..10).map(|n| 1 << n);
    // Not on the model, which looks for the vCPU of each access one by one.
    let save = |vcpus| {
        let mut gic = used(vcpus, 32, Some(5), ALL);
        let state = gic.flush_and_save().expect("save");
        let mut gic = Gicv5::attach(InFile::new(&state), gic.target().vcpus.clone()).expect("attach");
        let mut image = vec![0; gic.requirements().expect("requirements").image_max];
        least(calls(|| gic.flush_and_save_image(&mut image).expect("save")))
    };
    let parse5 = |vcpus| {
        let image = states::gicv5("", vcpus, 32, None, ALL).state.to_image(IstCoding::Raw).expect("image");
        least(calls(|| {
            std::hint::black_box(Gicv5State::parse(&image).expect("parse"));
        }))
    };
    let encode3 = |vcpus| {
        let state = states::gicv3(vcpus, 64).state;
        let mut image = vec![0; state.image_bytes()];
        least(calls(|| state.encode(&mut image).expect("encode")))
    };
    let parse3 = |vcpus| {
        let image = states::gicv3(vcpus, 64).state.to_image().expect("image");
        least(calls(|| Gicv3State::parse(&image).expect("parse")))
    };
    let check3 = |vcpus| {
        let named = states::gicv3(vcpus, 64);
        least(calls(|| image::check3(&named.state, &named.target)))
    };
    vec![
        per_unit("GICv5 save, by system calls", numbers(), save),
        per_unit("GICv5 parse", numbers(), parse5),
        per_unit("GICv3 encode", numbers(), encode3),
        per_unit("GICv3 parse", numbers(), parse3),
        per_unit("GICv3 check", numbers(), check3),
    ]
}

fn interrupts() -> Vec<Line> {
    let numbers = || (5..=16).map(|n| 1 << n);
    let state = |n: u32| states::gicv5("", 1, 32, Some(n.trailing_zeros()), ALL);
    let save = |n: u32| {
        let mut gic = used(1, 32, Some(n.trailing_zeros()), ALL);
        let mut image = vec![0; gic.requirements().expect("requirements").image_max];
        least(calls(|| {
            gic.device_mut().clear_trace();
            gic.flush_and_save_image(&mut image).expect("save")
        }))
    };
    let encode = |coding| {
        move |n| {
            let named = state(n);
            let mut image = vec![0; named.state.image_max(coding)];
            least(calls(|| named.state.encode(&mut image, coding).expect("encode")))
        }
    };
    let parse = |n| {
        let image = state(n).state.to_image(IstCoding::Sparse).expect("image");
        least(calls(|| {
            std::hint::black_box(Gicv5State::parse(&image).expect("parse"));
        }))
    };
    let check = |n| {
        let named = state(n);
        least(calls(|| image::check5(&named.state, &named.target)))
    };
    vec![
        per_unit("GICv5 save, on the model", numbers(), save),
        per_unit("encode, raw", numbers(), encode(IstCoding::Raw)),
        per_unit("encode, sparse", numbers(), encode(IstCoding::Sparse)),
        per_unit("parse, sparse", numbers(), parse),
        per_unit("check", numbers(), check),
    ]
}

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 310.0;
const COLOURS: [&str; 5] = ["#1b6ca8", "#c8553d", "#3a7d44", "#7d4f9e", "#8a6d1b"];

/// One chart, with its upper left corner at `x`.
fn chart(svg: &mut String, x: f64, title: &str, unit: &str, lines: &[Line]) -> std::fmt::Result {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let last = points().map(|(n, _)| n).max().unwrap_or(1);
    let first = points().map(|(n, _)| n).min().unwrap_or(1);
    let floor = points().map(|(_, time)| time).fold(f64::INFINITY, f64::min).log10().floor();
    let top = points().map(|(_, time)| time).fold(0.0, f64::max).log10().ceil();
    let (left, upper, width, height) = (x + 75.0, 40.0, WIDTH - 95.0, HEIGHT - 135.0);
    let span = f64::from(last).log2() - f64::from(first).log2();
    let at_x = |n: u32| left + width * (f64::from(n).log2() - f64::from(first).log2()) / span;
    let at_y = |time: f64| upper + height * (top - time.log10()) / (top - floor);

    writeln!(svg, r#"<text x="{left:.0}" y="22" font-weight="bold">{title}</text>"#)?;
    for decade in floor as i32..=top as i32 {
        let y = at_y(10f64.powi(decade));
        writeln!(svg, r##"<path d="M{left:.0} {y:.1}h{width:.0}" stroke="#ccc"/>"##)?;
        let label = if decade < 0 {
            format!("{:.*}", decade.unsigned_abs() as usize, 10f64.powi(decade))
        } else {
            10u64.pow(decade as u32).to_string()
        };
        writeln!(svg, r#"<text x="{:.0}" y="{:.1}" text-anchor="end">{label} ns</text>"#, left - 6.0, y + 4.0)?;
    }
    for (n, _) in lines[0].points.iter().step_by(3) {
        writeln!(svg, r#"<text x="{:.1}" y="{:.0}" text-anchor="middle">{n}</text>"#, at_x(*n), upper + height + 18.0)?;
    }
    writeln!(svg, r#"<text x="{:.0}" y="{:.0}" text-anchor="end">{unit}</text>"#, left + width, upper + height + 34.0)?;
    for (n, (line, colour)) in lines.iter().zip(COLOURS).enumerate() {
        let path: Vec<String> = line.points.iter().map(|(n, time)| format!("{:.1} {:.1}", at_x(*n), at_y(*time))).collect();
        writeln!(svg, r#"<path d="M{}" fill="none" stroke="{colour}" stroke-width="2"/>"#, path.join("L"))?;
        let (key_x, key_y) = (left + 190.0 * (n % 2) as f64, upper + height + 40.0 + 16.0 * (n / 2) as f64);
        writeln!(svg, r#"<text x="{key_x:.0}" y="{:.0}" fill="{colour}">{}</text>"#, key_y + 12.0, line.name)?;
    }
    Ok(())
}

/// Measures, and draws.
pub(crate) fn draw() -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {HEIGHT:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        2.0 * WIDTH
    );
    chart(&mut svg, 0.0, "Time per vCPU", "vCPUs", &vcpus())
        .and_then(|()| chart(&mut svg, WIDTH, "Time per interrupt, all of them in use", "LPIs", &interrupts()))
        .expect("a String takes everything");
    svg + "</svg>\n"
}
