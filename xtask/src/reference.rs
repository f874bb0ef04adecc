//! `cargo xtask cli-reference` and `cargo xtask schema`: the pages of `docs/reference`, printed by the program itself,
//! so that this crate does without the engine.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Environment variable that names a program that was built before (relative to the repository); without it cargo builds it.
const PROGRAM: &str = "DRUSE_BIN";

/// A page and the command that prints it.
type Page = (&'static str, &'static [&'static str]);

/// Every command with its options.
pub const CLI: &[Page] = &[("docs/reference/cli.md", &["reference", "cli"])];

/// Every key of the configuration and every member of a result, as schemas and in words.
pub const SCHEMA: &[Page] = &[
    ("docs/reference/config.schema.json", &["config", "schema"]),
    ("docs/reference/config.md", &["reference", "config"]),
    ("docs/reference/json.schema.json", &["reference", "json-schema"]),
    ("docs/reference/json.md", &["reference", "json"]),
];

/// Writes pages, or with `check` says which of them are out of date. `command` is what brings them up to date.
pub fn run(root: &Path, command: &str, pages: &[Page], check: bool) -> ExitCode {
    let mut stale = false;
    for (page, arguments) in pages {
        match update(root, page, arguments, check) {
            Ok(None) => println!("{page}: up to date"),
            Ok(Some(difference)) if check => {
                stale = true;
                eprintln!("{page} is out of date: run `cargo xtask {command}`\n{difference}");
            }
            Ok(Some(_)) => println!("{page}: written"),
            Err(reason) => {
                eprintln!("error: {page}: {reason}");
                return ExitCode::FAILURE;
            }
        }
    }
    if stale { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The first difference of a page, if there is one; without `check` the page is written then.
fn update(root: &Path, page: &str, arguments: &[&str], check: bool) -> Result<Option<String>, String> {
    let wanted = printed(root, arguments)?;
    let path = root.join(page);
    // A checkout with other line ends is the same page; a page that is missing differs in its first line.
    let found = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    let difference = first_difference(&found, &wanted);
    if difference.is_some() && !check {
        let folder = path.parent().unwrap_or(root);
        fs::create_dir_all(folder).and_then(|()| fs::write(&path, &wanted)).map_err(|e| e.to_string())?;
    }
    Ok(difference)
}

/// What the program prints.
fn printed(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = match std::env::var_os(PROGRAM) {
        Some(program) => Command::new(program),
        None => {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args(["run", "--quiet", "--release", "--bin", "druse", "--"]);
            cargo
        }
    };
    let output = command
        .args(arguments)
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot run {}: {e}", command.get_program().display()))?;
    if !output.status.success() {
        return Err(format!("`druse {}` failed", arguments.join(" ")));
    }
    let text = String::from_utf8(output.stdout).map_err(|e| e.to_string())?;
    Ok(text.replace("\r\n", "\n"))
}

/// The first line in which texts differ, as a diff of one line.
fn first_difference(found: &str, wanted: &str) -> Option<String> {
    if found == wanted {
        return None;
    }
    let (mut old, mut new) = (found.lines(), wanted.lines());
    for number in 1.. {
        match (old.next(), new.next()) {
            (None, None) => return Some("they differ in how the last line ends".into()),
            (a, b) if a == b => {}
            (a, b) => {
                let line =
                    |sign, text: Option<&str>| text.map(|t| format!("\n{sign} {t}")).unwrap_or_default();
                return Some(format!("line {number}:{}{}", line('-', a), line('+', b)));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_shown_with_its_line() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n").unwrap(), "line 2:\n- b\n+ c");
        assert_eq!(first_difference("", "a\n").unwrap(), "line 1:\n+ a");
        assert!(first_difference("a", "a\n").unwrap().contains("last line"));
    }
}
