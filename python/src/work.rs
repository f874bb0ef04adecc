//! Long work: on a thread of its own, without the interpreter's lock, watched and stopped from the caller's thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use druse_cli::Failure;
use druse_cli::library::{Remark, remarks_of};

use pyo3::prelude::*;

use crate::error::{Kind, exception, raised};
use crate::events::{Event, Told};

/// How often signals are looked at.
const EVERY: Duration = Duration::from_millis(50);
/// How long work that was told to stop is waited for. What has not ended by then ends by itself, when it sees the flag.
const GRACE: Duration = Duration::from_millis(700);
/// Stack of the thread, that of a main thread (bytes).
const STACK: usize = 8 << 20;

/// The process in which worker threads have begun; 0 for none.
static BEGUN_IN: AtomicU32 = AtomicU32::new(0);

/// How a call is carried out.
pub struct Call {
    /// Told of events; what it raises stops the work, and so does false.
    pub callback: Option<Py<PyAny>>,
    /// Worker threads; the pool of the process where none is given.
    pub threads: Option<usize>,
    /// Whether an interrupted call waits until the work has saved what it has.
    pub saves: bool,
}

/// What a thread sends.
enum Message<T> {
    Told(Told),
    Done(Result<T, Failure>, Vec<Remark>),
    Panicked(String),
}

/// Follows drivers and sends what they tell.
pub struct Follower<T> {
    sender: Option<Sender<Message<T>>>,
    /// When a position was sent last.
    last: Option<Instant>,
    /// What is counted, and how many there are.
    stage: (String, usize),
}

impl<T> Follower<T> {
    fn send(&mut self, told: Told) {
        if let Some(sender) = &self.sender {
            // A caller that no longer waits has nothing to be told.
            let _ = sender.send(Message::Told(told));
        }
    }

    /// Positions come far more often than anyone can see.
    fn position(&mut self, stage: &str, done: f64, total: usize) {
        if self.sender.is_none() {
            return;
        }
        let due = self.last.is_none_or(|last| last.elapsed() >= EVERY);
        if due || self.stage.0 != stage || done >= total as f64 {
            self.last = Some(Instant::now());
            self.stage = (stage.to_owned(), total);
            self.send(Told::progress(stage, done, total));
        }
    }
}

impl<T: Send> druse_run::Observer for Follower<T> {
    fn observe(&mut self, event: druse_run::Event<'_>) {
        if self.sender.is_none() {
            return;
        }
        match event {
            druse_run::Event::Progress { stage, done, total } => self.position(stage, done as f64, total),
            druse_run::Event::SamplingStep { done, .. } => self.position("structures", done, self.stage.1),
            event => {
                if let Some(told) = Told::of(&event) {
                    self.send(told);
                }
            }
        }
    }
}

impl<T: Send> druse_evaluate::Observer for Follower<T> {
    fn observe(&mut self, progress: druse_evaluate::Progress<'_>) {
        self.position(progress.stage, progress.done as f64, progress.total);
    }
}

/// Refuses to work in a process that was forked after worker threads had begun: they are not there.
fn same_process(py: Python<'_>) -> PyResult<()> {
    let here = process::id();
    match BEGUN_IN.compare_exchange(0, here, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => Ok(()),
        Err(begun) if begun == here => Ok(()),
        Err(_) => Err(exception(
            py,
            Kind::Fork,
            "this process was forked after druse had begun to work: its threads are only in the parent",
            Some(
                "start processes with multiprocessing.get_context(\"spawn\"), or fork before the first call of druse",
            ),
        )),
    }
}

/// Carries work out on a thread of its own. The caller's thread calls back, and looks for signals; Ctrl-C sets the flag that
/// the work looks at.
///
/// # Errors
/// The exception of a failure, what the callback raises, `KeyboardInterrupt`.
pub fn carry_out<T: Send + 'static>(
    py: Python<'_>,
    call: Call,
    work: impl FnOnce(&mut Follower<T>, &AtomicBool) -> Result<T, Failure> + Send + 'static,
) -> PyResult<T> {
    same_process(py)?;
    let Call { callback, threads, saves } = call;
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = channel();
    let (flag, watched) = (stop.clone(), callback.is_some());
    let body = move || {
        let mut follower =
            Follower { sender: watched.then(|| sender.clone()), last: None, stage: (String::new(), 0) };
        let run = || remarks_of(|| in_pool(threads, || work(&mut follower, &flag)));
        let message = match catch_unwind(AssertUnwindSafe(run)) {
            Ok((result, remarks)) => Message::Done(result, remarks),
            Err(panic) => {
                let words = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
                let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
                Message::Panicked(words.unwrap_or_default())
            }
        };
        // A caller that no longer waits has taken its exception.
        let _ = sender.send(message);
    };
    let started = thread::Builder::new().name("druse".into()).stack_size(STACK).spawn(body);
    if let Err(e) = started {
        return Err(exception(py, Kind::Work, &format!("cannot start a thread: {e}"), None));
    }
    wait(py, receiver, callback.as_ref(), &stop, saves)
}

/// Runs work in a pool of so many threads.
fn in_pool<T: Send>(
    threads: Option<usize>,
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    let Some(threads) = threads else { return work() };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| Failure::environment(format!("cannot start {threads} worker threads: {e}")))?;
    pool.install(work)
}

fn wait<T: Send>(
    py: Python<'_>,
    mut receiver: Receiver<Message<T>>,
    callback: Option<&Py<PyAny>>,
    stop: &AtomicBool,
    saves: bool,
) -> PyResult<T> {
    // Why the work was stopped, and when.
    let mut stopped: Option<(PyErr, Instant)> = None;
    loop {
        let message;
        (receiver, message) = py.detach(move || {
            let message = receiver.recv_timeout(EVERY);
            (receiver, message)
        });
        match message {
            Ok(Message::Told(told)) => {
                if let (Some(callback), None) = (callback, &stopped) {
                    match call_back(py, callback, told) {
                        Ok(true) => {}
                        Ok(false) => stop.store(true, Ordering::Relaxed),
                        Err(e) => stopped = Some((e, Instant::now())),
                    }
                }
            }
            Ok(Message::Done(result, remarks)) => {
                return match stopped {
                    Some((e, _)) => Err(e),
                    None => {
                        tell(py, &remarks)?;
                        result.map_err(|failure| raised(py, &failure))
                    }
                };
            }
            Ok(Message::Panicked(words)) => {
                let message = format!("a bug: {words}");
                let hint = Some("please report it, with what led to it");
                return Err(exception(py, Kind::Internal, &message, hint));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(exception(py, Kind::Internal, "a bug: the work ended without a result", None));
            }
        }
        if let Err(e) = py.check_signals() {
            if let Some((first, _)) = stopped {
                // The second Ctrl-C waits for nothing.
                return Err(first);
            }
            stopped = Some((e, Instant::now()));
        }
        if let Some((_, since)) = &stopped {
            stop.store(true, Ordering::Relaxed);
            if !saves && since.elapsed() > GRACE {
                let (e, _) = stopped.expect("just seen");
                return Err(e);
            }
        }
    }
}

/// Whether the work goes on.
fn call_back(py: Python<'_>, callback: &Py<PyAny>, told: Told) -> PyResult<bool> {
    let event = Bound::new(py, Event::new(py, told)?)?;
    let answer = callback.bind(py).call1((event,))?;
    Ok(!answer.is(pyo3::types::PyBool::new(py, false)))
}

/// Passes on what the program would have said: warnings as warnings, notes to the log.
fn tell(py: Python<'_>, remarks: &[Remark]) -> PyResult<()> {
    if remarks.is_empty() {
        return Ok(());
    }
    let module = py.import("druse._events")?;
    for remark in remarks {
        let (name, text) = match remark {
            Remark::Note(text) => ("note", text),
            Remark::Warning(text) => ("warn", text),
        };
        module.call_method1(name, (text,))?;
    }
    Ok(())
}
