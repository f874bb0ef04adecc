//! What the documentation shows can be typed: every command of its pages parses, and the configuration of every training
//! exists.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::Cli;
use crate::commands::Command;

/// The pages with commands, those of the reference among them, whose examples are the texts of `--help`.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages: Vec<PathBuf> =
        ["README.md", "SKILL.md", "models/README.md"].iter().map(|page| root.join(page)).collect();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|x| x == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// The commands in the blocks of a page with the numbers of their lines: continued lines joined, pipes apart, without what
/// stands two spaces behind. A line with brackets, an ellipsis or a NAME is a pattern and none.
fn commands(page: &str) -> Vec<(usize, String)> {
    let (mut inside, mut line, mut found) = (false, String::new(), Vec::new());
    for (number, text) in page.lines().enumerate() {
        if text.trim_start().starts_with("```") {
            inside = !inside;
            line.clear();
        } else if inside {
            line += text.trim().trim_start_matches("$ ");
            if let Some(begun) = line.strip_suffix('\\') {
                line = format!("{} ", begun.trim_end());
                continue;
            }
            let all = std::mem::take(&mut line);
            if all.contains(['[', '…']) || all.contains("NAME") {
                continue;
            }
            let parts =
                all.split(" | ").flat_map(|part| part.split(" > ")).filter(|part| part.starts_with("druse "));
            found.extend(parts.map(|part| (number + 1, part.split("  ").next().unwrap_or(part).to_owned())));
        }
    }
    found
}

#[test]
fn commands_are_found_in_blocks() {
    let page = "druse no\n```text\n$ druse a --x \\\n      y   (prose)\ndruse b [--c]\ndruse d 'e f' | druse g | more\n```\ndruse h\n";
    let found: Vec<String> = commands(page).into_iter().map(|(_, command)| command).collect();
    assert_eq!(found, ["druse a --x y", "druse d 'e f'", "druse g"]);
}

#[test]
fn every_command_shown_parses() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in pages() {
        for (line, command) in commands(&fs::read_to_string(&page).unwrap()) {
            count += 1;
            let place = format!("{}:{line}: `{command}`", page.display());
            let words: Option<Vec<String>> = shlex::split(&command);
            let Some(words) = words else {
                wrong.push(format!("{place}: quotes are open"));
                continue;
            };
            let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
            match Cli::try_parse_from(&words).map(|cli| cli.command) {
                Err(e) if e.exit_code() == 0 => {}
                Err(e) => wrong.push(format!("{place}: {}", crate::options::words_of(&e))),
                // A run that goes on has its configuration with it.
                Ok(Command::Train(train)) if !train.resume && !command.contains(".toml") => {
                    if let Err(failure) = train.config() {
                        wrong.push(format!("{place}: {failure:?}"));
                    }
                }
                Ok(_) => {}
            }
        }
    }
    assert!(count > 200, "{count} commands");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
