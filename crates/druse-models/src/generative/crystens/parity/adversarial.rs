//! What reference files of the adversarial networks have in common: weights, inputs, and how outputs are summed up.
//!
//! The files list kernels as (out, in, rows, columns, depth), activations as (row, column, depth, feature), and of large arrays
//! a few numbers. Sums that cancel are compared relative to what their terms are.
//!
//! Losses and gradients are evaluated in double precision, where the compositions of the operations run: a leaky ReLU bends,
//! and one of millions of numbers that rounding puts on the other side of its bend moves single numbers of a gradient by some
//! 1e-3; batches of nearly equal images lose their differences to rounding in batch normalization. Images, layers, and what
//! spectral normalization divides by are evaluated in 32 bits.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};
use druse_nn::{ParamSpec, Params};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::NUMBERS;
use super::super::layers::Kept;
use super::{Crystals, format, listed, rms, weighted_sum};
use crate::reference::file::{exact_formula, flatten, read};
use crate::reference::{Beside, ParityError, ParityReport};

/// Gradients below this part of the largest of their network are zero but for rounding.
const ZERO: f64 = 1e-10;

#[derive(Deserialize)]
struct Inputs {
    structure_ids: Vec<String>,
    latent: Vec<Vec<f64>>,
}

/// Inputs of the networks of a file: images (pixels in the order channel, row, column) and latents, one after the other.
pub(in super::super) struct Samples {
    pub images: Vec<f64>,
    pub latents: Vec<f64>,
    pub count: usize,
}

impl Samples {
    pub fn read(head: &Value, beside: Beside<'_>, latent: usize) -> Result<Self, ParityError> {
        let inputs: Inputs = read(&head["inputs"])?;
        let count = inputs.structure_ids.len();
        if inputs.latent.len() != count || inputs.latent.iter().any(|z| z.len() != latent) {
            return Err(format(format!("expected {count} latents of {latent} numbers")));
        }
        let crystals = Crystals::read(beside)?;
        let mut images = Vec::with_capacity(count * NUMBERS);
        for id in &inputs.structure_ids {
            images.extend(crystals.image(id)?.channels_first());
        }
        let latents = inputs.latent.into_iter().flatten().collect();
        Ok(Self { images, latents, count })
    }
}

/// What the publication calls a tensor of ours.
fn listed_name(name: &str) -> String {
    let (layer, tensor) = name.rsplit_once('.').unwrap_or(("", name));
    let norm = layer.rsplit_once('.').is_some_and(|(_, l)| l.starts_with("bn") || l.starts_with("ln"));
    let tensor = match (tensor, norm) {
        ("weight", true) => "gamma",
        ("weight", false) => "kernel",
        ("bias", true) => "beta",
        ("running_mean", _) => "moving_mean",
        ("running_var", _) => "moving_variance",
        (other, _) => other,
    };
    format!("{layer}.{tensor}")
}

/// The shape that a file lists for a tensor of ours.
fn listed_shape(spec: &ParamSpec) -> Vec<usize> {
    match spec.shape.as_slice() {
        &[depth, rows, columns, a, b] if is_transposed(spec) => vec![a, b, rows, columns, depth],
        &[depth, rows, columns, a, b] => vec![b, a, rows, columns, depth],
        shape => shape.to_vec(),
    }
}

/// Whether a tensor is the kernel of a transposed convolution.
fn is_transposed(spec: &ParamSpec) -> bool {
    spec.name.contains(".convT")
}

/// For every number of a tensor of ours, in order, where a file has it.
fn places(spec: &ParamSpec) -> Vec<usize> {
    let &[depth, rows, columns, a, b] = spec.shape.as_slice() else { return (0..spec.len()).collect() };
    let transposed = is_transposed(spec);
    let taps = rows * columns * depth;
    let mut places = Vec::with_capacity(spec.len());
    for (d, r, c) in
        (0..depth).flat_map(|d| (0..rows).flat_map(move |r| (0..columns).map(move |c| (d, r, c))))
    {
        let tap = (r * columns + c) * depth + d;
        for (i, o) in (0..a).flat_map(|i| (0..b).map(move |o| (i, o))) {
            let channels = if transposed { i * b + o } else { o * a + i };
            places.push(channels * taps + tap);
        }
    }
    places
}

/// A tensor of ours in the order of a file.
pub(in super::super) fn in_listed_order(spec: &ParamSpec, values: &[f64]) -> Vec<f64> {
    let mut listed = vec![0.0; values.len()];
    places(spec).into_iter().zip(values).for_each(|(place, &x)| listed[place] = x);
    listed
}

/// A matrix in 32 bits or in double precision.
pub(in super::super) fn tensor(values: &[f64], cols: usize, device: &Device, double: bool) -> Tensor<2> {
    let shape = [values.len() / cols, cols];
    match double {
        true => Tensor::from_data(TensorData::new(values.to_vec(), shape), (device, DType::F64)),
        false => {
            let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        }
    }
}

/// The numbers of a tensor of any precision.
pub(in super::super) fn host(t: &Tensor<2>) -> Vec<f64> {
    t.to_data().convert::<f64>().try_into_vec().expect("numbers were converted")
}

/// A single number.
pub(in super::super) fn number(t: &Tensor<1>) -> f64 {
    host(&t.clone().reshape([1, 1]))[0]
}

/// The tensors as a file gives them, in 32 bits and in double precision.
///
/// # Errors
/// [`ParityError::Parameter`] when one is not listed or has another shape.
pub(in super::super) fn fill(
    head: &Value,
    specs: &[ParamSpec],
    device: &Device,
) -> Result<[Params; 2], ParityError> {
    let listed = listed(&head["parameters"])?;
    let values = specs.iter().map(|spec| {
        let name = listed_name(&spec.name);
        let wrong = |problem: String| ParityError::Parameter { name: name.clone(), problem };
        let entry = listed.get(name.as_str()).ok_or_else(|| wrong("is not listed".into()))?;
        let expected = listed_shape(spec);
        if entry.shape != expected {
            return Err(wrong(format!("has shape {:?}, expected {expected:?}", entry.shape)));
        }
        let numbers = exact_formula(&entry.name, spec.len(), entry.base, entry.amp);
        Ok(places(spec).into_iter().map(|place| numbers[place]).collect())
    });
    let values = values.collect::<Result<Vec<Vec<f64>>, ParityError>>()?;
    let of = |double| {
        let tensors = specs.iter().zip(&values);
        tensors.map(|(spec, v)| tensor(v, spec.matrix_shape()[1], device, double)).collect::<Vec<_>>()
    };
    let blank: Vec<_> = specs.iter().map(|spec| vec![0.0; spec.len()]).collect();
    let params = Params::from_host(specs, &blank, device);
    Ok([false, true].map(|double| params.clone().with_values(of(double))))
}

fn root_of_squares(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Pixels in the order depth, row, column as they are in the files: row, column, depth.
pub(in super::super) fn in_published_order(values: &[f64], [rows, columns, depth]: [usize; 3]) -> Vec<f64> {
    let area = rows * columns;
    let features = values.len() / (area * depth);
    let mut all = Vec::with_capacity(values.len());
    for p in 0..area {
        for d in 0..depth {
            all.extend_from_slice(&values[(d * area + p) * features..][..features]);
        }
    }
    all
}

/// Compares with what a file lists.
pub(in super::super) struct Comparison {
    pub report: ParityReport,
}

impl Comparison {
    pub fn new(crystals: usize) -> Self {
        Self { report: ParityReport { outputs: Vec::new(), skipped: Vec::new(), crystals } }
    }

    /// Numbers whose scale is their largest.
    pub fn numbers(&mut self, name: &str, ours: &[f64], theirs: &Value) {
        let mut listed = Vec::new();
        flatten(theirs, &mut listed);
        let scale = listed.iter().fold(0f64, |m, x| m.max(x.abs()));
        self.at_scale(name, ours, theirs, scale);
    }

    /// Numbers of a given scale.
    pub fn at_scale(&mut self, name: &str, ours: &[f64], theirs: &Value, scale: f64) {
        let mut listed = Vec::new();
        flatten(theirs, &mut listed);
        if listed.len() != ours.len() {
            return self.report.note(name, f64::INFINITY, ours.len());
        }
        for (a, b) in ours.iter().zip(&listed) {
            let difference = (a - b).abs();
            self.report.note(name, if difference == 0.0 { 0.0 } else { difference / scale }, 1);
        }
    }

    /// The numbers that sum up an array: of images and gradients.
    pub fn summary(&mut self, name: &str, ours: &[f64], theirs: &Value) {
        let n = ours.len() as f64;
        let (l2, rms) = (root_of_squares(ours), rms(ours));
        let Some(listed) = theirs.as_object() else { return self.report.skip(name) };
        for (key, value) in listed {
            let at = |row: usize, columns: std::ops::Range<usize>| {
                &ours[(row * 64 + columns.start) * 4..(row * 64 + columns.end) * 4]
            };
            let (found, scale) = match key.as_str() {
                "mean" => (vec![ours.iter().sum::<f64>() / n], rms),
                "rms" => (vec![rms], rms),
                "l2" => (vec![l2], l2),
                "weighted_sum" => (vec![weighted_sum(ours)], l2),
                "min" => (vec![ours.iter().fold(f64::INFINITY, |m, x| m.min(*x))], rms),
                "max" => (vec![ours.iter().fold(f64::NEG_INFINITY, |m, x| m.max(*x))], rms),
                "first3" => (ours[..3.min(ours.len())].to_vec(), rms),
                "slice_row20_col20to29" => (at(20, 20..30).to_vec(), rms),
                "slice_row20_col20to24" => (at(20, 20..25).to_vec(), rms),
                "slice_row63_col60to63" => (at(63, 60..64).to_vec(), rms),
                _ => {
                    self.report.skip(&format!("{name}.{key}"));
                    continue;
                }
            };
            self.at_scale(name, &found, value, scale);
        }
    }

    /// Images, in our order, one after the other.
    pub fn images(&mut self, name: &str, ours: &[f64], theirs: &Value) {
        let listed = theirs.as_array().map(Vec::as_slice).unwrap_or_default();
        if listed.len() * NUMBERS != ours.len() {
            return self.report.note(name, f64::INFINITY, listed.len());
        }
        for (ours, theirs) in ours.chunks_exact(NUMBERS).zip(listed) {
            self.summary(name, &in_published_order(ours, [64, 64, 4]), theirs);
        }
    }

    /// Outputs of layers.
    pub fn layers(&mut self, name: &str, ours: &[Kept], samples: usize, theirs: &Value) {
        let mut left: Vec<&Kept> = ours.iter().collect();
        for listed in theirs.as_array().map(Vec::as_slice).unwrap_or_default() {
            let layer = listed["layer"].as_str().unwrap_or_default();
            let shape: Vec<usize> = read(&listed["shape"]).unwrap_or_default();
            let same = |kept: &&Kept| {
                let numbers = kept.value.shape().num_elements() / samples;
                let size = kept.size.map_or(shape.len() == 1, |s| shape.len() == 4 && shape[..3] == s);
                kept.layer == layer && size && numbers == shape.iter().product::<usize>()
            };
            let Some(at) = left.iter().position(same) else {
                self.report.note(&format!("{name}: {layer} {shape:?} is missing"), f64::INFINITY, 1);
                continue;
            };
            let kept = left.remove(at);
            let values = host(&kept.value);
            for (i, values) in values.chunks_exact(values.len() / samples).enumerate() {
                let values = match kept.size {
                    Some(size) => in_published_order(values, size),
                    None => values.to_vec(),
                };
                let rms = rms(&values);
                self.at_scale(name, &[rms], &listed["rms"][i], rms);
                self.at_scale(name, &values[..4.min(values.len())], &listed["first4"][i], rms);
            }
        }
    }

    /// Gradients by tensor; those that are zero but for rounding are compared with the largest.
    pub fn gradients(&mut self, name: &str, ours: &[(&ParamSpec, Vec<f64>)], theirs: &Value) {
        let empty = Map::new();
        let listed = theirs.as_object().unwrap_or(&empty);
        let ours: BTreeMap<String, Vec<f64>> =
            ours.iter().map(|(spec, g)| (listed_name(&spec.name), in_listed_order(spec, g))).collect();
        let l2 = |v: &Value| v["l2"].as_f64().unwrap_or(0.0);
        let largest = listed.values().map(l2).fold(0f64, f64::max);
        for (tensor, value) in listed {
            match ours.get(tensor) {
                None => self.report.note(&format!("{name}: {tensor} is missing"), f64::INFINITY, 1),
                Some(ours) if l2(value) < ZERO * largest => {
                    self.report.note(name, root_of_squares(ours) / largest, ours.len());
                }
                Some(ours) => self.summary(name, ours, value),
            }
        }
    }
}
