//! `cargo xtask layers`: do crates and modules read each other in one direction only?
//!
//! Three checks:
//! - **Circles of modules.** The children of every module are its rooms; a folder is one room with all it holds. Where
//!   one file of a room names something of another room (in a `use`, in a path, inside a macro), the first room reads the
//!   second. Rooms that read each other, directly or around a corner, are a circle.
//! - **Declared order** ([`order::ORDERS`]): rooms that are listed lowest first read only those before them. In a module
//!   with a declared order nobody reads what its face (`mod.rs`, `lib.rs`) defines itself either; such items belong into a
//!   room of their own.
//! - **Order of the crates** ([`crates::CRATES`]): dependencies in `Cargo.toml` are the declared ones, and what is to stay
//!   free of the tensor engine does not reach it.
//!
//! What counts as reading:
//! - A name is followed through re-exports to the file that defines it. A room that reads `super::Thing`, which the face
//!   only re-exports from another room, reads that room. Faces of other rooms on the way are read as well.
//! - A module and those below it are no circle: a face declares, re-exports and calls its rooms, and rooms read what the
//!   face itself defines, the vocabulary that they share.
//! - Code under `#[cfg(test)]` does not count, nor do links in comments. Features count whether they are on or off.
//! - Methods are not followed: where a type is extended by an `impl` in another room, calls of its methods do not show.

mod circles;
mod crates;
mod order;
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use source::Tree;

/// A broken rule: what, and the places where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    rule: String,
    places: Vec<String>,
}

/// Checks the repository and prints what it finds.
pub fn run(root: &Path) -> ExitCode {
    match check(root) {
        Ok(found) if found.is_empty() => {
            println!("layers: no circles, nothing against the declared orders");
            ExitCode::SUCCESS
        }
        Ok(found) => {
            for Violation { rule, places } in &found {
                println!("{rule}");
                places.iter().for_each(|place| println!("    {place}"));
            }
            println!("layers: {} violation{}", found.len(), if found.len() == 1 { "" } else { "s" });
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn check(root: &Path) -> Result<Vec<Violation>, String> {
    let members = crates::members(root)?;
    let mut found = crates::violations(&members);
    for member in &members {
        for tree in trees(root, &member.folder)? {
            found.extend(circles::violations(&member.name, &tree));
            found.extend(order::violations(&member.name, &tree, order::ORDERS));
        }
    }
    Ok(found)
}

/// The module trees of a package: its library, its program, further programs.
fn trees(root: &Path, folder: &Path) -> Result<Vec<Tree>, String> {
    let mut roots: Vec<PathBuf> =
        ["lib.rs", "main.rs"].iter().map(|f| folder.join("src").join(f)).filter(|f| f.is_file()).collect();
    if let Ok(bins) = fs::read_dir(folder.join("src/bin")) {
        roots.extend(bins.flatten().map(|f| f.path()).filter(|f| f.extension().is_some_and(|e| e == "rs")));
    }
    roots.sort();
    let read = |path: &Path| fs::read_to_string(path).ok();
    let shown = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    roots.iter().map(|file| Tree::load(file, &read, &shown)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn druse_nn_keeps_its_order() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let folder = root.join("crates/druse-nn");
        for tree in trees(root, &folder).unwrap() {
            assert_eq!(circles::violations("druse-nn", &tree), []);
            assert_eq!(order::violations("druse-nn", &tree, order::ORDERS), []);
        }
    }

    #[test]
    fn crates_keep_their_order() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(crates::violations(&crates::members(root).unwrap()), []);
    }
}
