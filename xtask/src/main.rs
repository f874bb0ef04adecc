//! Checks and generators of the project itself, run as `cargo xtask COMMAND`; one file or folder a command.
#![allow(clippy::print_stdout, reason = "a program for developers that prints what it finds")]

mod layers;

use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask COMMAND

Commands:
  layers  Check that crates and modules read each other in one direction only";

fn main() -> ExitCode {
    // The package lies in a folder of the repository's root.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["layers"] => layers::run(root),
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
