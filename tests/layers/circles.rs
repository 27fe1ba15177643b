//! Circles between files, and between the files and folders that lie in one folder.
//!
//! Rule: a folder counts as one, with all that is in it; a message shows each use of one shortest circle.

use crate::uses::Use;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;

type Graph = BTreeMap<String, BTreeMap<String, Use>>;

pub(crate) fn of_files(uses: &[Use]) -> Vec<String> {
    let graph = graph(uses.iter().map(|at| (at.from.clone(), at.to.clone(), at)));
    circles(&graph).iter().map(|circle| message("files", circle, &graph)).collect()
}

pub(crate) fn of_folders(uses: &[Use]) -> Vec<String> {
    let mut within: BTreeMap<String, Vec<(String, String, &Use)>> = BTreeMap::new();
    for at in uses {
        let [from, to]: [Vec<&str>; 2] = [&at.from, &at.to].map(|file| file.split('/').collect());
        let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        let place = |file: &[&str]| file[..=common].join("/") + if file.len() > common + 1 { "/" } else { "" };
        within.entry(from[..common].join("/")).or_default().push((place(&from), place(&to), at));
    }
    let mut messages = Vec::new();
    for uses in within.into_values() {
        let graph = graph(uses.into_iter());
        let with_folders = circles(&graph).into_iter().filter(|circle| circle.iter().any(|place| place.ends_with('/')));
        messages.extend(with_folders.map(|circle| message("folders", &circle, &graph)));
    }
    messages
}

fn graph<'a>(uses: impl Iterator<Item = (String, String, &'a Use)>) -> Graph {
    let mut graph = Graph::new();
    for (from, to, at) in uses {
        graph.entry(from).or_default().entry(to).or_insert_with(|| at.clone());
    }
    graph
}

/// One shortest circle through the first place of each set of places that all reach each other.
fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let mut done = BTreeSet::new();
    let mut circles = Vec::new();
    for start in graph.keys() {
        if done.contains(start) {
            continue;
        }
        let reached = reach(graph, start);
        let Some(circle) = path_back(start, &reached) else { continue };
        done.extend(reached.keys().filter(|&place| reach(graph, place).contains_key(start)).cloned());
        circles.push(circle);
    }
    circles
}

/// Each place that is reached, with the one before it.
fn reach(graph: &Graph, start: &str) -> BTreeMap<String, String> {
    let mut before = BTreeMap::new();
    let mut queue = VecDeque::from([start.to_owned()]);
    while let Some(place) = queue.pop_front() {
        for next in graph.get(&place).into_iter().flat_map(BTreeMap::keys) {
            if !before.contains_key(next) {
                before.insert(next.clone(), place.clone());
                queue.push_back(next.clone());
            }
        }
    }
    before
}

fn path_back(start: &str, before: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let mut circle = vec![before.get(start)?.clone()];
    while circle.last()? != start {
        circle.push(before.get(circle.last()?)?.clone());
    }
    circle.reverse();
    Some(circle)
}

fn message(what: &str, circle: &[String], graph: &Graph) -> String {
    let mut text = format!("a circle of {what}:\n");
    for (from, to) in circle.iter().zip(circle.iter().cycle().skip(1)) {
        let Use { from: file, line, item, .. } = &graph[from][to];
        let _ = writeln!(text, "  {from} uses {to}: {file}:{line}: `{item}`");
    }
    text
}
