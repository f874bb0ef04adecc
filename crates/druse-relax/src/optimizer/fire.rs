//! FIRE.

use serde::{Deserialize, Serialize};

use crate::filter::{Row, dot};

/// Constants of FIRE; the defaults are those of the Atomic Simulation Environment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FireSettings {
    /// Time step at the start (in units in which every row has mass 1).
    pub time_step: f64,
    /// Largest time step.
    pub largest_time_step: f64,
    /// Longest step (Å): norm over all rows together.
    pub longest_step: f64,
    /// Downhill steps before the time step grows.
    pub latency: u32,
    /// Factor by which the time step grows.
    pub growth: f64,
    /// Factor by which it shrinks when a step has led uphill.
    pub shrinkage: f64,
    /// Share of the velocity that is turned towards the force, at the start.
    pub mixing: f64,
    /// Factor by which that share shrinks when the time step grows.
    pub mixing_decay: f64,
}

impl Default for FireSettings {
    fn default() -> Self {
        Self {
            time_step: 0.1,
            largest_time_step: 1.0,
            longest_step: 0.2,
            latency: 5,
            growth: 1.1,
            shrinkage: 0.5,
            mixing: 0.1,
            mixing_decay: 0.99,
        }
    }
}

/// Fast inertial relaxation engine: dynamics whose velocity v is turned towards the force g, and stopped when it leads uphill
/// (Bitzek et al. 2006, Phys. Rev. Lett. 97, 170201).
///
/// With the power P = g·v, before every step but the first: where P > 0, v ← (1 − α) v + α |v| g/|g|, and after more than
/// `latency` such steps in a row Δt grows and α shrinks; else v = 0 and Δt is halved. Then v ← v + Δt g, and the step is Δt v,
/// shortened to `longest_step`.
#[derive(Debug, Clone)]
pub struct Fire {
    settings: FireSettings,
    velocity: Vec<Row>,
    time_step: f64,
    mixing: f64,
    downhill: u32,
}

impl Fire {
    /// At rest.
    pub fn new(settings: FireSettings) -> Self {
        let (time_step, mixing) = (settings.time_step, settings.mixing);
        Self { settings, velocity: Vec::new(), time_step, mixing, downhill: 0 }
    }

    /// The displacements of a step under forces.
    pub fn step(&mut self, forces: &[Row]) -> Vec<Row> {
        let settings = self.settings;
        if self.velocity.is_empty() {
            self.velocity = vec![[0.0; 3]; forces.len()];
        } else if dot(forces, &self.velocity) > 0.0 {
            let speed = (dot(&self.velocity, &self.velocity) / dot(forces, forces)).sqrt();
            for (v, g) in self.velocity.iter_mut().flatten().zip(forces.iter().flatten()) {
                *v = (1.0 - self.mixing) * *v + self.mixing * speed * g;
            }
            if self.downhill > settings.latency {
                self.time_step = (self.time_step * settings.growth).min(settings.largest_time_step);
                self.mixing *= settings.mixing_decay;
            }
            self.downhill += 1;
        } else {
            self.velocity.fill([0.0; 3]);
            self.mixing = settings.mixing;
            self.time_step *= settings.shrinkage;
            self.downhill = 0;
        }
        for (v, g) in self.velocity.iter_mut().flatten().zip(forces.iter().flatten()) {
            *v += self.time_step * g;
        }
        let mut step: Vec<Row> = self.velocity.iter().map(|v| v.map(|x| self.time_step * x)).collect();
        let length = dot(&step, &step).sqrt();
        if length > settings.longest_step {
            let by = settings.longest_step / length;
            step.iter_mut().flatten().for_each(|x| *x *= by);
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bowl_is_descended() {
        let stiffness = [1.0, 4.0, 9.0];
        let mut x = [[1.0, -2.0, 0.7], [0.3, 0.2, -1.0]];
        let mut fire = Fire::new(FireSettings::default());
        let mut steps = 0;
        loop {
            let forces = x.map(|row| std::array::from_fn(|c| -stiffness[c] * row[c]));
            if crate::filter::largest(&forces) < 1e-6 {
                break;
            }
            let step = fire.step(&forces);
            assert!(dot(&step, &step).sqrt() <= 0.2 + 1e-12);
            for (x, d) in x.iter_mut().flatten().zip(step.iter().flatten()) {
                *x += d;
            }
            steps += 1;
            assert!(steps < 500);
        }
        assert!(steps > 10);
    }

    #[test]
    fn the_first_steps_are_those_of_the_rule() {
        let mut fire = Fire::new(FireSettings::default());
        // v = 0.1 g, step 0.1 v.
        assert_eq!(fire.step(&[[1.0, 0.0, 0.0]]), [[0.010000000000000002, 0.0, 0.0]]);
        // v = 0.1 along the force stays under mixing; + 0.1.
        let second = fire.step(&[[1.0, 0.0, 0.0]])[0][0];
        assert!((second - 0.02).abs() < 1e-15);
        // Uphill: the velocity is lost, the time step halved.
        let third = fire.step(&[[-1.0, 0.0, 0.0]])[0][0];
        assert!((third + 0.0025).abs() < 1e-15);
        // A long step is shortened as a whole.
        let step = Fire::new(FireSettings::default()).step(&[[30.0, 0.0, 0.0], [0.0, 40.0, 0.0]]);
        assert!((step[0][0] - 0.12).abs() < 1e-15 && (step[1][1] - 0.16).abs() < 1e-15);
    }
}
