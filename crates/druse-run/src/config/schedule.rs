//! Learning rate over a run.

use serde::{Deserialize, Serialize};

use super::settings::{OptimConfig, Schedule};

/// What the plateau schedule remembers between validations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// Factor on the learning rate.
    pub scale: f64,
    /// Validations without improvement.
    pub bad: u64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { scale: 1.0, bad: 0 }
    }
}

impl Plateau {
    /// Takes note of a validation.
    pub fn observe(&mut self, improved: bool, optim: &OptimConfig) {
        self.bad = if improved { 0 } else { self.bad + 1 };
        if self.bad >= optim.plateau_patience {
            self.scale *= optim.plateau_factor;
            self.bad = 0;
        }
    }
}

/// Learning rate of step `step` (from 1) of `total`.
pub fn learning_rate(optim: &OptimConfig, step: u64, total: u64, plateau: &Plateau) -> f64 {
    let warm = optim.warmup_steps;
    if step <= warm {
        return optim.lr * step as f64 / (warm + 1) as f64;
    }
    match optim.schedule {
        Schedule::Constant => optim.lr,
        Schedule::Plateau => (optim.lr * plateau.scale).max(optim.min_lr),
        Schedule::Cosine => {
            let done = (step - warm) as f64 / total.saturating_sub(warm).max(1) as f64;
            let half = 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
            optim.min_lr + (optim.lr - optim.min_lr) * half
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn optim(schedule: Schedule, warmup_steps: u64) -> OptimConfig {
        OptimConfig {
            lr: 1.0,
            min_lr: 0.1,
            schedule,
            warmup_steps,
            plateau_patience: 2,
            plateau_factor: 0.5,
            ..OptimConfig::default()
        }
    }

    #[test]
    fn warm_up_rises_linearly_and_meets_the_schedule() {
        let o = optim(Schedule::Constant, 4);
        let lr = |step| learning_rate(&o, step, 100, &Plateau::default());
        assert_eq!([lr(1), lr(2), lr(4), lr(5), lr(100)], [0.2, 0.4, 0.8, 1.0, 1.0]);
    }

    #[test]
    fn cosine_ends_at_the_smallest_rate() {
        let o = optim(Schedule::Cosine, 0);
        let lr = |step| learning_rate(&o, step, 100, &Plateau::default());
        assert!((lr(50) - 0.55).abs() < 1e-12);
        assert!((lr(100) - 0.1).abs() < 1e-12 && (lr(120) - 0.1).abs() < 1e-12);
        assert!((1..100).all(|s| lr(s + 1) < lr(s)));
    }

    #[test]
    fn plateau_lowers_the_rate_after_its_patience() {
        let o = optim(Schedule::Plateau, 0);
        let mut p = Plateau::default();
        let mut rates = Vec::new();
        for improved in [true, false, false, true, false, false, false, false, false, false] {
            p.observe(improved, &o);
            rates.push(learning_rate(&o, 1, 1, &p));
        }
        assert_eq!(rates, [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.1]);
    }
}
