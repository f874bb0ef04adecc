//! `druse cluster`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use clap::{Args, Parser, Subcommand};
use druse_crystal::files;
use druse_run::cluster::{Pieces, Resources, Scripts, SlurmJob};
use schemars::JsonSchema;
use serde::Serialize;

use super::Command;
use crate::Cli;
use crate::answer::{Done, settled};
use crate::console;
use crate::failure::Failure;
use crate::input;

/// Batch systems.
#[derive(Subcommand)]
pub enum ClusterCommand {
    /// Write an array job for Slurm, and send it.
    Slurm(SlurmArgs),
}

/// Arguments of `druse cluster slurm`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse cluster slurm --shards 64 --time 2:00:00 --submit -- sample --system Li-Fe-O --count 50000 --out lifeo
  druse cluster slurm --shards 16 --cpus 8 --partition cpu --submit -- relax lifeo --out relaxed
  druse cluster slurm --shards 16 --resources site.toml -- screen lifeo --reference data/mp_20 --out screened
  druse cluster slurm --shards 64 --submit -- featurize lifeo --features crystalnn --out features.jsonl
  druse cluster slurm --cpus 16 --submit -- evaluate lifeo --reference data/mp_20/test.csv --json=judged.json

Beside --out (of an evaluation, the file of --json) a folder NAME.slurm gets the scripts array.sh and merge.sh, the logs and \
the shards. A task that is stopped (time limit, preemption, a lost node) goes back into the queue and continues where it was; \
when all tasks have ended the shards are put together in --out. The result is that of one run, byte for byte. An evaluation \
looks at all structures together: it is one task, to which processors are given. Without --submit the commands that send the \
job are printed.

--resources names a TOML file with the same options: partition, account, time, cpus, memory, gpus, at_once, modules = [..], \
options = [..] (further options of sbatch, written as there). Options of the command line come before those of the file.")]
pub struct SlurmArgs {
    /// Tasks of the array; of an evaluation there is one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    shards: Option<u32>,
    /// Send the job.
    #[arg(long)]
    submit: bool,
    /// File with options for the cluster.
    #[arg(long, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Partition.
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// Account that pays.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Time limit of a task, as Slurm writes it.
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Processor cores, and threads, of a task.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cpus: Option<u32>,
    /// Memory of a task, as Slurm writes it.
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// GPUs of a task.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    gpus: Option<u32>,
    /// Tasks that may run at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    at_once: Option<u32>,
    /// Module to load first. Repeatable.
    #[arg(long = "module", value_name = "NAME")]
    modules: Vec<String>,
    /// The command with its options: sample, relax, screen or featurize with --out, or evaluate with --json=FILE.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Options that the job sets itself.
const OWN: [&str; 2] = ["--shard", "--resume"];

impl SlurmArgs {
    fn resources(&self) -> Result<Resources, Failure> {
        let file = match &self.resources {
            None => Resources::default(),
            Some(path) => {
                let text = files::read_to_string(path)?;
                toml::from_str(&text).map_err(|e| {
                    Failure::mistake(format!("`{}`: {}", path.display(), e.to_string().trim_end()))
                })?
            }
        };
        let or = |own: &Option<String>, other: Option<String>| own.clone().or(other);
        Ok(Resources {
            partition: or(&self.partition, file.partition),
            account: or(&self.account, file.account),
            time: or(&self.time, file.time),
            cpus: self.cpus.or(file.cpus),
            memory: or(&self.memory, file.memory),
            gpus: self.gpus.or(file.gpus),
            at_once: self.at_once.or(file.at_once),
            modules: [file.modules, self.modules.clone()].concat(),
            options: file.options,
        })
    }

    fn has(&self, option: &str) -> bool {
        let given = |w: &String| w == option || w.starts_with(&format!("{option}="));
        self.command.iter().any(given)
    }

    /// What the tasks make.
    fn pieces(&self) -> Result<Pieces, Failure> {
        match self.command.first().map_or("", String::as_str) {
            "sample" | "relax" | "screen" => Ok(Pieces::Folders),
            "featurize" => Ok(Pieces::Files),
            "evaluate" => Ok(Pieces::One),
            other => Err(Failure::mistake(format!(
                "`{other}` is no command for a job; expected sample, relax, screen, featurize or evaluate"
            ))),
        }
    }

    /// The tasks of so many.
    fn tasks(&self, pieces: Pieces) -> Result<u32, Failure> {
        match (pieces, self.shards) {
            (Pieces::One, None | Some(1)) => Ok(1),
            (Pieces::One, Some(_)) => {
                let text = "an evaluation looks at all structures together and is one task";
                Err(Failure::mistake(text).hint("leave out --shards, and give it processors with --cpus"))
            }
            (_, Some(shards)) => Ok(shards),
            (_, None) => Err(Failure::mistake("--shards says how many tasks there are; it is missing")),
        }
    }

    /// Refuses what a job cannot run.
    fn check(&self, pieces: Pieces) -> Result<(), Failure> {
        if let Some(option) = OWN.into_iter().find(|option| self.has(option)) {
            return Err(Failure::mistake(format!("{option} is what the job sets itself; leave it out")));
        }
        if pieces != Pieces::One && self.has("--json") {
            let text = "--json is not for the tasks of a job, which would all write one file";
            return Err(Failure::mistake(text).hint("put it before `--`: it says what was sent"));
        }
        // What is wrong with the command is better known now than when the job runs.
        let words = std::iter::once("druse").chain(self.command.iter().map(String::as_str));
        let words = settled(words.map(OsString::from).collect());
        input::begin(&words);
        let parsed = Cli::try_parse_from(words).map_err(|e| Failure::mistake(e.to_string().trim_end()))?;
        if input::is_named() {
            return Err(
                Failure::mistake("a job has no standard input, which `-` stands for").hint("name a file")
            );
        }
        debug_assert!(matches!(
            parsed.command,
            Command::Sample(_)
                | Command::Relax(_)
                | Command::Screen(_)
                | Command::Featurize(_)
                | Command::Evaluate(_)
        ));
        Ok(())
    }

    /// The command as the tasks have it, and where the whole goes.
    fn split(&self, pieces: Pieces) -> Result<(Vec<String>, PathBuf), Failure> {
        let option = if pieces == Pieces::One { "--json" } else { "--out" };
        let (mut left, mut out) = (Vec::new(), None);
        let mut words = self.command.iter().peekable();
        while let Some(word) = words.next() {
            let value = match word.strip_prefix(option) {
                Some("") if pieces == Pieces::One => words.next_if(|next| next.ends_with(".json")).cloned(),
                Some("") => words.next().cloned(),
                Some(rest) => rest.strip_prefix('=').map(str::to_owned),
                None => None,
            };
            match value {
                Some(value) => out = Some(value),
                None => left.push(word.clone()),
            }
        }
        let missing = match pieces {
            Pieces::One => "an evaluation in a job needs --json=FILE, the file of its result",
            _ => "the command has no --out",
        };
        let out = out.ok_or_else(|| Failure::mistake(missing))?;
        if out == "-" {
            return Err(Failure::mistake(format!(
                "a job has no standard output, which `{option} -` stands for"
            )));
        }
        if pieces == Pieces::One {
            left.push(format!("--json={out}"));
        }
        Ok((left, PathBuf::from(out)))
    }

    fn job(&self) -> Result<SlurmJob, Failure> {
        let pieces = self.pieces()?;
        self.check(pieces)?;
        let (command, out) = self.split(pieces)?;
        let shards = self.tasks(pieces)?;
        let unknown = |what: &str| {
            let what = what.to_owned();
            move |e: std::io::Error| Failure::environment(format!("{what}: {e}"))
        };
        let working = std::env::current_dir().map_err(unknown("the working folder is unknown"))?;
        let program = std::env::current_exe().map_err(unknown("the program's own place is unknown"))?;
        let resources = self.resources()?;
        Ok(SlurmJob { program, command, out: working.join(out), pieces, working, shards, resources })
    }
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct Sent {
    /// Folder of scripts, logs and shards.
    folder: PathBuf,
    /// Script of the tasks.
    array_script: PathBuf,
    /// Script that puts the shards together; none where there is one task.
    merge_script: Option<PathBuf>,
    /// Folder or file of the result.
    out: PathBuf,
    /// Tasks of the array.
    shards: u32,
    /// Commands that send the job, where it was not sent.
    commands: Vec<String>,
    /// Number of the array job, where it was sent.
    array_job: Option<String>,
    /// Number of the job that puts the shards together, where one was sent.
    merge_job: Option<String>,
}

/// Runs the command.
pub fn run(command: &ClusterCommand) -> crate::Outcome {
    let ClusterCommand::Slurm(args) = command;
    let job = args.job()?;
    let scripts = job.write()?;
    let folder = job.folder();
    console::note(&format!("scripts, logs and shards: {}", folder.display()));
    let sent = Sent {
        folder,
        array_script: scripts.array.clone(),
        merge_script: scripts.merge.clone(),
        out: job.out.clone(),
        shards: job.shards,
        commands: Vec::new(),
        array_job: None,
        merge_job: None,
    };
    if !args.submit {
        let array = scripts.array.display();
        let commands = match &scripts.merge {
            None => vec![format!("sbatch '{array}'")],
            Some(merge) => vec![
                format!("job=$(sbatch --parsable '{array}')"),
                format!("sbatch --dependency=afterany:${{job%%;*}} '{}'", merge.display()),
            ],
        };
        console::data_line(&commands.join("\n"))?;
        return Ok(Done::with(Sent { commands, ..sent }));
    }
    let (array, merge) = submit(&scripts)?;
    let out = job.out.display();
    match &merge {
        None => console::note(&format!("job {array}: its result will be {out}")),
        Some(merge) => {
            console::note(&format!(
                "job {array}: {} tasks; job {merge} puts them together in {out}",
                job.shards
            ));
        }
    }
    Ok(Done::with(Sent { array_job: Some(array), merge_job: merge, ..sent }))
}

/// Sends the scripts, the second one to run behind the first; their numbers.
fn submit(scripts: &Scripts) -> Result<(String, Option<String>), Failure> {
    let array = sbatch(&[], &scripts.array)?;
    let behind = |merge: &PathBuf| sbatch(&[format!("--dependency=afterany:{array}")], merge);
    let merge = scripts.merge.as_ref().map(behind).transpose()?;
    Ok((array, merge))
}

fn sbatch(options: &[String], script: &Path) -> Result<String, Failure> {
    let sent = Process::new("sbatch").arg("--parsable").args(options).arg(script).output();
    let written = format!("the script is written: `sbatch {}` sends it", script.display());
    let output = sent.map_err(|e| {
        let hint =
            format!("Slurm's commands have to be on the PATH (Debian: apt install slurm-client); {written}");
        Failure::environment(format!("cannot run sbatch: {e}")).hint(hint)
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::environment(format!("sbatch refused the job: {}", said.trim())).hint(written));
    }
    let number = String::from_utf8_lossy(&output.stdout);
    // "number", or "number;cluster".
    Ok(number.trim().split(';').next().unwrap_or_default().to_owned())
}
