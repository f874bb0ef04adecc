//! `druse train --rank mpi` under mpirun: the same files as by one process, whoever is killed or stopped. `.ci/mpi` prepares it.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::ranks::{alive, arguments, children, log, outcome, signal, until, wait};
use common::{druse, write_data};

/// The program `n` times under mpirun, each time with an argument of its own behind the others.
fn mpirun(dir: &Path, arguments: &[&str], own: &[&[&str]]) -> Child {
    // Open MPI ties a process to a core and counts cores, and wants root to say so; other programs read none of this.
    let settings = [
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        ("OMPI_MCA_hwloc_base_binding_policy", "none"),
        ("OMPI_MCA_btl_vader_single_copy_mechanism", "none"),
    ];
    let mut run = Command::new("mpirun");
    run.current_dir(dir).envs(settings).env("DRUSE_CACHE", dir.join(".cache")).env_remove("DRUSE_LOG");
    for (i, more) in own.iter().enumerate() {
        run.args([":"].iter().take(i.min(1))).args(["-n", "1"]).arg(env!("CARGO_BIN_EXE_druse"));
        run.args(arguments).args(*more);
    }
    run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

const MPI: [&str; 4] = ["--rank", "mpi", "--rank-timeout", "60"];

/// The ranks below an mpirun, in their order.
fn ranks(mpirun: &Child) -> Vec<u32> {
    let of = |pid: u32, name: &str| -> Option<usize> {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let text = String::from_utf8_lossy(&environment).into_owned();
        text.split('\0').find_map(|v| v.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    let mut found: Vec<(usize, u32)> = children(mpirun.id())
        .into_iter()
        .filter_map(|pid| Some((of(pid, "OMPI_COMM_WORLD_RANK")?, pid)))
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, pid)| pid).collect()
}

#[test]
fn ranks_of_mpi_write_the_files_of_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let epochs = ["--set", "train.epochs=4"];
    druse(dir, &arguments("one", &epochs)).ok();
    let expected = outcome(dir, "one");
    for n in [2, 3] {
        let out = n.to_string();
        let run = arguments(&out, &[&epochs[..], &MPI].concat());
        let (code, words) = wait(mpirun(dir, &run, &vec![&[][..]; n]));
        assert_eq!(code, Some(0), "{words}");
        assert!(words.contains("finished: 4 epochs"), "{words}");
        assert_eq!(outcome(dir, &out), expected, "{n} processes");
    }
    // One that was started by hand is alone; devices are taken in turn.
    druse(dir, &arguments("alone", &[&epochs[..], &MPI].concat())).ok();
    assert_eq!(outcome(dir, "alone"), expected);
    let devices = arguments("devices", &[&epochs[..], &MPI, &["--device", "cpu,cpu"]].concat());
    let (code, words) = wait(mpirun(dir, &devices, &[&[], &[]]));
    assert_eq!(code, Some(0), "{words}");
    assert_eq!(log(&dir.join("devices")), expected.0);

    // Another configuration: both say what differs.
    let run = arguments("r", &[&epochs[..], &MPI].concat());
    let (code, words) = wait(mpirun(dir, &run, &[&[], &["--set", "optim.lr=0.5"]]));
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("error: rank 1 has optim.lr = 0.5, rank 0 has"), "{words}");
    // A rank with a mistake of its own; Open MPI ends the others.
    let (code, words) = wait(mpirun(dir, &run, &[&[], &["--set", "optim.lr=-1"]]));
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("rank 1: ") && words.contains("optim.lr"), "{words}");
}

#[test]
fn ranks_of_mpi_that_are_killed_or_stopped_cost_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let settings = ["--set", "train.epochs=120", "--set", "train.checkpoint_every=7"];
    druse(dir, &arguments("whole", &settings)).ok();
    let run = |timeout, more: &[&str], n| {
        let ranks = ["--rank", "mpi", "--rank-timeout", timeout];
        let all = arguments("r", &[&settings[..], &ranks].concat());
        mpirun(dir, &[&all[..], more].concat(), &vec![&[][..]; n])
    };
    let steps = || log(&dir.join("r")).iter().filter(|line| line["kind"] == "step").count();
    for (victim, resume) in [(1, &[][..]), (0, &["--resume"][..])] {
        let before = steps();
        let root = run("60", resume, 3);
        until(|| steps() > before + 8);
        let all = ranks(&root);
        assert_eq!(all.len(), 3);
        signal("KILL", all[victim]);
        let (code, words) = wait(root);
        assert_ne!(code, Some(0), "{words}");
        until(|| all.iter().all(|&pid| !alive(pid)));
    }
    // One that stands still: saved where it is, and the others are ended.
    let before = steps();
    let root = run("4", &["--resume"], 2);
    until(|| steps() > before + 3);
    let all = ranks(&root);
    signal("STOP", all[1]);
    let (code, words) = wait(root);
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("rank 1") && words.contains("saved after step"), "{words}");
    until(|| all.iter().all(|&pid| !alive(pid)));
    // mpirun passes Ctrl-C on.
    let before = steps();
    let root = run("60", &["--resume"], 2);
    until(|| steps() > before + 3);
    signal("INT", root.id());
    let (_, words) = wait(root);
    assert!(words.contains("interrupted and saved"), "{words}");
    druse(dir, &[&arguments("r", &settings)[..], &["--resume"]].concat()).ok();
    assert_eq!(outcome(dir, "r"), outcome(dir, "whole"));
}
