//! Trees that break the rules, and what is said of each.
//!
//! Rule: what the checks would not find, they would not keep out.

use crate::order::{Module, against};
use crate::snapshot::snapshot;
use crate::source::{Files, Tree};
use crate::uses::Use;
use crate::{circles, source};

fn uses(files: &[(&str, &str)]) -> Result<Vec<Use>, String> {
    let files: Files = files.iter().map(|&(path, text)| (path.into(), text.into())).collect();
    let mut tree = source::Tree::default();
    Tree::add(&mut tree, "crafted", "src/lib.rs", &files);
    tree.uses()
}

const LAYERS: &[&[Module]] = &[
    &[Module { name: "low", place: "src/low.rs", only: None, what: "" }],
    &[
        Module { name: "middle", place: "src/middle/", only: None, what: "" },
        Module { name: "beside", place: "src/beside.rs", only: None, what: "" },
    ],
    &[Module { name: "high", place: "src/high.rs", only: Some(&["low"]), what: "" }],
    &[Module { name: "lib", place: "src/lib.rs", only: None, what: "" }],
];

/// By a name that the crate and a folder re-export, by a path, in the arguments of a macro, inside of a function, past a layer, of the
/// same layer; and a file without a layer.
#[test]
fn uses_against_the_order_are_found() {
    let uses = uses(&[
        ("src/lib.rs", "mod low; mod middle; mod beside; mod high; mod new; pub use middle::Thing; pub use high::*;"),
        ("src/low.rs", "use crate::Thing;\nfn f() {\n  use crate::high::Top;\n  println!(\"{}\", crate::high::top());\n}"),
        ("src/middle/mod.rs", "mod thing; pub use thing::Thing; #[cfg(test)] mod tests { use crate::Top; }"),
        ("src/middle/thing.rs", "pub struct Thing; impl Thing { fn top() -> super::super::Top { crate::high::top() } }"),
        ("src/beside.rs", "use crate::middle::Thing;"),
        ("src/new.rs", "use crate::Thing;"),
        ("src/high.rs", "use crate::middle as renamed; pub struct Top; pub fn top() -> Top { renamed::Thing; Top }"),
    ]);
    snapshot!("layers_against_the_order", against(&uses.unwrap(), LAYERS).join("\n"));
}

#[test]
fn a_circle_of_files_is_found() {
    let uses = uses(&[
        ("src/lib.rs", "mod a; mod b; mod c; pub use a::A;"),
        ("src/a.rs", "use crate::b::B;\npub struct A(B);"),
        ("src/b.rs", "use super::c;\npub struct B;\nimpl B { fn c(c: c::C) {} }"),
        ("src/c.rs", "pub struct C;\nimpl From<crate::A> for C {}"),
    ])
    .unwrap();
    snapshot!("layers_circle_of_files", circles::of_files(&uses).join("\n"));
    assert!(circles::of_folders(&uses).is_empty());
}

/// No file is in a circle: one pair of files points one way, the other pair back.
#[test]
fn a_circle_of_folders_is_found() {
    let uses = uses(&[
        ("src/lib.rs", "mod one; mod two;"),
        ("src/one/mod.rs", "pub mod a; pub mod b;"),
        ("src/one/a.rs", "use crate::two::a::A;"),
        ("src/one/b.rs", "pub struct B;"),
        ("src/two/mod.rs", "pub mod a; pub mod b;"),
        ("src/two/a.rs", "pub struct A;"),
        ("src/two/b.rs", "fn f(b: crate::one::b::B) {}"),
    ])
    .unwrap();
    assert!(circles::of_files(&uses).is_empty());
    snapshot!("layers_circle_of_folders", circles::of_folders(&uses).join("\n"));
}

/// A path that leads nowhere is said, not passed over.
#[test]
fn an_unknown_path_is_an_error() {
    let error = uses(&[("src/lib.rs", "mod a;"), ("src/a.rs", "use crate::missing::Thing;")]).unwrap_err();
    assert_eq!(error, "src/a.rs: nothing is `crate::missing::Thing`");
}
