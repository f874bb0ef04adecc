//! `druse cluster slurm`: scripts that a shell runs as Slurm would, and, where `SLURM_CONF` names one, a real cluster
//! (`.ci/slurm cargo test --release --workspace --test cluster` starts one of two nodes).
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Run, TINY, command, druse, write_data};

const SHARDS: usize = 3;
/// Some seconds of work: a tiny model, many steps.
const SAMPLE: &str = "sample --model m --formula CsCl --count 60";

fn call(dir: &Path, line: &str) -> Run {
    druse(dir, &line.split_whitespace().collect::<Vec<_>>())
}

/// The files of a folder.
fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let all = fs::read_dir(path).unwrap().map(Result::unwrap).filter(|e| e.file_name() != ".lock");
    all.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

/// A folder with a tiny model, and what one run samples with it in `whole`.
fn with_whole() -> (tempfile::TempDir, PathBuf) {
    let guard = tempfile::tempdir().unwrap();
    let dir = guard.path().canonicalize().unwrap();
    write_data(&dir);
    let slow = ["--set", "model.steps=250", "--set", "train.epochs=1"];
    druse(&dir, &[&["train", "--data", "data", "--out", "m"][..], &TINY, &slow].concat()).ok();
    call(&dir, &format!("{SAMPLE} --out whole")).ok();
    (guard, dir)
}

/// A task as Slurm starts it.
fn task(dir: &Path, folder: &str, shard: usize) -> Command {
    let mut task = Command::new("bash");
    task.arg(format!("{folder}/array.sh")).current_dir(dir);
    task.env("SLURM_ARRAY_TASK_ID", shard.to_string()).env("SLURM_ARRAY_JOB_ID", "7");
    task.stdout(Stdio::null()).stderr(Stdio::null());
    task
}

/// Waits until something is true, for five minutes.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(300), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
fn tasks_make_what_one_run_makes_whatever_becomes_of_them() {
    let (_guard, dir) = with_whole();
    let dir = dir.as_path();
    let run = call(dir, &format!("cluster slurm --shards {SHARDS} -- {SAMPLE} --out out")).ok();
    assert!(run.stdout.contains("sbatch --parsable") && run.stdout.contains("afterany"), "{}", run.stdout);
    // One node is lost while it works: the task runs again.
    let part = |shard: usize| dir.join(format!("out.slurm/parts/{shard:05}/structures.jsonl"));
    let mut lost = task(dir, "out.slurm", 0).spawn().unwrap();
    until("the first structure", || lines(&part(0)) > 0);
    let pattern = dir.join("out.slurm/parts/00000").display().to_string();
    Command::new("pkill").args(["-KILL", "-f", &pattern]).status().unwrap();
    lost.wait().unwrap();
    for shard in 0..SHARDS {
        assert!(task(dir, "out.slurm", shard).status().unwrap().success(), "task {shard}");
    }
    // A task that is done has nothing to do.
    assert!(task(dir, "out.slurm", 1).status().unwrap().success());
    assert!(
        Command::new("bash").arg(dir.join("out.slurm/merge.sh")).current_dir(dir).status().unwrap().success()
    );
    assert_eq!(files(&dir.join("out")), files(&dir.join("whole")));
}

fn bash(dir: &Path, script: &str) -> bool {
    let mut shell = Command::new("bash");
    shell.arg(dir.join(script)).current_dir(dir).stderr(Stdio::null());
    shell.status().unwrap().success()
}

#[test]
fn files_of_shards_are_joined_once_all_are_there() {
    let guard = tempfile::tempdir().unwrap();
    let dir = guard.path().canonicalize().unwrap();
    write_data(&dir);
    let featurize = "featurize data/train.csv --features validity,symmetry";
    for name in ["features.jsonl", "features.jsonl.gz"] {
        call(&dir, &format!("{featurize} --out whole-{name}")).ok();
        call(&dir, &format!("cluster slurm --shards {SHARDS} -- {featurize} --out {name}")).ok();
        let folder = format!("{name}.slurm");
        for shard in 0..SHARDS {
            // What is not finished is no result, whatever lies there.
            let half = name.replacen("features", &format!("{folder}/parts/half-{shard:05}"), 1);
            fs::write(dir.join(half), "half a li").unwrap();
            assert!(!bash(&dir, &format!("{folder}/merge.sh")), "shard {shard} is missing");
            for _ in 0..2 {
                assert!(task(&dir, &folder, shard).status().unwrap().success(), "task {shard}");
            }
        }
        assert!(bash(&dir, &format!("{folder}/merge.sh")));
        let read = |name: String| druse_crystal::files::read_to_string(&dir.join(name)).unwrap();
        assert_eq!(read(name.to_owned()), read(format!("whole-{name}")));
    }
}

#[test]
fn an_evaluation_is_one_task() {
    let guard = tempfile::tempdir().unwrap();
    let dir = guard.path().canonicalize().unwrap();
    write_data(&dir);
    let evaluate = "evaluate data/val.csv --reference data/train.csv --bootstrap 10";
    call(&dir, &format!("{evaluate} --json=whole.json")).ok();
    let run = call(&dir, &format!("cluster slurm --cpus 2 -- {evaluate} --json judged.json")).ok();
    assert!(run.stdout.contains("array.sh") && !run.stdout.contains("dependency"), "{}", run.stdout);
    assert!(bash(&dir, "judged.json.slurm/array.sh"));
    let metrics = |name: &str| -> serde_json::Value {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["metrics"].take()
    };
    assert_eq!(metrics("judged.json"), metrics("whole.json"));
}

#[test]
fn mistakes_are_found_before_the_job_runs() {
    let guard = tempfile::tempdir().unwrap();
    let dir = guard.path();
    let slurm = "cluster slurm --shards 2";
    for (line, words) in [
        (
            format!("{slurm} -- train --out r"),
            &["`train`", "sample, relax, screen, featurize or evaluate"][..],
        ),
        (format!("{slurm} -- sample --formula NaCl --out o --shard 0/2"), &["--shard"]),
        (format!("{slurm} -- sample --formula NaCl --out o --resume"), &["--resume"]),
        (format!("{slurm} -- sample --formula NaCl"), &["--out"]),
        (format!("{slurm} -- sample --formula NaCl --out o --nonsense"), &["--nonsense"]),
        (format!("{slurm} --resources r.toml -- sample --formula NaCl --out o"), &["r.toml"]),
        ("cluster slurm -- sample --formula NaCl --out o".to_owned(), &["--shards"]),
        (format!("{slurm} -- evaluate a.jsonl --reference b.csv --json=c.json"), &["one task", "--cpus"]),
        ("cluster slurm -- evaluate a.jsonl --reference b.csv".to_owned(), &["--json=FILE"]),
    ] {
        call(dir, &line).fails(2, words);
    }
    fs::write(dir.join("r.toml"), "partitoin = \"cpu\"\n").unwrap();
    let line = format!("{slurm} --resources r.toml -- sample --formula NaCl --out o");
    call(dir, &line).fails(2, &["r.toml", "partitoin", "partition"]);
    assert!(!dir.join("o.slurm").exists());
    // Without Slurm the scripts are there all the same.
    let run = command(dir)
        .args(format!("{slurm} --submit -- sample --formula NaCl --out o").split_whitespace())
        .env("PATH", dir)
        .output()
        .unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot run sbatch") && said.contains("array.sh"), "{said}");
    assert!(dir.join("o.slurm/array.sh").exists());
    // Nor is a job overwritten by another.
    call(dir, "cluster slurm --shards 5 -- sample --formula NaCl --out o")
        .fails(2, &["another job", "--out"]);
}

#[test]
fn a_cluster_makes_what_one_machine_makes() {
    if std::env::var_os("SLURM_CONF").is_none() {
        eprintln!("skipped: no cluster (`.ci/slurm` starts one)");
        return;
    }
    let (_guard, dir) = with_whole();
    let dir = dir.as_path();
    let line = format!("cluster slurm --shards {SHARDS} --submit -- {SAMPLE} --out out");
    let said = call(dir, &line).ok().stderr;
    let job = said.split_once("job ").and_then(|(_, rest)| rest.split(':').next()).unwrap().to_owned();
    let first = dir.join("out.slurm/parts/00000/structures.jsonl");
    until("the first structure of the first task", || lines(&first) > 0);
    // Its node is wanted by somebody else.
    let requeued = Command::new("scontrol").args(["requeue", &format!("{job}_0")]).status().unwrap();
    assert!(requeued.success());
    until("the whole", || {
        dir.join("out/structures.jsonl").exists() && lines(&dir.join("out/structures.jsonl")) == 60
    });
    until("the end of the jobs", || {
        let queue = Command::new("squeue").arg("-h").output().unwrap();
        queue.stdout.is_empty()
    });
    assert_eq!(files(&dir.join("out")), files(&dir.join("whole")));
    // Features are joined, an evaluation is one task.
    let featurize = "featurize out --features validity,symmetry";
    call(dir, &format!("{featurize} --out whole.jsonl")).ok();
    call(dir, &format!("cluster slurm --shards {SHARDS} --submit -- {featurize} --out features.jsonl")).ok();
    let evaluate = "evaluate out --reference data/train.csv --bootstrap 10 --json=judged.json";
    call(dir, &format!("cluster slurm --cpus 1 --submit -- {evaluate}")).ok();
    until("features and evaluation", || {
        dir.join("features.jsonl").exists() && dir.join("judged.json").exists()
    });
    let [features, whole] = ["features.jsonl", "whole.jsonl"].map(|name| fs::read(dir.join(name)).unwrap());
    assert!(features == whole, "features of shards are those of all rows");
}

/// A training of two tasks, whose numbers Slurm says, is that of one process.
#[test]
fn slurm_tells_the_ranks_of_a_training() {
    if std::env::var_os("SLURM_CONF").is_none() {
        eprintln!("skipped: no SLURM_CONF, see .ci/slurm");
        return;
    }
    let guard = tempfile::tempdir().unwrap();
    let dir = guard.path();
    write_data(dir);
    let train = |out: &str, more: &[&str]| {
        let own = ["train", "--data", "data", "--out", out, "--set", "train.batch_size=8", "--threads", "1"];
        [&own[..], &TINY, &["--set", "train.micro_batch_atoms=3", "--set", "train.epochs=3"], more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ranks = train("two", &["--rank", "auto", "--rendezvous", &port]);
    let program = command(dir).get_program().to_owned();
    let mut srun = Command::new("srun");
    srun.args(["--nodes=2", "--ntasks=2", "--kill-on-bad-exit=0"]).arg(program).args(ranks);
    let ended = srun.current_dir(dir).env("DRUSE_TRAIN_SECRET", "a secret of the test").output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let one = train("one", &[]);
    druse(dir, &one.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    let model = |run: &str| {
        call(dir, &format!("export {run} --out {run}.safetensors")).ok();
        fs::read(dir.join(format!("{run}.safetensors"))).unwrap()
    };
    assert!(model("one") == model("two"), "the bits of one process");
}
