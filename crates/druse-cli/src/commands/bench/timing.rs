//! Repeating and timing.

use std::time::{Duration, Instant};

use druse_crystal::Structure;
use druse_nn::roofline::count_products;

use super::process;
use super::report::Measured;
use super::subject::Subject;
use crate::failure::Failure;

/// How sections are measured.
pub struct Meter {
    /// Seconds for each.
    pub seconds: f64,
    /// Whether one thread is measured too.
    pub one_thread: bool,
}

/// Work of a section on a batch: one repetition, and the time of what counts of it.
pub type Work<'a> = Box<dyn FnMut() -> Result<Duration, Failure> + Send + 'a>;

/// Runs `work` and returns how long it took.
pub fn timed<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<Duration, Failure> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

impl Meter {
    /// Measures a section: on the whole batch, on one structure, and, if wanted, on one thread. `work` makes the work
    /// for a batch.
    pub fn measure<'a>(
        &self,
        subject: &'a Subject,
        work: impl Fn(Vec<&'a Structure>) -> Result<Work<'a>, Failure>,
    ) -> Result<Measured, Failure> {
        let counts_memory = process::restart_peak_memory();
        let mut whole = work(subject.batch())?;
        // An unmeasured run makes the buffers and counts the operations.
        let (first, operations) = count_products(&mut whole);
        first?;
        let Repeated { seconds, repetitions, processor_seconds } = repeat(self.seconds, &mut whole)?;
        let peak_memory_bytes = if counts_memory { process::peak_memory() } else { None };
        let single_threaded = if self.one_thread {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(Failure::environment)?;
            Some(pool.install(|| repeat(self.seconds, &mut whole))?.seconds)
        } else {
            None
        };
        drop(whole);
        let mut one = work(subject.one())?;
        one()?;
        let one_structure_seconds = repeat(self.seconds / 5.0, &mut one)?.seconds;
        Ok(Measured {
            seconds,
            processor_seconds,
            repetitions,
            structures_per_second: subject.structures.len() as f64 / seconds,
            product_gflop: (operations > 0).then_some(1e-9 * operations as f64),
            one_structure_seconds,
            one_thread_seconds: single_threaded,
            threads_speedup: single_threaded.map(|s| s / seconds),
            peak_memory_bytes,
            ..Measured::default()
        })
    }
}

/// What repetitions of a work took.
pub struct Repeated {
    /// Of one repetition, as the work has timed itself; the mean.
    pub seconds: f64,
    /// How many there were.
    pub repetitions: u32,
    /// Processor time of one repetition, all threads together, what the work did not time included; `None` where the system
    /// does not tell, or all of them took too little for its clock.
    pub processor_seconds: Option<f64>,
}

/// Least processor time that is told: the system's clock ticks in hundredths of a second.
const LEAST_PROCESSOR_TIME: Duration = Duration::from_millis(200);

/// Repeats `work` for at least so many seconds and three times.
pub fn repeat(
    seconds: f64,
    work: &mut (dyn FnMut() -> Result<Duration, Failure> + Send),
) -> Result<Repeated, Failure> {
    let (begun, before) = (Instant::now(), process::processor_time());
    let (mut total, mut repetitions) = (Duration::ZERO, 0);
    while repetitions < 3 || begun.elapsed().as_secs_f64() < seconds {
        total += work()?;
        repetitions += 1;
    }
    let taken = before.zip(process::processor_time()).map(|(before, after)| after.saturating_sub(before));
    let of_one = |time: Duration| time.as_secs_f64() / f64::from(repetitions);
    Ok(Repeated {
        seconds: of_one(total),
        repetitions,
        processor_seconds: taken.filter(|time| *time >= LEAST_PROCESSOR_TIME).map(of_one),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_timed_by_themselves_and_by_the_system() {
        let short = repeat(0.0, &mut || Ok(Duration::from_millis(5))).unwrap();
        assert_eq!((short.repetitions, short.seconds), (3, 0.005));
        assert_eq!(short.processor_seconds, None, "a few microseconds are less than a tick");
        if cfg!(target_os = "linux") {
            let busy = repeat(0.0, &mut || {
                let until = process::processor_time().unwrap() + Duration::from_millis(100);
                while process::processor_time().unwrap() < until {}
                Ok(Duration::from_millis(1))
            });
            let per_repetition = busy.unwrap().processor_seconds.unwrap();
            assert!(per_repetition > 0.09, "{per_repetition}");
        }
    }
}
