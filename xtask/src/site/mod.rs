//! The documentation site: the pages of `docs/` as a book, every link checked.

use std::path::Path;
use std::process::ExitCode;

#[cfg(feature = "site")]
mod book;
#[cfg(feature = "site")]
mod links;

/// Writes the site to `target/site`. The renderer is compiled for this command alone: built without it, the program starts
/// itself again with it.
#[cfg(feature = "site")]
pub(super) fn run(root: &Path) -> ExitCode {
    match book::build(root) {
        Ok(pages) => {
            println!("{pages} pages: {}", book::output(root).display());
            ExitCode::SUCCESS
        }
        Err(problems) => {
            for problem in problems {
                eprintln!("error: {problem}");
            }
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(feature = "site"))]
pub(super) fn run(root: &Path) -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = std::process::Command::new(cargo)
        .args([
            "run",
            "--quiet",
            "--profile",
            "site",
            "--package",
            "xtask",
            "--features",
            "site",
            "--",
            "site",
        ])
        .current_dir(root)
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: cannot start cargo: {e}");
            ExitCode::FAILURE
        }
    }
}
