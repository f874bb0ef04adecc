//! Discrete diffusion schedules.

/// A linear beta schedule over T steps and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct BetaSchedule {
    betas: Vec<f64>,
    alpha_bars: Vec<f64>,
}

impl BetaSchedule {
    /// Betas from `first` to `last` in `steps` equal increments; step t is index t, 0 to T - 1.
    pub fn linear([first, last]: [f64; 2], steps: usize) -> Self {
        let last_index = steps.saturating_sub(1).max(1) as f64;
        let betas: Vec<f64> = (0..steps).map(|t| first + (last - first) * t as f64 / last_index).collect();
        let alpha_bars = betas
            .iter()
            .scan(1.0, |product, beta| {
                *product *= 1.0 - beta;
                Some(*product)
            })
            .collect();
        Self { betas, alpha_bars }
    }

    /// Number of steps T.
    pub fn steps(&self) -> usize {
        self.betas.len()
    }

    /// beta_t.
    pub fn beta(&self, t: usize) -> f64 {
        self.betas[t]
    }

    /// Product of 1 - beta up to and including t.
    pub fn alpha_bar(&self, t: usize) -> f64 {
        self.alpha_bars[t]
    }

    /// Standard deviation of the noise after t steps, `sqrt(1 - abar_t)`.
    pub fn sigma(&self, t: usize) -> f64 {
        (1.0 - self.alpha_bars[t]).sqrt()
    }

    /// Factors (c0, ct) of the posterior mean `c0 v_0 + ct v_t` of step t - 1 given the clean and the noisy value.
    ///
    /// # Panics
    /// For t = 0, which has no earlier step.
    pub fn posterior(&self, t: usize) -> (f64, f64) {
        let (beta, bar, before) = (self.betas[t], self.alpha_bars[t], self.alpha_bars[t - 1]);
        (before.sqrt() * beta / (1.0 - bar), (1.0 - beta).sqrt() * (1.0 - before) / (1.0 - bar))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_of_the_paper_have_known_values() {
        let x = BetaSchedule::linear([1e-6, 2e-3], 100);
        for (t, sigma) in [(0, 0.001), (1, 0.00471083), (24, 0.07787884), (74, 0.23364334), (99, 0.30865602)]
        {
            assert!((x.sigma(t) - sigma).abs() < 1e-8, "{t}: {}", x.sigma(t));
        }
        assert!((x.beta(24).sqrt() - 0.02203647).abs() < 1e-8);
        let l = BetaSchedule::linear([1e-5, 1e-1], 100);
        assert!((l.alpha_bar(49) - 0.2839625).abs() < 1e-7 && (l.alpha_bar(99) - 0.00564499).abs() < 1e-8);
        for (t, c0, ct) in
            [(99, 0.00796469, 0.94808489), (50, 0.03685181, 0.95528251), (1, 0.99029612, 0.00970388)]
        {
            let (a, b) = l.posterior(t);
            assert!((a - c0).abs() < 1e-8 && (b - ct).abs() < 1e-8, "{t}: {a} {b}");
        }
    }
}
