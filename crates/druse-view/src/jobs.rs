//! Runs of `druse sample` that are started from the page.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use druse_crystal::files;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ViewError;
use crate::places::SAMPLING_FILE;
use crate::store::Store;

/// Environment variable of a child that ends, as on an interrupt, when its standard input ends: so it ends with the server,
/// however that ends.
pub const FOLLOW_STDIN: &str = "DRUSE_END_WITH_STDIN";
/// Lines of its messages that are kept.
const LINES: usize = 60;
/// How long an interrupted run may take to write what it has.
const PATIENCE: Duration = Duration::from_secs(10);
/// Runs at a time; more would take each other's processors.
const AT_ONCE: usize = 1;

/// What to sample, as the page asks for it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Request {
    /// Name of the new folder.
    name: String,
    formula: String,
    system: String,
    sites: String,
    wyckoff: String,
    space_group: Option<u16>,
    count: Option<u64>,
    seed: u64,
    /// One of the models that the page offers; empty for the one that ships.
    model: String,
}

/// A run.
struct Job {
    name: String,
    out: PathBuf,
    shown: String,
    child: Child,
    stdin: Option<ChildStdin>,
    messages: Arc<Mutex<Vec<String>>>,
    end: Option<ExitStatus>,
    cancelled: Option<Instant>,
}

/// All runs, and where they may write.
pub(crate) struct Jobs {
    program: Vec<OsString>,
    folder: Option<PathBuf>,
    models: Vec<PathBuf>,
    all: Mutex<Vec<Job>>,
}

/// A word of a command line, for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

impl Request {
    /// Arguments of `druse sample` for the folder.
    ///
    /// # Errors
    /// [`ViewError::Refused`] when it says nothing or too much. What the program itself checks is left to it.
    fn arguments(&self, out: &Path, model: Option<&Path>) -> Result<Vec<String>, ViewError> {
        let asked = [
            ("formula", &self.formula),
            ("system", &self.system),
            ("sites", &self.sites),
            ("wyckoff", &self.wyckoff),
        ];
        let asked: Vec<_> = asked.into_iter().filter(|(_, text)| !text.trim().is_empty()).collect();
        if asked.len() > 1 {
            return Err(ViewError::Refused(
                "give one of formula, chemical system, sites and Wyckoff positions".into(),
            ));
        }
        let mut words = vec!["sample".to_owned()];
        // An option and its value are one word: no text of the page is an option of its own.
        let mut add = |name: &str, value: String| words.push(format!("--{name}={value}"));
        if let Some(model) = model {
            add("model", model.display().to_string());
        }
        for (name, text) in asked {
            if text.chars().any(char::is_control) || text.len() > 500 {
                return Err(ViewError::Refused(format!("this is no {name}")));
            }
            add(name, text.trim().to_owned());
        }
        if let Some(number) = self.space_group {
            add("space-group", number.to_string());
        }
        if let Some(count) = self.count {
            add("count", count.to_string());
        }
        add("seed", self.seed.to_string());
        add("format", "jsonl".into());
        add("out", out.display().to_string());
        Ok(words)
    }
}

impl Job {
    fn poll(&mut self) {
        if self.end.is_none() {
            self.end = self.child.try_wait().ok().flatten();
            if self.end.is_none() && self.cancelled.is_some_and(|at| at.elapsed() > PATIENCE) {
                // It is gone or goes; the next look tells.
                let _ = self.child.kill();
            }
        }
    }

    fn cancel(&mut self) {
        self.stdin = None;
        self.cancelled.get_or_insert_with(Instant::now);
    }
}

impl Jobs {
    /// Runs of a program below the first folder of the paths, with these models to choose from.
    pub fn new(program: Vec<OsString>, paths: &[PathBuf], models: Vec<PathBuf>) -> Self {
        let folder = paths.iter().find(|path| path.is_dir()).cloned();
        Self { program, folder, models, all: Mutex::default() }
    }

    /// What the page offers.
    pub fn offer(&self, store: &Store) -> Value {
        let problem = match (self.program.is_empty(), &self.folder) {
            (true, _) => Some("this server cannot start programs"),
            (_, None) => Some("sampling writes into a folder, and no folder was given to `druse view`"),
            _ => None,
        };
        json!({
            "problem": problem,
            "folder": self.folder.as_ref().map(|f| f.display().to_string()),
            "models": self.choices(store).iter().map(|m| m.display().to_string()).collect::<Vec<_>>(),
        })
    }

    /// Models to choose from: those that were given, and the training runs.
    fn choices(&self, store: &Store) -> Vec<PathBuf> {
        let mut all = self.models.clone();
        all.extend(store.runs.folders().into_iter().filter(|run| run.join("checkpoints").is_dir()));
        all
    }

    fn prepare(&self, request: &Request, store: &Store) -> Result<(PathBuf, Vec<String>), ViewError> {
        let refused = |text: String| Err(ViewError::Refused(text));
        let Some(folder) = &self.folder else {
            return refused("no folder was given to `druse view`, so there is none to write into".into());
        };
        let name = request.name.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 100 || name.starts_with(['.', '-']) || !name.chars().all(plain) {
            return refused(format!(
                "`{name}` is no name for a folder here: use letters, digits, `-`, `_` and `.`"
            ));
        }
        let out = folder.join(name);
        if out.exists() {
            return refused(format!("there is a `{name}` already: choose another name"));
        }
        let model = match request.model.as_str() {
            "" => None,
            chosen => match self.choices(store).into_iter().find(|m| m.display().to_string() == chosen) {
                None => {
                    return refused(format!(
                        "`{chosen}` is none of the models that were given to `druse view`"
                    ));
                }
                found => found,
            },
        };
        let words = request.arguments(&out, model.as_deref())?;
        Ok((out, words))
    }

    /// The command line of a request, to copy.
    ///
    /// # Errors
    /// [`ViewError::Refused`].
    pub fn command_line(&self, request: &Request, store: &Store) -> Result<String, ViewError> {
        Ok(shown(&self.prepare(request, store)?.1))
    }

    /// Starts a run.
    ///
    /// # Errors
    /// [`ViewError::Refused`] when it may not run, or the program does not start.
    pub fn start(&self, request: &Request, store: &Store) -> Result<(), ViewError> {
        let (out, words) = self.prepare(request, store)?;
        let Some((program, first)) = self.program.split_first() else {
            return Err(ViewError::Refused("this server cannot start programs".into()));
        };
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter_mut().for_each(Job::poll);
        if all.iter().filter(|job| job.end.is_none()).count() >= AT_ONCE {
            return Err(ViewError::Refused("a run is on its way: wait for it or cancel it".into()));
        }
        let mut child = Command::new(program)
            .args(first)
            .args(&words)
            .env(FOLLOW_STDIN, "1")
            .env("DRUSE_PROGRESS_SECONDS", "1")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| {
                ViewError::Refused(format!("`{}` does not start: {e}", program.to_string_lossy()))
            })?;
        let messages = Arc::<Mutex<Vec<String>>>::default();
        if let Some(stderr) = child.stderr.take() {
            let messages = Arc::clone(&messages);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let mut kept = messages.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() >= LINES {
                        kept.remove(0);
                    }
                    kept.push(line);
                }
            });
        }
        let stdin = child.stdin.take();
        let (name, shown) = (request.name.trim().to_owned(), shown(&words));
        all.push(Job { name, out, shown, child, stdin, messages, end: None, cancelled: None });
        Ok(())
    }

    /// Lets a run end, as an interrupt does: what it has stays.
    ///
    /// # Errors
    /// [`ViewError::Missing`].
    pub fn cancel(&self, at: usize) -> Result<(), ViewError> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let job = all.get_mut(at).ok_or_else(|| ViewError::Missing(format!("there is no run {at}")))?;
        job.cancel();
        Ok(())
    }

    /// The runs with their progress.
    pub fn list(&self, store: &Store) -> Value {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = all.iter_mut().map(|job| {
            job.poll();
            let state = match (job.end, job.cancelled) {
                (None, None) => "running",
                (None, Some(_)) => "stopping",
                (Some(end), _) if end.success() => "done",
                (Some(_), Some(_)) => "cancelled",
                (Some(_), None) => "failed",
            };
            let messages = job.messages.lock().unwrap_or_else(PoisonError::into_inner).clone();
            json!({
                "name": job.name,
                "command": job.shown,
                "state": state,
                "done": store.rows_of(&job.out).unwrap_or_default(),
                "total": total(&job.out),
                "messages": messages,
            })
        });
        Value::Array(jobs.collect())
    }

    /// Lets all runs end and waits for them.
    pub fn stop(&self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter_mut().for_each(Job::cancel);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && all.iter_mut().any(|job| matches!(job.child.try_wait(), Ok(None)))
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        for job in all.iter_mut().filter(|job| job.end.is_none()) {
            let _ = job.child.kill();
            let _ = job.child.wait();
        }
    }
}

/// The command line, to copy into a shell.
fn shown(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("druse {}", words.join(" "))
}

/// Number of structures that a run will have, once it has said so.
fn total(out: &Path) -> Option<u64> {
    let text = files::read_to_string(&out.join(SAMPLING_FILE)).ok()?;
    serde_json::from_str::<Value>(&text).ok()?["count"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(folder: &Path) -> Jobs {
        Jobs::new(vec!["druse".into()], &[folder.to_owned()], vec!["models/a.safetensors".into()])
    }

    fn store(folder: &Path) -> Store {
        Store::new(vec![folder.to_owned()], None)
    }

    #[test]
    fn the_command_line_can_be_copied() {
        let dir = tempfile::tempdir().unwrap();
        let request = Request {
            name: "a".into(),
            formula: "Ca(OH)2".into(),
            count: Some(8),
            model: "models/a.safetensors".into(),
            ..Request::default()
        };
        let line = jobs(dir.path()).command_line(&request, &store(dir.path())).unwrap();
        let out = quoted(&format!("--out={}", dir.path().join("a").display()));
        assert_eq!(
            line,
            format!(
                "druse sample --model=models/a.safetensors '--formula=Ca(OH)2' --count=8 --seed=0 --format=jsonl {out}"
            )
        );
    }

    #[test]
    fn nothing_is_written_outside_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (jobs, store) = (jobs(dir.path()), store(dir.path()));
        for name in ["../a", "/tmp/a", "a/b", "..", ".", "", "-a", "a\\b", "a\0b", "C:a"] {
            let request = Request { name: name.into(), formula: "Fe".into(), ..Request::default() };
            assert!(jobs.command_line(&request, &store).is_err(), "{name:?}");
        }
        std::fs::create_dir(dir.path().join("there")).unwrap();
        let request = Request { name: "there".into(), ..Request::default() };
        assert!(jobs.command_line(&request, &store).unwrap_err().to_string().contains("already"));
        let file = dir.path().join("x.cif");
        std::fs::write(&file, "").unwrap();
        let without = Jobs::new(vec!["druse".into()], &[file], Vec::new());
        let request = Request { name: "a".into(), ..Request::default() };
        assert!(without.command_line(&request, &store).unwrap_err().to_string().contains("folder"));
    }

    #[test]
    fn texts_of_the_page_are_values_and_models_are_those_given() {
        let dir = tempfile::tempdir().unwrap();
        let (jobs, store) = (jobs(dir.path()), store(dir.path()));
        let request = Request { name: "a".into(), formula: "--out=/tmp/x".into(), ..Request::default() };
        let line = jobs.command_line(&request, &store).unwrap();
        assert!(line.contains("--formula=--out=/tmp/x"), "{line}");
        let request = Request { name: "a".into(), model: "/etc/passwd".into(), ..Request::default() };
        assert!(jobs.command_line(&request, &store).is_err());
        let both =
            Request { name: "a".into(), formula: "Fe".into(), system: "Fe-O".into(), ..Request::default() };
        assert!(jobs.command_line(&both, &store).is_err());
    }
}
