//! Fixed factors that keep the variance of activations near one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Factors of GemNet-dT that multiply the result of an operation so that its variance is that of its input. They are not
/// trained: they belong to sizes and data, for which they were fitted once. An empty list stands for ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScaleFactors {
    /// After the radial filter of the triplet interaction, one for each block.
    pub triplet_radial: Vec<f32>,
    /// After the sum over pairs of edges and the bilinear layer, one for each block.
    pub triplet_sum: Vec<f32>,
    /// After sums of edges into atoms, one for each block.
    pub atom_sum: Vec<f32>,
    /// After the radial filter of the edge heads, one for each block and one for the head before them.
    pub edge_head: Vec<f32>,
}

/// Factors of one interaction block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockScales {
    /// See [`ScaleFactors::triplet_radial`].
    pub triplet_radial: f32,
    /// See [`ScaleFactors::triplet_sum`].
    pub triplet_sum: f32,
    /// See [`ScaleFactors::atom_sum`].
    pub atom_sum: f32,
}

/// A list of scale factors does not fit its network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScaleFactorsError {
    /// Too few or too many.
    #[error("{list} has {found} factors, expected {expected} (or none, for factors of one)")]
    Count {
        /// Name of the list.
        list: &'static str,
        /// Length of the list.
        found: usize,
        /// Length that the network asks for.
        expected: usize,
    },
    /// Zero, negative or not finite.
    #[error("{list}[{index}] = {value}, expected a positive number")]
    Value {
        /// Name of the list.
        list: &'static str,
        /// Position in the list.
        index: usize,
        /// The factor.
        value: f32,
    },
}

impl ScaleFactors {
    /// Factors of one.
    pub fn unit() -> Self {
        Self::default()
    }

    /// The published factors of three blocks of width 128 with 128 Gaussians (CDVAE, T. Xie et al., ICLR 2022).
    pub fn published() -> Self {
        Self {
            triplet_radial: vec![18.873_615, 16.108_175, 15.019_3],
            triplet_sum: vec![7.996_850_5, 7.614_634, 7.025_18],
            atom_sum: vec![1.220_463_8, 0.969_099_46, 0.890_323_76],
            edge_head: vec![16.161_04, 13.546_787, 12.754_337, 13.484_952],
        }
    }

    /// Checks the lists against the number of interaction blocks.
    ///
    /// # Errors
    /// [`ScaleFactorsError`] when a list has another length, or a factor is not positive.
    pub fn validate(&self, blocks: usize) -> Result<(), ScaleFactorsError> {
        let lists = [
            ("triplet_radial", &self.triplet_radial, blocks),
            ("triplet_sum", &self.triplet_sum, blocks),
            ("atom_sum", &self.atom_sum, blocks),
            ("edge_head", &self.edge_head, blocks + 1),
        ];
        for (list, factors, expected) in lists {
            if !factors.is_empty() && factors.len() != expected {
                return Err(ScaleFactorsError::Count { list, found: factors.len(), expected });
            }
            if let Some(index) = factors.iter().position(|f| !(f.is_finite() && *f > 0.0)) {
                return Err(ScaleFactorsError::Value { list, index, value: factors[index] });
            }
        }
        Ok(())
    }

    /// Factors of interaction block `i`; ones where the lists end.
    pub fn block(&self, i: usize) -> BlockScales {
        let of = |list: &[f32]| list.get(i).copied().unwrap_or(1.0);
        BlockScales {
            triplet_radial: of(&self.triplet_radial),
            triplet_sum: of(&self.triplet_sum),
            atom_sum: of(&self.atom_sum),
        }
    }

    /// Factor of edge head `i`; one where the list ends.
    pub fn edge_head(&self, i: usize) -> f32 {
        self.edge_head.get(i).copied().unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_factors_belong_to_three_blocks() {
        let factors = ScaleFactors::published();
        assert_eq!(factors.validate(3), Ok(()));
        assert_eq!(factors.block(1).triplet_sum, 7.614_634_037_017_822_f64 as f32);
        assert_eq!(factors.block(0).atom_sum, 1.220_463_752_746_582_f64 as f32);
        assert_eq!(factors.edge_head(3), 13.484_951_972_961_426_f64 as f32);
        let count = ScaleFactorsError::Count { list: "triplet_radial", found: 3, expected: 2 };
        assert_eq!(factors.validate(2), Err(count));
        assert_eq!(ScaleFactors::unit().validate(2), Ok(()));
        assert_eq!(ScaleFactors::unit().block(1).atom_sum, 1.0);
        let wrong = ScaleFactors { edge_head: vec![1.0, 0.0], ..ScaleFactors::unit() };
        let value = ScaleFactorsError::Value { list: "edge_head", index: 1, value: 0.0 };
        assert_eq!(wrong.validate(1), Err(value));
    }
}
