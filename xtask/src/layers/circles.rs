//! Circles of rooms.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use super::source::{Import, Tree};

/// What reads what among the rooms of one module.
type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<&'a Import>>>;

/// The circles among the rooms of every module.
pub(super) fn violations(krate: &str, tree: &Tree) -> Vec<Violation> {
    let mut graphs: BTreeMap<&[String], Graph<'_>> = BTreeMap::new();
    for import in &tree.imports {
        if let Some([from, to]) = import.rooms() {
            let graph = graphs.entry(&import.from[..import.common()]).or_default();
            graph.entry(from).or_default().entry(to).or_default().push(import);
        }
    }
    let mut found = Vec::new();
    for (module, graph) in &graphs {
        for circle in circles(graph) {
            let names: Vec<&str> = circle.iter().copied().collect();
            let at: String = module.iter().map(|m| format!("{m}::")).collect();
            let places = names.iter().flat_map(|from| {
                let inside = graph[from].iter().filter(|(to, _)| circle.contains(*to));
                inside.flat_map(move |(to, imports)| {
                    imports.iter().map(move |i| format!("{from} reads {to}: {i}"))
                })
            });
            found.push(Violation {
                rule: format!("{krate}: circle of {at}{{{}}}", names.join(", ")),
                places: places.collect(),
            });
        }
    }
    found
}

/// The largest sets of rooms in which each reaches all others.
fn circles<'a>(graph: &Graph<'a>) -> Vec<BTreeSet<&'a str>> {
    let reached = |start: &'a str| {
        let mut seen = BTreeSet::new();
        let mut open = vec![start];
        while let Some(room) = open.pop() {
            for &next in graph.get(room).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&str, BTreeSet<&str>> = graph.keys().map(|&room| (room, reached(room))).collect();
    let mut found: BTreeSet<BTreeSet<&str>> = BTreeSet::new();
    for (&room, rooms) in &reach {
        if rooms.contains(room) {
            let back = |other: &&&str| reach.get(**other).is_some_and(|r| r.contains(room));
            found.insert(rooms.iter().filter(back).copied().collect());
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::tree;
    use super::*;

    fn rules(files: &[(&str, &str)]) -> Vec<String> {
        violations("example", &tree(files)).into_iter().map(|v| v.rule).collect()
    }

    #[test]
    fn rooms_in_one_direction_are_fine() {
        let found = rules(&[
            ("lib.rs", "mod a; mod b; mod c; pub use a::f;"),
            ("a.rs", "use crate::{b::g, c::h}; pub fn f() {}"),
            ("b.rs", "use crate::c::h; pub fn g() {}"),
            ("c.rs", "pub fn h() {}"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_face_and_its_rooms_are_no_circle() {
        let found = rules(&[
            ("lib.rs", "mod room;"),
            ("room/mod.rs", "mod a; pub use a::f; pub struct Own; fn g() { a::f() }"),
            ("room/a.rs", "use super::Own; pub fn f() {}"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn two_files_that_read_each_other_are_a_circle() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::g; pub fn f() {}"),
            ("b.rs", "\npub fn g() { crate::a::f() }"),
        ];
        let found = violations("example", &tree(&files));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].rule, "example: circle of {a, b}");
        assert_eq!(found[0].places, ["a reads b: a.rs:1: crate::b::g", "b reads a: b.rs:2: crate::a::f"]);
    }

    #[test]
    fn circles_through_a_face_and_through_folders_are_found() {
        let through_face = rules(&[
            ("lib.rs", "mod room;"),
            ("room/mod.rs", "mod a; mod b; pub use a::f; pub use b::g;"),
            ("room/a.rs", "use super::g; pub fn f() {}"),
            ("room/b.rs", "use super::f; pub fn g() {}"),
        ]);
        assert_eq!(through_face, ["example: circle of room::{a, b}"]);
        // No two files read each other, but the folder `two` reads `one` and is read by it.
        let through_folder = rules(&[
            ("lib.rs", "mod one; mod two;"),
            ("one.rs", "use crate::two::g; pub fn f() {}"),
            ("two/mod.rs", "mod a; pub fn g() {}"),
            ("two/a.rs", "use crate::one::f;"),
        ]);
        assert_eq!(through_folder, ["example: circle of {one, two}"]);
    }

    #[test]
    fn long_circles_are_one() {
        let found = rules(&[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::g; pub fn f() {}"),
            ("b.rs", "use crate::c::h; pub fn g() {}"),
            ("c.rs", "use crate::a::f; pub fn h() {}"),
            ("d.rs", "use crate::a::f;"),
        ]);
        assert_eq!(found, ["example: circle of {a, b, c}"]);
    }
}
