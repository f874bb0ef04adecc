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

/// The programs of paths or revisions.
pub fn both(root: &Path, wanted: [&str; 2]) -> Result<[Program; 2], String> {
    let [a, b] = wanted.map(|wanted| program(root, wanted));
    Ok([a?, b?])
}

fn program(root: &Path, wanted: &str) -> Result<Program, String> {
    let path = Path::new(wanted);
    if path.is_file() {
        let path = path.canonicalize().map_err(|e| format!("{wanted}: {e}"))?;
        return Ok(Program { name: wanted.to_owned(), path });
    }
    let commit = git(root, &["rev-parse", "--verify", "--quiet", &format!("{wanted}^{{commit}}")])
        .map_err(|_| format!("`{wanted}` is neither a file nor a revision"))?;
    let name = format!("{wanted} ({})", &commit[..commit.len().min(12)]);
    let path = built(root, &commit).map_err(|reason| format!("{name}: {reason}"))?;
    Ok(Program { name, path })
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
        assert_eq!(program(root, file.to_str().unwrap()).unwrap().path, file.canonicalize().unwrap());
        let reason = program(root, "no-such-revision").unwrap_err();
        assert!(reason.contains("neither a file nor a revision"), "{reason}");
    }
}
