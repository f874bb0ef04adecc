//! The two programs: given as such, or built from a revision.

use std::env::consts::EXE_SUFFIX;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program that measures.
#[derive(Debug)]
pub struct Program {
    /// How it was asked for, with the commit.
    pub name: String,
    pub path: PathBuf,
}

/// The programs of paths or revisions. Nothing is built unless both are known.
pub fn both(root: &Path, wanted: [&str; 2]) -> Result<[Program; 2], String> {
    let [a, b] = wanted.map(|wanted| Found::new(root, wanted));
    let (a, b) = (a?, b?);
    Ok([a.program(root)?, b.program(root)?])
}

/// What was asked for.
enum Found {
    Program(Program),
    Revision { name: String, commit: String },
}

impl Found {
    fn new(root: &Path, wanted: &str) -> Result<Self, String> {
        let path = Path::new(wanted);
        if path.is_file() {
            let path = path.canonicalize().map_err(|e| format!("{wanted}: {e}"))?;
            return Ok(Self::Program(Program { name: wanted.to_owned(), path }));
        }
        let commit = git(root, &["rev-parse", "--verify", "--quiet", &format!("{wanted}^{{commit}}")])
            .map_err(|_| format!("`{wanted}` is neither a file nor a revision"))?;
        let name = format!("{wanted} ({})", &commit[..commit.len().min(12)]);
        Ok(Self::Revision { name, commit })
    }

    fn program(self, root: &Path) -> Result<Program, String> {
        match self {
            Self::Program(program) => Ok(program),
            Self::Revision { name, commit } => match built(root, &commit) {
                Ok(path) => Ok(Program { name, path }),
                Err(reason) => Err(format!("{name}: {reason}")),
            },
        }
    }
}

/// Builds a commit in a worktree of its own under `target`. The worktree stays and moves from commit to commit, and
/// compiles into the folder of this checkout: only what differs is compiled. A program that was built before is taken.
fn built(root: &Path, commit: &str) -> Result<PathBuf, String> {
    let folder = root.join("target/bench-compare");
    let wanted = folder.join(format!("druse-{commit}{EXE_SUFFIX}"));
    if wanted.is_file() {
        return Ok(wanted);
    }
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let source = folder.join("source");
    if source.join(".git").exists() {
        git(&source, &["checkout", "--quiet", "--force", "--detach", commit])?;
    } else {
        // A worktree whose folder was deleted is still registered.
        git(root, &["worktree", "prune"])?;
        git(root, &["worktree", "add", "--quiet", "--detach", &source.display().to_string(), commit])?;
    }
    let target = root.join("target");
    let program = target.join(format!("release/druse{EXE_SUFFIX}"));
    // The program of the checkout itself gets its place back.
    let aside = folder.join("set-aside");
    let was_there = program.is_file();
    if was_there {
        fs::rename(&program, &aside).map_err(|e| format!("{}: {e}", program.display()))?;
    }
    eprintln!("building {commit}");
    let outcome = build(&source, &target).and_then(|()| moved(&program, &wanted));
    if was_there {
        moved(&aside, &program)?;
    }
    outcome.map(|()| wanted)
}

fn build(source: &Path, target: &Path) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--bin", "druse", "--target-dir"])
        .arg(target)
        .current_dir(source)
        .status()
        .map_err(|e| format!("cannot start cargo: {e}"))?;
    if status.success() { Ok(()) } else { Err("it does not build".to_owned()) }
}

fn moved(from: &Path, to: &Path) -> Result<(), String> {
    fs::rename(from, to).map_err(|e| format!("{} to {}: {e}", from.display(), to.display()))
}

/// What git prints, without the end of the line.
fn git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot start git: {e}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => {
            Err(format!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_program_and_other_words_are_revisions() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let file = root.join("Cargo.toml");
        let file_name = file.to_str().unwrap();
        let [a, b] = both(root, [file_name, file_name]).unwrap();
        assert_eq!([a.path, b.path], [file.canonicalize().unwrap(), file.canonicalize().unwrap()]);
        let reason = both(root, ["no-such-revision", file_name]).unwrap_err();
        assert!(reason.contains("neither a file nor a revision"), "{reason}");
    }
}
