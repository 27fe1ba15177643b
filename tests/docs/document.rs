//! A document, taken apart.
//!
//! Source: CommonMark with tables, as pulldown-cmark reads it; github.com's anchors of headings.
//!
//! Rule: what a reader sees as text is text here; code is kept apart.

use crate::tree::root;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

pub(crate) struct Document {
    /// From the root of the repository.
    pub(crate) path: String,
    /// The text of the first paragraph.
    pub(crate) first: String,
    pub(crate) anchors: Vec<String>,
    pub(crate) headings: Vec<String>,
    pub(crate) links: Vec<String>,
    /// What stands in backticks.
    pub(crate) code: Vec<String>,
    /// What a block is written in, and its text.
    pub(crate) blocks: Vec<(String, String)>,
    /// Paragraphs, items of lists and cells of tables.
    pub(crate) texts: Vec<String>,
}

impl Document {
    pub(crate) fn read(path: &str) -> Document {
        let source = std::fs::read_to_string(root().join(path)).expect("document");
        let mut document = Document {
            path: path.to_owned(),
            first: String::new(),
            anchors: Vec::new(),
            headings: Vec::new(),
            links: Vec::new(),
            code: Vec::new(),
            blocks: Vec::new(),
            texts: Vec::new(),
        };
        let (mut text, mut block) = (String::new(), None);
        for event in Parser::new_ext(&source, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        pulldown_cmark::CodeBlockKind::Fenced(language) => language.to_string(),
                        pulldown_cmark::CodeBlockKind::Indented => String::new(),
                    };
                    block = Some((language, String::new()));
                }
                Event::End(TagEnd::CodeBlock) => document.blocks.extend(block.take()),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => document.links.push(dest_url.to_string()),
                Event::Text(part) => match &mut block {
                    Some((_, block)) => block.push_str(&part),
                    None => text.push_str(&part),
                },
                Event::Code(code) => {
                    text.push_str(&code);
                    document.code.push(code.to_string());
                }
                Event::SoftBreak | Event::HardBreak => text.push(' '),
                Event::End(TagEnd::Heading(_)) => document.add_heading(std::mem::take(&mut text)),
                Event::End(TagEnd::Paragraph | TagEnd::Item | TagEnd::TableCell) => document.add_text(std::mem::take(&mut text)),
                _ => {}
            }
        }
        document
    }

    fn add_heading(&mut self, heading: String) {
        let anchor: String = heading
            .to_lowercase()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect();
        let before = self.headings.iter().filter(|other| other.to_lowercase() == heading.to_lowercase()).count();
        self.anchors.push(if before == 0 { anchor } else { format!("{anchor}-{before}") });
        self.headings.push(heading);
    }

    fn add_text(&mut self, text: String) {
        // A command or a name is no sentence.
        if text.is_empty() || self.code.last() == Some(&text) {
            return;
        }
        if self.first.is_empty() {
            self.first.clone_from(&text);
        }
        self.texts.push(text);
    }

    /// Its folder, with a slash behind it unless it is the root.
    pub(crate) fn folder(&self) -> &str {
        self.path.rfind('/').map_or("", |end| &self.path[..=end])
    }
}
