//! Standard output, messages, progress bars, interruption. The only place that prints.
//!
//! Standard output belongs to one thing at a time: to the text for people, or to data that was asked for there, which
//! [`claim_stdout`] says. The text for people then goes to stderr.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use druse_run::{Event, Observer};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, fmt};

use crate::failure::Failure;

static QUIET: AtomicBool = AtomicBool::new(false);
/// What data stdout belongs to: the option that asked for it.
static CLAIMED: Mutex<Option<String>> = Mutex::new(None);
/// Warnings, where a result for programs repeats them.
static WARNINGS: Mutex<Option<Vec<String>>> = Mutex::new(None);
/// Most warnings that are repeated.
const MOST_WARNINGS: usize = 1000;

/// What a command would have said on stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// For whoever watches.
    Note(String),
    /// What may be wrong with the result.
    Warning(String),
}

thread_local! {
    /// Takes the remarks of this thread's work in place of stderr.
    static REMARKS: RefCell<Option<Vec<Remark>>> = const { RefCell::new(None) };
}

/// Runs work whose remarks are kept, in their order, and not printed.
pub fn remarks_of<T>(work: impl FnOnce() -> T) -> (T, Vec<Remark>) {
    let before = REMARKS.replace(Some(Vec::new()));
    let result = work();
    (result, REMARKS.replace(before).unwrap_or_default())
}

/// Keeps a remark where remarks are kept.
fn keep(remark: Remark) -> Result<(), Remark> {
    REMARKS.with_borrow_mut(|kept| match kept {
        Some(kept) => {
            kept.push(remark);
            Ok(())
        }
        None => Err(remark),
    })
}

/// Sets up messages on stderr. The environment variable `DRUSE_LOG` overrides the level.
pub fn init(verbose: u8, quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let wanted = std::env::var("DRUSE_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = wanted.unwrap_or_else(|| Targets::new().with_default(level));
    let messages =
        fmt::layer().with_writer(io::stderr).with_ansi(colored()).without_time().with_target(false);
    tracing_subscriber::registry().with(messages.with_filter(filter)).init();
}

/// Whether stderr takes colors (`NO_COLOR` turns them off).
pub fn colored() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Takes stdout for data that an option asks for there.
///
/// # Errors
/// [`Failure`] where another option has it.
pub fn claim_stdout(option: &str) -> Result<(), Failure> {
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    match &*claimed {
        Some(other) if other == option => Ok(()),
        Some(other) => {
            let text = format!("{other} and {option} both ask for standard output");
            Err(Failure::mistake(text).hint("name a file for one of them"))
        }
        None => {
            *claimed = Some(option.to_owned());
            Ok(())
        }
    }
}

/// Whether stdout is taken by data.
fn is_claimed() -> bool {
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Writes data to stdout; `false` when whoever read it went away (`druse … | head`), which is no failure.
///
/// # Errors
/// [`Failure`] when it cannot be written for another reason.
pub fn write_stdout(bytes: &[u8]) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Failure::environment(format!("cannot write to stdout: {e}"))),
    }
}

/// Writes a result for people: to stdout, or to stderr where stdout belongs to data.
pub fn data(text: &str) -> Result<(), Failure> {
    match is_claimed() {
        false => write_stdout(text.as_bytes()).map(drop),
        true => {
            if !QUIET.load(Ordering::Relaxed) {
                stderr(text);
            }
            Ok(())
        }
    }
}

/// A line of result for people.
pub fn data_line(text: &str) -> Result<(), Failure> {
    data(&format!("{text}\n"))
}

/// Writes to stderr. Where nobody reads it any more there is nobody to be told.
fn stderr(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Where JSON goes: `-` for stdout.
static JSON: OnceLock<PathBuf> = OnceLock::new();

/// Notes that a result for programs goes to a file, or to stdout (`-`).
pub fn set_json(path: PathBuf) {
    let _ = JSON.set(path);
}

/// Whether a result for programs is wanted.
pub fn json_wanted() -> bool {
    JSON.get().is_some()
}

/// The file that a result for programs is written to.
pub fn json_file() -> Option<PathBuf> {
    JSON.get().filter(|path| path.as_os_str() != "-").cloned()
}

/// Keeps warnings from now on, beside writing them.
pub fn keep_warnings() {
    *WARNINGS.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
}

/// The warnings so far.
pub fn kept_warnings() -> Vec<String> {
    WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
}

/// Writes why a command failed to stderr.
pub fn report(failure: &Failure) {
    let (error, hint) = match colored() {
        true => ("\x1b[31merror:\x1b[0m", "\x1b[36mhint:\x1b[0m"),
        false => ("error:", "hint:"),
    };
    stderr(&format!("{error} {}\n", failure.message()));
    if let Some(text) = failure.hinted() {
        stderr(&format!("{hint} {text}\n"));
    }
}

/// A remark for the person at the terminal, on stderr.
pub fn note(text: &str) {
    if keep(Remark::Note(text.to_owned())).is_ok() {
        return;
    }
    if !QUIET.load(Ordering::Relaxed) {
        stderr(&format!("{text}\n"));
    }
}

/// A warning on stderr.
pub fn warn(text: &str) {
    if keep(Remark::Warning(text.to_owned())).is_ok() {
        return;
    }
    let head = if colored() { "\x1b[33mwarning:\x1b[0m" } else { "warning:" };
    stderr(&format!("{head} {text}\n"));
    if let Some(kept) = &mut *WARNINGS.lock().unwrap_or_else(PoisonError::into_inner)
        && kept.len() < MOST_WARNINGS
    {
        kept.push(text.to_owned());
    }
}

/// Says that the device ran out of memory and how the work goes on.
pub fn memory_limit(atoms: usize) {
    warn(&format!(
        "the memory of the device does not suffice; going on with at most {atoms} atoms at a time"
    ));
}

/// Seconds between two progress lines where no bar is drawn.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Progress of long work: a bar on stderr, or a line every 30 s where there is no terminal, for the log of a job.
/// `DRUSE_PROGRESS_SECONDS` overrides the interval.
pub struct Bar {
    bar: ProgressBar,
    unit: String,
    lines: Option<Mutex<Lines>>,
}

/// When the last line was written, and what it would say now.
struct Lines {
    every: Duration,
    begun: Instant,
    last: Instant,
    /// Position at the beginning: what was there already took no time.
    offset: Option<u64>,
    message: String,
}

/// Progress towards `total` of a unit, such as `structures`; a total of 0 is not known.
pub fn bar(total: u64, unit: &str) -> Bar {
    let template = match total {
        0 => format!("{unit} {{msg}} {{elapsed}}"),
        _ => format!("{{bar:24}} {{pos}}/{{len}} {unit} {{msg}} {{eta_precise}} left"),
    };
    with_template(total, unit, &template)
}

/// Progress of a download.
pub fn bytes_bar() -> Bar {
    with_template(0, "bytes", "{msg} {bytes}/{total_bytes} {bytes_per_sec}")
}

fn with_template(total: u64, unit: &str, template: &str) -> Bar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8));
    let drawn = draws_bars();
    if !drawn {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template(template).expect("templates are part of the program");
    bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    bar.enable_steady_tick(Duration::from_millis(500));
    let every = std::env::var("DRUSE_PROGRESS_SECONDS").ok().and_then(|s| s.parse().ok());
    let (every, now) = (every.map_or(LINE_EVERY, Duration::from_secs_f64), Instant::now());
    let lines = Lines { every, begun: now, last: now, offset: None, message: String::new() };
    let lines = (!drawn && !QUIET.load(Ordering::Relaxed)).then(|| Mutex::new(lines));
    Bar { bar, unit: unit.to_owned(), lines }
}

impl Bar {
    /// So much is done.
    pub fn set_position(&self, position: u64) {
        self.bar.set_position(position);
        let Some(lines) = &self.lines else { return };
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = *lines.offset.get_or_insert(position);
        if lines.last.elapsed() < lines.every {
            return;
        }
        lines.last = Instant::now();
        let total = self.bar.length().unwrap_or(0);
        let seconds = lines.begun.elapsed().as_secs_f64();
        let left = match (position - offset.min(position), total) {
            (0, _) | (_, 0) => String::new(),
            (done, total) => {
                let left = seconds / done as f64 * total.saturating_sub(position) as f64;
                format!(", {} left", HumanDuration(Duration::from_secs_f64(left)))
            }
        };
        let of = if total > 0 { format!("/{total}") } else { String::new() };
        let message = if lines.message.is_empty() { String::new() } else { format!(", {}", lines.message) };
        note(&format!("progress: {position}{of} {}{message}{left}", self.unit));
    }

    /// How much there is in all.
    pub fn set_length(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// What is said beside the position.
    pub fn set_message(&self, message: String) {
        match &self.lines {
            Some(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).message = message,
            None => self.bar.set_message(message),
        }
    }

    /// Forgets the pace so far: what was done before this program began took it no time.
    pub fn reset_eta(&self) {
        self.bar.reset_eta();
    }

    /// Writes a line above the bar.
    pub fn println(&self, line: &str) {
        match &self.lines {
            None if draws_bars() => self.bar.println(line),
            _ => note(line),
        }
    }

    /// Takes the bar away while something else is written.
    pub fn suspend(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Whether progress bars are drawn.
fn draws_bars() -> bool {
    !QUIET.load(Ordering::Relaxed) && io::stderr().is_terminal()
}

/// A bar that follows the stages of long work.
#[derive(Default)]
pub struct Progress {
    bar: Option<Bar>,
    stage: String,
}

impl Progress {
    /// Runs work that is watched, and takes the bar away.
    pub fn of<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        let mut progress = Self::default();
        let result = work(&mut progress);
        progress.finish();
        result
    }

    /// Takes the bar away.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
        self.stage.clear();
    }

    fn show(&mut self, stage: &str, done: usize, total: usize) {
        if self.stage != stage {
            self.finish();
            (self.bar, self.stage) = (Some(bar(total as u64, stage)), stage.to_owned());
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
        }
    }
}

impl Observer for Progress {
    fn observe(&mut self, event: Event<'_>) {
        if let Event::Progress { stage, done, total } = event {
            self.show(stage, done, total);
        }
    }
}

impl druse_evaluate::Observer for Progress {
    fn observe(&mut self, progress: druse_evaluate::Progress<'_>) {
        self.show(progress.stage, progress.done, progress.total);
    }
}

/// A flag that Ctrl-C and SIGTERM set. A second Ctrl-C ends the program at once.
///
/// # Errors
/// When the system refuses a handler.
pub fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    stop_flag_saying("stopping: finishing the current step and saving")
}

/// A flag that Ctrl-C and SIGTERM set, for a process that waits for the word of another one, which hears of them, too. The second
/// one ends the program.
///
/// # Errors
/// When the system refuses a handler.
pub fn deaf_once() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|e| Failure::environment(format!("cannot watch for Ctrl-C: {e}")))?;
    Ok(flag)
}

/// As [`stop_flag`], with what is said when it is set.
///
/// # Errors
/// When the system refuses a handler.
pub fn stop_flag_saying(what: &'static str) -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        stderr(&format!("{what} (press Ctrl-C again to quit at once)\n"));
    })
    .map_err(|e| Failure::environment(format!("cannot watch for Ctrl-C: {e}")))?;
    if std::env::var_os(druse_view::FOLLOW_STDIN).is_some() {
        let ended = flag.clone();
        std::thread::spawn(move || {
            // Nobody writes there: reading ends when whoever started this program does.
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            ended.store(true, Ordering::Relaxed);
        });
    }
    Ok(flag)
}
