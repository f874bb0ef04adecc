//! What tests of a training by several processes have in common.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{TINY, command, druse};

/// The lines of the log without what depends on the clock.
pub fn log(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    whole
        .map(|mut value| {
            let map = value.as_object_mut().unwrap();
            map.remove("structures_per_s");
            map.remove("minutes");
            value
        })
        .collect()
}

/// Log, latest and best model of a run, as the same for all runs of the same numbers.
pub fn outcome(dir: &Path, run: &str) -> (Vec<Value>, Vec<u8>, Vec<u8>) {
    let model = |which: &str| {
        let (from, to) = (format!("{run}/checkpoints/{which}.safetensors"), format!("{run}/{which}.slim"));
        druse(dir, &["export", &from, "--out", &to]).ok();
        fs::read(dir.join(to)).unwrap()
    };
    (log(&dir.join(run)), model("last"), model("best"))
}

/// Batches of all eight structures in micro-batches of three atoms or one structure.
pub fn arguments<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let batch = ["--set", "train.batch_size=8", "--set", "train.micro_batch_atoms=3"];
    [&["train", "--data", "data", "--out", out][..], &TINY[..], &batch, more].concat()
}

pub fn spawn(dir: &Path, arguments: &[&str]) -> Child {
    command(dir).args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for its end, and gives code and words.
#[track_caller]
pub fn wait(mut child: Child) -> (Option<i32>, String) {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(240) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        sleep(Duration::from_millis(5));
    }
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    (child.wait().unwrap().code(), words)
}

/// Child processes of a process, in the order of their numbers.
pub fn children(parent: u32) -> Vec<u32> {
    let mut found: Vec<u32> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let alive = !status.contains("State:\tZ");
            alive && status.lines().any(|line| line == format!("PPid:\t{parent}"))
        })
        .collect();
    found.sort_unstable();
    found
}

pub fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| !status.contains("State:\tZ"))
}

pub fn signal(name: &str, pid: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
    assert!(sent.success());
}

#[track_caller]
pub fn until(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(240), "it does not come");
        sleep(Duration::from_millis(3));
    }
}
