//! L-BFGS.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::filter::{Row, dot, largest};

/// Constants of L-BFGS.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LbfgsSettings {
    /// Steps that are remembered.
    pub memory: usize,
    /// Longest displacement of a row in a step (Å); a longer step is shortened as a whole.
    pub longest_step: f64,
    /// Curvature (eV/Å²) that is assumed before any is known: the first step is force / curvature.
    pub curvature: f64,
    /// Share of the decrease that the slope promises which a step has to bring (Armijo's rule).
    pub decrease: f64,
    /// Noise of the energy (eV per row): a step that rises by less above the lowest energy so far is no failure.
    pub noise: f64,
    /// Times a step is shortened before the memory is dropped, and then before the optimizer gives up.
    pub shortenings: u32,
}

impl Default for LbfgsSettings {
    fn default() -> Self {
        Self { memory: 20, longest_step: 0.2, curvature: 70.0, decrease: 1e-4, noise: 2e-6, shortenings: 8 }
    }
}

/// Limited-memory quasi-Newton method of Broyden, Fletcher, Goldfarb and Shanno with backtracking.
///
/// The direction is the two-loop recursion over the remembered steps s and changes of the gradient y, the initial inverse
/// Hessian of which is s·y/y·y of the last pair (Nocedal and Wright, Numerical Optimization, 2nd edition, algorithm 7.4 and
/// equation 7.20), or 1/`curvature` without one. The full step is tried first, shortened so that no row moves farther
/// than `longest_step`. Where the value does not fall as Armijo's rule asks, the step is shortened to the minimum of the parabola
/// through value, slope and new value, within 0.1 and 0.5 of its length. A pair with s·y ≤ 0 is not remembered.
/// Each trial is an evaluation and counts as a step.
#[derive(Debug, Clone)]
pub struct Lbfgs {
    settings: LbfgsSettings,
    pairs: VecDeque<Pair>,
    trial: Option<Trial>,
    /// The lowest value so far.
    lowest: f64,
}

#[derive(Debug, Clone)]
struct Pair {
    step: Vec<Row>,
    change: Vec<Row>,
    /// s·y.
    product: f64,
}

/// A step that has been made and not yet been judged.
#[derive(Debug, Clone)]
struct Trial {
    /// Value and forces where it began.
    value: f64,
    forces: Vec<Row>,
    direction: Vec<Row>,
    /// Derivative of the value along the direction, negative.
    slope: f64,
    /// Share of the direction that was gone.
    share: f64,
    shortened: u32,
    /// Whether the direction is the force itself.
    steepest: bool,
}

impl Lbfgs {
    /// Without memory.
    pub fn new(settings: LbfgsSettings) -> Self {
        Self { settings, pairs: VecDeque::new(), trial: None, lowest: f64::INFINITY }
    }

    /// The displacements of a step from the value (eV) and the forces where the crystal is now; `None` when there is nothing
    /// lower along the force.
    pub fn step(&mut self, value: f64, forces: &[Row]) -> Option<Vec<Row>> {
        if let Some(trial) = self.trial.take() {
            // From the lowest value, lest steps that rise within the noise add up.
            let allowed = self.lowest
                + self.settings.decrease * trial.share * trial.slope
                + self.settings.noise * forces.len() as f64;
            if value > allowed {
                return self.shorten(trial, value);
            }
            self.remember(&trial, forces);
        }
        self.lowest = self.lowest.min(value);
        let (direction, steepest) = self.direction(forces);
        Some(self.go(Vec::new(), value, forces.to_vec(), direction, steepest))
    }

    /// Goes back part of the way, or all of it and along the force.
    fn shorten(&mut self, mut trial: Trial, value: f64) -> Option<Vec<Row>> {
        let gone = trial.share;
        if trial.shortened < self.settings.shortenings {
            let rise = value - trial.value - gone * trial.slope;
            let best = -0.5 * trial.slope * gone / rise;
            let factor = if best.is_finite() { best.clamp(0.1, 0.5) } else { 0.1 };
            trial.share = gone * factor;
            trial.shortened += 1;
            let back = scaled(&trial.direction, trial.share - gone);
            self.trial = Some(trial);
            return Some(back);
        }
        if trial.steepest {
            return None;
        }
        self.pairs.clear();
        let back = scaled(&trial.direction, -gone);
        let direction = self.bounded(scaled(&trial.forces, 1.0 / self.settings.curvature));
        Some(self.go(back, trial.value, trial.forces, direction, true))
    }

    /// Starts a trial; `back` leads to where it begins.
    fn go(
        &mut self,
        back: Vec<Row>,
        value: f64,
        forces: Vec<Row>,
        direction: Vec<Row>,
        steepest: bool,
    ) -> Vec<Row> {
        let slope = -dot(&forces, &direction);
        let mut step = direction.clone();
        step.iter_mut().flatten().zip(back.iter().flatten()).for_each(|(x, b)| *x += b);
        self.trial = Some(Trial { value, forces, direction, slope, share: 1.0, shortened: 0, steepest });
        step
    }

    fn remember(&mut self, trial: &Trial, forces: &[Row]) {
        let step = scaled(&trial.direction, trial.share);
        let mut change = trial.forces.clone();
        change.iter_mut().flatten().zip(forces.iter().flatten()).for_each(|(x, f)| *x -= f);
        let product = dot(&step, &change);
        if product > 1e-10 * (dot(&step, &step) * dot(&change, &change)).sqrt() {
            if self.pairs.len() == self.settings.memory {
                self.pairs.pop_front();
            }
            self.pairs.push_back(Pair { step, change, product });
        }
    }

    /// The direction, and whether it is that of the force.
    fn direction(&mut self, forces: &[Row]) -> (Vec<Row>, bool) {
        let mut d = forces.to_vec();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let share = dot(&pair.step, &d) / pair.product;
            add(&mut d, -share, &pair.change);
            shares.push(share);
        }
        let scale = match self.pairs.back() {
            Some(last) => last.product / dot(&last.change, &last.change),
            None => 1.0 / self.settings.curvature,
        };
        d = scaled(&d, scale);
        for (pair, share) in self.pairs.iter().zip(shares.into_iter().rev()) {
            let correction = share - dot(&pair.change, &d) / pair.product;
            add(&mut d, correction, &pair.step);
        }
        let slope = dot(forces, &d);
        if slope.is_finite() && slope > 0.0 {
            return (self.bounded(d), self.pairs.is_empty());
        }
        self.pairs.clear();
        (self.bounded(scaled(forces, 1.0 / self.settings.curvature)), true)
    }

    /// Shortened so that no row moves too far.
    fn bounded(&self, d: Vec<Row>) -> Vec<Row> {
        let longest = largest(&d);
        if longest > self.settings.longest_step {
            scaled(&d, self.settings.longest_step / longest)
        } else {
            d
        }
    }
}

fn scaled(rows: &[Row], by: f64) -> Vec<Row> {
    rows.iter().map(|row| row.map(|x| by * x)).collect()
}

fn add(rows: &mut [Row], by: f64, other: &[Row]) {
    rows.iter_mut().flatten().zip(other.iter().flatten()).for_each(|(x, o)| *x += by * o);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's valley: value and minus its gradient.
    fn valley(x: [f64; 3]) -> (f64, Row) {
        let [a, b] = [1.0 - x[0], x[1] - x[0] * x[0]];
        (a * a + 100.0 * b * b, [2.0 * a + 400.0 * x[0] * b, -200.0 * b, 0.0])
    }

    #[test]
    fn a_curved_valley_is_descended_to_its_end() {
        let mut x = [-1.2, 1.0, 0.0];
        let mut lbfgs =
            Lbfgs::new(LbfgsSettings { curvature: 1000.0, noise: 0.0, ..LbfgsSettings::default() });
        for _ in 0..400 {
            let (value, force) = valley(x);
            if largest(&[force]) < 1e-9 {
                break;
            }
            let step = lbfgs.step(value, &[force]).unwrap();
            (0..3).for_each(|c| x[c] += step[0][c]);
        }
        assert!((x[0] - 1.0).abs() < 1e-8 && (x[1] - 1.0).abs() < 1e-8, "{x:?}");
    }

    #[test]
    fn steps_are_bounded_and_wrong_forces_end_the_search() {
        let mut lbfgs = Lbfgs::new(LbfgsSettings::default());
        let step = lbfgs.step(0.0, &[[100.0, 0.0, 0.0], [0.0, 50.0, 0.0]]).unwrap();
        assert!((step[0][0] - 0.2).abs() < 1e-15 && (step[1][1] - 0.1).abs() < 1e-15);
        // The value rises whatever is tried: the force is no slope of it.
        let mut at = 0.2;
        let mut trials = 0;
        while let Some(step) = lbfgs.step(at * at + at, &[[100.0, 0.0, 0.0], [0.0, 50.0, 0.0]]) {
            at += step[0][0];
            trials += 1;
            assert!(trials < 50);
        }
        assert!(trials > 5);
    }
}
