//! How a crystal is relaxed.

use serde::{Deserialize, Serialize};

use crate::{CellMode, Optimizer};

/// How a crystal is relaxed, and when the relaxation ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelaxSettings {
    /// What of the cell is relaxed.
    pub cell: CellMode,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The relaxation has converged when no row of the generalized forces is longer (eV/Å): neither the force on an atom nor,
    /// unless the cell is fixed, a row of the cell's (for small strains −V (σ + p)/N).
    pub fmax: f64,
    /// Most steps.
    pub steps: usize,
    /// External pressure (GPa).
    pub pressure: f64,
    /// Tolerance (Å) at which the space group of the start is found and then kept; `None` keeps none.
    pub symprec: Option<f64>,
    /// The relaxation ends when the volume has grown by this factor: the crystal comes apart.
    pub largest_volume: f64,
    /// The relaxation ends when the volume has shrunk to this share of the start's.
    pub smallest_volume: f64,
    /// The relaxation ends when two atoms are closer (Å), own images included; 0 allows any distance.
    pub min_distance: f64,
    /// Whether every step is kept.
    pub trajectory: bool,
}

impl Default for RelaxSettings {
    fn default() -> Self {
        Self {
            cell: CellMode::default(),
            optimizer: Optimizer::default(),
            fmax: 0.05,
            steps: 500,
            pressure: 0.0,
            symprec: None,
            largest_volume: 4.0,
            smallest_volume: 0.25,
            min_distance: 0.5,
            trajectory: false,
        }
    }
}

/// A setting that is impossible.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{name} = {value}: expected {expected}")]
pub struct SettingsError {
    /// Name of the setting.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// What it has to be.
    pub expected: &'static str,
}

impl RelaxSettings {
    /// Checks the values.
    ///
    /// # Errors
    /// [`SettingsError`] with the first that is impossible.
    pub fn validate(&self) -> Result<(), SettingsError> {
        const POSITIVE: &str = "a positive number";
        let positive = |name, value: f64| (name, value, value > 0.0, POSITIVE);
        let share = |name, value: f64| (name, value, value > 0.0 && value < 1.0, "a number between 0 and 1");
        let mut checks = vec![
            positive("fmax", self.fmax),
            ("pressure", self.pressure, true, "a number"),
            positive("symprec", self.symprec.unwrap_or(1.0)),
            ("largest_volume", self.largest_volume, self.largest_volume > 1.0, "a number above 1"),
            share("smallest_volume", self.smallest_volume),
            ("min_distance", self.min_distance, self.min_distance >= 0.0, "0 or a positive number"),
        ];
        match &self.optimizer {
            Optimizer::Fire(fire) => checks.extend([
                positive("time_step", fire.time_step),
                positive("largest_time_step", fire.largest_time_step),
                positive("longest_step", fire.longest_step),
                ("growth", fire.growth, fire.growth >= 1.0, "1 or more"),
                share("shrinkage", fire.shrinkage),
                ("mixing", fire.mixing, (0.0..=1.0).contains(&fire.mixing), "a number from 0 to 1"),
                positive("mixing_decay", fire.mixing_decay),
            ]),
            Optimizer::Lbfgs(lbfgs) => checks.extend([
                ("memory", lbfgs.memory as f64, lbfgs.memory > 0, "1 or more"),
                positive("longest_step", lbfgs.longest_step),
                positive("curvature", lbfgs.curvature),
                share("decrease", lbfgs.decrease),
                ("noise", lbfgs.noise, lbfgs.noise >= 0.0, "0 or a positive number"),
            ]),
        }
        match checks.into_iter().find(|&(_, value, fits, _)| !(value.is_finite() && fits)) {
            Some((name, value, _, expected)) => Err(SettingsError { name, value, expected }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FireSettings, LbfgsSettings};

    #[test]
    fn impossible_values_are_named() {
        assert_eq!(RelaxSettings::default().validate(), Ok(()));
        let lbfgs = Optimizer::Lbfgs(LbfgsSettings::default());
        assert_eq!(RelaxSettings { optimizer: lbfgs, ..RelaxSettings::default() }.validate(), Ok(()));
        let says = |settings: RelaxSettings, name: &str| {
            assert_eq!(settings.validate().unwrap_err().name, name);
        };
        says(RelaxSettings { fmax: 0.0, ..RelaxSettings::default() }, "fmax");
        says(RelaxSettings { pressure: f64::NAN, ..RelaxSettings::default() }, "pressure");
        says(RelaxSettings { largest_volume: 0.5, ..RelaxSettings::default() }, "largest_volume");
        says(RelaxSettings { symprec: Some(-1.0), ..RelaxSettings::default() }, "symprec");
        let fire = FireSettings { time_step: f64::INFINITY, ..FireSettings::default() };
        says(RelaxSettings { optimizer: Optimizer::Fire(fire), ..RelaxSettings::default() }, "time_step");
        let message = RelaxSettings { fmax: -1.0, ..RelaxSettings::default() }.validate().unwrap_err();
        assert_eq!(message.to_string(), "fmax = -1: expected a positive number");
    }

    #[test]
    fn settings_survive_a_file() {
        let settings = RelaxSettings { symprec: Some(0.01), ..RelaxSettings::default() };
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<RelaxSettings>(&text).unwrap(), settings);
        assert!(text.contains(r#""cell":"full","optimizer":{"fire":{"#), "{text}");
    }
}
