//! Weights, crystals and noise by the formulas of the files; summaries of arrays.

use std::collections::BTreeMap;

use burn::tensor::Device;
use druse_nn::{ParamSpec, Params};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::super::super::parity::{Crystals, Listed, listed, rms, weighted_sum};
use crate::reference::file::{flatten, formula};
use crate::reference::report::Output;
use crate::reference::{ParityError, ParityReport};

/// The tensors that a file lists, by name.
pub(super) struct Weights(BTreeMap<String, Listed>);

impl Weights {
    pub fn read(list: &Value) -> Result<Self, ParityError> {
        Ok(Self(listed(list)?))
    }

    /// How many numbers they hold.
    pub fn count(&self) -> usize {
        self.0.values().map(|l| l.shape.iter().product::<usize>()).sum()
    }

    /// The values of a tensor of ours that bears this name in the file.
    pub fn values(&self, name: &str, spec: &ParamSpec) -> Result<Vec<f32>, ParityError> {
        let wrong = |problem: String| ParityError::Parameter { name: spec.name.clone(), problem };
        let listed = self.0.get(name).ok_or_else(|| wrong("is not listed".into()))?;
        if listed.shape.iter().product::<usize>() != spec.len() || !fits(&listed.shape, &spec.shape) {
            return Err(wrong(format!("has shape {:?}, expected {:?}", listed.shape, spec.shape)));
        }
        let values = formula(name, spec.len(), listed.base, listed.amp);
        Ok(match kernel(&listed.shape, &spec.shape) {
            None => values,
            Some(shape) => places(shape).map(|place| values[place]).collect(),
        })
    }

    /// A tensor of ours in the order of the file.
    pub fn in_listed_order(&self, name: &str, spec: &ParamSpec, values: Vec<f32>) -> Vec<f64> {
        let kernel = self.0.get(name).and_then(|listed| kernel(&listed.shape, &spec.shape));
        let Some(shape) = kernel else { return values.into_iter().map(f64::from).collect() };
        let mut listed = vec![0.0; values.len()];
        places(shape).zip(values).for_each(|(place, x)| listed[place] = f64::from(x));
        listed
    }
}

/// Whether a listed tensor is one of ours: equal but for trailing ones, or a kernel in another order.
fn fits(listed: &[usize], ours: &[usize]) -> bool {
    let trim = |shape: &[usize]| {
        let ones = shape.iter().rev().take_while(|&&n| n == 1).count();
        shape[..shape.len() - ones].to_vec()
    };
    trim(listed) == trim(ours) || kernel(listed, ours).is_some()
}

/// The shape (out, in, rows, columns) of a kernel that we keep as (taps · in, out).
fn kernel(listed: &[usize], ours: &[usize]) -> Option<[usize; 4]> {
    let &[output, input, rows, columns] = listed else { return None };
    (rows * columns > 1 && ours == [rows * columns * input, output]).then_some([output, input, rows, columns])
}

/// For every number of a kernel of ours, in order, where a file has it.
fn places([output, input, rows, columns]: [usize; 4]) -> impl Iterator<Item = usize> {
    let taps = rows * columns;
    (0..taps)
        .flat_map(move |t| (0..input).flat_map(move |i| (0..output).map(move |o| (o * input + i) * taps + t)))
}

/// The tensors of a network as a file gives them, in which they have the names that `listed` makes of ours.
///
/// # Errors
/// [`ParityError::Parameter`] when one is not listed or has another shape.
pub(super) fn fill<'a>(
    specs: &[ParamSpec],
    listed: impl Fn(&str) -> (&'a Weights, String) + Sync,
    device: &Device,
) -> Result<Params, ParityError> {
    let values = specs.par_iter().map(|spec| {
        let (weights, name) = listed(&spec.name);
        weights.values(&name, spec)
    });
    Ok(Params::from_host(specs, &values.collect::<Result<Vec<_>, _>>()?, device))
}

/// The image of a crystal, pixel by pixel with its channels, with numbers in [-1, 1] for what is in [0, 1].
pub(super) fn image(crystals: &Crystals, id: &str) -> Result<Vec<f64>, ParityError> {
    Ok(crystals.image(id)?.channels_last().iter().map(|x| 2.0 * x - 1.0).collect())
}

/// `gauss(seed, n)` of the files: SplitMix64 and the cosine branch of Box and Muller.
pub(super) fn gauss(seed: u64, n: usize) -> Vec<f64> {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let uniform = |k: u64| {
        let z = seed.wrapping_add(k.wrapping_mul(STEP));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53) + 2f64.powi(-54)
    };
    let value = |j: u64| {
        let turn = 2.0 * std::f64::consts::PI * uniform(2 * j + 2);
        (-2.0 * uniform(2 * j + 1).ln()).sqrt() * turn.cos()
    };
    (0..n as u64).map(value).collect()
}

/// Numbers in the order channel, pixel as pixels with their channels.
pub(super) fn channels_last(values: &[f64], channels: usize) -> Vec<f64> {
    let pixels = values.len() / channels;
    (0..pixels).flat_map(|p| (0..channels).map(move |c| values[c * pixels + p])).collect()
}

/// The inverse of [`channels_last`].
pub(super) fn channels_first(values: &[f64], channels: usize) -> Vec<f64> {
    let step = channels.max(1);
    (0..channels).flat_map(|c| values.iter().skip(c).step_by(step).copied()).collect()
}

/// Noise of so many images of a batch, each as pixels with their channels.
pub(super) fn noise(seed: u64, images: usize, len: usize, channels: usize) -> Vec<Vec<f64>> {
    gauss(seed, images * len).chunks(len).map(|image| channels_last(image, channels)).collect()
}

/// Compares an array with its summary in a file: all that the summary has of `rms`, `mean`, `weighted_sum`, `first4` and
/// slices. The array is in the order of the file, with `channels` channels, if it is an image.
pub(super) fn record(
    report: &mut ParityReport,
    name: &str,
    values: &[f64],
    channels: usize,
    summary: &Value,
) {
    // A sum of n terms of alternating sign is as large as √(n/2) of them.
    let terms = (values.len().max(2) as f64 / 2.0).sqrt();
    let pixels = values.len() / channels.max(1);
    let edge = pixels.isqrt();
    let slice = |from: usize, step: usize, count: usize| {
        values.iter().skip(from).step_by(step.max(1)).take(count).copied().collect::<Vec<f64>>()
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (key, value) in summary.as_object().into_iter().flatten() {
        let (found, scale) = match key.as_str() {
            "rms" => (vec![rms(values)], 1.0),
            "mean" => (vec![values.iter().sum::<f64>() / values.len().max(1) as f64], 1.0),
            "weighted_sum" => (vec![weighted_sum(values)], 1.0 / terms),
            "first4" => (slice(0, 1, 4), 1.0),
            "slice_channel1_row5_col0to15" => (slice(pixels + 5 * edge, 1, 16), 1.0),
            "slice_channels_row_last_col_last" => (slice(pixels.max(1) - 1, pixels, channels), 1.0),
            _ => continue,
        };
        ours.extend(found.into_iter().map(|x| x * scale));
        let mut listed = Vec::new();
        flatten(value, &mut listed);
        theirs.extend(listed.into_iter().map(|x| x * scale));
    }
    report.record(name, &Output::Numbers(ours), &json!(theirs));
}

#[cfg(test)]
mod tests {
    use druse_nn::Init;

    use super::*;

    #[test]
    fn noise_and_weights_have_the_documented_values() {
        for (x, listed) in
            gauss(1, 4).into_iter().zip([-0.0282497460959, -0.227919522868, 0.103090951686, -0.506204074511])
        {
            assert!((x - listed).abs() < 1e-12);
        }
        let list =
            json!([{"name": "a.weight", "shape": [3, 2, 5, 5], "rule": "weight", "base": 0.0, "amp": 1.0}]);
        let weights = Weights::read(&list).unwrap();
        let spec = |shape: &[usize]| ParamSpec {
            name: "x.a.weight".into(),
            shape: shape.into(),
            init: Init::Zeros,
            role: druse_nn::Role::default(),
        };
        let ours = weights.values("a.weight", &spec(&[50, 3])).unwrap();
        let formula = formula("a.weight", 150, 0.0, 1.0);
        // Tap 7 of channel 1, for output 2.
        assert_eq!(ours[(7 * 2 + 1) * 3 + 2], formula[(2 * 2 + 1) * 25 + 7]);
        let back = weights.in_listed_order("a.weight", &spec(&[50, 3]), ours);
        assert!(back.iter().zip(&formula).all(|(a, &b)| *a == f64::from(b)));
        assert!(weights.values("a.weight", &spec(&[3, 50])).is_err());
        assert!(weights.values("b.weight", &spec(&[3, 50])).is_err());
        let image: Vec<f64> = (0..12u8).map(f64::from).collect();
        assert_eq!(channels_first(&channels_last(&image, 3), 3), image);
    }

    #[test]
    fn sums_are_compared_by_the_size_of_their_terms() {
        let values: Vec<f64> = (0..64).map(|i| f64::from(i % 7) - 3.0).collect();
        let summary = json!({"rms": rms(&values), "weighted_sum": weighted_sum(&values), "class": "Block"});
        let mut report = ParityReport { outputs: Vec::new(), skipped: Vec::new(), crystals: 1 };
        record(&mut report, "same", &values, 4, &summary);
        let turned = channels_first(&values, 4);
        record(&mut report, "turned", &turned, 4, &summary);
        assert!(report.outputs[0].relative < 1e-12 && report.outputs[1].relative > 1e-2, "{report:?}");
    }
}
