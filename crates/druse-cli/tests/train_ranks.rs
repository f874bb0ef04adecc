//! `druse train` by several processes, on the real binary: the same files whatever their number and whoever is killed.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use common::ranks::{alive, arguments, children, log, outcome, signal, spawn, until, wait};
use common::{command, druse, write_data};
use serde_json::{Value, json};

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn one_two_and_four_processes_write_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let epochs = ["--set", "train.epochs=4"];
    druse(dir, &arguments("one", &epochs)).ok();
    let expected = outcome(dir, "one");
    assert_eq!(expected.0.len(), 8);
    for n in ["2", "4"] {
        let run = druse(dir, &arguments(n, &[&epochs[..], &["--processes", n]].concat())).ok();
        assert!(run.stderr.contains("finished: 4 epochs"), "{}", run.stderr);
        assert_eq!(outcome(dir, n), expected, "{n} processes");
    }
    let threads = [&epochs[..], &["--processes", "2", "--threads", "3"]].concat();
    druse(dir, &arguments("threads", &threads)).ok();
    // The models name their number of threads.
    assert_eq!(log(&dir.join("threads")), expected.0);
    // A process for each device that is named.
    let devices =
        druse(dir, &arguments("devices", &[&epochs[..], &["--device", "cpu,cpu", "-v"]].concat())).ok();
    assert!(devices.stderr.contains("exchange between ranks"), "{}", devices.stderr);
    assert_eq!(log(&dir.join("devices")), expected.0);
    druse(dir, &arguments("none", &["--device", "cpu,xpu"])).fails(2, &["unknown device `xpu`"]);
    druse(dir, &arguments("none", &["--device", "cpu,cpu", "--processes", "1"]))
        .fails(2, &["leaves some", "idle"]);
    let one = ["--device", "cpu,cpu", "--rank", "0", "--world", "2", "--rendezvous", "127.0.0.1:1"];
    druse(dir, &arguments("none", &one)).fails(2, &["--rank takes one device, not `cpu,cpu`"]);
    druse(dir, &arguments("none", &["--processes", "0"])).fails(2, &["--processes", "0 is not in 1"]);
    druse(
        dir,
        &["train", "--data", "data", "--out", "c", "--preset", "crystens-small-gan", "--processes", "2"],
    )
    .fails(2, &["statistics of the whole batch", "in one process"]);
    assert!(!dir.join("none").exists() && !dir.join("c").exists());
}

#[test]
fn models_of_other_kinds_are_shared_alike() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    for preset in ["cdvae-small", "symat-small", "adaptive-small", "orbit-small"] {
        let [alone, shared] = ["1", "3"].map(|n| {
            let out = format!("{preset}-{n}");
            let settings = ["--set", "train.epochs=1", "--set", "train.micro_batch_atoms=3"];
            let run = ["train", "--data", "data", "--preset", preset, "--out", &out, "--processes", n];
            druse(dir, &[&run[..], &settings].concat()).ok();
            log(&dir.join(out))
        });
        assert!(!alone.is_empty());
        assert_eq!(alone, shared, "{preset}");
    }
}

/// Ranks as on several machines.
fn rank<'a>(
    out: &'a str,
    address: &'a str,
    number: &'a str,
    world: &'a str,
    more: &[&'a str],
) -> Vec<&'a str> {
    let ranks = ["--rank", number, "--world", world, "--rendezvous", address, "--rank-timeout", "60"];
    arguments(out, &[&["--set", "train.epochs=4"], &ranks[..], more].concat())
}

fn with_secret(dir: &Path, secret: &str, arguments: &[&str]) -> Child {
    let mut command = command(dir);
    command.env("DRUSE_TRAIN_SECRET", secret).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn ranks_of_several_machines_meet_and_strangers_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    druse(dir, &arguments("one", &["--set", "train.epochs=4"])).ok();
    let (address, secret) = (free_port(), "a secret of the test");
    let wrong = with_secret(dir, "not the secret of the test", &rank("w", &address, "1", "3", &[]));
    let first = with_secret(dir, secret, &rank("unused", &address, "1", "3", &[]));
    let root = with_secret(dir, secret, &rank("many", &address, "0", "3", &[]));
    let (code, words) = wait(wrong);
    assert_eq!(code, Some(2), "{words}");
    assert!(
        words.contains("error: rank 1: rank 0 at 127.0.0.1") && words.contains("has another secret"),
        "{words}"
    );
    fs::write(dir.join("secret"), format!("{secret}\n")).unwrap();
    let file = rank("unused", &address, "2", "3", &["--secret-file", "secret"]);
    let second = druse(dir, &[&file[..], &["--json"]].concat()).ok();
    assert_eq!(second.stderr, "", "other ranks say nothing");
    let answer: Value = serde_json::from_str(&second.stdout).unwrap();
    assert_eq!((&answer["rank"], &answer["ending"]), (&json!(2), &json!("finished")));
    let (code, words) = wait(root);
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("a connection was refused") && !words.contains(secret), "{words}");
    assert_eq!(wait(first), (Some(0), String::new()));
    assert_eq!(outcome(dir, "many"), outcome(dir, "one"));
    assert!(!dir.join("unused").exists(), "other ranks write nothing");

    // Numbers that mpirun or srun has told each process.
    let address = free_port();
    let started = |out: &str, starter: [&str; 2], rank: &str| {
        let mut command = command(dir);
        command
            .args(arguments(out, &["--rank", "auto", "--rendezvous", &address, "--set", "train.epochs=4"]));
        command.env("DRUSE_TRAIN_SECRET", secret).env(starter[0], rank).env(starter[1], "2");
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let other = started("unused", ["SLURM_PROCID", "SLURM_NTASKS"], "1");
    let root = started("auto", ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"], "0");
    let (code, words) = wait(root);
    assert_eq!(code, Some(0), "{words}");
    assert_eq!(wait(other), (Some(0), String::new()));
    assert_eq!(outcome(dir, "auto"), outcome(dir, "one"));
    let auto = ["--rank", "auto", "--rendezvous", address.as_str()];
    druse(dir, &arguments("r", &auto)).fails(2, &["--rank auto", "OMPI_COMM_WORLD_RANK", "srun"]);

    // Another configuration: both say what differs.
    let address = free_port();
    let root = with_secret(dir, secret, &rank("r", &address, "0", "2", &[]));
    let other = rank("r", &address, "1", "2", &["--set", "optim.lr=0.5"]);
    let (code, words) = wait(with_secret(dir, secret, &other));
    assert!(code == Some(2) && words.contains("optim.lr = 0.5"), "{words}");
    let (code, words) = wait(root);
    assert!(code == Some(2) && words.contains("rank 1 has optim.lr = 0.5"), "{words}");

    // No secret, a short one, no such rank, a port that is taken.
    druse(dir, &rank("r", &address, "0", "2", &[])).fails(2, &["DRUSE_TRAIN_SECRET", "--secret-file"]);
    let (code, words) = wait(with_secret(dir, "short", &rank("r", &address, "0", "2", &[])));
    assert!(code == Some(2) && words.contains("16 are the fewest") && !words.contains("short"), "{words}");
    druse(dir, &rank("r", &address, "2", "2", &[])).fails(2, &["there is no rank 2 of 2"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, words) = wait(with_secret(dir, secret, &rank("r", &address, "0", "2", &[])));
    assert!(code == Some(1) && words.contains("another program uses the port"), "{words}");
    druse(dir, &["train", "--out", "r", "--rank", "0"]).fails(2, &["--rendezvous"]);
    druse(dir, &["train", "--out", "r", "--rank", "0", "--rendezvous", &address]).fails(2, &["--world"]);
    for option in [["--rendezvous", &address], ["--world", "2"], ["--secret-file", "secret"]] {
        let mpi = [&["train", "--out", "r", "--rank", "mpi"], &option[..]].concat();
        druse(dir, &mpi).fails(2, &["--rank mpi", option[0], "leave it out"]);
    }
    #[cfg(not(feature = "mpi"))]
    druse(dir, &["train", "--out", "r", "--rank", "mpi"]).fails(2, &["--features mpi", "--rank auto"]);
    druse(dir, &["train-rank"]).fails(2, &["not by hand"]);
}

/// Kills rank 0 or another rank, at whatever moment, time and again.
#[test]
fn killed_ranks_cost_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let rounds: usize = std::env::var("DRUSE_TEST_KILLS").map_or(8, |n| n.parse().unwrap());
    let epochs = format!("train.epochs={}", 20 * rounds);
    let settings = ["--set", &epochs, "--set", "train.checkpoint_every=7"];
    druse(dir, &arguments("whole", &settings)).ok();
    let expected = outcome(dir, "whole");
    let mut random = 12_345_u64;
    let mut draw = |n: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % n
    };
    let (mut kills, mut of_root) = (0, 0);
    for round in 0..rounds {
        let n = 2 + draw(3);
        let resume = dir.join("killed/config.toml").exists();
        let processes = n.to_string();
        let more = [&settings[..], &["--processes", &processes, "--rank-timeout", "60"]].concat();
        let mut all = arguments("killed", &more);
        if resume {
            all.push("--resume");
        }
        let mut root = spawn(dir, &all);
        let before = log(&dir.join("killed")).len();
        let wanted = before + draw(20) as usize;
        until(|| {
            let ended = root.try_wait().unwrap().is_some();
            ended || (children(root.id()).len() as u64 == n - 1 && log(&dir.join("killed")).len() >= wanted)
        });
        let others = children(root.id());
        let victim = draw(n) as usize;
        if root.try_wait().unwrap().is_some() || others.len() as u64 != n - 1 {
            let (code, words) = wait(root);
            assert_eq!(code, Some(0), "{words}");
            break;
        }
        kills += 1;
        if victim == 0 {
            of_root += 1;
            signal("KILL", root.id());
            wait(root);
            until(|| others.iter().all(|&pid| !alive(pid)));
        } else {
            signal("KILL", others[victim - 1]);
            let (code, words) = wait(root);
            if code != Some(0) {
                assert_eq!(code, Some(1), "round {round}: {words}");
                assert!(words.contains(&format!("rank {victim} ")), "round {round}: {words}");
                // Before the first step there is nothing to save.
                let begun = log(&dir.join("killed")).len() > before;
                assert!(!begun || words.contains("--resume"), "round {round}: {words}");
            }
            until(|| others.iter().all(|&pid| !alive(pid)));
        }
    }
    assert!(2 * kills >= rounds, "{kills} kills, {of_root} of rank 0");
    let resumed = [&arguments("killed", &settings)[..], &["--resume"]].concat();
    druse(dir, &resumed).ok();
    assert!(outcome(dir, "killed") == expected, "after {kills} kills, {of_root} of rank 0");
}

#[test]
fn a_rank_that_is_stopped_is_noticed_and_ctrl_c_is_the_word_of_rank_0() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let settings = ["--set", "train.epochs=1000000", "--processes", "3", "--rank-timeout", "4"];
    let root = spawn(dir, &arguments("r", &settings));
    until(|| log(&dir.join("r")).len() > 3);
    let others = children(root.id());
    assert_eq!(others.len(), 2);
    signal("STOP", others[1]);
    let (code, words) = wait(root);
    assert_eq!(code, Some(1), "{words}");
    let late =
        words.contains("has been silent for 4 s") || words.contains("did not finish its share within 4 s");
    assert!(words.contains("rank 2") && late && words.contains("saved after step"), "{words}");
    assert!(others.iter().all(|&pid| !alive(pid)));
    let steps = log(&dir.join("r")).iter().filter(|l| l["kind"] == "step").count();
    assert!(words.contains(&format!("saved after step {steps}:")), "{steps} {words}");

    // All of a terminal's processes hear of Ctrl-C.
    let root = spawn(dir, &[&arguments("r", &settings)[..], &["--resume"]].concat());
    until(|| log(&dir.join("r")).iter().filter(|l| l["kind"] == "step").count() > steps + 3);
    let others = children(root.id());
    others.iter().for_each(|&pid| signal("INT", pid));
    signal("INT", root.id());
    let (code, words) = wait(root);
    assert_eq!(code, Some(130), "{words}");
    assert!(words.contains("interrupted and saved"), "{words}");
    assert!(others.iter().all(|&pid| !alive(pid)));
}

/// Whoever is told nothing ends with its parent, and takes no orders from anyone else.
#[test]
fn orders_that_are_none_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for orders in ["", "{}\n", "[1, 2", "\u{fffd}"] {
        let script = format!("printf '%s' '{orders}' | '{}' train-rank", env!("CARGO_BIN_EXE_druse"));
        let Output { status, stderr, .. } =
            Command::new("sh").args(["-c", &script]).current_dir(dir.path()).output().unwrap();
        let words = String::from_utf8(stderr).unwrap();
        assert!(status.code() == Some(2) && words.contains("not by hand"), "{words}");
    }
}
