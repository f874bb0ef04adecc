//! The commands of the tutorial and of the how-to pages work as they are written, one after the other.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{druse, shell_commands};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Runs all commands of a page in a folder of their own.
fn follow(page: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let commands = shell_commands(page);
    assert!(!commands.is_empty(), "{} has no commands", page.display());
    for command in commands {
        let arguments = command.strip_prefix("druse ").unwrap_or_else(|| panic!("not ours: {command}"));
        let run = druse(dir.path(), &arguments.split_whitespace().collect::<Vec<_>>());
        assert_eq!(run.code, Some(0), "{}: `{command}`: {}{}", page.display(), run.stdout, run.stderr);
    }
}

#[test]
fn every_command_of_the_tutorial_works() {
    follow(&docs().join("tutorial.md"));
}

#[test]
fn every_command_of_the_how_to_pages_works() {
    let mut pages: Vec<PathBuf> =
        fs::read_dir(docs().join("howto")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert!(pages.len() >= 4, "{pages:?}");
    pages.iter().for_each(|page| follow(page));
}

/// What the tutorial shows is what its commands print.
#[test]
fn the_ranking_of_the_tutorial_is_that_of_its_commands() {
    let page = fs::read_to_string(docs().join("tutorial.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut ranking = String::new();
    for command in shell_commands(&docs().join("tutorial.md")) {
        let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
        let run = druse(dir.path(), &arguments).ok();
        if arguments[0] == "screen" {
            ranking = run.stdout;
            break;
        }
    }
    // Energies may differ in their last digits between processors; who stands where does not.
    for line in page.lines().filter(|line| line.starts_with("   ") && line.contains(" yes ")) {
        let shown: Vec<&str> = line.split_whitespace().collect();
        let same = |printed: &&str| {
            let printed: Vec<&str> = printed.split_whitespace().collect();
            printed.len() == 5 && printed[0] == shown[0] && printed[3..] == shown[3..]
        };
        assert!(ranking.lines().any(|printed| same(&printed)), "`{line}` is not in\n{ranking}");
    }
}
