//! Jobs for Slurm: a task for each shard of a run, and one that puts the shards together.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use druse_crystal::files;
use serde::{Deserialize, Serialize};

use crate::RunError;

/// Seconds before its time limit at which a task is told to save.
const NOTICE: u32 = 120;

/// What a task asks of the cluster; what is not named is the cluster's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Partition.
    pub partition: Option<String>,
    /// Account that pays.
    pub account: Option<String>,
    /// Time limit of a task as Slurm writes it: `2:00:00`, `1-12`.
    pub time: Option<String>,
    /// Processor cores of a task; the program uses as many threads.
    pub cpus: Option<u32>,
    /// Memory of a task as Slurm writes it: `8G`.
    pub memory: Option<String>,
    /// GPUs of a task.
    pub gpus: Option<u32>,
    /// Tasks that run at a time.
    pub at_once: Option<u32>,
    /// Modules to load first.
    pub modules: Vec<String>,
    /// Further options of `sbatch`, such as `--constraint=zen4`.
    pub options: Vec<String>,
}

/// What the tasks of a job make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    /// Each a folder, which it can continue; `druse merge` puts them together.
    Folders,
    /// Each a file, which it makes anew if it was stopped; one behind the other they are the whole.
    Files,
    /// There is one task, whose command says where its result goes.
    One,
}

/// A command of the program as a job.
#[derive(Debug, Clone, PartialEq)]
pub struct SlurmJob {
    /// The program.
    pub program: PathBuf,
    /// The command and its options, without `--out`, `--shard` and `--resume`.
    pub command: Vec<String>,
    /// The folder or file of the whole, absolute.
    pub out: PathBuf,
    /// What the tasks make.
    pub pieces: Pieces,
    /// Where relative paths of the command begin.
    pub working: PathBuf,
    /// Tasks; 1 where there are no shards.
    pub shards: u32,
    /// What each of them asks for.
    pub resources: Resources,
}

/// The scripts of a job, as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scripts {
    /// The array: a task makes a shard.
    pub array: PathBuf,
    /// Puts the shards together; to run behind all of them.
    pub merge: Option<PathBuf>,
}

/// A word of a shell script.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

impl SlurmJob {
    /// The folder of scripts, logs and shards, beside that of the whole.
    pub fn folder(&self) -> PathBuf {
        let mut name = self.out.file_name().unwrap_or_default().to_owned();
        name.push(".slurm");
        self.out.with_file_name(name)
    }

    fn name(&self) -> &str {
        self.command.first().map_or("run", String::as_str)
    }

    /// Lines for `sbatch` that both scripts have.
    fn head(&self, log: &str) -> String {
        let folder = self.folder();
        let mut text = "#!/bin/bash\n".to_owned();
        let mut option = |name: &str, value: &str| _ = writeln!(text, "#SBATCH --{name}={value}");
        option("job-name", &format!("druse-{}", self.name()));
        option("output", &quoted_path(&folder.join("logs").join(log)));
        option("open-mode", "append");
        option("chdir", &quoted_path(&self.working));
        let r = &self.resources;
        for (name, value) in [("partition", &r.partition), ("account", &r.account), ("time", &r.time)] {
            value.iter().for_each(|value| option(name, &quoted(value)));
        }
        text
    }

    /// What files of shards are called behind their number.
    fn suffix(&self) -> String {
        let name = self.out.file_name().unwrap_or_default().to_string_lossy();
        name.split_once('.').map_or(String::new(), |(_, suffix)| format!(".{suffix}"))
    }

    /// Lines before the command, what is added to it, and lines behind it.
    fn around(&self) -> [String; 3] {
        let folder = quoted_path(&self.folder());
        let shards = self.shards;
        let shard = "shard=$SLURM_ARRAY_TASK_ID\n";
        match self.pieces {
            Pieces::Folders => [
                format!(
                    r#"{shard}part={folder}/parts/$(printf %05d "$shard")
# A task that ran before goes on where it stopped.
resume=()
[ -e "$part" ] && resume=(--resume)
"#
                ),
                format!(r#" --out "$part" --shard "$shard/{shards}" ${{resume[@]+"${{resume[@]}}"}}"#),
                String::new(),
            ],
            Pieces::Files => {
                let suffix = quoted(&self.suffix());
                let suffix = if suffix == "''" { "" } else { &suffix };
                [
                    format!(
                        r#"{shard}name=$(printf %05d "$shard"){suffix}
part={folder}/parts/$name
half={folder}/parts/half-$name
# What a task has made to its end stays.
[ -e "$part" ] && exit 0
"#
                    ),
                    format!(r#" --out "$half" --shard "$shard/{shards}""#),
                    "[ $code -eq 0 ] && mv \"$half\" \"$part\"\n".to_owned(),
                ]
            }
            Pieces::One => Default::default(),
        }
    }

    /// The script of the tasks.
    ///
    /// A task that is told to stop, because its time is over or its node is wanted, saves what is finished and goes back into
    /// the queue; what it finds finished when it runs again it leaves as it is.
    pub fn array(&self) -> String {
        let one = self.pieces == Pieces::One;
        let mut text = self.head(if one { "task.log" } else { "%a.log" });
        let r = &self.resources;
        let mut option = |line: String| _ = writeln!(text, "#SBATCH {line}");
        let at_once = r.at_once.map_or(String::new(), |n| format!("%{n}"));
        if !one {
            option(format!("--array=0-{}{at_once}", self.shards.saturating_sub(1)));
        }
        option("--requeue".to_owned());
        option(format!("--signal=B:TERM@{NOTICE}"));
        r.cpus.iter().for_each(|n| option(format!("--cpus-per-task={n}")));
        r.memory.iter().for_each(|size| option(format!("--mem={}", quoted(size))));
        r.gpus.iter().for_each(|n| option(format!("--gres=gpu:{n}")));
        r.options.iter().for_each(|line| option(line.clone()));
        text.push_str("set -u\n");
        for module in &r.modules {
            _ = writeln!(text, "module load {}", quoted(module));
        }
        let words: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
        let threads = match self.command.iter().any(|w| w == "--threads" || w.starts_with("--threads=")) {
            true => "",
            false => " --threads \"${SLURM_CPUS_PER_TASK:-1}\"",
        };
        let [before, added, behind] = self.around();
        let task = if one { "$SLURM_JOB_ID" } else { "${SLURM_ARRAY_JOB_ID}_$shard" };
        _ = write!(
            text,
            r#"{before}export DRUSE_PROGRESS_SECONDS=${{DRUSE_PROGRESS_SECONDS:-60}}
{program} {command}{threads}{added} &
child=$!
# The shell gets the signal; the program finishes its step and saves.
trap 'kill -TERM $child 2>/dev/null' TERM INT
wait $child
code=$?
while kill -0 $child 2>/dev/null; do
    wait $child
    code=$?
done
{behind}if [ $code -eq 130 ] || [ $code -eq 143 ]; then
    echo "interrupted: back into the queue" >&2
    scontrol requeue "{task}"
fi
exit $code
"#,
            program = quoted_path(&self.program),
            command = words.join(" "),
        );
        text
    }

    /// The script that puts the shards together, where there are several.
    pub fn merge(&self) -> Option<String> {
        let mut text = self.head("merge.log");
        let folder = quoted_path(&self.folder());
        let (program, out) = (quoted_path(&self.program), quoted_path(&self.out));
        _ = match self.pieces {
            Pieces::One => return None,
            Pieces::Folders => writeln!(text, "exec {program} merge {folder}/parts/* --out {out}"),
            Pieces::Files => writeln!(
                text,
                r#"set -eu
made=$(ls {folder}/parts | grep -c '^[0-9]')
if [ "$made" -ne {shards} ]; then
    echo "error: $made of {shards} shards are finished; the logs of the others say why: {folder}/logs" >&2
    exit 1
fi
cat {folder}/parts/[0-9]* >{folder}/whole
mv {folder}/whole {out}"#,
                shards = self.shards,
            ),
        };
        Some(text)
    }

    /// Writes the scripts into [`SlurmJob::folder`].
    ///
    /// # Errors
    /// [`RunError::Write`]; [`RunError::OtherJob`] where the folder has scripts of another job.
    pub fn write(&self) -> Result<Scripts, RunError> {
        let folder = self.folder();
        let merge = self.merge();
        let scripts = Scripts {
            array: folder.join("array.sh"),
            merge: merge.is_some().then(|| folder.join("merge.sh")),
        };
        for inside in ["logs", "parts"] {
            files::create_dir_all(&folder.join(inside))?;
        }
        for (path, text) in
            [(&scripts.array, self.array())].into_iter().chain(scripts.merge.iter().zip(merge))
        {
            match files::read_if_exists(path)? {
                Some(there) if there == text.as_bytes() => {}
                Some(_) => return Err(RunError::OtherJob { path: path.clone() }),
                None => files::write_atomic(path, text.as_bytes())?,
            }
        }
        Ok(scripts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> SlurmJob {
        SlurmJob {
            program: "/opt/druse".into(),
            command: ["sample", "--formula", "LiFeO2", "--set", "a='x y'"].map(str::to_owned).to_vec(),
            out: "/data/big run".into(),
            pieces: Pieces::Folders,
            working: "/data".into(),
            shards: 8,
            resources: Resources {
                gpus: Some(1),
                at_once: Some(4),
                time: Some("1:00:00".into()),
                ..Resources::default()
            },
        }
    }

    #[test]
    fn words_survive_the_shell() {
        for word in ["plain", "a b", "it's", "$HOME", "", "a'b'c", "x;rm", "Li:4a,Fe:4b"] {
            let script = format!("printf %s {}", quoted(word));
            let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }

    #[test]
    fn scripts_say_what_is_asked_for() {
        let text = job().array();
        for line in [
            "#SBATCH --array=0-7%4",
            "#SBATCH --gres=gpu:1",
            "#SBATCH --time=1:00:00",
            "#SBATCH --requeue",
            "#SBATCH --signal=B:TERM@120",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
        assert!(text.contains("--shard \"$shard/8\"") && text.contains("--threads"));
        assert!(!text.contains("partition") && !text.contains("--mem"));
        let merge = job().merge().unwrap();
        assert!(merge.contains("merge '/data/big run.slurm'/parts/* --out '/data/big run'"), "{merge}");
    }

    #[test]
    fn scripts_of_another_job_are_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let job = SlurmJob { out: dir.path().join("out"), ..job() };
        let scripts = job.write().unwrap();
        assert_eq!(job.write().unwrap(), scripts);
        let other = SlurmJob { shards: 9, ..job };
        assert!(matches!(other.write(), Err(RunError::OtherJob { path }) if path == scripts.array));
    }
}
