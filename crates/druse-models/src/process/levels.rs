//! Noise levels of score matching.

/// A geometric sequence of noise levels.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseLevels {
    sigmas: Vec<f64>,
}

impl NoiseLevels {
    /// `exp(linspace(ln first, ln last, count))`.
    pub fn geometric([first, last]: [f64; 2], count: usize) -> Self {
        let (a, b) = (first.ln(), last.ln());
        let steps = count.saturating_sub(1).max(1) as f64;
        Self { sigmas: (0..count).map(|i| (a + (b - a) * i as f64 / steps).exp()).collect() }
    }

    /// Number of levels.
    pub fn len(&self) -> usize {
        self.sigmas.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sigmas.is_empty()
    }

    /// Standard deviation of level `i`.
    pub fn sigma(&self, i: usize) -> f64 {
        self.sigmas[i]
    }

    /// Standard deviation of the last level.
    ///
    /// # Panics
    /// Without levels.
    pub fn last(&self) -> f64 {
        *self.sigmas.last().expect("a sequence of at least one level")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_cdvae_have_known_values() {
        let levels = NoiseLevels::geometric([10.0, 0.01], 50);
        assert_eq!(levels.len(), 50);
        assert!((levels.sigma(0) - 10.0).abs() < 1e-12 && (levels.last() - 0.01).abs() < 1e-15);
        for i in 1..50 {
            assert!((levels.sigma(i - 1) / levels.sigma(i) - 1.151_40).abs() < 1e-5);
        }
        assert_eq!(NoiseLevels::geometric([2.0, 2.0], 1).last(), 2.0);
    }
}
