//! `druse train`, `info` and `export` on the real binary.

mod common;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{TINY, command, druse, train_tiny, write_data};
use serde_json::Value;

/// The lines of the log without what depends on the clock.
fn log(run: &Path) -> Vec<Value> {
    fs::read_to_string(run.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| {
            let mut value: Value = serde_json::from_str(line).unwrap();
            let map = value.as_object_mut().unwrap();
            map.remove("structures_per_s");
            map.remove("minutes");
            value
        })
        .collect()
}

#[test]
fn trains_reports_exports_and_refuses_a_second_run_in_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    train_tiny(dir, "runs/a", "3").ok();
    let run = dir.join("runs/a");
    for file in
        ["config.toml", "metrics.jsonl", "checkpoints/last.safetensors", "checkpoints/best.safetensors"]
    {
        assert!(run.join(file).exists(), "{file}");
    }
    let lines = log(&run);
    // Eight structures in batches of three: three steps an epoch.
    assert_eq!(lines.iter().filter(|l| l["kind"] == "step").count(), 9);
    assert_eq!(lines.iter().filter(|l| l["kind"] == "epoch" && l["validation_loss"].is_f64()).count(), 3);
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains("clip_norm = 1.0") && config.contains("epochs = 3"), "{config}");
    let machines = fs::read_to_string(run.join("machines.toml")).unwrap();
    assert!(machines.contains("after_step = 0") && machines.contains("products = \"32 bits"), "{machines}");
    let more = ["train", "--out", "runs/a", "--resume", "--set", "train.epochs=4"];
    druse(dir, &more).ok();
    let machines = fs::read_to_string(run.join("machines.toml")).unwrap();
    assert!(machines.contains("after_step = 9") && machines.matches("[[part]]").count() == 2, "{machines}");

    train_tiny(dir, "runs/a", "3").fails(2, &["runs/a", "already holds", "--resume"]);
    let info = druse(dir, &["info", "runs/a"]).ok();
    assert!(info.stdout.contains("gemsdiff") && info.stdout.contains("4 epochs"), "{}", info.stdout);
    druse(dir, &["export", "runs/a", "--out", "slim.safetensors"]).ok();
    let slim = druse(dir, &["info", "slim.safetensors"]).ok();
    assert!(slim.stdout.contains("without optimizer state"), "{}", slim.stdout);
}

#[test]
fn a_killed_run_resumes_to_the_numbers_of_an_unbroken_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    train_tiny(dir, "whole", "40").ok();
    let arguments = [
        &["train", "--data", "data", "--out", "killed", "--set", "train.epochs=40"][..],
        &["--set", "train.checkpoint_every=2"],
        &TINY[..],
    ]
    .concat();
    let mut child =
        command(dir).args(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let killed = dir.join("killed");
    let begun = Instant::now();
    // Killed in the middle: after the first checkpoint, at whatever step it is then.
    while !killed.join("checkpoints/last.safetensors").exists() {
        assert!(begun.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    druse(dir, &["train", "--out", "killed", "--resume"]).ok();
    assert_eq!(log(&killed), log(&dir.join("whole")));
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_two_runs_do_not_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let arguments =
        [&["train", "--data", "data", "--out", "r", "--set", "train.epochs=1000000"], &TINY[..]].concat();
    let mut child =
        command(dir).args(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while !dir.join("r/checkpoints/last.safetensors").exists() {
        assert!(begun.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    druse(dir, &["train", "--data", "data", "--out", "r", "--resume"]).fails(2, &["in use", &pid]);
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -INT {pid}")]).status().unwrap();
    assert!(sent.success());
    let status = child.wait().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("saved") && stderr.contains("--resume"), "{stderr}");
    let steps = log(&dir.join("r")).iter().filter(|l| l["kind"] == "step").count();
    let info = druse(dir, &["info", "r/checkpoints/last.safetensors"]).ok();
    assert!(info.stdout.contains(&format!("{steps} steps")), "{steps}: {}", info.stdout);
}

#[test]
fn configurations_are_shown_and_mistakes_in_them_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let shown = druse(dir, &["config", "show", "--preset", "gemsdiff-paper"]).ok().stdout;
    fs::write(dir.join("my.toml"), &shown).unwrap();
    assert_eq!(druse(dir, &["config", "show", "--config", "my.toml"]).ok().stdout, shown);
    let schema: Value = serde_json::from_str(&druse(dir, &["config", "schema"]).ok().stdout).unwrap();
    assert!(schema["properties"]["optim"].is_object() && schema["$defs"]["TrainConfig"].is_object());
    assert!(druse(dir, &["config", "presets"]).ok().stdout.contains("gemsdiff-released"));

    let train = |more: &[&str]| druse(dir, &[&["train", "--data", "data", "--out", "r"], more].concat());
    train(&["--set", "optim.lrr=1"]).fails(2, &["optim.lrr", "optim.lr"]);
    train(&["--set", "optim.lr=fast"]).fails(2, &["optim.lr", "fast"]);
    train(&["--set", "optim.lr=-1"]).fails(2, &["optim.lr", "positive"]);
    train(&["--preset", "big"]).fails(2, &["big", "gemsdiff-small"]);
    fs::write(dir.join("bad.toml"), "[train]\nbatchsize = 3\n").unwrap();
    train(&["--config", "bad.toml"]).fails(2, &["bad.toml", "train.batchsize", "train.batch_size"]);
    fs::write(dir.join("bad.toml"), "[train\n").unwrap();
    train(&["--config", "bad.toml"]).fails(2, &["bad.toml", "line 1"]);
    train(&["--device", "cuda"]).fails(2, &["cuda", "cpu"]);
    train(&["--device", "toaster"]).fails(2, &["toaster", "cpu"]);
    train(&["--resume"]).fails(2, &["no run that could be resumed"]);
    assert!(!dir.join("r/checkpoints").exists());
}

#[test]
fn a_diverging_loss_names_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let arguments = [
        &["train", "--data", "data", "--out", "r", "--set", "train.epochs=200"][..],
        &["--set", "optim.lr=1e30"],
        &TINY[..],
    ]
    .concat();
    let run = druse(dir, &arguments).fails(1, &["step", "structures of the batch", "optim.lr"]);
    assert!(
        ["SrTiO3", "Po", "CsCl", "Fe", "KTaO3"].iter().any(|id| run.stderr.contains(id)),
        "{}",
        run.stderr
    );
}

#[test]
fn output_that_cannot_be_written_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    fs::write(dir.join("file"), "").unwrap();
    train_tiny(dir, "file/run", "1").fails(1, &["cannot write", "file"]);
}
