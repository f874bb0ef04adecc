//! Standard output, messages, progress bars, interruption. The only place that prints.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use druse_run::{Event, Observer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

static QUIET: AtomicBool = AtomicBool::new(false);

/// Sets up messages on stderr. The environment variable `DRUSE_LOG` overrides the level.
pub fn init(verbose: u8, quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "debug",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_from_env("DRUSE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(coloured())
        .without_time()
        .with_target(false)
        .init();
}

/// Whether stderr takes colours (`NO_COLOR` turns them off).
pub fn coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Writes a result to stdout. A reader that went away (`druse … | head`) is no failure.
pub fn data(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::environment(format!("cannot write to stdout: {e}")))
        }
        _ => Ok(()),
    }
}

/// A line of result on stdout.
pub fn data_line(text: &str) -> Result<(), Failure> {
    data(&format!("{text}\n"))
}

/// A remark for the person at the terminal, on stderr.
pub fn note(text: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        eprintln!("{text}");
    }
}

/// A warning on stderr.
pub fn warn(text: &str) {
    let head = if coloured() { "\x1b[33mwarning:\x1b[0m" } else { "warning:" };
    eprintln!("{head} {text}");
}

/// Says that the device ran out of memory and how the work goes on.
pub fn memory_limit(atoms: usize) {
    warn(&format!(
        "the memory of the device does not suffice; going on with at most {atoms} atoms at a time"
    ));
}

/// A bar on stderr; nothing is drawn without a terminal.
pub fn bar(total: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8));
    if QUIET.load(Ordering::Relaxed) || !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template(template).expect("templates are part of the program");
    bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// Whether progress bars are drawn; otherwise long commands write a line now and then.
pub fn draws_bars() -> bool {
    !QUIET.load(Ordering::Relaxed) && io::stderr().is_terminal()
}

/// A bar that follows the stages of long work.
#[derive(Default)]
pub struct Progress {
    bar: Option<ProgressBar>,
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

    fn show(&mut self, stage: &str, done: usize, total: usize) {
        if self.stage != stage {
            self.finish();
            let template =
                if total == 0 { "{msg} {elapsed}" } else { "{bar:24} {pos}/{len} {msg} {eta_precise} left" };
            let bar = bar(total as u64, template);
            bar.set_message(stage.to_owned());
            (self.bar, self.stage) = (Some(bar), stage.to_owned());
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
        }
    }

    /// Takes the bar away.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.stage.clear();
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
        eprintln!("{what} (press Ctrl-C again to quit at once)");
    })
    .map_err(|e| Failure::environment(format!("cannot watch for Ctrl-C: {e}")))?;
    Ok(flag)
}
