//! Annealed Langevin dynamics of positions (CDVAE Algorithm 1).

use druse_crystal::{Lattice, wrap_unit};

use super::{Noise, NoiseLevels};

/// Schedule of the dynamics.
#[derive(Debug, Clone, PartialEq)]
pub struct Langevin {
    levels: NoiseLevels,
    steps_per_level: usize,
    step_size: f64,
}

impl Langevin {
    /// `steps_per_level` steps at each level, from the first to the last, which is the smallest; `step_size` is the step
    /// at the last one (Å²).
    pub fn new(levels: NoiseLevels, steps_per_level: usize, step_size: f64) -> Self {
        Self { levels, steps_per_level, step_size }
    }

    /// Number of steps in all.
    pub fn total_steps(&self) -> usize {
        self.levels.len() * self.steps_per_level
    }

    /// Steps at each level.
    pub fn steps_per_level(&self) -> usize {
        self.steps_per_level
    }

    /// The same dynamics with another number of steps at each level.
    pub fn with_steps_per_level(&self, steps_per_level: usize) -> Self {
        Self { steps_per_level, ..self.clone() }
    }

    /// Moves fractional coordinates by one step, number `step` of all: `x += α s/σ + √(2α) ε` in Cartesian coordinates,
    /// `α = step_size (σ / σ_last)²`. `scores` holds s of each atom (Å, in units of the noise level), three numbers an
    /// atom, as the network returns it.
    pub fn advance(
        &self,
        step: usize,
        lattice: &Lattice,
        frac: &mut [[f64; 3]],
        scores: &[f32],
        noise: &mut Noise,
    ) {
        let norm = self.levels.sigma(self.level(step));
        self.displace(step, lattice, frac, scores, [norm, 1.0], noise);
        frac.iter_mut().for_each(|f| *f = f.map(wrap_unit));
    }

    /// Number of the level of step `step` of all.
    pub fn level(&self, step: usize) -> usize {
        step / self.steps_per_level
    }

    /// Moves fractional coordinates by one step, `x += α s/norm + temperature √(2α) ε` in Cartesian coordinates, with α as in
    /// [`Langevin::advance`], and leaves them where they are.
    pub fn displace(
        &self,
        step: usize,
        lattice: &Lattice,
        frac: &mut [[f64; 3]],
        scores: &[f32],
        [norm, temperature]: [f64; 2],
        noise: &mut Noise,
    ) {
        let sigma = self.levels.sigma(self.level(step));
        let alpha = self.step_size * (sigma / self.levels.last()).powi(2);
        let (drift, spread) = (alpha / norm, temperature * (2.0 * alpha).sqrt());
        for (f, s) in frac.iter_mut().zip(scores.chunks_exact(3)) {
            let change = std::array::from_fn(|i| drift * f64::from(s[i]) + spread * noise.normal());
            let change = lattice.to_fractional(change);
            *f = std::array::from_fn(|i| f[i] + change[i]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the exact score of a Gaussian around the origin, the dynamics end in that Gaussian at the last level.
    #[test]
    fn dynamics_with_the_exact_score_end_at_the_last_level() {
        let lattice = Lattice::from_parameters([9.0, 8.0, 10.0, 80.0, 95.0, 105.0]).unwrap();
        let levels = NoiseLevels::geometric([2.0, 0.05], 20);
        let langevin = Langevin::new(levels.clone(), 20, 0.1 * 0.05f64.powi(2));
        let mut noise = Noise::new(4, 2);
        let mut frac: Vec<[f64; 3]> = (0..400).map(|_| std::array::from_fn(|_| noise.uniform())).collect();
        for step in 0..langevin.total_steps() {
            let sigma = levels.sigma(step / 20);
            let scores: Vec<f32> = frac
                .iter()
                .flat_map(|&f| lattice.min_image(f, [0.0; 3]).0.map(|d| (d / sigma) as f32))
                .collect();
            langevin.advance(step, &lattice, &mut frac, &scores, &mut noise);
        }
        let squares =
            frac.iter().map(|&f| lattice.min_image(f, [0.0; 3]).0.iter().map(|x| x * x).sum::<f64>() / 3.0);
        let sigma = (squares.sum::<f64>() / 400.0).sqrt();
        // 1,200 numbers: the standard error of the spread is 2 %, the step size adds 2.6 %.
        assert!((sigma / 0.05 - 1.0).abs() < 0.12, "{sigma}");
    }
}
