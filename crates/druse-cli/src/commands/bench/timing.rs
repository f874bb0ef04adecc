//! Repeating, timing, and the memory it takes.

use std::time::{Duration, Instant};

use druse_crystal::Structure;
use druse_nn::roofline::count_products;

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
        let counts_memory = peak_memory::restart();
        let mut whole = work(subject.batch())?;
        // An unmeasured run makes the buffers and counts the operations.
        let (first, operations) = count_products(&mut whole);
        first?;
        let (seconds, repetitions) = repeat(self.seconds, &mut whole)?;
        let peak_memory_bytes = if counts_memory { peak_memory::bytes() } else { None };
        let single_threaded = if self.one_thread {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(Failure::environment)?;
            Some(pool.install(|| repeat(self.seconds, &mut whole))?.0)
        } else {
            None
        };
        drop(whole);
        let mut one = work(subject.one())?;
        one()?;
        let (one_structure_seconds, _) = repeat(self.seconds / 5.0, &mut one)?;
        Ok(Measured {
            seconds,
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

/// Repeats `work` for at least so many seconds and three times; mean seconds of a repetition, and their number.
pub fn repeat(
    seconds: f64,
    work: &mut (dyn FnMut() -> Result<Duration, Failure> + Send),
) -> Result<(f64, u32), Failure> {
    let begun = Instant::now();
    let (mut total, mut repetitions) = (Duration::ZERO, 0);
    while repetitions < 3 || begun.elapsed().as_secs_f64() < seconds {
        total += work()?;
        repetitions += 1;
    }
    Ok((total.as_secs_f64() / f64::from(repetitions), repetitions))
}

/// The high-water mark of the process's resident memory.
mod peak_memory {
    use std::path::Path;

    use druse_crystal::files;

    /// Starts counting anew from what is resident now; false where the system cannot.
    pub fn restart() -> bool {
        cfg!(target_os = "linux") && files::write(Path::new("/proc/self/clear_refs"), b"5").is_ok()
    }

    /// The mark.
    pub fn bytes() -> Option<u64> {
        let status = files::read_to_string(Path::new("/proc/self/status")).ok()?;
        parse(&status)
    }

    fn parse(status: &str) -> Option<u64> {
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(1024 * kilobytes)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_mark_is_read_from_the_status_of_the_process() {
            assert_eq!(parse("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 99 kB\n"), Some(1024 * 1234));
            assert_eq!(parse("Name:\tx\n"), None);
            if cfg!(target_os = "linux") {
                let block = vec![1u8; 64 << 20];
                assert!(bytes().unwrap() > block.iter().map(|&b| u64::from(b)).sum());
            }
        }
    }
}
