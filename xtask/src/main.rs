//! Checks and generators of the project itself, run as `cargo xtask COMMAND`; one file or folder a command.
#![allow(clippy::print_stdout, reason = "a program for developers that prints what it finds")]

mod bench_compare;
mod layers;
mod reference;
mod site;

use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask COMMAND

Commands:
  layers                   Check that crates and modules read each other in one direction only
  cli-reference [--check]  Write docs/reference/cli.md, or check that it is up to date
  schema [--check]         Write docs/reference/config.md and config.schema.json, or check them
  bench-compare A B        Compare the speed of two revisions or programs (bench-compare --help)
  site                     Write the documentation site to target/site, and check every link

The pages are what the program prints, which cargo builds first; DRUSE_BIN names one that is there already";

fn main() -> ExitCode {
    // The package lies in a folder of the repository's root.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["layers"] => layers::run(root),
        ["cli-reference"] => reference::run(root, "cli-reference", reference::CLI, false),
        ["cli-reference", "--check"] => reference::run(root, "cli-reference", reference::CLI, true),
        ["schema"] => reference::run(root, "schema", reference::SCHEMA, false),
        ["schema", "--check"] => reference::run(root, "schema", reference::SCHEMA, true),
        ["bench-compare", "--help" | "-h"] => {
            println!("{}", bench_compare::HELP);
            ExitCode::SUCCESS
        }
        ["bench-compare", ref arguments @ ..] => bench_compare::run(root, arguments),
        ["site"] => site::run(root),
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("error: unknown command `{}`\n\n{HELP}", arguments.join(" "));
            ExitCode::from(2)
        }
    }
}
