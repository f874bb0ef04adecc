//! The README's commands work as they are written.

mod common;

use std::path::Path;

use common::{druse, shell_commands};

/// The README's commands, in order.
fn commands() -> Vec<String> {
    shell_commands(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md"))
}

#[test]
fn exactly_two_commands_set_the_program_up() {
    let cargo: Vec<String> = commands().into_iter().filter(|c| c.starts_with("cargo ")).collect();
    assert_eq!(cargo.len(), 2, "{cargo:?}");
    assert!(cargo[0].starts_with("cargo run --release --bin druse -- sample"));
    assert!(cargo[1].starts_with("cargo test "));
}

#[test]
fn every_command_of_the_readme_works() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../druse-run/models/orbit-small.safetensors");
    if !model.exists() {
        assert!(std::env::var_os("CI").is_none(), "the shipped model is missing");
        eprintln!("skipped: the shipped model.safetensors is missing");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for command in commands() {
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
