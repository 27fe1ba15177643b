//! What is not as it was.
//!
//! Source: nothing; this is where the words are decided.
//!
//! Rule: a change is said in words where its values do not say it.

/// Something that is not as it was.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// Of what.
    pub(super) of: String,
    /// The field, or in a word what it is.
    pub(super) what: String,
    pub(super) before: String,
    pub(super) after: String,
    /// In words, where the values do not say it.
    pub(super) words: String,
    /// A restore may make it.
    pub(super) restore: bool,
}

impl Change {
    /// Words, or values where there are none.
    pub(super) fn line(&self) -> String {
        let Change { what, before, after, words, .. } = self;
        match words.as_str() {
            "" => format!("{what}: {before} -> {after}"),
            "vanished" => format!("vanished: was {before}"),
            "appeared" => format!("appeared: {after}"),
            words => words.to_owned(),
        }
    }
}

/// A change that no restore makes.
pub(super) fn change(
    of: impl ToString,
    what: impl ToString,
    before: impl ToString,
    after: impl ToString,
    words: impl ToString,
) -> Change {
    Change {
        of: of.to_string(),
        what: what.to_string(),
        before: before.to_string(),
        after: after.to_string(),
        words: words.to_string(),
        restore: false,
    }
}
