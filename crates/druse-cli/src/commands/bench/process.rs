//! What the system counts of this process: its memory, its processor time.

use std::path::Path;
use std::time::Duration;

use druse_crystal::files;

/// Ticks a second in /proc/self/stat. The kernel fixes it for all that it tells programs (USER_HZ), whatever it counts in.
const TICKS_PER_SECOND: f64 = 100.0;

/// Starts counting the high-water mark of resident memory anew from what is resident now; false where the system cannot.
pub fn restart_peak_memory() -> bool {
    cfg!(target_os = "linux") && files::write(Path::new("/proc/self/clear_refs"), b"5").is_ok()
}

/// The high-water mark of resident memory in bytes.
pub fn peak_memory() -> Option<u64> {
    parse_peak(&files::read_to_string(Path::new("/proc/self/status")).ok()?)
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kilobytes)
}

/// Processor time of all threads since the process started, to a hundredth of a second (Linux).
pub fn processor_time() -> Option<Duration> {
    parse_time(&files::read_to_string(Path::new("/proc/self/stat")).ok()?)
}

fn parse_time(stat: &str) -> Option<Duration> {
    // Behind the name in parentheses comes member 3 of proc_pid_stat(5); utime and stime are 14 and 15.
    let mut members = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let ticks: u64 = members.next()?.parse::<u64>().ok()? + members.next()?.parse::<u64>().ok()?;
    Some(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_read_from_the_status_of_the_process() {
        assert_eq!(parse_peak("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 99 kB\n"), Some(1024 * 1234));
        assert_eq!(parse_peak("Name:\tx\n"), None);
        if cfg!(target_os = "linux") {
            let block = vec![1u8; 64 << 20];
            assert!(peak_memory().unwrap() > block.iter().map(|&b| u64::from(b)).sum());
        }
    }

    #[test]
    fn processor_time_is_that_of_user_and_system() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 1 2 3 4 150 60 30 10 20 0 1 0 999";
        assert_eq!(parse_time(stat), Some(Duration::from_millis(2100)));
        assert_eq!(parse_time("7 (a) S 1"), None);
        if cfg!(target_os = "linux") {
            let before = processor_time().unwrap();
            let begun = std::time::Instant::now();
            while processor_time().unwrap() == before {
                assert!(begun.elapsed().as_secs() < 60, "a loop takes processor time");
            }
        }
    }
}
