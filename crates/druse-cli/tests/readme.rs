//! The commands of README.md and SKILL.md work as they are written.

mod common;

use std::path::Path;

use common::{druse, shell_commands};

/// The commands of a file of the repository, in order.
fn commands(file: &str) -> Vec<String> {
    shell_commands(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file))
}

#[test]
fn exactly_two_commands_set_the_program_up() {
    let cargo: Vec<String> = commands("README.md").into_iter().filter(|c| c.starts_with("cargo ")).collect();
    assert_eq!(cargo.len(), 2, "{cargo:?}");
    assert!(cargo[0].starts_with("cargo run --release --bin druse -- sample"));
    assert!(cargo[1].starts_with("cargo test "));
}

/// Whether the model that ships is there.
fn ships() -> bool {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../druse-run/models/orbit-small.safetensors");
    if !model.exists() {
        assert!(std::env::var_os("CI").is_none(), "the shipped model is missing");
        eprintln!("skipped: the shipped model.safetensors is missing");
        return false;
    }
    true
}

#[test]
fn every_command_of_the_readme_works() {
    if !ships() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for command in commands("README.md") {
        let run = command.strip_prefix("cargo run --release --bin druse -- ");
        let Some(arguments) = run.or(command.strip_prefix("druse ")) else {
            // The test command is what runs this.
            assert!(command.starts_with("cargo test"), "{command}");
            continue;
        };
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let run = druse(dir.path(), &arguments);
        assert_eq!(run.code, Some(0), "`{command}`: {}{}", run.stdout, run.stderr);
    }
}

/// The lines are those of a shell: some are pipes.
#[cfg(unix)]
#[test]
fn every_command_of_the_skill_works() {
    use std::process::Command;

    if !ships() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_druse")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let commands = commands("SKILL.md");
    assert!(commands.len() > 10 && commands.iter().all(|c| c.starts_with("druse ")), "{commands:?}");
    for command in commands {
        let script = format!("set -o pipefail; {command}");
        let mut run = Command::new("bash");
        run.args(["-c", &script]).current_dir(dir.path());
        let output = run.env("PATH", &path).env("DRUSE_CACHE", dir.path().join(".cache")).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "`{command}`: {out}{err}");
        if command.ends_with("--json") {
            assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "`{command}`: {out}");
        }
    }
}
