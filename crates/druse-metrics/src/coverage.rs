//! Coverage of a reference set by a generated set and the mean minimum distances (COV, AMSD, AMCD).
//!
//! Xie et al., ICLR 2022, after Xu et al., ICML 2021: a reference crystal is covered (recall) when a generated one is
//! within a cut-off of it in structure and one, maybe another, within a cut-off in composition; a generated crystal
//! is precise when the same holds of it and the reference.

use druse_data::Benchmark;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    features::{FeatureError, Features},
    nearest::{Nearest, mean_pairwise_distance, nearest_both_ways},
};

/// Distances up to which crystals count as alike; a distance equal to the cut-off is within.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cutoffs {
    /// Cut-off on CrystalNN fingerprints.
    pub structure: f64,
    /// Cut-off on normalized Magpie features.
    pub composition: f64,
}

impl Cutoffs {
    /// Cut-offs of CDVAE.
    pub fn cdvae(benchmark: Benchmark) -> Self {
        let (structure, composition) = match benchmark {
            Benchmark::Mp20 => (0.4, 10.0),
            Benchmark::Carbon24 | Benchmark::Perov5 => (0.2, 4.0),
        };
        Self { structure, composition }
    }

    /// Cut-offs of SyMat, which are looser.
    pub fn symat(benchmark: Benchmark) -> Self {
        let (structure, composition) = match benchmark {
            Benchmark::Mp20 => (0.6, 12.0),
            Benchmark::Carbon24 => (1.0, 4.0),
            Benchmark::Perov5 => (0.8, 6.0),
        };
        Self { structure, composition }
    }

    /// Cut-offs of diffusion-atoms (adaptive cells), for every data set.
    pub fn adaptive() -> Self {
        Self { structure: 0.4, composition: 10.0 }
    }
}

/// Nearest neighbors between the generated and the reference crystals that have features. Index `i` of `recall_*` is the
/// `i`-th of these reference crystals, its nearest a place among these generated ones; `precision_*` the other way.
#[derive(Debug, Clone, PartialEq)]
pub struct Coverage {
    /// The cut-offs.
    pub cutoffs: Cutoffs,
    /// Number of generated crystals, those without features included.
    pub generated: usize,
    /// Nearest generated structure of each reference crystal.
    pub recall_structure: Vec<Nearest>,
    /// Nearest generated composition of each reference crystal.
    pub recall_composition: Vec<Nearest>,
    /// Nearest reference structure of each generated crystal.
    pub precision_structure: Vec<Nearest>,
    /// Nearest reference composition of each generated crystal.
    pub precision_composition: Vec<Nearest>,
}

/// Features of the crystals of one set: as many structure as composition vectors, in the same order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CrystalFeatures {
    /// CrystalNN fingerprints.
    pub structure: Features,
    /// Normalized Magpie features.
    pub composition: Features,
}

/// Finds the nearest neighbors that all coverage metrics derive from. `generated_total` is the number of generated
/// crystals before those without features were dropped: the denominator of the precision.
///
/// # Errors
/// [`FeatureError`] when a set has no vector or the sets have vectors of different length.
pub fn coverage(
    generated: &CrystalFeatures,
    reference: &CrystalFeatures,
    generated_total: usize,
    cutoffs: Cutoffs,
) -> Result<Coverage, FeatureError> {
    let structure = nearest_both_ways(&generated.structure, &reference.structure)?;
    let composition = nearest_both_ways(&generated.composition, &reference.composition)?;
    Ok(Coverage::new(structure, composition, generated_total, cutoffs))
}

impl Coverage {
    /// From the nearest neighbors that [`nearest_both_ways`] finds of generated and reference crystals, by structure and by
    /// composition.
    pub fn new(
        (precision_structure, recall_structure): (Vec<Nearest>, Vec<Nearest>),
        (precision_composition, recall_composition): (Vec<Nearest>, Vec<Nearest>),
        generated_total: usize,
        cutoffs: Cutoffs,
    ) -> Self {
        Self {
            cutoffs,
            generated: generated_total,
            recall_structure,
            recall_composition,
            precision_structure,
            precision_composition,
        }
    }

    /// For each reference crystal with features whether it is covered.
    pub fn covered(&self) -> Vec<bool> {
        self.within(&self.recall_structure, &self.recall_composition)
    }

    /// For each generated crystal with features whether it is precise.
    pub fn precise(&self) -> Vec<bool> {
        self.within(&self.precision_structure, &self.precision_composition)
    }

    fn within(&self, structure: &[Nearest], composition: &[Nearest]) -> Vec<bool> {
        structure
            .iter()
            .zip(composition)
            .map(|(s, c)| s.distance <= self.cutoffs.structure && c.distance <= self.cutoffs.composition)
            .collect()
    }

    /// COV-R: share of the reference crystals that are covered.
    pub fn recall(&self) -> f64 {
        fraction(&self.covered(), self.recall_structure.len())
    }

    /// COV-P: share of all generated crystals that are precise.
    pub fn precision(&self) -> f64 {
        fraction(&self.precise(), self.generated)
    }

    /// AMSD-R: mean over the reference of the distance to the nearest generated structure.
    pub fn amsd_recall(&self) -> f64 {
        mean(&self.recall_structure)
    }

    /// AMSD-P: mean over the generated crystals with features of the distance to the nearest reference structure.
    pub fn amsd_precision(&self) -> f64 {
        mean(&self.precision_structure)
    }

    /// AMCD-R: mean over the reference of the distance to the nearest generated composition.
    pub fn amcd_recall(&self) -> f64 {
        mean(&self.recall_composition)
    }

    /// AMCD-P: mean over the generated crystals with features of the distance to the nearest reference composition.
    pub fn amcd_precision(&self) -> f64 {
        mean(&self.precision_composition)
    }
}

/// Diversity of a set: the mean distance of its pairs (CDVAE's `struct_div` and `comp_div`); `None` for fewer than two.
pub fn diversity(features: &Features) -> Option<f64> {
    mean_pairwise_distance(features)
}

fn fraction(flags: &[bool], of: usize) -> f64 {
    flags.iter().filter(|&&f| f).count() as f64 / of as f64
}

fn mean(all: &[Nearest]) -> f64 {
    all.iter().map(|n| n.distance).sum::<f64>() / all.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(structure: &[f64], composition: &[f64]) -> CrystalFeatures {
        let rows = |x: &[f64]| Features::from_rows(x.iter().map(|&v| [v])).unwrap();
        CrystalFeatures { structure: rows(structure), composition: rows(composition) }
    }

    #[test]
    fn minima_may_come_from_different_partners() {
        // The first generated crystal has the structure of the reference, the second its composition.
        let reference = set(&[0.0], &[0.0]);
        let generated = set(&[0.1, 5.0], &[50.0, 4.0]);
        let cutoffs = Cutoffs { structure: 0.2, composition: 4.0 };
        let c = coverage(&generated, &reference, 4, cutoffs).unwrap();
        assert_eq!((c.recall(), c.precision()), (1.0, 0.0));
        assert_eq!((c.recall_structure[0].index, c.recall_composition[0].index), (0, 1));
        assert!((c.amsd_recall() - 0.1).abs() < 1e-12 && (c.amsd_precision() - 2.55).abs() < 1e-12);
        assert_eq!((c.amcd_recall(), c.amcd_precision()), (4.0, 27.0));
        let loose =
            coverage(&generated, &reference, 4, Cutoffs { structure: 9.0, composition: 4.0 }).unwrap();
        assert_eq!(loose.precision(), 0.25, "the denominator is every generated crystal");
    }

    #[test]
    fn empty_sets_are_errors() {
        let (none, one) = (CrystalFeatures::default(), set(&[0.0], &[0.0]));
        for (a, b) in [(&none, &one), (&one, &none)] {
            assert!(matches!(coverage(a, b, 3, Cutoffs::adaptive()), Err(FeatureError::TooFew { .. })));
        }
    }
}
