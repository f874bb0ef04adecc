//! CrysTens, the image tensors of CrysTens GAN and CrysTens Diffusion (M. Alverson et al., Digital Discovery 3, 62,
//! 2024): what the generated images themselves are judged by, before any structure is made of them.
//!
//! The statistics live beside the codec, [`druse_data::crystens`], which knows how an image is counted and un-normalized;
//! structures decoded from images are evaluated as those of any other model.

pub use druse_data::crystens::{Collected, Consistency, consistency};

use crate::distribution::TwoSamples;
use crate::metric::Metric;

/// The six statistics of the paper as metrics.
pub fn consistency_metrics(found: &Consistency) -> Vec<Metric> {
    let (of, all) = (found.measured(), found.atoms.len());
    let metric = |(key, what, value): (&str, &str, Option<f64>)| {
        let value = value.ok_or_else(|| "no image has atoms that could be counted".to_owned());
        Metric::new(
            key,
            value,
            of,
            None,
            format!("{of} of {all} images with atoms, before averaging, {what}"),
        )
    };
    found.six().into_iter().map(metric).collect()
}

/// `ks_image_space_group`: the space-group numbers that images state (rounded means) against those of the reference.
pub fn stated_space_groups(stated: &[f64], reference: &[f64]) -> Metric {
    let value = TwoSamples::new(stated, reference).map(|t| t.kolmogorov_smirnov()).map_err(|e| e.to_string());
    let protocol = "images that show a structure, space-group number that they state";
    Metric::new("ks_image_space_group", value, stated.len(), Some(reference.len()), protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::describe;

    #[test]
    fn every_statistic_has_its_line_in_the_table() {
        let nothing = consistency_metrics(&Consistency::default());
        assert_eq!(nothing.len(), 6);
        for metric in nothing {
            assert!(metric.value.is_none() && metric.problem.is_some());
            assert!(describe(&metric.key).is_some(), "{}", metric.key);
        }
        let same = stated_space_groups(&[62.0, 225.0], &[225.0, 62.0]);
        assert_eq!((same.value, same.of, same.against), (Some(0.0), 2, Some(2)));
        assert!(describe(&same.key).is_some());
    }
}
