//! How much of the machine others use.

use std::fs;

/// Processor time since the machine started, in ticks of the system (Linux; none elsewhere).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Of all processors together, idle or not.
    total: u64,
    /// Not idle; what the host of a virtual machine gave to others counts.
    busy: u64,
    /// Of the processes that this one started and that have ended.
    own: u64,
}

impl Usage {
    pub fn now() -> Option<Self> {
        let machine = fs::read_to_string("/proc/stat").ok()?;
        Self::parse(&machine, &fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(machine: &str, process: &str) -> Option<Self> {
        // user nice system idle iowait irq softirq steal; what follows is part of the first two.
        let ticks = numbers(machine.lines().next()?.strip_prefix("cpu ")?);
        let &[user, nice, system, idle, waiting, irq, softirq, steal, ..] = &ticks[..] else { return None };
        let busy = user + nice + system + irq + softirq + steal;
        // Behind the name in parentheses comes member 3 of proc_pid_stat(5); cutime and cstime are 16 and 17.
        let members = numbers(process.rsplit_once(") ")?.1.split_once(' ')?.1);
        Some(Self { total: busy + idle + waiting, busy, own: members.get(12)? + members.get(13)? })
    }

    /// The share of the machine's time that others took up to a later moment.
    pub fn others_until(&self, later: &Self) -> Option<f64> {
        let total = later.total.checked_sub(self.total).filter(|&ticks| ticks > 0)?;
        let others = later.busy.saturating_sub(self.busy).saturating_sub(later.own.saturating_sub(self.own));
        Some(others as f64 / total as f64)
    }
}

/// Numbers in their order; a negative one, of which none matters here, as 0.
fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_what_the_own_processes_leave() {
        let own = |ticks: u64| {
            format!("7 (a) b) S 1 7 7 0 -1 4194304 1 2 3 4 50 60 {ticks} 10 20 0 1 0 999 1000 100 1 2")
        };
        let before = Usage::parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2\n", &own(30)).unwrap();
        assert_eq!(before, Usage { total: 1000, busy: 150, own: 40 });
        // 200 ticks later, of which 60 were idle, 80 those of a child.
        let after = Usage::parse("cpu  200 0 80 860 50 0 0 10 0 0\n", &own(110)).unwrap();
        assert_eq!(before.others_until(&after), Some(60.0 / 200.0));
        assert_eq!(before.others_until(&before), None);
        assert_eq!(Usage::parse("intr 1 2\n", &own(0)), None);
        if cfg!(target_os = "linux") {
            assert!(Usage::now().is_some());
        }
    }
}
