//! Declared orders of rooms.

use std::collections::BTreeMap;

use super::Violation;
use super::source::Tree;

/// The rooms of one module, lowest first; those in one line of the list do not read each other.
pub(super) struct Order {
    /// Name of the package.
    krate: &'static str,
    /// Path of the module from the crate's root; empty for the root itself.
    module: &'static [&'static str],
    rooms: &'static [&'static [&'static str]],
}

/// All declared orders.
pub(super) const ORDERS: &[Order] = &[
    Order {
        krate: "druse-nn",
        module: &[],
        rooms: &[
            &["arch", "device", "init", "weights"],
            &["basis"],
            &["graph", "memory", "precision"],
            &["params"],
            &["ops"],
            &["tangent"],
            &["blocks", "optim", "roofline"],
        ],
    },
    Order {
        krate: "druse-nn",
        module: &["ops"],
        rooms: &[
            &["blocks", "kernels", "matrix", "product"],
            &["device_op"],
            &["host"],
            &["gather"],
            &["attention", "dense", "geometry"],
            &["gemnet"],
            &["crystal_graph", "dimenet", "gemsdiff", "image", "spherenet", "unet"],
            &["cube"],
        ],
    },
    Order {
        krate: "druse-models",
        module: &[],
        rooms: &[
            &["identity"],
            &["bonds", "conditions", "process", "standardizer"],
            &["error"],
            &["settings", "targets", "traits"],
            &["engine", "known_crystals", "published", "reference", "structure_types"],
            &["autoencoder"],
            &["kinds"],
            &["generative", "parity", "property"],
            &["registry"],
        ],
    },
    Order {
        krate: "druse-run",
        module: &[],
        rooms: &[
            &["config", "elements", "energies", "enumerate", "potentials"],
            &["checkpoint"],
            &["error"],
            &["cluster", "folder", "import", "predict"],
            &["metrics"],
            &["observer"],
            &["output"],
            &["relax", "sample", "train"],
            &["latent", "model", "screen"],
            &["embedding", "merge"],
        ],
    },
];

/// What breaks the orders that are declared for a package.
pub(super) fn violations(krate: &str, tree: &Tree, orders: &[Order]) -> Vec<Violation> {
    orders.iter().filter(|order| order.krate == krate).flat_map(|order| order.violations(tree)).collect()
}

impl Order {
    fn violations(&self, tree: &Tree) -> Vec<Violation> {
        let name = [&[self.krate], self.module].concat().join("::");
        let alone = |rule: String| Violation { rule, places: Vec::new() };
        let Some(present) = tree.rooms(self.module) else {
            return vec![alone(format!("{name} has a declared order, but there is no such module"))];
        };
        let level: BTreeMap<&str, usize> =
            self.rooms.iter().enumerate().flat_map(|(i, rooms)| rooms.iter().map(move |&r| (r, i))).collect();
        let unknown = present.iter().filter(|room| !level.contains_key(*room));
        let mut found: Vec<Violation> = unknown
            .map(|room| alone(format!("{name}: room `{room}` has no place in the declared order")))
            .collect();
        let gone = level.keys().filter(|room| !present.contains(room));
        found.extend(
            gone.map(|room| alone(format!("{name}: the declared order lists `{room}`, which is gone"))),
        );
        let mut against: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for import in &tree.imports {
            if import.from.len() <= self.module.len()
                || !import.from.iter().zip(self.module).all(|(a, b)| a == b)
            {
                continue;
            }
            let rule = if import.to == self.module {
                format!("{name}: a room reads what the face defines itself")
            } else {
                let Some([from, to]) = import.rooms().filter(|_| import.common() == self.module.len()) else {
                    continue;
                };
                match (level.get(from), level.get(to)) {
                    (Some(from_level), Some(to_level)) if from_level <= to_level => {
                        format!("{name}: `{from}` reads `{to}`, against the declared order")
                    }
                    _ => continue,
                }
            };
            against.entry(rule).or_default().push(import.to_string());
        }
        found.extend(against.into_iter().map(|(rule, places)| Violation { rule, places }));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::tree;
    use super::*;

    const EXAMPLE: &[Order] =
        &[Order { krate: "example", module: &["ops"], rooms: &[&["low"], &["left", "right"], &["high"]] }];

    fn rules(rooms: &[(&str, &str)], face: &str) -> Vec<Violation> {
        let files: Vec<(&str, &str)> =
            [("lib.rs", "mod ops;"), ("ops/mod.rs", face)].into_iter().chain(rooms.iter().copied()).collect();
        violations("example", &tree(&files), EXAMPLE)
    }

    const FACE: &str = "mod low; mod left; mod right; mod high; pub use low::f;";

    #[test]
    fn reading_downwards_is_fine() {
        let found = rules(
            &[
                ("ops/low.rs", "pub fn f() {}"),
                ("ops/left.rs", "use super::f;"),
                ("ops/right/mod.rs", "mod inner;"),
                ("ops/right/inner.rs", "use crate::ops::low::f;"),
                ("ops/high.rs", "use super::{left, right};"),
            ],
            FACE,
        );
        assert_eq!(found, []);
    }

    #[test]
    fn reading_upwards_sideways_or_the_face_is_not() {
        let found = rules(
            &[
                ("ops/low.rs", "use super::high::g;"),
                ("ops/left.rs", "use super::right::h;"),
                ("ops/right.rs", "use super::Own; pub fn h() {}"),
                ("ops/high.rs", "pub fn g() {}"),
            ],
            "mod low; mod left; mod right; mod high; pub struct Own;",
        );
        let text: Vec<String> =
            found.iter().map(|v| format!("{} | {}", v.rule, v.places.join(" | "))).collect();
        assert_eq!(
            text,
            [
                "example::ops: `left` reads `right`, against the declared order | ops/left.rs:1: super::right::h",
                "example::ops: `low` reads `high`, against the declared order | ops/low.rs:1: super::high::g",
                "example::ops: a room reads what the face defines itself | ops/right.rs:1: super::Own",
            ]
        );
    }

    #[test]
    fn every_room_has_a_place() {
        let rooms = [("ops/low.rs", ""), ("ops/left.rs", ""), ("ops/high.rs", ""), ("ops/new.rs", "")];
        let found = rules(&rooms, "mod low; mod left; mod high; mod new;");
        let text: Vec<&str> = found.iter().map(|v| v.rule.as_str()).collect();
        assert_eq!(
            text,
            [
                "example::ops: room `new` has no place in the declared order",
                "example::ops: the declared order lists `right`, which is gone",
            ]
        );
        assert_eq!(violations("example", &tree(&[("lib.rs", "")]), EXAMPLE).len(), 1);
    }
}
