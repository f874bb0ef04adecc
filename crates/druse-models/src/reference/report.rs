//! What a comparison finds.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use serde_json::Value;

use super::file::flatten;

/// One output of a network, flat.
pub(crate) enum Output {
    /// Counts, edges and the like: they must be equal.
    Integers(Vec<i64>),
    /// Results of computations.
    Numbers(Vec<f64>),
    /// Angles in radians, whose differences are not relative to anything.
    Angles(Vec<f64>),
}

/// Outputs by their name in the file.
pub(crate) type Outputs = BTreeMap<&'static str, Output>;

impl Output {
    pub fn integers(values: impl IntoIterator<Item = impl Into<i64>>) -> Self {
        Self::Integers(values.into_iter().map(Into::into).collect())
    }

    pub fn count(n: usize) -> Self {
        Self::Integers(vec![n as i64])
    }

    pub fn numbers(values: impl IntoIterator<Item = impl Into<f64>>) -> Self {
        Self::Numbers(values.into_iter().map(Into::into).collect())
    }

    pub fn angles(values: impl IntoIterator<Item = f64>) -> Self {
        Self::Angles(values.into_iter().collect())
    }

    pub fn tensor(t: &Tensor<2>) -> Self {
        Self::Numbers(host(t))
    }

    /// The first rows of a tensor, or all of them.
    pub fn rows(t: &Tensor<2>, rows: usize) -> Self {
        Self::tensor(&t.clone().narrow(0, 0, rows.min(t.dims()[0])))
    }

    fn len(&self) -> usize {
        match self {
            Self::Integers(values) => values.len(),
            Self::Numbers(values) | Self::Angles(values) => values.len(),
        }
    }
}

/// The values of a tensor.
pub(crate) fn host(t: &Tensor<2>) -> Vec<f64> {
    let values = t.to_data().try_into_vec::<f32>().expect("outputs are 32-bit floats");
    values.into_iter().map(f64::from).collect()
}

/// Largest difference found in one output over all crystals.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputDifference {
    /// Name of the output in the file.
    pub name: String,
    /// `max |difference| / max |reference|`, per crystal, the largest one; of angles `max |difference|` in radians; infinite
    /// when sizes or integers differ.
    pub relative: f64,
    /// Number of values compared.
    pub values: usize,
}

/// Result of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct ParityReport {
    /// One entry for each output.
    pub outputs: Vec<OutputDifference>,
    /// Outputs listed in the file that have no counterpart here.
    pub skipped: Vec<String>,
    /// Number of input crystals.
    pub crystals: usize,
}

impl ParityReport {
    /// The largest relative difference of all outputs.
    pub fn worst(&self) -> f64 {
        self.outputs.iter().map(|o| o.relative).fold(0.0, f64::max)
    }

    /// Notes the largest difference of some values, found elsewhere.
    pub(crate) fn note(&mut self, name: &str, relative: f64, values: usize) {
        let relative = if relative.is_nan() { f64::INFINITY } else { relative };
        match self.outputs.iter_mut().find(|o| o.name == name) {
            Some(entry) => {
                entry.values += values;
                entry.relative = entry.relative.max(relative);
            }
            None => self.outputs.push(OutputDifference { name: name.to_owned(), relative, values }),
        }
    }

    pub(crate) fn skip(&mut self, name: &str) {
        if !self.skipped.iter().any(|s| s == name) {
            self.skipped.push(name.to_owned());
        }
    }

    pub(crate) fn record(&mut self, name: &str, ours: &Output, reference: &Value) {
        self.note(name, difference(ours, reference), ours.len());
    }
}

/// `max |difference| / max |reference|`, for angles `max |difference|`; infinite where that is no number.
fn difference(ours: &Output, reference: &Value) -> f64 {
    let mut theirs = Vec::new();
    flatten(reference, &mut theirs);
    if ours.len() != theirs.len() {
        return f64::INFINITY;
    }
    let values = match ours {
        Output::Integers(values) => {
            let equal = values.iter().zip(&theirs).all(|(&a, &b)| a as f64 == b);
            return if equal { 0.0 } else { f64::INFINITY };
        }
        Output::Numbers(values) | Output::Angles(values) => values,
    };
    let scale = match ours {
        Output::Angles(_) => 1.0,
        _ => theirs.iter().fold(0f64, |m, x| m.max(x.abs())),
    };
    let differences = values.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
    // f64::max would drop a NaN.
    let largest = differences.fold(0f64, |m, x| if x.is_nan() || x > m { x } else { m });
    let relative = if largest == 0.0 { 0.0 } else { largest / scale };
    if relative.is_nan() { f64::INFINITY } else { relative }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_relative_to_the_largest_value() {
        let numbers = |values: &[f64]| Output::numbers(values.iter().copied());
        assert_eq!(difference(&numbers(&[1.0, -4.0]), &json!([1.5, -4.0])), 0.125);
        assert_eq!(difference(&numbers(&[0.0, 0.0]), &json!([[0.0], [0.0]])), 0.0);
        assert_eq!(difference(&numbers(&[1.0]), &json!([0.0])), f64::INFINITY);
        assert_eq!(difference(&numbers(&[f64::NAN, 1.0]), &json!([1.0, 1.0])), f64::INFINITY);
        assert_eq!(difference(&numbers(&[1.0]), &json!([1.0, 1.0])), f64::INFINITY);
        assert_eq!(difference(&numbers(&[1.0]), &json!("one")), f64::INFINITY);
        assert_eq!(difference(&Output::angles([1.0, 0.0]), &json!([1.5, 1e-17])), 0.5);
        assert_eq!(difference(&Output::integers([3u32, 4]), &json!([3, 4])), 0.0);
        assert_eq!(difference(&Output::integers([3u32, 4]), &json!([3, 5])), f64::INFINITY);
    }
}
