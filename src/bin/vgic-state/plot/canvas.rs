//! A picture that grows downwards.
//!
//! Source: SVG 1.1.
//!
//! Rule: what is not a number or a colour of this file is text that the writer escapes.

use super::mood::Mood;
use svg::Document;
use svg::node::element::{Group, Line, Path, Rectangle, Text, Title};

/// Columns of the picture.
pub(super) const WIDTH: f32 = 1200.0;
/// Left of a grid: names of its rows.
pub(super) const MARGIN: f32 = 150.0;

const BLUE: &str = "#7ea6cf";
const ORANGE: &str = "#f28e1c";
const GREEN: &str = "#3f9b45";
const GREY: &str = "#9a9a9a";
const WHITE: &str = "#ffffff";

pub(super) struct Canvas {
    group: Group,
    y: f32,
}

impl Canvas {
    pub(super) fn new() -> Self {
        let group = Group::new().set("font-family", "DejaVu Sans, Verdana, sans-serif").set("fill", "#222222");
        Canvas { group, y: 16.0 }
    }

    pub(super) fn finish(self) -> Document {
        let height = self.y + 20.0;
        let ground = Rectangle::new().set("width", "100%").set("height", "100%").set("fill", WHITE);
        Document::new()
            .set("viewBox", (0.0, 0.0, WIDTH, height))
            .set("width", WIDTH)
            .set("height", height)
            .add(ground)
            .add(self.group)
    }

    /// Takes a strip of this height. Returns where it begins.
    pub(super) fn advance(&mut self, height: f32) -> f32 {
        let y = self.y;
        self.y += height;
        y
    }

    fn add(&mut self, node: impl svg::Node + 'static) {
        self.group = std::mem::replace(&mut self.group, Group::new()).add(node);
    }

    pub(super) fn heading(&mut self, text: &str) {
        let y = self.advance(28.0);
        self.add(Text::new(text).set("x", 20).set("y", y + 16.0).set("font-size", 18).set("font-weight", "bold"));
    }

    pub(super) fn line(&mut self, text: &str) {
        let y = self.advance(18.0);
        self.text(20.0, y + 10.0, 13.0, text);
    }

    pub(super) fn text(&mut self, x: f32, y: f32, size: f32, text: &str) {
        self.add(Text::new(text).set("x", x).set("y", y).set("font-size", size));
    }

    /// Text that ends at `x`, or whose middle is there.
    pub(super) fn text_at(&mut self, x: f32, y: f32, size: f32, anchor: &'static str, text: &str) {
        self.add(Text::new(text).set("x", x).set("y", y).set("font-size", size).set("text-anchor", anchor));
    }

    pub(super) fn rule(&mut self, x1: f32, y1: f32, x2: f32, y2: f32) {
        let line = Line::new().set("x1", x1).set("y1", y1).set("x2", x2).set("y2", y2);
        self.add(line.set("stroke", "#dddddd").set("stroke-width", 1));
    }

    /// An interrupt, or several that are in the same mood: a box, with a tip for the pointer. Pending ones have a cut corner.
    pub(super) fn mark(&mut self, x: f32, y: f32, width: f32, height: f32, mood: Mood, tip: &str) {
        let (fill, stroke, thick) = match mood {
            Mood::PendingDisabled => (WHITE, ORANGE, 2.0),
            Mood::Pending => (ORANGE, ORANGE, 1.0),
            Mood::Active => (GREEN, GREEN, 1.0),
            Mood::Disabled => (WHITE, GREY, 1.0),
            Mood::Idle => (BLUE, BLUE, 1.0),
        };
        // A tenth of a point is as good as any more digits.
        let tenths = |value: f32| (value * 10.0).round() / 10.0;
        let (x, y) = (tenths(x + thick / 2.0), tenths(y + thick / 2.0));
        let (width, height) = (tenths(width - thick).max(0.5), tenths(height - thick).max(0.5));
        let tip = Title::new(tip);
        if matches!(mood, Mood::Pending | Mood::PendingDisabled) && width > 5.0 {
            let cut = (height * 0.45).min(width * 0.45);
            let [right, down] = [width - cut, height - cut];
            let outline = format!("M{x:.1} {y:.1}h{right:.1}l{cut:.1} {cut:.1}v{down:.1}h-{width:.1}z");
            let path = Path::new().set("d", outline).set("fill", fill).set("stroke", stroke).set("stroke-width", thick);
            self.add(path.add(tip));
        } else {
            let mark = Rectangle::new().set("x", x).set("y", y).set("width", width).set("height", height);
            self.add(mark.set("fill", fill).set("stroke", stroke).set("stroke-width", thick).add(tip));
        }
    }
}
